//! Ending and changing sessions, so that no worker serves what was known of them before.

use std::rc::Rc;

use super::{Desk, Note, Settled, Wanted, trip};
use crate::cache::board::Board;
use crate::cache::ends::Stamp;
use crate::cache::flights::{Errand, Flight, Order};
use crate::cache::trip::{Trip, Who};
use crate::http::headers::Headers;
use crate::policy::session_change::Change;
use crate::rest_sessions::backend::{Backend, SessionKey};
use crate::rest_sessions::body;
use crate::rest_sessions::request;
use crate::session::lookup::{Failure, Lookup};
use crate::telemetry::Counter;

/// How many sessions may wait to be ended. Only while rest-sessions is away are there any.
const MOST_CONDEMNED: usize = 1_024;

impl<B: Board> Desk<B> {
    /// A request wants a session to end, or to change. Nobody is served from what was known of it, from now on and
    /// whatever becomes of the call; [`Self::departed`] or [`Self::done`] follows.
    pub fn order(
        &mut self,
        wanted: Wanted<'_>,
        change: Change,
        who: Who,
        request: &Headers,
        now_ms: u64,
        note: &dyn Fn(Note<'_>),
    ) -> Result<Box<Errand>, Failure> {
        let Wanted { rule, token } = wanted;
        let Backend { service, namespace, .. } = &*rule.backend;
        let key = SessionKey { namespace: namespace.id, token };
        let hash = self.ends.hash(namespace, &key.token);
        let held = match &mut self.answers {
            Some(answers) => answers.let_go(&self.ends, &key, hash, now_ms),
            None => false,
        };
        let (call, order) = match change {
            Change::Kill => {
                if held && let Some(answers) = &self.answers {
                    answers.tell(&mut self.ends, hash, &namespace.key_bytes(&key.token), note);
                }
                (request::kill(service, &namespace.app, &key.token, request), Order::Kill { told: held })
            }
            Change::Set(body) => {
                let told = self.ends.publish(hash).and_then(|()| self.ends.stamp(hash, self.ends.epoch()?));
                (request::set(service, &namespace.app, &key.token, body, request), Order::Set { stamp: told.ok() })
            }
        };
        let permit = self.gates.permit(&rule.backend, now_ms).inspect_err(|failure| {
            note(Note::Failed { failure: *failure, cluster: &service.cluster });
        })?;
        note(Note::Count(Counter::Calls));
        let trip = trip(rule, key, hash, permit, call, now_ms);
        Ok(Box::new(Errand { trip, who: Some(who), order }))
    }

    /// The call that ends or changes a session is over: whether there was one.
    pub fn done(
        &mut self,
        errand: &Errand,
        answer: Result<&[u8], Failure>,
        now_ms: u64,
        note: &dyn Fn(Note<'_>),
    ) -> Result<bool, Failure> {
        let trip = &errand.trip;
        match errand.order {
            Order::Kill { told } => {
                let outcome = answer.and_then(body::killed);
                self.over(trip, outcome, now_ms, note);
                self.killed(trip, told, outcome, note);
                outcome
            }
            Order::Set { stamp } => {
                let lookup = answer.map_or_else(Lookup::Failed, body::lookup);
                let outcome = match lookup {
                    Lookup::Active(_) => Ok(true),
                    Lookup::None => Ok(false),
                    Lookup::Failed(failure) => Err(failure),
                };
                self.over(trip, outcome, now_ms, note);
                self.changed(trip, stamp, &lookup, answer.unwrap_or_default(), now_ms, note);
                outcome
            }
        }
    }

    fn over(&mut self, trip: &Trip, outcome: Result<bool, Failure>, now_ms: u64, note: &dyn Fn(Note<'_>)) {
        self.gates.report(&trip.backend, trip.permit, outcome.err(), now_ms);
        if let Err(failure) = outcome {
            note(Note::Failed { failure, cluster: &trip.backend.service.cluster });
        }
    }

    fn killed(&mut self, trip: &Trip, told: bool, outcome: Result<bool, Failure>, note: &dyn Fn(Note<'_>)) {
        if outcome.is_ok() {
            self.condemned.retain(|key| *key != trip.key);
        }
        // Once more, since lookups that began meanwhile may have found it still; and where nobody can say whether it is
        // gone, since it may be.
        if outcome != Ok(false) {
            let _ = self.ends.publish(trip.hash);
            if !told && outcome == Ok(true) {
                note(Note::Count(Counter::Ends));
            }
        }
    }

    fn changed(
        &mut self,
        trip: &Trip,
        stamp: Option<Stamp>,
        lookup: &Lookup,
        body: &[u8],
        now_ms: u64,
        note: &dyn Fn(Note<'_>),
    ) {
        // Once more, since lookups that began meanwhile may have found it unchanged; and where nobody can say whether it
        // has changed, since it may have.
        let stamp = match stamp {
            Some(stamp) => self.ends.publish_answered(trip.hash, stamp),
            None => {
                let _ = self.ends.publish(trip.hash);
                None
            }
        };
        if let Lookup::Active(_) = lookup {
            note(Note::Count(Counter::Ends));
        }
        match (lookup, &mut self.answers) {
            (Lookup::Active(session), Some(answers)) => {
                if let Some(stamp) = stamp
                    && !self.limits.exceeded_by(session, &trip.key.token, now_ms)
                {
                    answers.keep_session(&self.ends, trip, session, body, stamp, now_ms, note);
                }
            }
            (Lookup::None, Some(answers)) => {
                answers.learn_none(&mut self.ends, trip, stamp.is_some(), now_ms, note);
            }
            _ => {}
        }
    }

    /// There is a session, and nobody may use it any more: it counts as none, and is ended, unless all who asked only
    /// look on.
    pub(super) fn beyond_limits(&mut self, flight: Flight, now_ms: u64, note: &dyn Fn(Note<'_>)) -> Settled {
        let told = flight.waiters.iter().map(|waiter| (*waiter, Lookup::None)).collect();
        if flight.waiters.iter().all(|waiter| waiter.shadow) {
            return Settled { told, ..Settled::default() };
        }
        match &mut self.answers {
            Some(answers) => answers.tell(&mut self.ends, flight.trip.hash, &flight.trip.key_bytes(), note),
            None => {
                let _ = self.ends.publish(flight.trip.hash);
                note(Note::Count(Counter::Ends));
            }
        }
        // Until it is known to be gone.
        if self.condemned.len() < MOST_CONDEMNED && !self.condemned.contains(&flight.trip.key) {
            self.condemned.push(flight.trip.key.clone());
        }
        let permit = self.gates.permit(&flight.trip.backend, now_ms);
        let end = permit.ok().map(|permit| {
            note(Note::Count(Counter::Calls));
            let trip = flight.trip;
            let call =
                request::kill(&trip.backend.service, &trip.backend.namespace.app, &trip.key.token, &Headers::default());
            let ends_ms = now_ms.saturating_add(trip.backend.service.timeout_ms);
            let trip = Trip { permit, call: Rc::new(call), started_ms: now_ms, ends_ms, ..trip };
            Box::new(Errand { trip, who: None, order: Order::Kill { told: true } })
        });
        Settled { told, end, ..Settled::default() }
    }
}
