//! The store in memory, bounded in bytes: for development and tests, since it is lost with the process.

mod entry;
mod table;
#[cfg(test)]
mod tests;
mod text;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::entry::{Entry, User};
use self::table::{Found, Page, Renewed, Replaced, Scope, Table};
use self::text::Text;
use super::{Lookup, NewSession, Read, Renewal, StoreError};
use crate::clock::Clock;
use crate::data::{Change, Data};
use crate::params::App;
use crate::session::Session;
use crate::token::Token;

/// Bytes of a session without data, with an id of the usual length.
const TYPICAL_SESSION: usize = 512;

/// Sessions in the memory of this process.
///
/// The lock is held for one session or one page at a time. Sessions are merged, listed, sorted and freed without it.
pub struct MemoryStore {
    max_session_bytes: usize,
    clock: Clock,
    table: Mutex<Table>,
    /// The second of the last sweep that made room. Locked while one runs.
    last_sweep: tokio::sync::Mutex<i64>,
}

impl MemoryStore {
    /// `max_bytes` bounds what all sessions take, `max_session_bytes` the `d` of one.
    pub fn new(max_bytes: usize, max_session_bytes: usize, clock: Clock) -> Self {
        let table = Mutex::new(Table::new(max_bytes));
        Self { max_session_bytes, clock, table, last_sweep: tokio::sync::Mutex::default() }
    }

    /// The table of a poisoned lock is used as it is: no code under the lock panics halfway through a change.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> i64 {
        self.clock.seconds()
    }

    pub async fn create(&self, app: &App, new: NewSession) -> Result<Token, StoreError> {
        let now = self.now();
        let token = Token::generate(self.clock.millis()).map_err(|_| StoreError::NoRandomness)?;
        let entry = Entry {
            user: Arc::new(User::new(app, &new.id, now)),
            ip: new.ip.into(),
            reads: 1,
            writes: 1,
            ttl: new.ttl,
            last_activity: now,
            last_use: now,
            data: new.data.to_bounded_text(self.max_session_bytes)?.map(Text::new),
        };
        let key = Arc::from(token.as_str());
        self.with_room(|table| table.insert(&key, &entry)).await?;
        Ok(token)
    }

    pub fn get(&self, app: &App, token: &Token, read: Read) -> Lookup {
        let now = self.now();
        let mut table = self.lock();
        let Some(entry) = table.live(app, token, now) else { return Lookup::Missing };
        if read.max_idle.is_some_and(|limit| now.saturating_sub(entry.last_use) > limit) {
            let ended = table.remove(token.as_str());
            drop(table);
            drop(ended);
            return Lookup::Ended;
        }
        let before = Entry::clone(entry);
        if read.touch {
            table.count_read(token, now);
        }
        drop(table);
        before.view(now).map_or(Lookup::Missing, |session| Lookup::Active { session, untouched: None })
    }

    /// Merges without the lock, and starts again if another set came first.
    pub async fn set(&self, app: &App, token: &Token, change: &Change) -> Result<Option<Session>, StoreError> {
        let now = self.now();
        loop {
            let Some(before) = self.lock().live(app, token, now).map(|entry| entry.data.clone()) else {
                return Ok(None);
            };
            let data = self.merged(before.as_ref(), Some(change))?;
            let replace = |table: &mut Table| table.replace(app, token, now, before.as_ref(), data.as_ref());
            match self.with_room(replace).await? {
                Replaced::Done(changed) => return Ok(changed.view(now)),
                Replaced::Missing => return Ok(None),
                Replaced::Conflict => {}
            }
        }
    }

    /// Merges as [`Self::set`] does.
    pub async fn renew(
        &self,
        app: &App,
        token: &Token,
        change: Option<&Change>,
        others: bool,
    ) -> Result<Renewal, StoreError> {
        let now = self.now();
        let Some(user) = self.lock().live(app, token, now).map(|entry| Arc::clone(&entry.user)) else {
            return Ok(Renewal::default());
        };
        // Another renewal that comes first makes another session of the user, which is not to be ended.
        let is_there = |table: &Table| others && table.live(app, token, now).is_some();
        let is_other = |(other, _): &Found| **other != *token.as_str();
        let others = self.remove_while(is_there, &Scope::User(user), is_other).await;
        let new = Token::generate(self.clock.millis()).map_err(|_| StoreError::NoRandomness)?;
        let key = Arc::from(new.as_str());
        loop {
            let Some(before) = self.lock().live(app, token, now).map(|entry| entry.data.clone()) else {
                return Ok(Renewal { token: None, others });
            };
            let data = self.merged(before.as_ref(), change)?;
            let renew = |table: &mut Table| table.renew(app, token, now, before.as_ref(), data.as_ref(), &key);
            match self.with_room(renew).await? {
                Renewed::Done(ended) => {
                    drop(ended);
                    return Ok(Renewal { token: Some(new), others });
                }
                Renewed::Missing => return Ok(Renewal { token: None, others }),
                Renewed::Conflict => {}
            }
        }
    }

    /// `d` after a change.
    fn merged(&self, before: Option<&Text>, change: Option<&Change>) -> Result<Option<Text>, StoreError> {
        let text = before.map(Text::to_raw).transpose().map_err(|_| StoreError::Corrupt)?;
        let mut data = Data::from_text(text.as_deref()).map_err(|_| StoreError::Corrupt)?;
        if let Some(change) = change {
            data.apply(change);
        }
        // A session that is too large already may become smaller step by step.
        let longest = self.max_session_bytes.max(text.as_ref().map_or(0, |text| text.get().len()));
        Ok(data.to_bounded_text(longest)?.map(Text::new))
    }

    pub fn kill(&self, app: &App, token: &Token) -> u64 {
        let now = self.now();
        let mut table = self.lock();
        if table.live(app, token, now).is_none() {
            return 0;
        }
        let ended = table.remove(token.as_str());
        drop(table);
        u64::from(ended.is_some())
    }

    pub async fn kill_user(&self, app: &App, id: &str) -> u64 {
        self.remove(&self.user(app, id), |_| true).await
    }

    pub async fn kill_all(&self, app: &App) -> u64 {
        self.remove(&Scope::All, |(_, entry)| entry.belongs_to(app)).await
    }

    pub async fn active_users(&self, app: &App, dt: i64) -> u64 {
        let since = self.now().saturating_sub(dt);
        #[expect(clippy::mutable_key_type, reason = "the order depends on app and id, which do not change")]
        let mut users = BTreeSet::new();
        let is_active = |(_, entry): &Found| entry.belongs_to(app) && entry.user.last_use() >= since;
        self.visit(&Scope::All, is_active, |found| {
            users.extend(found.into_iter().map(|(_, entry)| Arc::clone(&entry.user)));
        })
        .await;
        u64::try_from(users.len()).unwrap_or(u64::MAX)
    }

    pub async fn app_sessions(&self, app: &App, dt: i64) -> Vec<Session> {
        let now = self.now();
        let since = now.saturating_sub(dt);
        let mut sessions = Vec::new();
        let was_used = |(_, entry): &Found| entry.belongs_to(app) && entry.last_use >= since;
        self.visit(&Scope::All, was_used, |found| {
            sessions
                .extend(found.into_iter().filter_map(|(token, entry)| Some((entry.last_use, token, entry.view(now)?))));
        })
        .await;
        sessions.sort_unstable_by(|(a_use, a, _), (b_use, b, _)| Reverse((a_use, a)).cmp(&Reverse((b_use, b))));
        sessions.into_iter().map(|(_, _, session)| session).collect()
    }

    pub async fn user_sessions(&self, app: &App, id: &str) -> Vec<Session> {
        let now = self.now();
        let mut sessions = Vec::new();
        self.visit(
            &self.user(app, id),
            |_| true,
            |found| {
                sessions.extend(found.into_iter().filter_map(|(_, entry)| entry.view(now)));
            },
        )
        .await;
        sessions
    }

    pub async fn sweep(&self, now: i64) -> u64 {
        self.remove(&Scope::All, |(_, entry)| entry.has_expired(now)).await
    }

    /// The bytes that all sessions take.
    pub fn bytes(&self) -> usize {
        self.lock().bytes()
    }

    /// Fails with [`StoreError::Full`] if no session without data could be created.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.with_room(|table| table.fits(TYPICAL_SESSION)).await
    }

    fn user(&self, app: &App, id: &str) -> Scope {
        Scope::User(Arc::new(User::new(app, id, self.now())))
    }

    /// Repeats what found the store full, once, after a sweep. There is one sweep a second at most; who comes while it
    /// runs waits for it.
    async fn with_room<T>(&self, attempt: impl Fn(&mut Table) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let first = attempt(&mut self.lock());
        if !matches!(first, Err(StoreError::Full)) {
            return first;
        }
        let now = self.now();
        let mut last_sweep = self.last_sweep.lock().await;
        if *last_sweep != now {
            *last_sweep = now;
            self.sweep(now).await;
        }
        drop(last_sweep);
        attempt(&mut self.lock())
    }

    /// Passes the sessions that match to `see`, a page at a time, without the lock.
    async fn visit(&self, scope: &Scope, matches: impl Fn(&Found) -> bool, see: impl FnMut(Vec<Found>)) {
        self.in_pages(|table, after| table.page(scope, after, &matches), see).await;
    }

    /// Ends the sessions that match and returns their number.
    async fn remove(&self, scope: &Scope, matches: impl Fn(&Found) -> bool) -> u64 {
        self.remove_while(|_| true, scope, matches).await
    }

    /// As [`Self::remove`], until `goes_on` does not hold, which is looked at with each page.
    async fn remove_while(
        &self,
        goes_on: impl Fn(&Table) -> bool,
        scope: &Scope,
        matches: impl Fn(&Found) -> bool,
    ) -> u64 {
        let mut removed = 0usize;
        let remove_page = |table: &mut Table, after| {
            if !goes_on(table) {
                return Page { found: Vec::new(), last: None };
            }
            let page = table.page(scope, after, &matches);
            for (token, _) in &page.found {
                table.remove(token);
            }
            page
        };
        // The page keeps the sessions, so that they are freed without the lock.
        self.in_pages(remove_page, |found| removed = removed.saturating_add(found.len())).await;
        u64::try_from(removed).unwrap_or(u64::MAX)
    }

    /// Holds the lock for one page at a time, and lets other tasks of the thread run between two pages.
    async fn in_pages(&self, page: impl Fn(&mut Table, Option<Arc<str>>) -> Page, mut see: impl FnMut(Vec<Found>)) {
        let mut after = None;
        loop {
            let Page { found, last } = page(&mut self.lock(), after);
            see(found);
            after = last;
            if after.is_none() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}
