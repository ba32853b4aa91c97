//! The sessions in two ordered trees, and the bytes that all of them take.
//!
//! The store holds a lock while it calls a function of this module. So each does a bounded amount of work: it changes
//! one session, or visits one page. Trees, unlike hash maps, never move all their content at once, and take the same
//! bytes for a session however many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::entry::{Entry, User, arc_block};
use super::text::Text;
use crate::params::App;
use crate::store::StoreError;
use crate::token::Token;

/// How many sessions are visited under one hold of the lock.
pub const PAGE: usize = 256;

/// Bytes of the nodes of the trees for one session, at the share of a node that is in use on average.
const PLACES: usize = 85;

/// Bytes of a table without sessions: the nodes that the first sessions leave mostly unused.
const EMPTY: usize = 2048;

pub struct Table {
    by_token: BTreeMap<Arc<str>, Arc<Entry>>,
    by_user: BTreeSet<(Arc<User>, Arc<str>)>,
    bytes: usize,
    max_bytes: usize,
}

/// A session with its token.
pub type Found = (Arc<str>, Arc<Entry>);

/// The sessions that a visit is about.
pub enum Scope {
    All,
    User(Arc<User>),
}

/// What one step of a visit found, at most [`PAGE`] sessions.
pub struct Page {
    pub found: Vec<Found>,
    /// The last token that was looked at; `None` if it was the last of all.
    pub last: Option<Arc<str>>,
}

/// What became of a change of `d`.
pub enum Replaced {
    /// The session before this use, with the new `d`.
    Done(Entry),
    /// `d` has another text than the change is based on.
    Conflict,
    Missing,
}

/// What became of a renewal.
pub enum Renewed {
    /// The session that ended. The caller drops it after it has released the lock.
    Done(Option<Found>),
    /// `d` has another text than the change is based on.
    Conflict,
    Missing,
}

impl Table {
    pub fn new(max_bytes: usize) -> Self {
        Self { by_token: BTreeMap::new(), by_user: BTreeSet::new(), bytes: EMPTY, max_bytes }
    }

    /// The bytes that all sessions take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Fails with [`StoreError::Full`] if `needed` more bytes do not fit.
    pub fn fits(&self, needed: usize) -> Result<(), StoreError> {
        if self.bytes.saturating_add(needed) <= self.max_bytes { Ok(()) } else { Err(StoreError::Full) }
    }

    /// Adds a session. It gets the user of the sessions that have an equal one.
    pub fn insert(&mut self, token: &Arc<str>, entry: &Entry) -> Result<(), StoreError> {
        let known = self.tokens_of(&entry.user, Bound::Unbounded).next().map(|(user, _)| Arc::clone(user));
        let new_user = if known.is_none() { entry.user.size() } else { 0 };
        let size = size_of(token, entry).saturating_add(new_user);
        self.fits(size)?;
        self.bytes = self.bytes.saturating_add(size);
        let user = known.unwrap_or_else(|| Arc::clone(&entry.user));
        user.touch(entry.last_use);
        self.by_user.insert((Arc::clone(&user), Arc::clone(token)));
        self.by_token.insert(Arc::clone(token), Arc::new(Entry { user, ..entry.clone() }));
        Ok(())
    }

    /// Finds a session that a caller can use.
    pub fn live(&self, app: &App, token: &Token, now: i64) -> Option<&Arc<Entry>> {
        self.by_token.get(token.as_str()).filter(|entry| entry.belongs_to(app) && entry.is_live(now))
    }

    /// Counts a read of a session that [`Table::live`] has found.
    pub fn count_read(&mut self, token: &Token, now: i64) {
        if let Some(entry) = self.by_token.get_mut(token.as_str()) {
            let entry = Arc::make_mut(entry);
            entry.reads = entry.reads.saturating_add(1);
            entry.touch(now);
        }
    }

    /// Replaces `d`, if it still is `expected`, and counts a write.
    pub fn replace(
        &mut self,
        app: &App,
        token: &Token,
        now: i64,
        expected: Option<&Text>,
        data: Option<&Text>,
    ) -> Result<Replaced, StoreError> {
        let Some(entry) = self.live(app, token, now) else { return Ok(Replaced::Missing) };
        if !entry.holds(expected) {
            return Ok(Replaced::Conflict);
        }
        let writes = entry.writes.saturating_add(1);
        let changed = Entry { writes, data: data.cloned(), ..Entry::clone(entry) };
        let (before, after) = (entry.size(), changed.size());
        if after > before {
            self.fits(after.saturating_sub(before))?;
        }
        self.bytes = self.bytes.saturating_add(after).saturating_sub(before);
        if let Some(entry) = self.by_token.get_mut(token.as_str()) {
            let entry = Arc::make_mut(entry);
            entry.clone_from(&changed);
            entry.touch(now);
        }
        Ok(Replaced::Done(changed))
    }

    /// Puts a new session with `data` in the place of one, if its `d` still is `expected`.
    pub fn renew(
        &mut self,
        app: &App,
        token: &Token,
        now: i64,
        expected: Option<&Text>,
        data: Option<&Text>,
        new: &Arc<str>,
    ) -> Result<Renewed, StoreError> {
        let Some(entry) = self.live(app, token, now) else { return Ok(Renewed::Missing) };
        if !entry.holds(expected) {
            return Ok(Renewed::Conflict);
        }
        let renewed = Entry {
            reads: 1,
            writes: 1,
            last_activity: now,
            last_use: now,
            data: data.cloned(),
            ..Entry::clone(entry)
        };
        let (before, after) = (entry.size(), renewed.size());
        if after > before {
            self.fits(after.saturating_sub(before))?;
        }
        let ended = self.remove(token.as_str());
        self.insert(new, &renewed)?;
        Ok(Renewed::Done(ended))
    }

    /// Removes a session. The caller drops it after it has released the lock.
    pub fn remove(&mut self, token: &str) -> Option<Found> {
        let (token, entry) = self.by_token.remove_entry(token)?;
        let place = (Arc::clone(&entry.user), token);
        self.by_user.remove(&place);
        let (user, token) = place;
        let last_of_user = self.tokens_of(&user, Bound::Unbounded).next().is_none();
        let user_size = if last_of_user { user.size() } else { 0 };
        self.bytes = self.bytes.saturating_sub(size_of(&token, &entry).saturating_add(user_size));
        Some((token, entry))
    }

    /// Looks at the next [`PAGE`] sessions after a token, and returns those that match.
    pub fn page(&self, scope: &Scope, after: Option<Arc<str>>, matches: impl Fn(&Found) -> bool) -> Page {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut found: Vec<Found> = match scope {
            Scope::All => {
                let next = self.by_token.range((after, Bound::Unbounded)).take(PAGE);
                next.map(|(token, entry)| (Arc::clone(token), Arc::clone(entry))).collect()
            }
            Scope::User(user) => {
                let next = self.tokens_of(user, after).take(PAGE);
                next.filter_map(|(_, token)| Some((Arc::clone(token), Arc::clone(self.by_token.get(token)?)))).collect()
            }
        };
        let last = if found.len() < PAGE { None } else { found.last().map(|(token, _)| Arc::clone(token)) };
        found.retain(matches);
        Page { found, last }
    }

    /// The sessions of a user after a token.
    fn tokens_of(&self, user: &Arc<User>, after: Bound<Arc<str>>) -> impl Iterator<Item = &(Arc<User>, Arc<str>)> {
        let first = match after {
            Bound::Excluded(token) => Bound::Excluded((Arc::clone(user), token)),
            Bound::Included(token) => Bound::Included((Arc::clone(user), token)),
            Bound::Unbounded => Bound::Included((Arc::clone(user), Arc::from(""))),
        };
        self.by_user.range((first, Bound::Unbounded)).take_while(move |(other, _)| other == user)
    }
}

/// The bytes of a session without those of its user.
fn size_of(token: &Arc<str>, entry: &Entry) -> usize {
    PLACES.saturating_add(arc_block(token.len())).saturating_add(entry.size())
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    const NOW: i64 = 1000;

    fn app() -> App {
        App::parse("app1").unwrap()
    }

    fn entry(id: &str, data: usize) -> Entry {
        Entry {
            user: Arc::new(User::new(&app(), id, NOW)),
            ip: "::1".into(),
            reads: 1,
            writes: 1,
            ttl: 10,
            last_activity: NOW,
            last_use: NOW,
            data: text(data),
        }
    }

    fn text(length: usize) -> Option<Text> {
        let text = format!("[{}]", "1".repeat(length));
        (length > 0).then(|| Text::new(RawValue::from_string(text).unwrap()))
    }

    fn add(table: &mut Table, id: &str, data: usize) -> Token {
        let token = Token::generate(1).unwrap();
        table.insert(&token.as_str().into(), &entry(id, data)).unwrap();
        token
    }

    #[test]
    fn what_is_removed_is_no_longer_counted() {
        let mut table = Table::new(usize::MAX);
        let tokens: Vec<_> = (0..50).map(|n| add(&mut table, ["a", "b"][n % 2], n * 100)).collect();
        for (n, token) in tokens.iter().enumerate() {
            let before = table.live(&app(), token, NOW).unwrap().data.clone();
            let after = text(n * 7919 % 3000);
            assert!(matches!(
                table.replace(&app(), token, NOW, before.as_ref(), after.as_ref()),
                Ok(Replaced::Done(_))
            ));
        }
        assert!(table.bytes > EMPTY + 50 * 500);
        for token in &tokens {
            assert!(table.remove(token.as_str()).is_some() && table.remove(token.as_str()).is_none());
        }
        assert_eq!((table.bytes, table.by_token.len(), table.by_user.len()), (EMPTY, 0, 0));
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut table = Table::new(EMPTY + 1000);
        let token = add(&mut table, "a", 0);
        let bytes = table.bytes;
        assert_eq!(table.insert(&"t".into(), &entry("b", 800)), Err(StoreError::Full));
        let larger = text(800);
        assert!(matches!(table.replace(&app(), &token, NOW, None, larger.as_ref()), Err(StoreError::Full)));
        assert_eq!((table.bytes, table.by_token.len(), table.by_user.len()), (bytes, 1, 1));
        assert_eq!(table.live(&app(), &token, NOW).unwrap().writes, 1);
    }

    #[test]
    fn a_change_based_on_another_text_is_a_conflict() {
        let mut table = Table::new(usize::MAX);
        for length in [0, 5, 5000] {
            let token = add(&mut table, "a", length);
            let [equal, new] = [text(length.max(1)), text(7)];
            let mut replace = |expected: Option<&Text>| table.replace(&app(), &token, NOW, expected, new.as_ref());
            assert!(matches!(replace(equal.as_ref()), Ok(Replaced::Conflict)), "{length}");
            assert_eq!(table.live(&app(), &token, NOW).unwrap().writes, 1);
        }
    }

    #[test]
    fn the_sessions_of_a_user_share_it() {
        let mut table = Table::new(usize::MAX);
        let [a, b] = [add(&mut table, "a", 0), add(&mut table, "a", 0)];
        let user = |table: &Table, token: &Token| Arc::clone(&table.live(&app(), token, NOW).unwrap().user);
        table.count_read(&a, NOW + 5);
        assert_eq!(user(&table, &b).last_use(), NOW + 5);
        table.remove(a.as_str());
        assert_eq!(user(&table, &b).last_use(), NOW + 5, "the user was active, whichever session ended");
    }

    #[test]
    fn one_hold_of_the_lock_looks_at_one_page_whether_the_sessions_match_or_not() {
        let mut table = Table::new(usize::MAX);
        for _ in 0..PAGE * 2 {
            add(&mut table, "a", 0);
            add(&mut table, "b", 0);
        }
        let user = Scope::User(Arc::new(User::new(&app(), "b", 0)));
        for (scope, pages, sessions) in [(Scope::All, 4, PAGE * 4), (user, 2, PAGE * 2)] {
            for matching in [true, false] {
                let (mut after, mut visited, mut found) = (None, 0, 0);
                loop {
                    let looked = std::cell::Cell::new(0);
                    let page = table.page(&scope, after, |_| {
                        looked.set(looked.get() + 1);
                        matching
                    });
                    assert!(looked.get() <= PAGE);
                    found += page.found.len();
                    after = page.last;
                    if after.is_none() {
                        break;
                    }
                    visited += 1;
                }
                assert_eq!((visited, found), (pages, if matching { sessions } else { 0 }));
            }
        }
    }
}
