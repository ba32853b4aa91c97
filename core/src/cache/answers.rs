//! The answers that a worker keeps, and those that it shares with the others.

use std::rc::Rc;

use super::board::Board;
use super::desk::Note;
use super::ends::{Ends, Hash, Stamp, update};
use super::lifetime::Lifetime;
use super::page::{MAX_SHARED, Page, SharedAnswer};
use super::settings::Settings;
use super::store::{Class, Item, Store};
use super::trip::Trip;
use crate::policy::limits::Limits;
use crate::rest_sessions::backend::{Namespace, SessionKey};
use crate::rest_sessions::body;
use crate::session::lookup::Lookup;
use crate::session::session::Session;
use crate::session::token::Token;
use crate::telemetry::Counter;

/// An answer that is kept.
enum Kept {
    Session(Copy),
    None { asked_ms: u64, until_ms: u64 },
}

/// A session as it was when it was asked for.
struct Copy {
    session: Rc<Session>,
    asked_ms: u64,
    life: Lifetime,
    stamp: Stamp,
}

/// Whether an answer is no older than `oldest_ms`, and not of a time that a clock which was set back has yet to reach.
fn young(asked_ms: u64, oldest_ms: u64, now_ms: u64) -> bool {
    now_ms.checked_sub(asked_ms).is_some_and(|age| age <= oldest_ms)
}

pub struct Answers {
    settings: Settings,
    limits: Limits,
    store: Store<SessionKey, Kept>,
}

impl Answers {
    #[must_use]
    pub fn new(settings: Settings, limits: Limits) -> Self {
        Self { store: Store::new(settings.max_bytes), settings, limits }
    }

    /// Bytes and entries.
    #[must_use]
    pub fn kept(&self) -> (usize, usize) {
        (self.store.bytes(), self.store.len())
    }

    /// An answer that may serve now, and no older than `oldest_ms`: this worker's, or one that another has shared.
    #[expect(clippy::too_many_arguments, reason = "a question, and all that decides whether an answer may serve")]
    pub fn fresh<B: Board>(
        &mut self,
        ends: &Ends<B>,
        key: &SessionKey,
        hash: Hash,
        namespace: &Namespace,
        oldest_ms: u64,
        now_ms: u64,
        epoch: u64,
        note: &dyn Fn(Note<'_>),
    ) -> Option<Lookup> {
        // Who takes nothing that is older than now asks every time, also twice in one millisecond.
        if oldest_ms == 0 {
            return None;
        }
        match self.store.get(hash.0, key) {
            Some(Kept::Session(copy)) => {
                if !ends.holds(&mut copy.stamp, hash, epoch) {
                    self.store.remove(hash.0, key);
                } else if now_ms < copy.life.fresh_until_ms && young(copy.asked_ms, oldest_ms, now_ms) {
                    note(Note::Count(Counter::CacheHits));
                    return Some(Lookup::Active(Rc::clone(&copy.session)));
                }
            }
            Some(Kept::None { asked_ms, until_ms }) if now_ms < *until_ms && young(*asked_ms, oldest_ms, now_ms) => {
                note(Note::Count(Counter::CacheNegativeHits));
                return Some(Lookup::None);
            }
            Some(Kept::None { .. }) | None => {}
        }
        let session = self.shared(ends, key, hash, namespace, oldest_ms, now_ms, epoch, note)?;
        note(Note::Count(Counter::CacheSharedHits));
        Some(Lookup::Active(session))
    }

    /// What another worker has shared; kept here from now on.
    #[expect(clippy::too_many_arguments, reason = "as for `fresh`")]
    fn shared<B: Board>(
        &mut self,
        ends: &Ends<B>,
        key: &SessionKey,
        hash: Hash,
        namespace: &Namespace,
        oldest_ms: u64,
        now_ms: u64,
        epoch: u64,
        note: &dyn Fn(Note<'_>),
    ) -> Option<Rc<Session>> {
        if !self.settings.shared {
            return None;
        }
        let (page, _) = ends.board().read(hash.page()).ok()?;
        let shared = Page::read(&page).answer.filter(|answer| answer.key == namespace.key_bytes(&key.token))?;
        let stamp = ends.stamp(hash, epoch).ok().filter(|stamp| stamp.mark() == shared.mark)?;
        let Lookup::Active(session) = body::lookup(&shared.body) else { return None };
        // A configuration that came later may keep answers for longer or shorter than the one that shared it.
        let life = self
            .life(&session, key, shared.asked_ms)
            .within(Lifetime { fresh_until_ms: shared.fresh_until_ms, stale_until_ms: shared.stale_until_ms });
        if now_ms >= life.fresh_until_ms || !young(shared.asked_ms, oldest_ms, now_ms) {
            return None;
        }
        let copy = Copy { session: Rc::clone(&session), asked_ms: shared.asked_ms, life, stamp };
        self.put(key, hash, Kept::Session(copy), now_ms, note);
        Some(session)
    }

    /// An answer past its time that may serve in an outage.
    pub fn stale<B: Board>(
        &mut self,
        ends: &Ends<B>,
        key: &SessionKey,
        hash: Hash,
        oldest_ms: u64,
        now_ms: u64,
        epoch: u64,
    ) -> Option<Rc<Session>> {
        let Some(Kept::Session(copy)) = self.store.get(hash.0, key) else { return None };
        let serves = oldest_ms > 0
            && now_ms < copy.life.stale_until_ms
            && young(copy.asked_ms, oldest_ms, now_ms)
            && ends.holds(&mut copy.stamp, hash, epoch);
        serves.then(|| Rc::clone(&copy.session))
    }

    /// An answer has come, of a session that has not ended since it was asked for.
    #[expect(clippy::too_many_arguments, reason = "an answer, and all that goes into a shared slot with it")]
    pub fn keep_session<B: Board>(
        &mut self,
        ends: &Ends<B>,
        trip: &Trip,
        session: &Rc<Session>,
        body: &[u8],
        stamp: Stamp,
        now_ms: u64,
        note: &dyn Fn(Note<'_>),
    ) {
        let life = self.life(session, &trip.key, trip.started_ms);
        if life.stale_until_ms <= now_ms {
            self.store.remove(trip.hash.0, &trip.key);
            return;
        }
        // Recorded before it is kept: whoever learns that the session has ended must know that somebody may hold it.
        // Without a record it is not kept at all.
        let recorded = update(ends.board(), trip.hash.page(), |page| {
            let mut page = Page::read(page);
            page.record(trip.hash.0, life.stale_until_ms, now_ms);
            if self.settings.shared && body.len() <= MAX_SHARED {
                page.answer = Some(SharedAnswer {
                    key: trip.key_bytes(),
                    mark: stamp.mark(),
                    asked_ms: trip.started_ms,
                    fresh_until_ms: life.fresh_until_ms,
                    stale_until_ms: life.stale_until_ms,
                    body: body.to_vec(),
                });
            }
            (Some(page.written()), ())
        });
        if recorded.is_ok() {
            let copy = Copy { session: Rc::clone(session), asked_ms: trip.started_ms, life, stamp };
            self.put(&trip.key, trip.hash, Kept::Session(copy), now_ms, note);
        }
    }

    /// There is no such session. If any worker may hold it, it has ended, and all are told.
    pub fn learn_none<B: Board>(
        &mut self,
        ends: &mut Ends<B>,
        trip: &Trip,
        may_be_kept: bool,
        now_ms: u64,
        note: &dyn Fn(Note<'_>),
    ) {
        let (key, hash) = (&trip.key, trip.hash);
        if self.let_go(ends, key, hash, now_ms) {
            self.tell(ends, hash, &trip.key_bytes(), note);
        }
        let until_ms = trip.started_ms.saturating_add(self.settings.negative_ttl_ms);
        if may_be_kept && now_ms < until_ms {
            self.put(key, hash, Kept::None { asked_ms: trip.started_ms, until_ms }, now_ms, note);
        }
    }

    /// Forgets what is known here of a session that is about to end, or has ended; says whether any worker may hold it.
    pub fn let_go<B: Board>(&mut self, ends: &Ends<B>, key: &SessionKey, hash: Hash, now_ms: u64) -> bool {
        let was_kept = match (self.store.remove(hash.0, key), ends.epoch()) {
            (Some(Kept::Session(mut copy)), Ok(epoch)) => ends.holds(&mut copy.stamp, hash, epoch),
            (Some(Kept::Session(_)), Err(_)) => true,
            (Some(Kept::None { .. }) | None, _) => false,
        };
        let page = ends.board().read(hash.page());
        was_kept || page.map_or(true, |(page, _)| Page::read(&page).may_be_held(hash.0, now_ms))
    }

    /// Tells all workers that a session has ended.
    pub fn tell<B: Board>(&self, ends: &mut Ends<B>, hash: Hash, full: &[u8], note: &dyn Fn(Note<'_>)) {
        // The page is cleared only after all were told; who keeps an answer in between has an old mark on it.
        if ends.publish(hash).is_ok() {
            let _ = update(ends.board(), hash.page(), |page| {
                let mut page = Page::read(page);
                page.forget(hash.0, full);
                (Some(page.written()), ())
            });
        }
        note(Note::Count(Counter::Ends));
    }

    fn life(&self, session: &Session, key: &SessionKey, asked_ms: u64) -> Lifetime {
        let end_ms = self.limits.expires_at_ms(&key.token).unwrap_or(u64::MAX);
        Lifetime::of(session, asked_ms, &self.settings)
            .within(Lifetime { fresh_until_ms: end_ms, stale_until_ms: end_ms })
    }

    fn put(&mut self, key: &SessionKey, hash: Hash, value: Kept, now_ms: u64, note: &dyn Fn(Note<'_>)) {
        let (class, bytes, useful_until_ms) = match &value {
            Kept::Session(copy) => (Class::Session, copy.session.bytes(), copy.life.stale_until_ms),
            Kept::None { until_ms, .. } => (Class::Unknown, 0, *until_ms),
        };
        let item = Item { value, class, heap_bytes: bytes.saturating_add(Token::HEAP_BYTES), useful_until_ms };
        for _ in 0..self.store.put(hash.0, key.clone(), item, now_ms) {
            note(Note::Count(Counter::CacheEvictions));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::board::OwnBoard;
    use super::*;
    use crate::rest_sessions::backend::NamespaceId;
    use crate::session::session::Parts;
    use crate::session::token::tests::{NOW_MS, token_made_at};

    #[test]
    fn what_is_kept_is_counted_with_its_token_and_its_session() {
        let settings =
            Settings { ttl_ms: 1_000, negative_ttl_ms: 1_000, stale_if_error_ms: 0, max_bytes: 1 << 20, shared: false };
        let mut answers = Answers::new(settings, Limits::default());
        let mut grows_by = |age_ms, value| {
            let token = Token::parse(token_made_at(NOW_MS - age_ms).as_bytes(), &|| NOW_MS).unwrap();
            let (before, _) = answers.kept();
            answers.put(&SessionKey { namespace: NamespaceId(0), token }, Hash(age_ms), value, NOW_MS, &|_| {});
            answers.kept().0 - before
        };
        let each = Store::<SessionKey, Kept>::ENTRY_BYTES + Token::HEAP_BYTES;
        assert_eq!(grows_by(1, Kept::None { asked_ms: NOW_MS, until_ms: NOW_MS + 1 }), each);
        let session: Rc<Session> = Parts { id: "user123".into(), ttl: "7200", ..Parts::default() }.into();
        let life = Lifetime { fresh_until_ms: NOW_MS + 1, stale_until_ms: NOW_MS + 1 };
        let ends = Ends::new(OwnBoard::default(), [1, 2, 3, 4]).unwrap();
        let stamp = ends.stamp(Hash(2), ends.epoch().unwrap()).unwrap();
        let bytes = session.bytes();
        let copy = Copy { session, asked_ms: NOW_MS, life, stamp };
        assert_eq!(grows_by(2, Kept::Session(copy)), each + bytes);
    }
}
