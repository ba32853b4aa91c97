//! The sessions that a worker has cached, and those that it shares with the other workers.

use std::rc::Rc;

use super::Settings;
use super::invalidation::{Invalidations, KeyHash, Version};
use super::lifetime::Lifetime;
use super::shared_data::{SharedData, update};
use super::shared_entry::{MAX_SHARED, SharedEntry, SharedResponse};
use super::store::{Class, Item, Store};
use crate::rest_sessions::backend::{Namespace, SessionKey};
use crate::rest_sessions::body;
use crate::session::lookup::Lookup;
use crate::session::session::Session;
use crate::session::token::Token;

enum Entry {
    Session(CachedSession),
    /// The token has no session.
    None {
        requested_ms: u64,
        until_ms: u64,
    },
}

struct CachedSession {
    session: Rc<Session>,
    requested_ms: u64,
    lifetime: Lifetime,
    version: Version,
}

/// What the cache answers a lookup with.
pub enum CachedLookup {
    /// A session that this worker has cached.
    Hit(Rc<Session>),
    /// A session that another worker has shared.
    SharedHit(Rc<Session>),
    /// The token has no session.
    NegativeHit,
}

/// The session that a request needs, and how old what is known of it may be.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// The data that the worker shares: the host's, or its own memory with `cache.shared: false`.
    pub data: &'a dyn SharedData,
    /// The session. It is compared in full, so two sessions with the same hash never share an entry.
    pub key: &'a SessionKey,
    /// The hash of the session, from [`Invalidations::hash`].
    pub hash: KeyHash,
    /// The epoch, read from `data` for this query.
    pub epoch: u64,
    /// The maximum time since the call that brought the result, in milliseconds. Zero: no cached session may be used.
    pub max_age_ms: u64,
    /// The current time, in milliseconds since 1970.
    pub now_ms: u64,
}

impl Query<'_> {
    /// Whether what was requested at that time is young enough. A time in the future is not: the clock was set back.
    fn accepts(&self, requested_ms: u64) -> bool {
        self.now_ms.checked_sub(requested_ms).is_some_and(|age| age <= self.max_age_ms)
    }
}

/// The response of rest-sessions to a call about a session: where it belongs, and when the call was made.
#[derive(Clone, Copy)]
pub struct Received<'a> {
    /// The data that the worker shares: the host's, or its own memory with `cache.shared: false`.
    pub data: &'a dyn SharedData,
    /// The namespace that `key` names. It gives the key bytes of the shared entry.
    pub namespace: &'a Namespace,
    /// The session that the call was about.
    pub key: &'a SessionKey,
    /// The hash of the session, from [`Invalidations::hash`].
    pub hash: KeyHash,
    /// When the call was made, in milliseconds since 1970.
    pub requested_ms: u64,
    /// The current time, in milliseconds since 1970.
    pub now_ms: u64,
}

/// The cache of one worker, bounded by [`Settings::max_bytes`]. Each query checks the lifetime, the age and the version
/// of what it finds.
pub struct SessionCache {
    settings: Settings,
    /// How long after its token was made a session may be used (`limits.age`).
    max_session_age_ms: Option<u64>,
    /// How long after its lookup, its last known use, a session may be used (`limits.idle`).
    max_idle_ms: Option<u64>,
    store: Store<SessionKey, Entry>,
    evictions: usize,
}

/// The cache's size, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// The memory of all entries and of the bookkeeping, in bytes.
    pub bytes: usize,
    /// The number of entries, negative results included. Expired entries count until they are removed or evicted.
    pub entries: usize,
}

impl SessionCache {
    /// An empty cache. `max_session_age_ms`: how long after its token was made a session may be used, in milliseconds;
    /// `max_idle_ms`: how long after its lookup. `None`: no limit.
    #[must_use]
    pub fn new(settings: Settings, max_session_age_ms: Option<u64>, max_idle_ms: Option<u64>) -> Self {
        Self { store: Store::new(settings.max_bytes), settings, max_session_age_ms, max_idle_ms, evictions: 0 }
    }

    /// The memory and the number of entries at present.
    #[must_use]
    pub fn size(&self) -> Size {
        Size { bytes: self.store.bytes(), entries: self.store.len() }
    }

    /// How many entries were evicted since the last call.
    pub fn take_evictions(&mut self) -> usize {
        std::mem::take(&mut self.evictions)
    }

    /// What is cached for a query, in this worker or in a shared slot. `None`: a lookup in rest-sessions is needed.
    pub fn get(&mut self, query: Query<'_>, namespace: &Namespace) -> Option<CachedLookup> {
        // A request that accepts nothing from before itself asks every time, also twice in one millisecond.
        if query.max_age_ms == 0 {
            return None;
        }
        match self.store.get(place(query.hash, query.key), query.key) {
            Some(Entry::Session(cached)) => {
                if !cached.version.is_current(query.data, query.hash, query.epoch) {
                    self.store.remove(place(query.hash, query.key), query.key);
                } else if query.now_ms < cached.lifetime.fresh_until_ms && query.accepts(cached.requested_ms) {
                    return Some(CachedLookup::Hit(Rc::clone(&cached.session)));
                }
            }
            Some(Entry::None { requested_ms, until_ms })
                if query.now_ms < *until_ms && query.accepts(*requested_ms) =>
            {
                return Some(CachedLookup::NegativeHit);
            }
            Some(Entry::None { .. }) | None => {}
        }
        self.get_shared(query, namespace).map(CachedLookup::SharedHit)
    }

    /// Whether rest-sessions said so recently that the token has no session, and no worker may hold one: ending it is
    /// not needed.
    pub fn knows_none(&mut self, query: Query<'_>) -> bool {
        let Some(Entry::None { requested_ms, until_ms }) = self.store.get(place(query.hash, query.key), query.key)
        else {
            return false;
        };
        let is_recent = query.now_ms < *until_ms && query.accepts(*requested_ms);
        let entry = query.data.read(query.hash.entry_slot());
        is_recent && entry.is_ok_and(|(entry, _)| !SharedEntry::parse(&entry).may_be_held(query.hash.0, query.now_ms))
    }

    /// A session that another worker has shared. It is cached here from now on.
    fn get_shared(&mut self, query: Query<'_>, namespace: &Namespace) -> Option<Rc<Session>> {
        if !self.settings.shared {
            return None;
        }
        let (entry, _) = query.data.read(query.hash.entry_slot()).ok()?;
        let shared = SharedEntry::parse(&entry).response;
        let shared = shared.filter(|response| response.key == shared_key(namespace, query.key))?;
        let version = Version::read(query.data, query.hash, query.epoch).ok();
        let version = version.filter(|version| version.tag() == shared.tag)?;
        let Lookup::Active(session) = body::lookup(&shared.body) else { return None };
        // The worker that shared it may have had another configuration, so both lifetimes hold.
        let lifetime = self
            .lifetime(&session, query.key, shared.requested_ms)
            .within(Lifetime { fresh_until_ms: shared.fresh_until_ms, stale_until_ms: shared.stale_until_ms });
        if query.now_ms >= lifetime.fresh_until_ms || !query.accepts(shared.requested_ms) {
            return None;
        }
        let cached =
            CachedSession { session: Rc::clone(&session), requested_ms: shared.requested_ms, lifetime, version };
        self.put(query.key, query.hash, Entry::Session(cached), query.now_ms);
        Some(session)
    }

    /// A cached session that may be used during an outage, and whether it is past its time: a lookup may fail after another
    /// one has cached the session. `None`: there is none, it is too old for the query, or it was invalidated.
    pub fn get_in_outage(&mut self, query: Query<'_>) -> Option<(Rc<Session>, bool)> {
        let Some(Entry::Session(cached)) = self.store.get(place(query.hash, query.key), query.key) else { return None };
        let is_usable = query.max_age_ms > 0
            && query.now_ms < cached.lifetime.stale_until_ms
            && query.accepts(cached.requested_ms)
            && cached.version.is_current(query.data, query.hash, query.epoch);
        is_usable.then(|| (Rc::clone(&cached.session), query.now_ms >= cached.lifetime.fresh_until_ms))
    }

    /// Caches a session that was received. `version` is current.
    pub fn insert(&mut self, received: Received<'_>, session: &Rc<Session>, body: &[u8], version: Version) {
        let Received { data, namespace, key, hash, requested_ms, now_ms } = received;
        let lifetime = self.lifetime(session, key, requested_ms);
        if lifetime.stale_until_ms <= now_ms {
            self.store.remove(place(hash, key), key);
            return;
        }
        // Recorded before it is cached: a worker that learns of the session's end must know that it may be held. If it
        // cannot be recorded, it is not cached.
        let recorded = update(data, hash.entry_slot(), |entry| {
            let mut entry = SharedEntry::parse(entry);
            entry.record(hash.0, lifetime.stale_until_ms, now_ms);
            if self.settings.shared && body.len() <= MAX_SHARED {
                entry.response = Some(SharedResponse {
                    key: shared_key(namespace, key),
                    tag: version.tag(),
                    requested_ms,
                    fresh_until_ms: lifetime.fresh_until_ms,
                    stale_until_ms: lifetime.stale_until_ms,
                    body: body.to_vec(),
                });
            }
            entry.serialize()
        });
        if recorded.is_ok() {
            let cached = CachedSession { session: Rc::clone(session), requested_ms, lifetime, version };
            self.put(key, hash, Entry::Session(cached), now_ms);
        }
    }

    /// Caches that a token has no session. `is_current`: the session was not invalidated since the call was made.
    pub fn insert_none(&mut self, received: Received<'_>, is_current: bool) {
        let until_ms = received.requested_ms.saturating_add(self.settings.negative_ttl_ms);
        if is_current && received.now_ms < until_ms {
            let entry = Entry::None { requested_ms: received.requested_ms, until_ms };
            self.put(received.key, received.hash, entry, received.now_ms);
        }
    }

    /// Removes what this worker has cached of a session. Returns whether any worker may hold the session.
    pub fn remove(&mut self, data: &dyn SharedData, key: &SessionKey, hash: KeyHash, now_ms: u64) -> bool {
        let was_cached = match (self.store.remove(place(hash, key), key), data.epoch()) {
            (Some(Entry::Session(mut cached)), Ok(epoch)) => cached.version.is_current(data, hash, epoch),
            (Some(Entry::Session(_)), Err(_)) => true,
            (Some(Entry::None { .. }) | None, _) => false,
        };
        let entry = data.read(hash.entry_slot());
        was_cached || entry.map_or(true, |(entry, _)| SharedEntry::parse(&entry).may_be_held(hash.0, now_ms))
    }

    /// Invalidates a session in all workers and removes its shared entry.
    pub fn invalidate(data: &dyn SharedData, invalidations: &mut Invalidations, hash: KeyHash, key_bytes: &[u8]) {
        // The entry is removed after the invalidation was published: what is cached in between has an old version.
        if invalidations.invalidate(data, hash).is_ok() {
            let _ = update(data, hash.entry_slot(), |entry| {
                let mut entry = SharedEntry::parse(entry);
                entry.remove(hash.0, key_bytes);
                entry.serialize()
            });
        }
    }

    fn lifetime(&self, session: &Session, key: &SessionKey, requested_ms: u64) -> Lifetime {
        let until = |lifetime: Lifetime, from_ms: Option<u64>, max_ms: Option<u64>| match (from_ms, max_ms) {
            (Some(from_ms), Some(max_ms)) => {
                let end_ms = from_ms.saturating_add(max_ms);
                lifetime.within(Lifetime { fresh_until_ms: end_ms, stale_until_ms: end_ms })
            }
            _ => lifetime,
        };
        let lifetime = Lifetime::of(session, requested_ms, &self.settings);
        let lifetime = until(lifetime, key.token.created_ms(), self.max_session_age_ms);
        if key.touches {
            return until(lifetime, Some(requested_ms), self.max_idle_ms);
        }
        // The lookup was no use, so the session has been idle for longer.
        let used_ms = requested_ms.saturating_sub(session.idle_ms().unwrap_or_default());
        until(until(lifetime, Some(used_ms), Some(session.ttl_ms())), Some(used_ms), self.max_idle_ms)
    }

    fn put(&mut self, key: &SessionKey, hash: KeyHash, entry: Entry, now_ms: u64) {
        let (class, bytes, useful_until_ms) = match &entry {
            Entry::Session(cached) => (Class::Session, cached.session.bytes(), cached.lifetime.stale_until_ms),
            Entry::None { until_ms, .. } => (Class::Unknown, 0, *until_ms),
        };
        let heap_bytes = bytes.saturating_add(Token::HEAP_BYTES);
        let item = Item { value: entry, class, heap_bytes, useful_until_ms };
        let evicted = self.store.put(place(hash, key), key.clone(), item, now_ms);
        self.evictions = self.evictions.saturating_add(evicted);
    }
}

/// The place of a session in the store, of which each holds one entry.
fn place(hash: KeyHash, key: &SessionKey) -> u64 {
    if key.touches { hash.0 } else { !hash.0 }
}

/// The key of a shared entry. What a lookup brought that was no use serves such lookups alone, in other workers too.
fn shared_key(namespace: &Namespace, key: &SessionKey) -> Vec<u8> {
    let mut bytes = namespace.key_bytes(&key.token);
    if !key.touches {
        // No token has this byte.
        bytes.push(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::shared_data::LocalData;
    use super::*;
    use crate::rest_sessions::backend::NamespaceId;
    use crate::session::session::Parts;
    use crate::session::token::tests::{NOW_MS, token_made_at};

    #[test]
    fn the_size_counts_an_entrys_token_and_session() {
        let settings =
            Settings { ttl_ms: 1_000, negative_ttl_ms: 1_000, stale_if_error_ms: 0, max_bytes: 1 << 20, shared: false };
        let mut cache = SessionCache::new(settings, None, None);
        let mut grows_by = |age_ms, entry| {
            let token = Token::parse(token_made_at(NOW_MS - age_ms).as_bytes(), &|| NOW_MS).unwrap();
            let before = cache.size().bytes;
            cache.put(&SessionKey { namespace: NamespaceId(0), token, touches: true }, KeyHash(age_ms), entry, NOW_MS);
            cache.size().bytes - before
        };
        let each = Store::<SessionKey, Entry>::ENTRY_BYTES + Token::HEAP_BYTES;
        assert_eq!(grows_by(1, Entry::None { requested_ms: NOW_MS, until_ms: NOW_MS + 1 }), each);
        let session: Rc<Session> = Parts { id: "user123".into(), ttl: "7200", ..Parts::default() }.into();
        let lifetime = Lifetime { fresh_until_ms: NOW_MS + 1, stale_until_ms: NOW_MS + 1 };
        let data = LocalData::default();
        let version = Version::read(&data, KeyHash(2), data.epoch().unwrap()).unwrap();
        let bytes = session.bytes();
        let cached = CachedSession { session, requested_ms: NOW_MS, lifetime, version };
        assert_eq!(grows_by(2, Entry::Session(cached)), each + bytes);
    }

    #[test]
    fn a_session_is_cached_no_longer_than_its_token_may_age_and_than_it_may_be_idle() {
        let settings = Settings {
            ttl_ms: 60_000,
            negative_ttl_ms: 0,
            stale_if_error_ms: 60_000,
            max_bytes: 1 << 20,
            shared: false,
        };
        let cache = SessionCache::new(settings.clone(), Some(10_000), None);
        let token = Token::parse(token_made_at(NOW_MS - 8_000).as_bytes(), &|| NOW_MS).unwrap();
        let key = SessionKey { namespace: NamespaceId(0), token, touches: true };
        let session: Rc<Session> = Parts { id: "user123".into(), ttl: "7200", ..Parts::default() }.into();
        let end_ms = NOW_MS + 2_000;
        let expected = Lifetime { fresh_until_ms: end_ms, stale_until_ms: end_ms };
        assert_eq!(cache.lifetime(&session, &key, NOW_MS), expected);
        let cache = SessionCache::new(settings, None, Some(61_000));
        let expected = Lifetime { fresh_until_ms: NOW_MS + 60_000, stale_until_ms: NOW_MS + 61_000 };
        assert_eq!(cache.lifetime(&session, &key, NOW_MS), expected, "no use after its lookup is known");
    }
}
