//! Where requests ask for their sessions (an answer that is kept here, one that another worker keeps, a call that is
//! under way, or a call of their own, in this order) and where sessions are ended and changed.

mod errands;

use std::rc::Rc;

use super::answers::Answers;
use super::board::{Board, Unavailable};
use super::ends::{Ends, Hash};
use super::flights::{Airborne, Errand, Flight, Flights, Waiter};
use super::gates::Gates;
use super::settings::Settings;
use super::trip::{CallId, Trip};
use crate::http::headers::Headers;
use crate::policy::limits::Limits;
use crate::policy::rules::Rule;
use crate::rest_sessions::backend::SessionKey;
use crate::rest_sessions::body;
use crate::rest_sessions::breaker::Permit;
use crate::rest_sessions::request::{self, Call};
use crate::rest_sessions::response::Answer;
use crate::session::lookup::{Failure, Lookup, Outage};
use crate::session::token::Token;
use crate::telemetry::Counter;

/// A session that is asked for.
pub struct Wanted<'a> {
    pub rule: &'a Rule,
    pub token: Token,
}

/// What a question leads to.
pub enum Asked {
    Answered(Lookup),
    /// A call that is under way will tell.
    Waiting,
    /// A call is to be made: [`Desk::departed`] or [`Desk::refused`] follows.
    Call(Box<Flight>),
}

/// What the end of a call leads to.
#[derive(Default)]
pub struct Settled {
    pub told: Vec<(Waiter, Lookup)>,
    /// The session may have ended while it was asked for: those who waited ask again, by this call.
    pub again: Option<Box<Flight>>,
    /// The session is beyond a limit, and is to be ended by this call.
    pub end: Option<Box<Errand>>,
}

/// What is to be noted on the way.
pub enum Note<'a> {
    Count(Counter),
    /// A call that could not be made, or gave no answer that could be used.
    Failed {
        failure: Failure,
        cluster: &'a str,
    },
}

/// All that one worker knows of the sessions of a configuration.
pub struct Desk<B> {
    /// Absent: nothing is kept.
    answers: Option<Answers>,
    limits: Limits,
    /// Sessions beyond a limit that could not be ended yet. That they were asked for has made them look alive again.
    condemned: Vec<SessionKey>,
    flights: Flights,
    gates: Gates,
    ends: Ends<B>,
}

impl<B: Board> Desk<B> {
    /// `random` are numbers that nobody can guess.
    pub fn new(settings: Option<&Settings>, limits: Limits, board: B, random: [u64; 4]) -> Result<Self, Unavailable> {
        Ok(Self {
            answers: settings.cloned().map(|settings| Answers::new(settings, limits)),
            limits,
            condemned: Vec::new(),
            flights: Flights::default(),
            gates: Gates::default(),
            ends: Ends::new(board, random)?,
        })
    }

    /// Bytes and entries that are kept.
    #[must_use]
    pub fn kept(&self) -> (usize, usize) {
        self.answers.as_ref().map_or((0, 0), Answers::kept)
    }

    /// A request asks for its session.
    pub fn ask(
        &mut self,
        wanted: Wanted<'_>,
        waiter: Waiter,
        request: &Headers,
        now_ms: u64,
        note: &dyn Fn(Note<'_>),
    ) -> Asked {
        let Wanted { rule, token } = wanted;
        let hash = self.ends.hash(&rule.backend.namespace, &token);
        let key = SessionKey { namespace: rule.backend.namespace.id, token };
        // The epoch comes before all else that is read: what has ended since has another one.
        let epoch = self.ends.epoch();
        if let Some(answers) = &mut self.answers {
            let kept = epoch.ok().and_then(|epoch| {
                answers.fresh(&self.ends, &key, hash, &rule.backend.namespace, waiter.oldest_ms, now_ms, epoch, note)
            });
            if let Some(lookup) = kept {
                return Asked::Answered(lookup);
            }
            note(Note::Count(Counter::CacheMisses));
        }
        if let (Ok(epoch), Some(flight)) = (epoch, self.flights.joinable(&key, waiter.deadline_ms))
            && let Some(stamp) = &mut flight.stamp
            && self.ends.holds(stamp, hash, epoch)
        {
            flight.waiters.push(waiter);
            note(Note::Count(Counter::Coalesced));
            return Asked::Waiting;
        }
        match self.gates.permit(&rule.backend, now_ms) {
            Ok(permit) => {
                note(Note::Count(Counter::Calls));
                let stamp = epoch.and_then(|epoch| self.ends.stamp(hash, epoch)).ok();
                let call = request::lookup(&rule.backend.service, &rule.backend.namespace.app, &key.token, request);
                let trip = trip(rule, key, hash, permit, call, now_ms);
                Asked::Call(Box::new(Flight { trip, stamp, waiters: vec![waiter] }))
            }
            Err(failure) => {
                note(Note::Failed { failure, cluster: &rule.backend.service.cluster });
                Asked::Answered(self.in_trouble(&key, hash, waiter, Lookup::Failed(failure), now_ms, note))
            }
        }
    }

    /// The host has taken a call.
    pub fn departed(&mut self, id: CallId, airborne: Airborne) {
        self.gates.began(airborne.trip().backend.service_id);
        self.flights.begin(id, airborne);
    }

    /// The host did not take a call.
    pub fn refused(&mut self, flight: Flight, now_ms: u64, note: &dyn Fn(Note<'_>)) -> Settled {
        self.settle(flight, Lookup::Failed(Failure::Outage(Outage::Dispatch)), &[], now_ms, note)
    }

    /// Takes the call of an answer off the list; `None` for one that nobody made here.
    pub fn landed(&mut self, id: CallId) -> Option<Airborne> {
        let airborne = self.flights.end(id)?;
        self.gates.ended(airborne.trip().backend.service_id);
        Some(airborne)
    }

    /// The answer to a lookup has come.
    pub fn answered(&mut self, flight: Flight, answer: &Answer, now_ms: u64, note: &dyn Fn(Note<'_>)) -> Settled {
        match answer.body() {
            Ok(body) => self.settle(flight, body::lookup(body), body, now_ms, note),
            Err(failure) => self.settle(flight, Lookup::Failed(failure), &[], now_ms, note),
        }
    }

    /// Forgets all calls, which the host has given up; says how many there were.
    pub fn abandon(&mut self) -> usize {
        self.gates.abandon();
        self.flights.abandon()
    }

    fn settle(&mut self, flight: Flight, lookup: Lookup, body: &[u8], now_ms: u64, note: &dyn Fn(Note<'_>)) -> Settled {
        let failure = if let Lookup::Failed(failure) = lookup { Some(failure) } else { None };
        self.gates.report(&flight.trip.backend, flight.trip.permit, failure, now_ms);
        if let Some(failure) = failure {
            note(Note::Failed { failure, cluster: &flight.trip.backend.service.cluster });
        }
        let held = flight.stamp.and_then(|mut stamp| {
            let epoch = self.ends.epoch().ok()?;
            self.ends.holds(&mut stamp, flight.trip.hash, epoch).then_some(stamp)
        });
        match (&lookup, held) {
            (Lookup::Active(_), None) if flight.stamp.is_some() => return self.ask_again(flight, now_ms, note),
            (Lookup::Active(session), _)
                if self.limits.exceeded_by(session, &flight.trip.key.token, now_ms)
                    || self.condemned.contains(&flight.trip.key) =>
            {
                return self.beyond_limits(flight, now_ms, note);
            }
            (Lookup::Active(session), Some(stamp)) => {
                if let Some(answers) = &mut self.answers {
                    answers.keep_session(&self.ends, &flight.trip, session, body, stamp, now_ms, note);
                }
            }
            (Lookup::None, held) => {
                if let Some(answers) = &mut self.answers {
                    answers.learn_none(&mut self.ends, &flight.trip, held.is_some(), now_ms, note);
                }
            }
            _ => {}
        }
        let (key, hash) = (flight.trip.key, flight.trip.hash);
        let told = flight.waiters.into_iter();
        let told = told.map(|waiter| (waiter, self.in_trouble(&key, hash, waiter, lookup.clone(), now_ms, note)));
        Settled { told: told.collect(), ..Settled::default() }
    }

    /// What a request is told: in an outage, what was known of the session until lately, if that may serve.
    fn in_trouble(
        &mut self,
        key: &SessionKey,
        hash: Hash,
        waiter: Waiter,
        lookup: Lookup,
        now_ms: u64,
        note: &dyn Fn(Note<'_>),
    ) -> Lookup {
        let (Lookup::Failed(Failure::Outage(_)), Some(answers), Ok(epoch)) =
            (&lookup, &mut self.answers, self.ends.epoch())
        else {
            return lookup;
        };
        match answers.stale(&self.ends, key, hash, waiter.oldest_ms, now_ms, epoch) {
            Some(session) => {
                note(Note::Count(Counter::CacheStale));
                Lookup::Active(session)
            }
            None => lookup,
        }
    }

    /// The session may have ended while it was asked for, so nobody may be told what was answered. All who waited ask
    /// again, for as long as the first of them may still wait.
    fn ask_again(&mut self, flight: Flight, now_ms: u64, note: &dyn Fn(Note<'_>)) -> Settled {
        let epoch = self.ends.epoch();
        let ends_ms = flight.waiters.iter().map(|waiter| waiter.deadline_ms).min().unwrap_or(now_ms);
        if let (Ok(epoch), Some(other)) = (epoch, self.flights.joinable(&flight.trip.key, ends_ms))
            && let Some(stamp) = &mut other.stamp
            && self.ends.holds(stamp, flight.trip.hash, epoch)
        {
            other.waiters.extend(flight.waiters);
            return Settled::default();
        }
        let permit = if ends_ms <= now_ms {
            Err(Failure::Outage(Outage::Timeout))
        } else {
            self.gates.permit(&flight.trip.backend, now_ms)
        };
        match permit {
            Ok(permit) => {
                note(Note::Count(Counter::Calls));
                let stamp = epoch.and_then(|epoch| self.ends.stamp(flight.trip.hash, epoch)).ok();
                let trip = Trip { permit, started_ms: now_ms, ends_ms, ..flight.trip };
                let again = Flight { trip, stamp, waiters: flight.waiters };
                Settled { again: Some(Box::new(again)), ..Settled::default() }
            }
            Err(failure) => {
                note(Note::Failed { failure, cluster: &flight.trip.backend.service.cluster });
                let told = flight.waiters.iter().map(|waiter| (*waiter, Lookup::Failed(failure)));
                Settled { told: told.collect(), ..Settled::default() }
            }
        }
    }
}

fn trip(rule: &Rule, key: SessionKey, hash: Hash, permit: Permit, call: Call, now_ms: u64) -> Trip {
    Trip {
        key,
        hash,
        backend: Rc::clone(&rule.backend),
        permit,
        call: Rc::new(call),
        started_ms: now_ms,
        ends_ms: now_ms.saturating_add(rule.backend.service.timeout_ms),
    }
}
