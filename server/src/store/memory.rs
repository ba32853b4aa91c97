//! The store in memory, bounded in bytes: for development and tests, since it is lost with the process.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Lookup, NewSession, Read, StoreError};
use crate::clock::Clock;
use crate::data::{Change, Data};
use crate::params::App;
use crate::session::{BURST_SECONDS, Record, Session};
use crate::token::Token;

/// Bytes that a session takes beside its own text: map entries, three copies of the token, the record.
const OVERHEAD: usize = 1024;

/// Sessions in the memory of this process.
pub struct MemoryStore {
    max_bytes: usize,
    max_session_bytes: usize,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    apps: HashMap<App, Sessions>,
    bytes: usize,
    last_sweep: i64,
}

#[derive(Default)]
struct Sessions {
    by_token: HashMap<Token, Entry>,
    users: HashMap<String, User>,
}

struct Entry {
    record: Record,
    /// The last use. `Record::last_activity` may be older by [`BURST_SECONDS`].
    last_use: i64,
}

#[derive(Default)]
struct User {
    last_use: i64,
    tokens: BTreeSet<Token>,
}

impl Entry {
    fn size(&self) -> usize {
        let record = &self.record;
        let text = record.id.len().saturating_mul(2).saturating_add(record.ip.len());
        OVERHEAD.saturating_add(text).saturating_add(record.data.as_ref().map_or(0, |data| data.get().len()))
    }

    fn expired(&self, now: i64) -> bool {
        self.last_use.saturating_add(self.record.ttl) < now
    }
}

impl Sessions {
    /// Finds a session that has not expired.
    fn live(&mut self, token: &Token, now: i64) -> Option<&mut Entry> {
        self.by_token.get_mut(token).filter(|entry| entry.record.idle(now) <= entry.record.ttl)
    }

    fn touch(&mut self, token: &Token, now: i64) {
        let Some(entry) = self.by_token.get_mut(token) else { return };
        entry.last_use = now;
        if entry.record.idle(now) > BURST_SECONDS {
            entry.record.last_activity = now;
        }
        if let Some(user) = self.users.get_mut(&entry.record.id) {
            user.last_use = now;
        }
    }

    fn remove(&mut self, token: &Token) -> Option<Entry> {
        let entry = self.by_token.remove(token)?;
        if let Some(user) = self.users.get_mut(&entry.record.id) {
            user.tokens.remove(token);
            if user.tokens.is_empty() {
                self.users.remove(&entry.record.id);
            }
        }
        Some(entry)
    }
}

impl State {
    fn remove<'a>(&mut self, app: &App, tokens: impl IntoIterator<Item = &'a Token>) -> u64 {
        let Some(sessions) = self.apps.get_mut(app) else { return 0 };
        let mut removed = 0u64;
        for entry in tokens.into_iter().filter_map(|token| sessions.remove(token)) {
            self.bytes = self.bytes.saturating_sub(entry.size());
            removed = removed.saturating_add(1);
        }
        if sessions.by_token.is_empty() {
            self.apps.remove(app);
        }
        removed
    }

    fn sweep(&mut self, now: i64) -> u64 {
        self.last_sweep = now;
        let apps: Vec<App> = self.apps.keys().cloned().collect();
        let mut removed = 0u64;
        for app in apps {
            let expired: Vec<Token> = self.apps.get(&app).map_or_else(Vec::new, |sessions| {
                sessions.by_token.iter().filter(|(_, e)| e.expired(now)).map(|(token, _)| token.clone()).collect()
            });
            removed = removed.saturating_add(self.remove(&app, &expired));
        }
        removed
    }

    /// Whether `needed` bytes fit. Sweeps if they do not, at most once a second.
    fn make_room(&mut self, needed: usize, max: usize, now: i64) -> bool {
        let fits = |bytes: usize| bytes.saturating_add(needed) <= max;
        if !fits(self.bytes) && self.last_sweep != now {
            self.sweep(now);
        }
        fits(self.bytes)
    }
}

impl MemoryStore {
    /// `max_bytes` bounds what all sessions take, `max_session_bytes` the `d` of one.
    pub fn new(max_bytes: usize, max_session_bytes: usize, clock: Clock) -> Self {
        Self { max_bytes, max_session_bytes, clock, state: Mutex::default() }
    }

    /// The state of a poisoned lock is used as it is: no code under the lock panics halfway through a change.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> i64 {
        self.clock.seconds()
    }

    pub fn create(&self, app: &App, new: NewSession) -> Result<Token, StoreError> {
        let now = self.now();
        let token = Token::generate(self.clock.millis()).map_err(|_| StoreError::NoRandomness)?;
        let record = Record {
            id: new.id,
            reads: 1,
            writes: 1,
            ttl: new.ttl,
            last_activity: now,
            ip: new.ip,
            no_resave: false,
            data: new.data.to_bounded_text(self.max_session_bytes)?,
        };
        let entry = Entry { record, last_use: now };
        let size = entry.size();
        let mut state = self.lock();
        if !state.make_room(size, self.max_bytes, now) {
            return Err(StoreError::Full);
        }
        state.bytes = state.bytes.saturating_add(size);
        let sessions = state.apps.entry(app.clone()).or_default();
        let user = sessions.users.entry(entry.record.id.clone()).or_default();
        user.last_use = now;
        user.tokens.insert(token.clone());
        sessions.by_token.insert(token.clone(), entry);
        Ok(token)
    }

    pub fn get(&self, app: &App, token: &Token, read: Read) -> Lookup {
        let now = self.now();
        let mut state = self.lock();
        let Some(sessions) = state.apps.get_mut(app) else { return Lookup::Missing };
        let Some(entry) = sessions.live(token, now) else { return Lookup::Missing };
        if read.max_idle.is_some_and(|limit| now.saturating_sub(entry.last_use) > limit) {
            state.remove(app, [token]);
            return Lookup::Ended;
        }
        let before = entry.record.clone();
        if read.touch {
            entry.record.reads = entry.record.reads.saturating_add(1);
            sessions.touch(token, now);
        }
        before.at(now).map_or(Lookup::Missing, |session| Lookup::Active { session, untouched: None })
    }

    pub fn set(&self, app: &App, token: &Token, change: &Change) -> Result<Option<Session>, StoreError> {
        let now = self.now();
        let mut state = self.lock();
        let Some(entry) = state.apps.get_mut(app).and_then(|sessions| sessions.live(token, now)) else {
            return Ok(None);
        };
        let size_before = entry.size();
        let mut changed = entry.record.clone();
        let mut data = Data::from_text(changed.data.as_deref()).map_err(|_| StoreError::Corrupt)?;
        data.apply(change);
        changed.data = data.to_bounded_text(self.max_session_bytes)?;
        changed.writes = changed.writes.saturating_add(1);
        let size = Entry { record: changed.clone(), last_use: now }.size();
        let growth = size.saturating_sub(size_before);
        if growth > 0 && !state.make_room(growth, self.max_bytes, now) {
            return Err(StoreError::Full);
        }
        state.bytes = state.bytes.saturating_add(size).saturating_sub(size_before);
        if let Some(sessions) = state.apps.get_mut(app) {
            if let Some(entry) = sessions.by_token.get_mut(token) {
                entry.record = changed.clone();
            }
            sessions.touch(token, now);
        }
        Ok(changed.at(now))
    }

    pub fn kill(&self, app: &App, token: &Token) -> u64 {
        let now = self.now();
        let mut state = self.lock();
        let live = state.apps.get_mut(app).is_some_and(|sessions| sessions.live(token, now).is_some());
        if live { state.remove(app, [token]) } else { 0 }
    }

    pub fn kill_user(&self, app: &App, id: &str) -> u64 {
        let mut state = self.lock();
        let user = state.apps.get(app).and_then(|sessions| sessions.users.get(id));
        let tokens = user.map(|user| user.tokens.clone()).unwrap_or_default();
        state.remove(app, &tokens)
    }

    pub fn kill_all(&self, app: &App) -> u64 {
        let mut state = self.lock();
        let Some(sessions) = state.apps.remove(app) else { return 0 };
        let freed = sessions.by_token.values().map(Entry::size).sum();
        state.bytes = state.bytes.saturating_sub(freed);
        u64::try_from(sessions.by_token.len()).unwrap_or(u64::MAX)
    }

    pub fn active_users(&self, app: &App, dt: i64) -> u64 {
        let since = self.now().saturating_sub(dt);
        let state = self.lock();
        let users = state.apps.get(app).map_or(0, |s| s.users.values().filter(|user| user.last_use >= since).count());
        u64::try_from(users).unwrap_or(u64::MAX)
    }

    pub fn app_sessions(&self, app: &App, dt: i64) -> Vec<Session> {
        let now = self.now();
        let since = now.saturating_sub(dt);
        let state = self.lock();
        let Some(sessions) = state.apps.get(app) else { return Vec::new() };
        let mut entries: Vec<_> = sessions.by_token.iter().filter(|(_, entry)| entry.last_use >= since).collect();
        entries.sort_by_key(|(token, entry)| Reverse((entry.last_use, *token)));
        entries.into_iter().filter_map(|(_, entry)| entry.record.clone().at(now)).collect()
    }

    pub fn user_sessions(&self, app: &App, id: &str) -> Vec<Session> {
        let now = self.now();
        let state = self.lock();
        let Some(sessions) = state.apps.get(app) else { return Vec::new() };
        let tokens = sessions.users.get(id).into_iter().flat_map(|user| &user.tokens);
        tokens.filter_map(|token| sessions.by_token.get(token)?.record.clone().at(now)).collect()
    }

    pub fn sweep(&self, now: i64) -> u64 {
        self.lock().sweep(now)
    }

    /// The bytes that all sessions take.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Fails with [`StoreError::Full`] if no session without data could be created.
    pub fn ready(&self) -> Result<(), StoreError> {
        if self.lock().make_room(OVERHEAD, self.max_bytes, self.now()) { Ok(()) } else { Err(StoreError::Full) }
    }
}
