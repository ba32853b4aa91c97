//! Slots that workers share: any bytes are read, what was read and changed is written so that it reads the same, and no
//! session that a worker recorded is forgotten before its time.

use std::collections::BTreeMap;

use rest_sessions_core::cache::shared_entry::SharedEntry;

use crate::NOW_MS;

/// The bytes of one change: a session, how long it is held, and whether it ends.
const CHANGE: usize = 4;

/// The first byte is the number of changes. Their bytes follow, then those of the slot.
///
/// # Panics
///
/// If something does not hold.
pub fn check(bytes: &[u8]) {
    let (count, rest) = bytes.split_first().map_or((0, bytes), |(count, rest)| (usize::from(*count), rest));
    let (changes, slot) = rest.split_at(rest.len().min(count * CHANGE));
    let mut entry = SharedEntry::parse(slot);
    assert_eq!(SharedEntry::parse(&entry.serialize()), entry);
    let mut held: BTreeMap<u8, u64> = BTreeMap::new();
    for change in changes.chunks_exact(CHANGE) {
        let &[session, high, low, ends] = change else { unreachable!("a chunk is a change") };
        let hash = u64::from(session);
        if ends == 0 {
            let key = entry.response.as_ref().map(|response| response.key.clone()).unwrap_or_default();
            entry.remove(hash, &key);
            assert_eq!(entry.response, None, "the response of a session that has ended");
            held.remove(&session);
        } else {
            let until_ms = NOW_MS + u64::from(u16::from_be_bytes([high, low]));
            entry.record(hash, until_ms, NOW_MS);
            let held = held.entry(session).or_default();
            *held = (*held).max(until_ms);
        }
    }
    assert_eq!(SharedEntry::parse(&entry.serialize()), entry);
    for (session, until_ms) in held {
        let (hash, last_ms) = (u64::from(session), until_ms - 1);
        assert!(last_ms < NOW_MS || entry.may_be_held(hash, last_ms), "a worker holds what is not recorded");
    }
}
