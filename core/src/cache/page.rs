//! A shared slot of answers: the latest answer in full, and which sessions workers may hold beside it.
//!
//! A worker that learns that there is no such session must know whether any worker of its Envoy may still serve it.
//! So whoever keeps an answer records it here first. Where more sessions fall on one slot than it has room for, the
//! slot says until when it does not know them all, and every session is then taken for one that may be held.

/// How many sessions a slot can tell apart.
const RECORDS: usize = 8;

/// The longest answer, in bytes, that is shared whole: with it, the slots of all workers together are bounded.
pub const MAX_SHARED: usize = 4096;

/// The first byte of what this version of the filter writes.
const FORM: u8 = 1;

/// An answer that another worker asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedAnswer {
    /// Where the session is, and its token, in full.
    pub key: Vec<u8>,
    /// The mark of the session's ends before the call went out.
    pub mark: u64,
    pub asked_ms: u64,
    pub fresh_until_ms: u64,
    pub stale_until_ms: u64,
    /// As rest-sessions sent it.
    pub body: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    hash: u64,
    until_ms: u64,
}

/// What stands in a slot.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Until then, sessions may be held that have no record here.
    unknown_until_ms: u64,
    records: Vec<Record>,
    pub answer: Option<SharedAnswer>,
}

impl Page {
    /// Reads a slot; what this version did not write is as good as nothing.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        Self::parse(bytes).unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (form, rest) = bytes.split_first()?;
        if *form != FORM {
            return None;
        }
        let (unknown_until_ms, rest) = number(rest)?;
        let (count, mut rest) = rest.split_first()?;
        let mut records = Vec::with_capacity(RECORDS);
        for _ in 0..*count {
            let (hash, after) = number(rest)?;
            let (until_ms, after) = number(after)?;
            records.push(Record { hash, until_ms });
            rest = after;
        }
        let answer = if rest.is_empty() { None } else { Some(answer(rest)?) };
        Some(Self { unknown_until_ms, records, answer })
    }

    #[must_use]
    pub fn written(&self) -> Vec<u8> {
        let mut bytes = vec![FORM];
        bytes.extend(self.unknown_until_ms.to_le_bytes());
        bytes.push(u8::try_from(self.records.len()).unwrap_or(u8::MAX));
        for record in &self.records {
            bytes.extend(record.hash.to_le_bytes());
            bytes.extend(record.until_ms.to_le_bytes());
        }
        if let Some(answer) = &self.answer {
            for number in [answer.mark, answer.asked_ms, answer.fresh_until_ms, answer.stale_until_ms] {
                bytes.extend(number.to_le_bytes());
            }
            bytes.extend((answer.key.len() as u64).to_le_bytes());
            bytes.extend(&answer.key);
            bytes.extend(&answer.body);
        }
        bytes
    }

    /// Notes that a worker may hold the session until then.
    pub fn record(&mut self, hash: u64, until_ms: u64, now_ms: u64) {
        let until_ms = self
            .records
            .iter()
            .filter(|record| record.hash == hash)
            .fold(until_ms, |until, record| until.max(record.until_ms));
        self.records.retain(|record| record.hash != hash && record.until_ms > now_ms);
        if self.records.len() >= RECORDS {
            // The one that lives longest would keep the slot from knowing all for longest, so another one goes.
            let first = self.records.iter().map(|record| record.until_ms).min().unwrap_or(0);
            self.unknown_until_ms = self.unknown_until_ms.max(first);
            if let Some(place) = self.records.iter().position(|record| record.until_ms == first) {
                self.records.swap_remove(place);
            }
        }
        self.records.push(Record { hash, until_ms });
    }

    /// Whether a worker may hold the session.
    #[must_use]
    pub fn may_be_held(&self, hash: u64, now_ms: u64) -> bool {
        self.unknown_until_ms > now_ms
            || self.records.iter().any(|record| record.hash == hash && record.until_ms > now_ms)
    }

    /// The session has ended, and every worker was told.
    pub fn forget(&mut self, hash: u64, key: &[u8]) {
        self.records.retain(|record| record.hash != hash);
        if self.answer.as_ref().is_some_and(|answer| answer.key == key) {
            self.answer = None;
        }
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}

fn answer(bytes: &[u8]) -> Option<SharedAnswer> {
    let (mark, rest) = number(bytes)?;
    let (asked_ms, rest) = number(rest)?;
    let (fresh_until_ms, rest) = number(rest)?;
    let (stale_until_ms, rest) = number(rest)?;
    let (length, rest) = number(rest)?;
    let (key, body) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some(SharedAnswer { key: key.to_vec(), mark, asked_ms, fresh_until_ms, stale_until_ms, body: body.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn answer(key: &[u8]) -> SharedAnswer {
        SharedAnswer {
            key: key.to_vec(),
            mark: 1,
            asked_ms: 2,
            fresh_until_ms: 3,
            stale_until_ms: 4,
            body: b"{}".to_vec(),
        }
    }

    #[test]
    fn an_end_takes_the_answer_along_but_not_that_of_another_session() {
        let mut page = Page { answer: Some(answer(b"a")), ..Page::default() };
        page.forget(1, b"b");
        assert!(page.answer.is_some());
        page.forget(1, b"a");
        assert!(page.answer.is_none());
    }

    #[test]
    fn where_a_slot_overflows_every_session_may_be_held_until_the_lost_one_is_not() {
        let mut page = Page::default();
        for hash in 0..9 {
            page.record(hash, 100 + hash, 0);
        }
        assert!(page.may_be_held(77, 99), "the first one has no record any more");
        assert!(!page.may_be_held(77, 100));
        assert!(page.may_be_held(8, 107));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_page_or_nothing(bytes in any::<Vec<u8>>()) {
            let page = Page::read(&bytes);
            prop_assert_eq!(Page::read(&page.written()), page);
        }

        #[test]
        fn whatever_is_held_is_known(steps in proptest::collection::vec((0u64..20, 1u64..50, any::<bool>()), 1..80)) {
            let mut page = Page::default();
            let mut held: HashMap<u64, u64> = HashMap::new();
            for (now, (hash, life, ends)) in steps.into_iter().enumerate() {
                let now = now as u64;
                if ends {
                    page.forget(hash, b"");
                    held.remove(&hash);
                } else {
                    page.record(hash, now + life, now);
                    let until = held.entry(hash).or_default();
                    *until = (*until).max(now + life);
                }
                page = Page::read(&page.written());
                for (hash, until) in &held {
                    prop_assert!(*until <= now || page.may_be_held(*hash, now));
                }
            }
        }
    }
}
