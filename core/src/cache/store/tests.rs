use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

const NOW_MS: u64 = 1_000;
const LATER_MS: u64 = 2_000;

type Numbers = Store<u32, u32>;

/// Spreads numbers as a keyed hash would.
fn hash(key: u32) -> u64 {
    (u64::from(key) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn item(value: u32, class: Class, heap_bytes: usize) -> Item<u32> {
    Item { value, class, heap_bytes, useful_until_ms: LATER_MS }
}

fn put(store: &mut Numbers, key: u32, class: Class) -> usize {
    store.put(hash(key), key, item(key, class, 200), NOW_MS)
}

fn holds(store: &Numbers, key: u32) -> bool {
    store.place(hash(key), &key).is_some()
}

/// How many sessions of 200 bytes fit.
fn capacity(store: &Numbers) -> u32 {
    u32::try_from(store.session_bytes / (Numbers::ENTRY_BYTES + 200)).unwrap()
}

#[test]
fn a_flood_of_unknown_tokens_evicts_no_session() {
    let mut store = Numbers::new(256 * 1024);
    let sessions = capacity(&store);
    for key in 0..sessions {
        assert_eq!(put(&mut store, key, Class::Session), 0);
    }
    for junk in 0..100_000 {
        put(&mut store, 1_000_000 + junk, Class::Unknown);
        assert!(store.bytes() <= 256 * 1024);
    }
    assert!((0..sessions).all(|key| holds(&store, key)));
}

#[test]
fn a_scan_of_sessions_that_are_used_once_evicts_none_in_use() {
    let mut store = Numbers::new(256 * 1024);
    let in_use = capacity(&store) / 2;
    for round in 0..3 {
        for key in 0..in_use {
            if store.get(hash(key), &key).is_none() {
                assert_eq!(round, 0, "{key}");
                put(&mut store, key, Class::Session);
            }
        }
    }
    for scanned in 0..100_000 {
        put(&mut store, 1_000_000 + scanned, Class::Session);
        // Each session in use is used once per several hundred scanned ones.
        let key = scanned % in_use;
        assert!(store.get(hash(key), &key).is_some(), "{key} was evicted after {scanned}");
    }
}

#[test]
fn a_session_inserted_again_soon_after_its_eviction_is_protected() {
    let mut store = Numbers::new(256 * 1024);
    put(&mut store, 7, Class::Session);
    let mut scanned = 1_000..;
    while holds(&store, 7) {
        put(&mut store, scanned.next().unwrap(), Class::Session);
    }
    put(&mut store, 7, Class::Session);
    for _ in 0..10 * capacity(&store) {
        put(&mut store, scanned.next().unwrap(), Class::Session);
    }
    assert!(holds(&store, 7));
}

#[test]
fn evictions_of_useless_entries_are_not_counted() {
    let mut store = Numbers::new(256 * 1024);
    for key in 0..capacity(&store) {
        put(&mut store, key, Class::Session);
        assert!(store.get(hash(key), &key).is_some());
    }
    assert_eq!(store.put(hash(999_999), 999_999, item(1, Class::Session, 2_000), LATER_MS), 0);
    assert!(!holds(&store, 0), "the oldest is evicted");
}

#[test]
fn evictions_of_useful_entries_are_counted() {
    let mut store = Numbers::new(256 * 1024);
    for key in 0..capacity(&store) {
        assert_eq!(put(&mut store, key, Class::Session), 0);
    }
    assert_eq!(put(&mut store, 999_999, Class::Session), 1);
}

#[test]
fn one_put_moves_a_bounded_number_of_entries_if_all_are_in_use() {
    let mut store = Numbers::new(4 * 1024 * 1024);
    let sessions = capacity(&store);
    assert!(sessions > 9_000, "{sessions}");
    for key in 0..sessions {
        put(&mut store, key, Class::Session);
        assert!(store.get(hash(key), &key).is_some());
    }
    assert_eq!(put(&mut store, 999_999, Class::Session), 1);
    let protected = |store: &Numbers| store.protected.bytes / (Numbers::ENTRY_BYTES + 200);
    assert_eq!(protected(&store), 4_096, "moved instead of evicted");
    assert_eq!((holds(&store, 4_095), holds(&store, 4_096), holds(&store, 4_097)), (true, false, true));
    put(&mut store, 4_096, Class::Session);
    assert_eq!(protected(&store), 2 * 4_096 + 1, "an entry evicted despite its use is protected when inserted again");
}

#[test]
fn a_removed_entry_frees_all_its_bytes() {
    let mut store = Numbers::new(64 * 1024);
    let empty = store.bytes();
    for round in 0..10_000 {
        put(&mut store, round, Class::Session);
        put(&mut store, round + 1, Class::Unknown);
        assert_eq!(store.remove(hash(round), &round), Some(round));
        assert_eq!(store.remove(hash(round), &round), None);
        store.remove(hash(round + 1), &(round + 1));
        assert_eq!((store.bytes(), store.len()), (empty, 0));
    }
    assert!(store.slab.len() <= 2, "{}", store.slab.len());
}

#[test]
fn a_value_larger_than_its_share_is_not_stored() {
    let mut store = Numbers::new(64 * 1024);
    put(&mut store, 1, Class::Session);
    put(&mut store, 2, Class::Session);
    store.put(hash(1), 1, item(9, Class::Session, 64 * 1024), NOW_MS);
    assert!(!holds(&store, 1), "the replaced value is removed too");
    assert!(holds(&store, 2));
}

#[test]
fn keys_with_the_same_hash_are_distinguished() {
    let mut store = Numbers::new(64 * 1024);
    store.put(5, 1, item(1, Class::Session, 0), NOW_MS);
    assert_eq!(store.get(5, &2), None);
    store.put(5, 2, item(2, Class::Session, 0), NOW_MS);
    assert_eq!((store.get(5, &1).copied(), store.get(5, &2).copied(), store.len()), (None, Some(2), 1));
}

/// The policy of the paper over plain queues, with the oldest entry first.
struct Model {
    /// Key, bytes and uses.
    probation: VecDeque<(u32, usize, u8)>,
    protected: VecDeque<(u32, usize, u8)>,
    unknown: VecDeque<(u32, usize, u8)>,
    ghosts: BTreeMap<u64, u64>,
    places: u64,
    session_bytes: usize,
    unknown_bytes: usize,
}

fn bytes(queue: &VecDeque<(u32, usize, u8)>) -> usize {
    queue.iter().map(|(_, bytes, _)| bytes).sum()
}

impl Model {
    fn queues(&mut self) -> [&mut VecDeque<(u32, usize, u8)>; 3] {
        [&mut self.probation, &mut self.protected, &mut self.unknown]
    }

    fn get(&mut self, key: u32) -> bool {
        let mut entries = self.queues().into_iter().flatten();
        entries.find(|entry| entry.0 == key).map(|entry| entry.2 = (entry.2 + 1).min(3)).is_some()
    }

    fn remove(&mut self, key: u32) -> Option<(usize, u8)> {
        self.queues().into_iter().enumerate().find_map(|(number, queue)| {
            let place = queue.iter().position(|entry| entry.0 == key)?;
            queue.remove(place).map(|entry| (number, entry.2))
        })
    }

    fn put(&mut self, key: u32, class: Class, heap_bytes: usize) {
        let size = Numbers::ENTRY_BYTES + heap_bytes;
        let known = self.remove(key).filter(|(queue, _)| (*queue == 2) == (class == Class::Unknown));
        let ghost = hash(key) % self.places;
        let returns = known.is_none() && class == Class::Session && self.ghosts.get(&ghost) == Some(&(hash(key) >> 32));
        if returns {
            self.ghosts.remove(&ghost);
        }
        if class == Class::Unknown {
            if size <= self.unknown_bytes {
                while bytes(&self.unknown) + size > self.unknown_bytes {
                    self.unknown.pop_front();
                }
                self.unknown.push_back((key, size, known.map_or(0, |(_, uses)| uses)));
            }
            return;
        }
        if size > self.session_bytes {
            return;
        }
        while bytes(&self.probation) + bytes(&self.protected) + size > self.session_bytes {
            if bytes(&self.probation) * 10 > self.session_bytes || self.protected.is_empty() {
                let (old, old_size, uses) = self.probation.pop_front().unwrap();
                if uses > 0 {
                    self.protected.push_back((old, old_size, 0));
                } else {
                    self.ghosts.insert(hash(old) % self.places, hash(old) >> 32);
                }
            } else {
                let (old, old_size, uses) = self.protected.pop_front().unwrap();
                if uses > 0 {
                    self.protected.push_back((old, old_size, uses - 1));
                }
            }
        }
        match known {
            Some((1, uses)) => self.protected.push_back((key, size, uses)),
            None if returns => self.protected.push_back((key, size, 0)),
            other => self.probation.push_back((key, size, other.map_or(0, |(_, uses)| uses))),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Get(u32),
    Put(u32, bool, usize),
    Remove(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || prop_oneof![0..20u32, 0..400u32];
    prop_oneof![
        4 => key().prop_map(Step::Get),
        4 => (key(), prop::bool::weighted(0.8), 0..2_000usize).prop_map(|(key, session, size)| Step::Put(key, session, size)),
        1 => key().prop_map(Step::Remove),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_store_keeps_the_same_entries_as_the_model(steps in prop::collection::vec(step(), 1..1_200)) {
        let mut store = Numbers::new(64 * 1024);
        let mut model = Model {
            probation: VecDeque::new(),
            protected: VecDeque::new(),
            unknown: VecDeque::new(),
            ghosts: BTreeMap::new(),
            places: (store.ghost.bytes() / 4) as u64,
            session_bytes: store.session_bytes,
            unknown_bytes: store.unknown_bytes,
        };
        let mut last: BTreeMap<u32, u32> = BTreeMap::new();
        for (number, step) in (0u32..).zip(steps) {
            match step {
                Step::Get(key) => {
                    let got = store.get(hash(key), &key).copied();
                    prop_assert_eq!(got.is_some(), model.get(key));
                    if let Some(value) = got {
                        prop_assert_eq!(Some(&value), last.get(&key), "the value is the one put last");
                    }
                }
                Step::Put(key, session, size) => {
                    let class = if session { Class::Session } else { Class::Unknown };
                    store.put(hash(key), key, item(number, class, size), NOW_MS);
                    model.put(key, class, size);
                    last.insert(key, number);
                }
                Step::Remove(key) => {
                    prop_assert_eq!(store.remove(hash(key), &key).is_some(), model.remove(key).is_some());
                }
            }
            let sums = [bytes(&model.probation), bytes(&model.protected), bytes(&model.unknown)];
            prop_assert_eq!(store.bytes(), store.ghost.bytes() + sums.iter().sum::<usize>());
            prop_assert!(store.bytes() <= 64 * 1024);
            prop_assert_eq!(store.len(), model.queues().into_iter().map(|queue| queue.len()).sum::<usize>());
        }
        let kept = model.queues().into_iter().flatten().map(|entry| entry.0).collect::<Vec<_>>();
        prop_assert!(kept.into_iter().all(|key| holds(&store, key)));
    }
}
