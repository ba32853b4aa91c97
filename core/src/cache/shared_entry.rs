//! A shared entry: the latest response of one of the sessions of a slot, and which sessions any worker may hold.
//!
//! A worker that learns that a session does not exist must know whether another worker of its Envoy may still serve it.
//! So a worker records here what it caches, before it caches it. If more sessions fall on one slot than it has records
//! for, the slot notes until when its records are incomplete. Until then every session counts as possibly held.

/// How many sessions a slot can tell apart.
const MAX_RECORDS: usize = 8;

/// The longest response body, in bytes, that is shared between workers. It bounds the memory of all slots together.
pub const MAX_SHARED: usize = 4096;

/// The first byte of the format that this version of the filter writes.
const FORMAT: u8 = 1;

/// A response that another worker received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedResponse {
    /// The session's [`key_bytes`](crate::rest_sessions::backend::Namespace::key_bytes), compared in full.
    pub key: Vec<u8>,
    /// The invalidation tag of the session's slot before the call was dispatched.
    pub tag: u64,
    /// When the call was dispatched, in milliseconds since 1970.
    pub requested_ms: u64,
    /// Until when the response may be used while rest-sessions is available, in milliseconds since 1970.
    pub fresh_until_ms: u64,
    /// Until when the response may be used during an outage of rest-sessions, in milliseconds since 1970.
    pub stale_until_ms: u64,
    /// The body of the response, as rest-sessions sent it: at most [`MAX_SHARED`] bytes.
    pub body: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    hash: u64,
    until_ms: u64,
}

/// The content of one slot ([`Slot::Entry`](super::shared_data::Slot::Entry)).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SharedEntry {
    /// Until then, workers may hold sessions that have no record here.
    incomplete_until_ms: u64,
    records: Vec<Record>,
    /// The latest shared response. `None`: no worker has shared one, or its session was invalidated.
    pub response: Option<SharedResponse>,
}

impl SharedEntry {
    /// Reads a slot. Bytes in another format read as an empty entry.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        Self::try_parse(bytes).unwrap_or_default()
    }

    fn try_parse(bytes: &[u8]) -> Option<Self> {
        let (format, rest) = bytes.split_first()?;
        if *format != FORMAT {
            return None;
        }
        let (incomplete_until_ms, rest) = number(rest)?;
        let (count, mut rest) = rest.split_first()?;
        let mut records = Vec::with_capacity(MAX_RECORDS);
        for _ in 0..*count {
            let (hash, after) = number(rest)?;
            let (until_ms, after) = number(after)?;
            records.push(Record { hash, until_ms });
            rest = after;
        }
        let response = if rest.is_empty() { None } else { Some(response(rest)?) };
        Some(Self { incomplete_until_ms, records, response })
    }

    /// The bytes to write to the slot. [`Self::parse`] reads them.
    #[must_use]
    pub fn serialize(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend(self.incomplete_until_ms.to_le_bytes());
        bytes.push(u8::try_from(self.records.len()).unwrap_or(u8::MAX));
        for record in &self.records {
            bytes.extend(record.hash.to_le_bytes());
            bytes.extend(record.until_ms.to_le_bytes());
        }
        if let Some(response) = &self.response {
            for number in [response.tag, response.requested_ms, response.fresh_until_ms, response.stale_until_ms] {
                bytes.extend(number.to_le_bytes());
            }
            bytes.extend((response.key.len() as u64).to_le_bytes());
            bytes.extend(&response.key);
            bytes.extend(&response.body);
        }
        bytes
    }

    /// Records that a worker may hold the session until then.
    pub fn record(&mut self, hash: u64, until_ms: u64, now_ms: u64) {
        let until_ms = self
            .records
            .iter()
            .filter(|record| record.hash == hash)
            .fold(until_ms, |until, record| until.max(record.until_ms));
        self.records.retain(|record| record.hash != hash && record.until_ms > now_ms);
        if self.records.len() >= MAX_RECORDS {
            // Dropping the record that expires first keeps the time short during which the records are incomplete.
            let first = self.records.iter().map(|record| record.until_ms).min().unwrap_or(0);
            self.incomplete_until_ms = self.incomplete_until_ms.max(first);
            if let Some(place) = self.records.iter().position(|record| record.until_ms == first) {
                self.records.swap_remove(place);
            }
        }
        self.records.push(Record { hash, until_ms });
    }

    /// Whether a worker may hold the session.
    #[must_use]
    pub fn may_be_held(&self, hash: u64, now_ms: u64) -> bool {
        self.incomplete_until_ms > now_ms
            || self.records.iter().any(|record| record.hash == hash && record.until_ms > now_ms)
    }

    /// Removes what stands here about a session that was invalidated.
    pub fn remove(&mut self, hash: u64, key: &[u8]) {
        self.records.retain(|record| record.hash != hash);
        if self.response.as_ref().is_some_and(|response| response.key == key) {
            self.response = None;
        }
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}

fn response(bytes: &[u8]) -> Option<SharedResponse> {
    let (tag, rest) = number(bytes)?;
    let (requested_ms, rest) = number(rest)?;
    let (fresh_until_ms, rest) = number(rest)?;
    let (stale_until_ms, rest) = number(rest)?;
    let (length, rest) = number(rest)?;
    let (key, body) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some(SharedResponse { key: key.to_vec(), tag, requested_ms, fresh_until_ms, stale_until_ms, body: body.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn response(key: &[u8]) -> SharedResponse {
        SharedResponse {
            key: key.to_vec(),
            tag: 1,
            requested_ms: 2,
            fresh_until_ms: 3,
            stale_until_ms: 4,
            body: b"{}".to_vec(),
        }
    }

    #[test]
    fn removing_a_session_removes_its_response_and_no_other() {
        let mut entry = SharedEntry { response: Some(response(b"a")), ..SharedEntry::default() };
        entry.remove(1, b"b");
        assert!(entry.response.is_some());
        entry.remove(1, b"a");
        assert!(entry.response.is_none());
    }

    #[test]
    fn after_an_overflow_every_session_counts_as_held_until_the_dropped_record_expires() {
        let mut entry = SharedEntry::default();
        for hash in 0..9 {
            entry.record(hash, 100 + hash, 0);
        }
        assert!(entry.may_be_held(77, 99), "the first record was dropped");
        assert!(!entry.may_be_held(77, 100));
        assert!(entry.may_be_held(8, 107));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_and_round_trip(bytes in any::<Vec<u8>>()) {
            let entry = SharedEntry::parse(&bytes);
            prop_assert_eq!(SharedEntry::parse(&entry.serialize()), entry);
        }

        #[test]
        fn every_session_that_is_held_is_reported_as_held(steps in proptest::collection::vec((0u64..20, 1u64..50, any::<bool>()), 1..80)) {
            let mut entry = SharedEntry::default();
            let mut held: HashMap<u64, u64> = HashMap::new();
            for (now, (hash, life, ends)) in steps.into_iter().enumerate() {
                let now = now as u64;
                if ends {
                    entry.remove(hash, b"");
                    held.remove(&hash);
                } else {
                    entry.record(hash, now + life, now);
                    let until = held.entry(hash).or_default();
                    *until = (*until).max(now + life);
                }
                entry = SharedEntry::parse(&entry.serialize());
                for (hash, until) in &held {
                    prop_assert!(*until <= now || entry.may_be_held(*hash, now));
                }
            }
        }
    }
}
