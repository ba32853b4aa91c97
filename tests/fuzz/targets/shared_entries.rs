//! Slots that workers share: any bytes are read, and what was read and changed is written so that it reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rest_sessions_core::cache::shared_entry::SharedEntry;

const NOW_MS: u64 = 1_760_000_000_000;

fuzz_target!(|input: (Vec<u8>, Vec<(u64, u32)>)| {
    let (bytes, sessions) = input;
    let mut entry = SharedEntry::parse(&bytes);
    let read = SharedEntry::parse(&entry.serialize());
    assert_eq!(read, entry);
    for (hash, life_ms) in sessions {
        let until_ms = NOW_MS + u64::from(life_ms);
        entry.record(hash, until_ms, NOW_MS);
        assert!(life_ms == 0 || entry.may_be_held(hash, NOW_MS), "a worker holds what is not recorded");
        let read = SharedEntry::parse(&entry.serialize());
        assert_eq!(read, entry);
    }
});
