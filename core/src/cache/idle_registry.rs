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

/// The number of a lookup, which no other one of any worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupId(u64);

/// The keyed hash of a session, the same in all workers. Of a million sessions, two have the same one with a probability
/// of less than 1 in 10 million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionHash(u64);

/// How many records a slot has. Beyond them, the one that expires first goes.
const MAX_RECORDS: usize = 64;

/// `idle` of a session is in whole seconds, and may count from a use up to a second before the latest.
const IDLE_SLACK_MS: u64 = 2_000;

#[derive(Clone, Copy)]
struct Record {
    hash: u64,
    /// Zero: the session is condemned.
    lookup: u64,
    started_ms: u64,
    until_ms: u64,
}

/// What the registry has about a session beside the lookup that asks.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// The session is condemned.
    pub is_condemned: bool,
    /// The other lookups in flight, with the times at which they began.
    lookups: Vec<(LookupId, u64)>,
}

impl Others {
    /// The lookups that may have been served before one that found the session idle for so long.
    #[must_use]
    pub fn before(&self, idle_ms: u64, now_ms: u64) -> Vec<LookupId> {
        let may_have_reset =
            |started_ms: u64| idle_ms < now_ms.saturating_sub(started_ms).saturating_add(IDLE_SLACK_MS);
        self.lookups.iter().filter(|(_, started_ms)| may_have_reset(*started_ms)).map(|(id, _)| *id).collect()
    }

    /// Those of these lookups that are in flight.
    #[must_use]
    pub fn among(&self, lookups: &[LookupId]) -> Vec<LookupId> {
        self.lookups.iter().map(|(id, _)| *id).filter(|id| lookups.contains(id)).collect()
    }
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

    /// Registers a lookup that is about to be dispatched, and is over at `until_ms`.
    ///
    /// # Errors
    ///
    /// If the shared data is not available.
    pub fn register(
        &mut self,
        data: &dyn SharedData,
        hash: SessionHash,
        now_ms: u64,
        until_ms: u64,
    ) -> Result<LookupId, Unavailable> {
        self.last_id = self.last_id.wrapping_add(1).max(1);
        let record = Record { hash: hash.0, lookup: self.last_id, started_ms: now_ms, until_ms };
        update(data, slot(hash), |bytes| {
            let mut records = parse(bytes, now_ms);
            push(&mut records, record);
            serialize(&records)
        })?;
        Ok(LookupId(self.last_id))
    }

    /// A lookup is over. `condemned_until_ms`: it has found the session beyond the limit, and the session lives until then
    /// at most if it is not used. Returns what else is registered.
    ///
    /// # Errors
    ///
    /// If the shared data is not available.
    pub fn conclude(
        &self,
        data: &dyn SharedData,
        hash: SessionHash,
        lookup: Option<LookupId>,
        condemned_until_ms: Option<u64>,
        now_ms: u64,
    ) -> Result<Others, Unavailable> {
        if lookup.is_none() && condemned_until_ms.is_none() {
            return others(data, hash, now_ms);
        }
        let mut found = Others::default();
        update(data, slot(hash), |bytes| {
            let mut records = parse(bytes, now_ms);
            records.retain(|record| lookup != Some(LookupId(record.lookup)));
            if let Some(until_ms) = condemned_until_ms {
                records.retain(|record| record.hash != hash.0 || record.lookup != 0);
                push(&mut records, Record { hash: hash.0, lookup: 0, started_ms: now_ms, until_ms });
            }
            found = Others::of(hash, &records);
            serialize(&records)
        })?;
        Ok(found)
    }

    /// A condemned session has ended. Lookups that the service served before are over at `until_ms`; until then it stays
    /// condemned.
    pub fn ended(&self, data: &dyn SharedData, hash: SessionHash, now_ms: u64, until_ms: u64) {
        if others(data, hash, now_ms).is_ok_and(|others| others.is_condemned) {
            let _ = self.conclude(data, hash, None, Some(until_ms), now_ms);
        }
    }
}

/// What is registered about a session.
fn others(data: &dyn SharedData, hash: SessionHash, now_ms: u64) -> Result<Others, Unavailable> {
    let (bytes, _) = data.read(slot(hash))?;
    Ok(Others::of(hash, &parse(&bytes, now_ms)))
}

impl Others {
    fn of(hash: SessionHash, records: &[Record]) -> Self {
        let own = || records.iter().filter(|record| record.hash == hash.0);
        Self {
            is_condemned: own().any(|record| record.lookup == 0),
            lookups: own()
                .filter(|record| record.lookup != 0)
                .map(|record| (LookupId(record.lookup), record.started_ms))
                .collect(),
        }
    }
}

/// One of 4,096 slots.
fn slot(SessionHash(hash): SessionHash) -> Slot {
    let [first, second, ..] = hash.to_le_bytes();
    Slot::Idle(u16::from_le_bytes([first, second]) & 0x0FFF)
}

fn push(records: &mut Vec<Record>, record: Record) {
    if records.len() >= MAX_RECORDS
        && let Some((place, _)) = records.iter().enumerate().min_by_key(|(_, record)| record.until_ms)
    {
        records.swap_remove(place);
    }
    records.push(record);
}

/// The records that have not expired.
fn parse(bytes: &[u8], now_ms: u64) -> Vec<Record> {
    let numbers: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number)).collect();
    let records = numbers.as_chunks::<4>().0.iter();
    records
        .map(|&[hash, lookup, started_ms, until_ms]| Record { hash, lookup, started_ms, until_ms })
        .filter(|record| record.until_ms > now_ms)
        .collect()
}

fn serialize(records: &[Record]) -> Vec<u8> {
    let numbers = records.iter().flat_map(|record| [record.hash, record.lookup, record.started_ms, record.until_ms]);
    numbers.flat_map(u64::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::super::shared_data::LocalData;
    use super::*;

    const SESSION: SessionHash = SessionHash(7);
    /// Another session of the same slot.
    const OTHER: SessionHash = SessionHash(7 | 1 << 32);

    fn two_workers() -> (LocalData, IdleRegistry, IdleRegistry) {
        let data = LocalData::default();
        let first = IdleRegistry::new(&data, [1, 2, 3, 4]).unwrap();
        let second = IdleRegistry::new(&data, [5, 6, 70, 8]).unwrap();
        (data, first, second)
    }

    #[test]
    fn workers_agree_on_the_hash_of_a_session() {
        let (_, first, second) = two_workers();
        assert_eq!(first.hash_key, second.hash_key);
    }

    #[test]
    fn every_worker_sees_the_lookups_of_a_session_that_are_in_flight() {
        let (data, mut first, mut second) = two_workers();
        let one = first.register(&data, SESSION, 1_000, 1_500).unwrap();
        let two = second.register(&data, SESSION, 1_010, 1_510).unwrap();
        second.register(&data, OTHER, 1_010, 1_510).unwrap();
        let others = second.conclude(&data, SESSION, Some(two), None, 1_020).unwrap();
        assert_eq!(others, Others { is_condemned: false, lookups: vec![(one, 1_000)] });
        let others = first.conclude(&data, SESSION, Some(one), None, 1_020).unwrap();
        assert_eq!(others, Others::default());
    }

    #[test]
    fn a_lookup_that_is_never_concluded_counts_until_its_deadline() {
        let (data, mut first, second) = two_workers();
        first.register(&data, SESSION, 1_000, 1_500).unwrap();
        assert_eq!(second.conclude(&data, SESSION, None, None, 1_499).unwrap().lookups.len(), 1);
        assert_eq!(second.conclude(&data, SESSION, None, None, 1_500).unwrap(), Others::default());
    }

    #[test]
    fn a_condemned_session_is_condemned_in_every_worker_until_it_has_ended() {
        let (data, first, second) = two_workers();
        let is_condemned = |hash, now_ms| second.conclude(&data, hash, None, None, now_ms).unwrap().is_condemned;
        first.ended(&data, SESSION, 1_000, 1_500);
        assert!(!is_condemned(SESSION, 1_000), "it was not condemned");
        first.conclude(&data, SESSION, None, Some(9_000), 1_000).unwrap();
        assert!(is_condemned(SESSION, 8_999) && !is_condemned(SESSION, 9_000) && !is_condemned(OTHER, 1_000));
        second.ended(&data, SESSION, 2_000, 2_500);
        assert!(is_condemned(SESSION, 2_499) && !is_condemned(SESSION, 2_500));
    }

    #[test]
    fn only_lookups_that_are_as_old_as_the_idle_time_may_have_reset_it() {
        let others = Others { is_condemned: false, lookups: vec![(LookupId(1), 9_000), (LookupId(2), 4_000)] };
        assert_eq!(others.before(0, 10_000), [LookupId(1), LookupId(2)]);
        assert_eq!(others.before(2_999, 10_000), [LookupId(1), LookupId(2)]);
        assert_eq!(others.before(3_000, 10_000), [LookupId(2)]);
        assert_eq!(others.before(8_000, 10_000), []);
        assert_eq!(others.among(&[LookupId(2), LookupId(3)]), [LookupId(2)]);
    }

    #[test]
    fn a_slot_is_bounded_and_drops_what_expires_first() {
        let (data, mut first, _) = two_workers();
        for until_ms in 2_000..2_100 {
            first.register(&data, OTHER, 1_000, until_ms).unwrap();
        }
        assert_eq!(data.read(slot(OTHER)).unwrap().0.len(), MAX_RECORDS * 32);
        assert_eq!(first.conclude(&data, OTHER, None, None, 2_036).unwrap().lookups.len(), MAX_RECORDS - 1);
    }

    #[test]
    fn bytes_in_another_form_are_no_records() {
        let data = LocalData::default();
        data.write(slot(SESSION), &[0xFF; 33]).unwrap();
        assert_eq!(others(&data, SESSION, 0), Ok(Others::default()));
        data.write(slot(SESSION), &[7; 31]).unwrap();
        assert_eq!(others(&data, SESSION, 0), Ok(Others::default()));
    }
}
