//! Which lookups of sessions under `limits.idle` are in flight in any worker, and which sessions are condemned: found
//! beyond the limit, and not known to have ended.
//!
//! A session service that ignores `max_idle` counts every lookup as a use. Of several lookups at once, only the answer to
//! the one that it served first tells for how long the session was idle. So the answer of a lookup decides only if no
//! other lookup that may have been served before it is in flight any more. A lookup that finds the session beyond the limit
//! is removed and its session condemned in one step, before the session is killed.

use super::invalidation::shared_hash_key;
use super::shared_data::{SharedData, Slot, Unavailable, update};
use crate::rest_sessions::backend::Namespace;
use crate::session::token::Token;

/// The number of a lookup, which no other one of any worker has. Zero is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookupId(u64);

/// The keyed hash of a session, the same in all workers. Of a million sessions, two have the same one with a probability
/// of less than 1 in 10 million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionHash(u64);

/// What all workers know of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is against it.
    Clear,
    /// A lookup that may have been served before is in flight.
    Contested,
    /// It was found beyond the limit.
    Condemned,
}

/// A change of what is registered about a session.
#[derive(Clone, Copy)]
pub enum Registration {
    /// This lookup begins, and is over at the latest by then, in milliseconds since 1970.
    Begin(LookupId, u64),
    /// This lookup is over.
    End(LookupId),
    /// This lookup is over and has found the session beyond the limit. Without further use the session lives until then,
    /// in milliseconds since 1970. With no lookup: how long it stays condemned.
    Condemn(LookupId, u64),
}

/// The hash, the lookup or zero for a condemned session, when it began, and until when it counts.
type Record = [u64; 4];

const RECORD_BYTES: usize = size_of::<Record>();

/// How many records a slot has. Beyond them, the oldest goes.
const MAX_RECORDS: usize = 64;

/// `idle` of a session is in whole seconds, and may count from a use up to a second before the latest.
const IDLE_SLACK_MS: u64 = 2_000;

/// The latest time at which a lookup may have begun that was served before the one that was answered now and found the
/// session idle for so long.
#[must_use]
pub fn latest_earlier_ms(idle_ms: u64, now_ms: u64) -> u64 {
    now_ms.saturating_add(IDLE_SLACK_MS).saturating_sub(idle_ms).min(now_ms)
}

/// One worker's access to the registry.
pub struct IdleRegistry {
    hash_key: (u64, u64),
    last_id: u64,
}

impl IdleRegistry {
    /// `random`: four numbers that cannot be predicted.
    ///
    /// # Errors
    ///
    /// If the shared data is not available.
    pub fn new(data: &dyn SharedData, random: [u64; 4]) -> Result<Self, Unavailable> {
        let [first, second, last_id, _] = random;
        Ok(Self { hash_key: shared_hash_key(data, (first, second))?, last_id })
    }

    /// The hash of a session.
    #[must_use]
    pub fn hash(&self, namespace: &Namespace, token: &Token) -> SessionHash {
        SessionHash(namespace.key_hash(token, self.hash_key))
    }

    /// A number for a lookup.
    pub fn new_id(&mut self) -> LookupId {
        self.last_id = self.last_id.wrapping_add(1).max(1);
        LookupId(self.last_id)
    }
}

/// Changes what is registered about a session. Says how it stood before, for a lookup before which others may have been
/// served that began by `earlier_ms`, in milliseconds since 1970.
///
/// # Errors
///
/// If the shared data is not available.
pub fn register(
    data: &dyn SharedData,
    hash: SessionHash,
    change: Registration,
    earlier_ms: u64,
    now_ms: u64,
) -> Result<Standing, Unavailable> {
    let (own, added) = match change {
        Registration::Begin(lookup, until_ms) => (lookup, Some([hash.0, lookup.0, now_ms, until_ms])),
        Registration::End(lookup) => (lookup, None),
        Registration::Condemn(lookup, until_ms) => (lookup, Some([hash.0, 0, now_ms, until_ms])),
    };
    let mut standing = Standing::Clear;
    update(data, slot(hash), |bytes| {
        let (mut kept, found) =
            read(bytes, hash, own, added.is_some_and(|[_, lookup, ..]| lookup == 0), earlier_ms, now_ms);
        standing = found;
        if let Some(record) = added {
            if kept.len() >= MAX_RECORDS * RECORD_BYTES {
                kept.drain(..RECORD_BYTES);
            }
            record.iter().for_each(|number| kept.extend_from_slice(&number.to_le_bytes()));
        }
        kept
    })?;
    Ok(standing)
}

/// How a session stands, for a lookup before which others may have been served that began by `earlier_ms`.
///
/// # Errors
///
/// If the shared data is not available.
pub fn standing(
    data: &dyn SharedData,
    hash: SessionHash,
    earlier_ms: u64,
    now_ms: u64,
) -> Result<Standing, Unavailable> {
    let (bytes, _) = data.read(slot(hash))?;
    Ok(read(&bytes, hash, LookupId::default(), false, earlier_ms, now_ms).1)
}

/// A slot without what has expired, without `own`, and without the condemnation that is `replaced`; and how the session
/// stands beside `own`.
fn read(
    bytes: &[u8],
    hash: SessionHash,
    own: LookupId,
    replaced: bool,
    earlier_ms: u64,
    now_ms: u64,
) -> (Vec<u8>, Standing) {
    let (mut kept, mut standing) = (Vec::new(), Standing::Clear);
    for record in bytes.as_chunks::<RECORD_BYTES>().0 {
        let mut numbers = record.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number));
        let mut number = || numbers.next().unwrap_or_default();
        let (session, lookup, started_ms, until_ms) = (number(), number(), number(), number());
        if until_ms <= now_ms || (lookup == own.0 && lookup != 0) {
            continue;
        }
        if session == hash.0 {
            if lookup == 0 {
                standing = Standing::Condemned;
                if replaced {
                    continue;
                }
            } else if started_ms <= earlier_ms && standing == Standing::Clear {
                standing = Standing::Contested;
            }
        }
        kept.extend_from_slice(record);
    }
    (kept, standing)
}

/// One of 4,096 slots.
fn slot(SessionHash(hash): SessionHash) -> Slot {
    let [first, second, ..] = hash.to_le_bytes();
    Slot::Idle(u16::from_le_bytes([first, second]) & 0x0FFF)
}

#[cfg(test)]
mod tests {
    use super::super::shared_data::LocalData;
    use super::*;

    const SESSION: SessionHash = SessionHash(7);
    /// Another session of the same slot.
    const OTHER: SessionHash = SessionHash(7 | 1 << 32);
    const NONE: LookupId = LookupId(0);

    fn begin(data: &LocalData, hash: SessionHash, id: u64, now_ms: u64) -> LookupId {
        register(data, hash, Registration::Begin(LookupId(id), now_ms + 500), now_ms, now_ms).unwrap();
        LookupId(id)
    }

    fn end(data: &LocalData, hash: SessionHash, lookup: LookupId, now_ms: u64) -> Standing {
        register(data, hash, Registration::End(lookup), now_ms, now_ms).unwrap()
    }

    #[test]
    fn workers_agree_on_the_hash_of_a_session_and_number_their_lookups_differently() {
        let data = LocalData::default();
        let mut first = IdleRegistry::new(&data, [1, 2, 3, 4]).unwrap();
        let mut second = IdleRegistry::new(&data, [5, 6, u64::MAX, 8]).unwrap();
        assert_eq!(first.hash_key, second.hash_key);
        assert_eq!([first.new_id(), first.new_id(), second.new_id()], [LookupId(4), LookupId(5), LookupId(1)]);
    }

    #[test]
    fn a_session_is_contested_while_other_lookups_of_it_are_in_flight() {
        let data = LocalData::default();
        let one = begin(&data, SESSION, 1, 1_000);
        let two = begin(&data, SESSION, 2, 1_010);
        begin(&data, OTHER, 3, 1_010);
        assert_eq!(end(&data, SESSION, two, 1_020), Standing::Contested);
        assert_eq!(standing(&data, SESSION, 999, 1_020), Ok(Standing::Clear), "the other one began later");
        assert_eq!(end(&data, SESSION, one, 1_020), Standing::Clear);
        assert_eq!(standing(&data, OTHER, 1_020, 1_020), Ok(Standing::Contested));
    }

    #[test]
    fn a_lookup_that_never_ends_counts_until_its_deadline() {
        let data = LocalData::default();
        begin(&data, SESSION, 1, 1_000);
        assert_eq!(standing(&data, SESSION, 1_499, 1_499), Ok(Standing::Contested));
        assert_eq!(standing(&data, SESSION, 1_500, 1_500), Ok(Standing::Clear));
    }

    #[test]
    fn a_session_is_condemned_until_the_latest_condemnation_expires() {
        let data = LocalData::default();
        let one = begin(&data, SESSION, 1, 1_000);
        begin(&data, SESSION, 2, 1_000);
        let condemn = |lookup, until_ms| {
            register(&data, SESSION, Registration::Condemn(lookup, until_ms), 1_000, 1_000).unwrap();
        };
        condemn(one, 9_000);
        let is_condemned = |hash, now_ms| standing(&data, hash, now_ms, now_ms) == Ok(Standing::Condemned);
        assert!(is_condemned(SESSION, 1_000), "also while other lookups are in flight");
        assert!(is_condemned(SESSION, 8_999) && !is_condemned(SESSION, 9_000) && !is_condemned(OTHER, 1_000));
        condemn(NONE, 2_500);
        assert!(is_condemned(SESSION, 2_499) && !is_condemned(SESSION, 2_500));
    }

    #[test]
    fn only_lookups_as_old_as_the_idle_time_may_have_reset_it() {
        for (idle_ms, earlier_ms) in [(0, 10_000), (2_000, 10_000), (2_001, 9_999), (9_000, 3_000), (20_000, 0)] {
            assert_eq!(latest_earlier_ms(idle_ms, 10_000), earlier_ms, "{idle_ms} ms");
        }
    }

    #[test]
    fn a_slot_is_bounded_and_drops_the_oldest() {
        let data = LocalData::default();
        for id in 1..=100 {
            begin(&data, if id <= 36 { SESSION } else { OTHER }, id, 1_000);
        }
        assert_eq!(data.read(slot(OTHER)).unwrap().0.len(), MAX_RECORDS * RECORD_BYTES);
        assert_eq!(standing(&data, SESSION, 1_000, 1_000), Ok(Standing::Clear));
    }

    #[test]
    fn bytes_in_another_form_are_no_records() {
        let data = LocalData::default();
        for bytes in [&[0xFF; 33][..], &[7; 31], b""] {
            data.write(slot(SESSION), bytes).unwrap();
            assert_eq!(standing(&data, SESSION, 1_000, 1_000), Ok(Standing::Clear));
        }
    }
}
