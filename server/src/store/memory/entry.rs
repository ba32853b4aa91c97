//! A session and its user in memory, and the bytes that they take.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use super::text::Text;
use crate::params::App;
use crate::session::{BURST_SECONDS, Record, Session};

/// A user with sessions, which share it. Users are equal if their app and id are.
pub struct User {
    app: Box<str>,
    id: Box<str>,
    last_use: AtomicI64,
}

/// A session. The token is its key in the table. It slides: only the library of the original, over Redis, creates
/// sessions that do not.
#[derive(Clone)]
pub struct Entry {
    pub user: Arc<User>,
    pub ip: Arc<str>,
    pub reads: i64,
    pub writes: i64,
    pub ttl: i64,
    pub last_activity: i64,
    /// The last use. `last_activity` may be older by [`BURST_SECONDS`].
    pub last_use: i64,
    /// `d`; `None` if it has no keys.
    pub data: Option<Text>,
}

impl User {
    pub fn new(app: &App, id: &str, now: i64) -> Self {
        Self { app: app.as_str().into(), id: id.into(), last_use: AtomicI64::new(now) }
    }

    pub fn last_use(&self) -> i64 {
        self.last_use.load(Relaxed)
    }

    pub fn touch(&self, now: i64) {
        self.last_use.store(now, Relaxed);
    }

    pub fn size(&self) -> usize {
        arc_block(size_of::<Self>()).saturating_add(block(self.app.len())).saturating_add(block(self.id.len()))
    }

    fn name(&self) -> (&str, &str) {
        (&self.app, &self.id)
    }
}

impl Ord for User {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(&other.name())
    }
}

impl PartialOrd for User {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for User {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for User {}

impl Entry {
    pub fn belongs_to(&self, app: &App) -> bool {
        *self.user.app == *app.as_str()
    }

    /// Whether a caller can use the session.
    pub fn is_live(&self, now: i64) -> bool {
        now.saturating_sub(self.last_activity) <= self.ttl
    }

    /// Whether a sweep removes the session.
    pub fn has_expired(&self, now: i64) -> bool {
        self.last_use.saturating_add(self.ttl) < now
    }

    /// Whether `d` is this very text.
    pub fn holds(&self, expected: Option<&Text>) -> bool {
        match (&self.data, expected) {
            (Some(found), Some(expected)) => found.is(expected),
            (found, expected) => found.is_none() && expected.is_none(),
        }
    }

    pub fn touch(&mut self, now: i64) {
        self.last_use = now;
        if now.saturating_sub(self.last_activity) > BURST_SECONDS {
            self.last_activity = now;
        }
        self.user.touch(now);
    }

    /// The view at `now`; `None` if the session has expired.
    pub fn view(&self, now: i64) -> Option<Session> {
        // The text has been a `RawValue` before, so it is one again.
        let data = self.data.as_ref().and_then(|text| text.to_raw().ok());
        let record = Record {
            id: self.user.id.clone().into(),
            reads: self.reads,
            writes: self.writes,
            ttl: self.ttl,
            last_activity: self.last_activity,
            ip: (*self.ip).to_owned(),
            no_resave: false,
            data,
        };
        record.at(now)
    }

    /// The bytes of the session without those of its user and its places in the tables.
    pub fn size(&self) -> usize {
        let data = self.data.as_ref().map_or(0, Text::size);
        arc_block(size_of::<Self>()).saturating_add(arc_block(self.ip.len())).saturating_add(data)
    }
}

/// The bytes of an `Arc` of a value of `length` bytes: two counts stand before the value.
pub fn arc_block(length: usize) -> usize {
    block(length.saturating_add(2 * size_of::<usize>()))
}

/// The bytes that the allocator takes for `length` bytes: 8 bytes of its own, a multiple of 16 in all, 32 at least.
pub fn block(length: usize) -> usize {
    length.saturating_add(8).next_multiple_of(16).max(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_a_header_and_is_a_multiple_of_16() {
        for (length, taken) in [(0, 32), (1, 32), (24, 32), (25, 48), (40, 48), (41, 64), (1000, 1008), (1001, 1024)] {
            assert_eq!(block(length), taken, "{length}");
        }
    }

    #[test]
    fn users_of_two_apps_differ() {
        let user = |app, id| User::new(&App::parse(app).unwrap(), id, 0);
        assert!(user("app1", "u") != user("app2", "u") && user("app1", "u") != user("app1", "v"));
        assert!(user("app1", "z") < user("app2", "a"));
        let used = user("app1", "u");
        used.touch(5);
        assert!(used == user("app1", "u"));
    }
}
