//! One worker's store of lookup results, bounded in bytes, with S3-FIFO eviction (Yang et al., "FIFO queues are all you
//! need for cache eviction", SOSP 2023).
//!
//! - A new session enters a small probation queue. If it is used there, or is inserted again soon after its eviction, it
//!   moves to the protected queue, and stays there while it is used. So a scan of sessions that are used once passes
//!   through probation, and evicts no session in use.
//! - Negative results have their own queue and share of the bytes. So a flood of invented tokens evicts no session.

mod ghost;
mod list;

use ghost::Ghost;
use list::{Links, List, Place};

use crate::int_map::IntMap;

/// The kind of a lookup result, which selects the share of the bytes that its entry counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// An active session.
    Session,
    /// A negative result: no such session.
    Unknown,
}

/// A value to store, with what decides on its eviction.
pub struct Item<V> {
    /// What [`Store::get`] returns a reference to.
    pub value: V,
    /// Selects the share of the bytes that the entry counts against.
    pub class: Class,
    /// The heap bytes of the key and the value.
    pub heap_bytes: usize,
    /// When the entry becomes useless, in milliseconds since 1970. Its eviction after that is not counted.
    pub useful_until_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    Probation,
    Protected,
    Unknown,
}

struct Entry<K, V> {
    hash: u64,
    key: K,
    item: Item<V>,
    queue: Queue,
    /// Uses since it entered its queue, at most [`MAX_USES`].
    uses: u8,
}

struct Slot<K, V> {
    links: Links,
    /// `None` in a free slot. Boxed, because a growing slab reserves up to twice as many slots.
    entry: Option<Box<Entry<K, V>>>,
}

/// As in the paper. A larger maximum would keep entries that were last used long ago.
const MAX_USES: u8 = 3;

/// One byte in this many is for negative results.
const UNKNOWN_SHARE: usize = 8;

/// One byte in this many of the sessions' share is for the probation queue.
const PROBATION_SHARE: usize = 10;

/// How many used entries one `put` moves instead of evicting. After these, it evicts the oldest entry even if that was
/// used; an entry evicted from probation is protected when it is inserted again.
///
/// This bounds the time that `put` blocks its worker: with a million entries in use, moving all of them up to four times
/// would take a good part of a second. This many take a few milliseconds, and at most one used entry in this many is lost.
const MAX_MOVED: usize = 4_096;

/// The bytes of an entry in the map: hash, place and control byte, in a table that is between 7/16 and 7/8 full.
const MAP_BYTES: usize = 32;

/// A growing slab reserves up to twice the slots that it uses.
const SLAB_SLACK: usize = 2;

/// The allocator's overhead per block, in bytes.
const BLOCK_BYTES: usize = 8;

/// A bounded map from keys to lookup results. Callers pass the hash of each key.
pub struct Store<K, V> {
    /// By hash of the key.
    places: IntMap<u64, Place>,
    slab: Vec<Slot<K, V>>,
    free: Vec<Place>,
    probation: List,
    protected: List,
    unknown: List,
    ghost: Ghost,
    session_bytes: usize,
    unknown_bytes: usize,
}

impl<K: Eq, V> Store<K, V> {
    /// The bytes of an entry, without the heap bytes of its key and value.
    pub(super) const ENTRY_BYTES: usize = size_of::<Entry<K, V>>()
        + BLOCK_BYTES
        + (size_of::<Slot<K, V>>() + size_of::<Place>()) * SLAB_SLACK
        + MAP_BYTES;

    /// An empty store. `max_bytes` includes the bookkeeping.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        // One place per 256 to 512 bytes of the store, which takes one or two bytes in 128.
        let ghost = Ghost::new(max_bytes.checked_div(512).unwrap_or(0).max(1).next_power_of_two());
        let rest = max_bytes.saturating_sub(ghost.bytes());
        let unknown_bytes = rest.checked_div(UNKNOWN_SHARE).unwrap_or(0);
        Self {
            places: IntMap::default(),
            slab: Vec::new(),
            free: Vec::new(),
            probation: List::default(),
            protected: List::default(),
            unknown: List::default(),
            ghost,
            session_bytes: rest.saturating_sub(unknown_bytes),
            unknown_bytes,
        }
    }

    /// The bytes of all entries and of the bookkeeping.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let lists = [&self.probation, &self.protected, &self.unknown];
        lists.iter().fold(self.ghost.bytes(), |sum, list| sum.saturating_add(list.bytes))
    }

    /// The number of entries of both classes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no entry of either class.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    #[inline(always)]
    fn place(&self, hash: u64, key: &K) -> Option<Place> {
        let place = *self.places.get(&hash)?;
        self.entry(place).filter(|entry| entry.key == *key).map(|_| place)
    }

    fn entry(&self, place: Place) -> Option<&Entry<K, V>> {
        self.slab.get(place as usize)?.entry.as_deref()
    }

    fn entry_mut(&mut self, place: Place) -> Option<&mut Entry<K, V>> {
        self.slab.get_mut(place as usize)?.entry.as_deref_mut()
    }

    /// The value of a key; `None` if it is not stored. Counts a use.
    pub fn get(&mut self, hash: u64, key: &K) -> Option<&mut V> {
        let place = self.place(hash, key)?;
        let entry = self.entry_mut(place)?;
        entry.uses = entry.uses.saturating_add(1).min(MAX_USES);
        Some(&mut entry.item.value)
    }

    /// Stores a value, and replaces the one stored under the key. Returns how many useful entries were evicted for it.
    /// A value that is larger than its share is not stored.
    pub fn put(&mut self, hash: u64, key: K, item: Item<V>, now_ms: u64) -> usize {
        let known = self.place(hash, &key).and_then(|place| self.entry(place)).filter(|known| {
            // An entry of the other class is replaced by a new entry.
            (known.queue == Queue::Unknown) == (item.class == Class::Unknown)
        });
        let known = known.map(|known| (known.queue, known.uses));
        let returns = known.is_none() && item.class == Class::Session && self.ghost.recall(hash);
        let (queue, uses) = match (known, item.class) {
            (Some(known), _) => known,
            (None, Class::Unknown) => (Queue::Unknown, 0),
            (None, Class::Session) if returns => (Queue::Protected, 0),
            (None, Class::Session) => (Queue::Probation, 0),
        };
        // Also removes an entry with another key and the same hash.
        if let Some(place) = self.places.get(&hash) {
            self.take(*place);
        }
        let bytes = Self::ENTRY_BYTES.saturating_add(item.heap_bytes);
        let share = if item.class == Class::Unknown { self.unknown_bytes } else { self.session_bytes };
        if bytes > share {
            return 0;
        }
        let evicted = self.make_room(item.class, bytes, now_ms);
        self.insert(Box::new(Entry { hash, key, item, queue, uses }));
        evicted
    }

    /// Removes and returns the value of a key; `None` if it is not stored.
    pub fn remove(&mut self, hash: u64, key: &K) -> Option<V> {
        let place = self.place(hash, key)?;
        self.take(place).map(|entry| entry.item.value)
    }

    fn insert(&mut self, entry: Box<Entry<K, V>>) {
        let (hash, queue) = (entry.hash, entry.queue);
        let bytes = bytes_of(&entry);
        let slot = Slot { links: Links::default(), entry: Some(entry) };
        let place = match self.free.pop() {
            Some(place) => {
                if let Some(free) = self.slab.get_mut(place as usize) {
                    *free = slot;
                }
                place
            }
            None => {
                let place = Place::try_from(self.slab.len()).unwrap_or(list::NONE);
                self.slab.push(slot);
                place
            }
        };
        self.places.insert(hash, place);
        let (list, slab) = self.list(queue);
        list.push(slab, place, bytes, links);
    }

    fn take(&mut self, place: Place) -> Option<Box<Entry<K, V>>> {
        let entry = self.slab.get_mut(place as usize)?.entry.take()?;
        let (list, slab) = self.list(entry.queue);
        list.remove(slab, place, bytes_of(&entry), links);
        self.places.remove(&entry.hash);
        self.free.push(place);
        Some(entry)
    }

    fn list(&mut self, queue: Queue) -> (&mut List, &mut [Slot<K, V>]) {
        let list = match queue {
            Queue::Probation => &mut self.probation,
            Queue::Protected => &mut self.protected,
            Queue::Unknown => &mut self.unknown,
        };
        (list, &mut self.slab)
    }

    /// Evicts entries until `bytes` fit. Returns how many of them were useful.
    fn make_room(&mut self, class: Class, bytes: usize, now_ms: u64) -> usize {
        let mut evicted: usize = 0;
        let mut moved: usize = 0;
        while self.is_full(class, bytes) {
            let from_probation = self.probation.bytes.saturating_mul(PROBATION_SHARE) > self.session_bytes;
            let place = match class {
                Class::Unknown => self.unknown.oldest(),
                Class::Session if from_probation => self.probation.oldest(),
                Class::Session => self.protected.oldest().or(self.probation.oldest()),
            };
            let Some(mut entry) = place.and_then(|place| self.take(place)) else { break };
            let useful = entry.item.useful_until_ms > now_ms;
            if useful && entry.uses > 0 && entry.queue != Queue::Unknown && moved < MAX_MOVED {
                entry.uses = if entry.queue == Queue::Protected { entry.uses.saturating_sub(1) } else { 0 };
                entry.queue = Queue::Protected;
                self.insert(entry);
                moved = moved.saturating_add(1);
                continue;
            }
            if useful && entry.queue == Queue::Probation {
                self.ghost.remember(entry.hash);
            }
            evicted = evicted.saturating_add(usize::from(useful));
        }
        evicted
    }

    fn is_full(&self, class: Class, bytes: usize) -> bool {
        match class {
            Class::Unknown => self.unknown.bytes.saturating_add(bytes) > self.unknown_bytes,
            Class::Session => {
                self.probation.bytes.saturating_add(self.protected.bytes).saturating_add(bytes) > self.session_bytes
            }
        }
    }
}

fn bytes_of<K: Eq, V>(entry: &Entry<K, V>) -> usize {
    Store::<K, V>::ENTRY_BYTES.saturating_add(entry.item.heap_bytes)
}

fn links<K, V>(slab: &mut [Slot<K, V>], place: Place) -> Option<&mut Links> {
    slab.get_mut(place as usize).map(|slot| &mut slot.links)
}

#[cfg(test)]
mod tests;
