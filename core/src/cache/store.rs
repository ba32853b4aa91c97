//! One worker's bounded store of answers, which evicts by S3-FIFO (Yang et al., "FIFO queues are all you need for cache
//! eviction", SOSP 2023), counted in bytes.
//!
//! A new session waits in a small probation queue. If it is used there, or comes back soon after it went, it moves to
//! the protected queue, and stays there as long as it is used. So a scan of sessions that are used once, however long,
//! goes through probation and leaves those in use alone. Answers that there is no session have a queue and a share of
//! their own: no number of tokens that somebody makes up pushes out a session.

mod ghost;
mod list;

use ghost::Ghost;
use list::{Links, List, Place};

use crate::int_map::IntMap;

/// What kind of answer an entry is, which decides which share it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// There is a session.
    Session,
    /// There is none.
    Unknown,
}

/// What is to be kept.
pub struct Item<V> {
    pub value: V,
    pub class: Class,
    /// Of the key and the value, beyond themselves.
    pub heap_bytes: usize,
    /// After this, in milliseconds since 1970, the entry is of no use to anybody.
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
    /// Uses since it was last put in its queue, up to [`MOST_USES`].
    uses: u8,
}

struct Slot<K, V> {
    links: Links,
    /// Absent in a slot that is free. Boxed, since a slab that grows has room for twice as many.
    entry: Option<Box<Entry<K, V>>>,
}

/// As in the paper: more would keep what was in use long ago.
const MOST_USES: u8 = 3;

/// One in so many bytes is for answers that there is no session.
const UNKNOWN_SHARE: usize = 8;

/// One in so many bytes of the sessions' share is for those on probation.
const PROBATION_SHARE: usize = 10;

/// How many entries one put lets stay for their uses; after these the oldest goes whatever its uses, and one that was
/// on probation is protected when it comes back. A worker stands still meanwhile: where a million are in use, going
/// through all of them up to four times takes a good part of a second. So many take a few milliseconds, and of those in use
/// at most one in so many is lost.
const MOST_SPARED: usize = 4_096;

/// What an entry's place in the map costs: hash, place and control byte, in a table that is between 7/16 and 7/8 full.
const MAP_BYTES: usize = 32;

/// A slab that grows has up to twice the room that it needs.
const SLAB_SLACK: usize = 2;

/// What the allocator takes for a block beside the block itself.
const BLOCK_BYTES: usize = 8;

pub struct Store<K, V> {
    /// By the keys' hashes.
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
    /// What an entry takes beside what its key and its value have on the heap.
    pub(super) const ENTRY_BYTES: usize = size_of::<Entry<K, V>>()
        + BLOCK_BYTES
        + (size_of::<Slot<K, V>>() + size_of::<Place>()) * SLAB_SLACK
        + MAP_BYTES;

    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        // A place for 256 to 512 bytes, which takes one or two bytes in 128.
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

    /// Keys and bookkeeping counted.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let lists = [&self.probation, &self.protected, &self.unknown];
        lists.iter().fold(self.ghost.bytes(), |sum, list| sum.saturating_add(list.bytes))
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

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

    /// The value, and a note that it was used.
    pub fn get(&mut self, hash: u64, key: &K) -> Option<&mut V> {
        let place = self.place(hash, key)?;
        let entry = self.entry_mut(place)?;
        entry.uses = entry.uses.saturating_add(1).min(MOST_USES);
        Some(&mut entry.item.value)
    }

    /// Keeps a value in place of what was there under the key. Says how many entries that were still of use had to go
    /// for it. What would not fit into its share at all is not kept.
    pub fn put(&mut self, hash: u64, key: K, item: Item<V>, now_ms: u64) -> usize {
        let known = self.place(hash, &key).and_then(|place| self.entry(place)).filter(|known| {
            // An answer of the other kind is another entry.
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
        // One of two keys with the same hash gives way, too.
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

    /// Takes a value out.
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

    /// Lets entries go until there is room; says how many of them were still of use.
    fn make_room(&mut self, class: Class, bytes: usize, now_ms: u64) -> usize {
        let mut evicted: usize = 0;
        let mut spared: usize = 0;
        while self.is_full(class, bytes) {
            let of_probation = self.probation.bytes.saturating_mul(PROBATION_SHARE) > self.session_bytes;
            let place = match class {
                Class::Unknown => self.unknown.oldest(),
                Class::Session if of_probation => self.probation.oldest(),
                Class::Session => self.protected.oldest().or(self.probation.oldest()),
            };
            let Some(mut entry) = place.and_then(|place| self.take(place)) else { break };
            let useful = entry.item.useful_until_ms > now_ms;
            if useful && entry.uses > 0 && entry.queue != Queue::Unknown && spared < MOST_SPARED {
                entry.uses = if entry.queue == Queue::Protected { entry.uses.saturating_sub(1) } else { 0 };
                entry.queue = Queue::Protected;
                self.insert(entry);
                spared = spared.saturating_add(1);
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
