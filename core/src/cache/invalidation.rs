//! Invalidation: from the request after the end or change of a session on, no worker of the Envoy serves what was known
//! of the session before.
//!
//! Every session is assigned to a slot by a keyed hash. An invalidation writes a new random tag to the slot of its session
//! and then raises the epoch. A lookup has a [`Version`]: the epoch and the slot's tag, read in this order before its
//! call is dispatched. What the call brings is current as long as its version is:
//! - The epoch is unchanged: no session was invalidated since.
//! - The epoch has changed and the tag has not: other sessions were invalidated. The version takes the new epoch.
//! - The tag has changed: this session was invalidated, or another one of the same slot. A collision costs a lookup and
//!   never serves an ended session.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::shared_data::{MAX_ATTEMPTS, SharedData, Slot, SlotVersion, Unavailable};
use crate::rest_sessions::backend::Namespace;
use crate::session::token::Token;

/// A keyed hash of a session's namespace and token, the same in all workers of one Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash(pub u64);

impl KeyHash {
    /// One of 65,536 slots of tags. A slot takes some hundred bytes once it was written.
    fn tag_slot(self) -> Slot {
        Slot::Tag(self.low_bits())
    }

    /// One of 4,096 slots of shared entries, each of which may hold a response of [`super::shared_entry::MAX_SHARED`] bytes.
    #[must_use]
    pub fn entry_slot(self) -> Slot {
        Slot::Entry(self.low_bits() & 0x0FFF)
    }

    fn low_bits(self) -> u16 {
        let [first, second, ..] = self.0.to_le_bytes();
        u16::from_le_bytes([first, second])
    }
}

/// The state of invalidations before a call was dispatched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    epoch: u64,
    tag: u64,
}

impl Version {
    /// The tag of the session's slot. Zero: the slot was never written.
    #[must_use]
    pub fn tag(self) -> u64 {
        self.tag
    }
}

/// Reads and publishes invalidations for one worker.
pub struct Invalidations {
    hash_key: (u64, u64),
    /// Tags are hashes of a counter under a key of this worker, so two workers never write the same tag.
    tag_key: (u64, u64),
    tags_made: u64,
}

impl Invalidations {
    /// Takes the hash key that the workers share, or shares one made of `random`, four numbers that cannot be predicted.
    ///
    /// # Errors
    ///
    /// If the shared data is not available.
    pub fn new(data: &dyn SharedData, random: [u64; 4]) -> Result<Self, Unavailable> {
        let [first, second, third, fourth] = random;
        let hash_key = shared_hash_key(data, (first, second))?;
        Ok(Self { hash_key, tag_key: (third, fourth), tags_made: 0 })
    }

    /// The keyed hash of a session, which selects its slots. Two sessions may collide.
    #[must_use]
    pub fn hash(&self, namespace: &Namespace, token: &Token) -> KeyHash {
        KeyHash(namespace.key_hash(token, self.hash_key))
    }

    /// Invalidates what is known of the session in all workers.
    ///
    /// # Errors
    ///
    /// If the shared data is not available. Other workers may then serve the session until `cache.ttl` is over.
    pub fn invalidate(&mut self, data: &dyn SharedData, hash: KeyHash) -> Result<(), Unavailable> {
        let tag = self.new_tag();
        data.write(hash.tag_slot(), &tag.to_le_bytes())?;
        raise_epoch(data, tag)
    }

    /// Invalidates the session once more, after the call that went out under the version `since` was answered. Returns
    /// the version of the response. `None`: the session was invalidated by something else in between, and of two
    /// changes at once it is unknown whose response holds both; or the shared data is not available.
    pub fn invalidate_answered(&mut self, data: &dyn SharedData, hash: KeyHash, since: Version) -> Option<Version> {
        // The epoch from before it is raised, so that the tag decides.
        let epoch = data.epoch();
        if let (Ok(epoch), Ok((tag, version @ SlotVersion::Written(_)))) = (epoch, data.read(hash.tag_slot()))
            && tag == since.tag.to_le_bytes()
        {
            let tag = self.new_tag();
            if data.compare_and_swap(hash.tag_slot(), &tag.to_le_bytes(), version) == Ok(true) {
                return raise_epoch(data, tag).is_ok().then_some(Version { epoch, tag });
            }
        }
        let _ = self.invalidate(data, hash);
        None
    }

    fn new_tag(&mut self) -> u64 {
        self.tags_made = self.tags_made.wrapping_add(1);
        let mut hasher = SipHasher13::new_with_keys(self.tag_key.0, self.tag_key.1);
        hasher.write_u64(self.tags_made);
        hasher.finish()
    }
}

impl Version {
    /// The version of a lookup whose call is about to be dispatched. `epoch` was read before.
    ///
    /// # Errors
    ///
    /// If the shared data is not available.
    pub fn read(data: &dyn SharedData, hash: KeyHash, epoch: u64) -> Result<Self, Unavailable> {
        let (tag, _) = data.read(hash.tag_slot())?;
        let tag = match <[u8; 8]>::try_from(tag.as_slice()) {
            Ok(tag) => u64::from_le_bytes(tag),
            Err(_) if tag.is_empty() => 0,
            Err(_) => return Err(Unavailable),
        };
        Ok(Self { epoch, tag })
    }

    /// Whether the session was not invalidated since this version was read. If so, the version takes `epoch`, the
    /// current epoch.
    pub fn is_current(&mut self, data: &dyn SharedData, hash: KeyHash, epoch: u64) -> bool {
        if self.epoch == epoch {
            return true;
        }
        match Self::read(data, hash, epoch) {
            Ok(now) if now.tag == self.tag => {
                self.epoch = epoch;
                true
            }
            _ => false,
        }
    }
}

/// The hash key that the workers share: the first that one of them has proposed.
///
/// # Errors
///
/// If the shared data is not available.
pub fn shared_hash_key(data: &dyn SharedData, proposed: (u64, u64)) -> Result<(u64, u64), Unavailable> {
    let mut bytes = proposed.0.to_le_bytes().to_vec();
    bytes.extend(proposed.1.to_le_bytes());
    for _ in 0..MAX_ATTEMPTS {
        let (known, version) = data.read(Slot::HashKey)?;
        if let Some((low, high)) = known.split_first_chunk::<8>()
            && let Ok(high) = <[u8; 8]>::try_from(high)
        {
            return Ok((u64::from_le_bytes(*low), u64::from_le_bytes(high)));
        }
        data.compare_and_swap(Slot::HashKey, &bytes, version)?;
    }
    Err(Unavailable)
}

fn raise_epoch(data: &dyn SharedData, tag: u64) -> Result<(), Unavailable> {
    // By a random step: a hot restart of Envoy resets gauges, and the epoch must not reach a value again that a version
    // may have.
    let [step @ .., _, _, _, _] = tag.to_le_bytes();
    data.raise_epoch(u32::from_le_bytes(step) | 1)
}

#[cfg(test)]
mod tests {
    use super::super::shared_data::LocalData;
    use super::*;

    const RANDOM: [u64; 4] = [1, 2, 3, 4];

    fn two_workers() -> (LocalData, Invalidations, Invalidations) {
        let data = LocalData::default();
        let first = Invalidations::new(&data, RANDOM).unwrap();
        let second = Invalidations::new(&data, [5, 6, 7, 8]).unwrap();
        (data, first, second)
    }

    fn version(data: &LocalData, hash: KeyHash) -> Version {
        Version::read(data, hash, data.epoch().unwrap()).unwrap()
    }

    #[test]
    fn workers_agree_on_the_hash_key_and_have_tag_keys_of_their_own() {
        let (_, first, second) = two_workers();
        assert_eq!(first.hash_key, second.hash_key);
        assert_ne!(first.tag_key, second.tag_key);
    }

    #[test]
    fn every_worker_sees_an_invalidation_at_once() {
        let (data, mut first, _) = two_workers();
        let mut copy = version(&data, KeyHash(7));
        assert!(copy.is_current(&data, KeyHash(7), data.epoch().unwrap()));
        first.invalidate(&data, KeyHash(7)).unwrap();
        assert!(!copy.is_current(&data, KeyHash(7), data.epoch().unwrap()));
        assert!(version(&data, KeyHash(7)).is_current(&data, KeyHash(7), data.epoch().unwrap()));
    }

    #[test]
    fn invalidating_another_session_costs_one_read_of_the_tag() {
        let (data, mut first, _) = two_workers();
        let mut copy = version(&data, KeyHash(7));
        first.invalidate(&data, KeyHash(8)).unwrap();
        let epoch = data.epoch().unwrap();
        assert_ne!(copy.epoch, epoch);
        assert!(copy.is_current(&data, KeyHash(7), epoch));
        assert_eq!(copy.epoch, epoch, "from now on the epoch alone decides");
    }

    #[test]
    fn a_tag_that_is_written_after_the_epoch_was_read_belongs_to_the_time_after_the_invalidation() {
        let (data, mut first, _) = two_workers();
        let before = data.epoch().unwrap();
        let mut early = Version::read(&data, KeyHash(7), before).unwrap();
        first.invalidate(&data, KeyHash(7)).unwrap();
        let mut between = Version::read(&data, KeyHash(7), before).unwrap();
        let epoch = data.epoch().unwrap();
        assert!(!early.is_current(&data, KeyHash(7), epoch));
        assert!(between.is_current(&data, KeyHash(7), epoch));
    }
}
