//! Ends of sessions, seen by every worker from the very next request on.
//!
//! An end writes a new random mark into the slot of its session and then raises the epoch. Whatever a lookup brings
//! bears a stamp: the epoch and the mark, in this order, as they were before its call went out. While the epoch is the
//! same, no session has ended since; under another one, the mark tells whether this one may have. Sessions that share
//! a slot share its ends, which costs a lookup and never lets an ended session through.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::board::{Board, Slot, Unavailable, Version};
use crate::rest_sessions::backend::Namespace;
use crate::session::token::Token;

/// A keyed hash of where a session is and what its token is, the same in all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub u64);

impl Hash {
    fn mark(self) -> Slot {
        // 65,536 slots for marks: a slot costs some hundred bytes, and only once an end has used it.
        Slot::Mark(self.low_bits())
    }

    /// The slot of shared answers: 4,096 of them, since each may hold one in full.
    #[must_use]
    pub fn page(self) -> Slot {
        Slot::Page(self.low_bits() & 0x0FFF)
    }

    fn low_bits(self) -> u16 {
        let [first, second, ..] = self.0.to_le_bytes();
        u16::from_le_bytes([first, second])
    }
}

/// What was known of ends before a call went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    epoch: u64,
    mark: u64,
}

impl Stamp {
    #[must_use]
    pub fn mark(self) -> u64 {
        self.mark
    }
}

/// The ends that this worker and the others publish.
pub struct Ends<B> {
    board: B,
    hash_key: (u64, u64),
    /// Marks are hashes of a count under a key of this worker's own, so no other worker makes the same.
    mark_key: (u64, u64),
    made: u64,
}

/// How often the key is looked for that another worker may be writing at this moment.
const TRIES: usize = 4;

impl<B: Board> Ends<B> {
    /// `random` are numbers that nobody can guess.
    pub fn new(board: B, random: [u64; 4]) -> Result<Self, Unavailable> {
        let [first, second, third, fourth] = random;
        let mut proposed = first.to_le_bytes().to_vec();
        proposed.extend(second.to_le_bytes());
        for _ in 0..TRIES {
            let (known, version) = board.read(Slot::HashKey)?;
            if let Some((low, high)) = known.split_first_chunk::<8>()
                && let Ok(high) = <[u8; 8]>::try_from(high)
            {
                let hash_key = (u64::from_le_bytes(*low), u64::from_le_bytes(high));
                return Ok(Self { board, hash_key, mark_key: (third, fourth), made: 0 });
            }
            board.replace(Slot::HashKey, &proposed, version)?;
        }
        Err(Unavailable)
    }

    pub fn board(&self) -> &B {
        &self.board
    }

    #[must_use]
    pub fn hash(&self, namespace: &Namespace, token: &Token) -> Hash {
        Hash(namespace.key_hash(token, self.hash_key))
    }

    /// The number that every end changes.
    pub fn epoch(&self) -> Result<u64, Unavailable> {
        self.board.epoch()
    }

    /// The stamp of a call that is about to go out. The epoch was read before.
    pub fn stamp(&self, hash: Hash, epoch: u64) -> Result<Stamp, Unavailable> {
        let (mark, _) = self.board.read(hash.mark())?;
        let mark = match <[u8; 8]>::try_from(mark.as_slice()) {
            Ok(mark) => u64::from_le_bytes(mark),
            Err(_) if mark.is_empty() => 0,
            Err(_) => return Err(Unavailable),
        };
        Ok(Stamp { epoch, mark })
    }

    /// Whether the session cannot have ended since the stamp, which then carries the epoch.
    pub fn holds(&self, stamp: &mut Stamp, hash: Hash, epoch: u64) -> bool {
        if stamp.epoch == epoch {
            return true;
        }
        match self.stamp(hash, epoch) {
            Ok(now) if now.mark == stamp.mark => {
                stamp.epoch = epoch;
                true
            }
            _ => false,
        }
    }

    /// Tells every worker that the session has ended, or has changed.
    pub fn publish(&mut self, hash: Hash) -> Result<(), Unavailable> {
        let mark = self.new_mark();
        self.board.write(hash.mark(), &mark.to_le_bytes())?;
        self.raise_epoch(mark)
    }

    /// As [`Self::publish`], by the call that went out under a stamp and was now answered. Gives the stamp of what was
    /// answered, if nobody else has told of an end since: of two that change a session at once, nobody knows whose
    /// answer holds both changes.
    pub fn publish_answered(&mut self, hash: Hash, since: Stamp) -> Option<Stamp> {
        // As it is before it is raised, so that the mark is what tells.
        let epoch = self.board.epoch();
        if let (Ok(epoch), Ok((mark, version @ Version::Written(_)))) = (epoch, self.board.read(hash.mark()))
            && mark == since.mark.to_le_bytes()
        {
            let mark = self.new_mark();
            if self.board.replace(hash.mark(), &mark.to_le_bytes(), version) == Ok(true) {
                return self.raise_epoch(mark).is_ok().then_some(Stamp { epoch, mark });
            }
        }
        let _ = self.publish(hash);
        None
    }

    fn new_mark(&mut self) -> u64 {
        self.made = self.made.wrapping_add(1);
        let mut hasher = SipHasher13::new_with_keys(self.mark_key.0, self.mark_key.1);
        hasher.write_u64(self.made);
        hasher.finish()
    }

    fn raise_epoch(&self, mark: u64) -> Result<(), Unavailable> {
        // By a step that nobody knows: the gauge is set back when Envoy restarts hot, and must not come upon a value
        // that it has had before.
        let [step @ .., _, _, _, _] = mark.to_le_bytes();
        self.board.raise_epoch(u32::from_le_bytes(step) | 1)
    }
}

/// Reads, changes and writes a slot until nobody came between; `None` if somebody always did.
pub fn update<B: Board, T>(
    board: &B,
    slot: Slot,
    mut change: impl FnMut(&[u8]) -> (Option<Vec<u8>>, T),
) -> Result<T, Unavailable> {
    for _ in 0..TRIES {
        let (value, version): (Vec<u8>, Version) = board.read(slot)?;
        let (changed, outcome) = change(&value);
        match changed {
            Some(changed) if !board.replace(slot, &changed, version)? => {}
            _ => return Ok(outcome),
        }
    }
    Err(Unavailable)
}

#[cfg(test)]
mod tests {
    use super::super::board::OwnBoard;
    use super::*;

    const RANDOM: [u64; 4] = [1, 2, 3, 4];

    fn two_workers() -> (Ends<OwnBoard>, Ends<OwnBoard>) {
        let board = OwnBoard::default();
        let first = Ends::new(board.clone(), RANDOM).unwrap();
        (first, Ends::new(board, [5, 6, 7, 8]).unwrap())
    }

    fn stamp(ends: &Ends<OwnBoard>, hash: Hash) -> Stamp {
        ends.stamp(hash, ends.epoch().unwrap()).unwrap()
    }

    #[test]
    fn workers_agree_on_where_a_session_is() {
        let (first, second) = two_workers();
        assert_eq!(first.hash_key, second.hash_key);
        assert_ne!(first.mark_key, second.mark_key);
    }

    #[test]
    fn an_end_is_seen_by_every_worker_at_once() {
        let (mut first, second) = two_workers();
        let mut copy = stamp(&second, Hash(7));
        assert!(second.holds(&mut copy, Hash(7), second.epoch().unwrap()));
        first.publish(Hash(7)).unwrap();
        assert!(!second.holds(&mut copy, Hash(7), second.epoch().unwrap()));
        assert!(second.holds(&mut stamp(&second, Hash(7)), Hash(7), second.epoch().unwrap()));
    }

    #[test]
    fn the_end_of_another_session_costs_one_look_at_the_mark() {
        let (mut first, second) = two_workers();
        let mut copy = stamp(&second, Hash(7));
        first.publish(Hash(8)).unwrap();
        let epoch = second.epoch().unwrap();
        assert_ne!(copy.epoch, epoch);
        assert!(second.holds(&mut copy, Hash(7), epoch));
        assert_eq!(copy.epoch, epoch, "from now on the epoch alone tells");
    }

    #[test]
    fn a_mark_that_was_written_before_the_epoch_was_raised_is_seen() {
        let (mut first, second) = two_workers();
        let before = second.epoch().unwrap();
        let mut early = second.stamp(Hash(7), before).unwrap();
        first.publish(Hash(7)).unwrap();
        // The mark was written after the epoch was read: the stamp is of the time after the end.
        let mut between = second.stamp(Hash(7), before).unwrap();
        let epoch = second.epoch().unwrap();
        assert!(!second.holds(&mut early, Hash(7), epoch));
        assert!(second.holds(&mut between, Hash(7), epoch));
    }
}
