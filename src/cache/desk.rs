//! Where requests ask for their sessions: an answer that is kept here, one that another worker keeps, a call that is
//! under way, or a call of their own, in this order.

use std::collections::HashMap;
use std::rc::Rc;

use super::answers::Answers;
use super::board::{Board, Unavailable};
use super::ends::{Ends, Hash};
use super::flights::{CallId, Flight, Flights, Key, Waiter};
use super::settings::Settings;
use crate::http::headers::Headers;
use crate::policy::rules::Rule;
use crate::session::answer::{self, Answer};
use crate::session::breaker::{Breaker, Permit};
use crate::session::calls::{self, Service, ServiceId, TargetId};
use crate::session::lookup::{Lookup, Outage};
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
}

/// What is to be noted on the way.
pub enum Note<'a> {
    Count(Counter),
    /// A lookup that could not be made, or gave no answer that could be used.
    Failed {
        lookup: &'a Lookup,
        cluster: &'a str,
    },
}

/// All that one worker knows of the sessions of a configuration.
pub struct Desk<B> {
    /// Absent: nothing is kept.
    answers: Option<Answers>,
    flights: Flights,
    breakers: HashMap<TargetId, Breaker>,
    ends: Ends<B>,
}

impl<B: Board> Desk<B> {
    /// `random` are numbers that nobody can guess.
    pub fn new(settings: Option<&Settings>, board: B, random: [u64; 4]) -> Result<Self, Unavailable> {
        Ok(Self {
            answers: settings.cloned().map(Answers::new),
            flights: Flights::default(),
            breakers: HashMap::new(),
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
        let hash = self.ends.hash(&rule.realm, &token);
        let key = Key { realm: rule.realm.id, token };
        // The epoch comes before all else that is read: what has ended since has another one.
        let epoch = self.ends.epoch();
        if let Some(answers) = &mut self.answers {
            let kept = epoch.ok().and_then(|epoch| {
                answers.fresh(&self.ends, &key, hash, &rule.realm, waiter.oldest_ms, now_ms, epoch, note)
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
        match self.permit(&rule.service, rule.service_id, rule.realm.target_id, now_ms) {
            Ok(permit) => {
                note(Note::Count(Counter::Calls));
                Asked::Call(Box::new(Flight {
                    hash,
                    stamp: epoch.and_then(|epoch| self.ends.stamp(hash, epoch)).ok(),
                    waiters: vec![waiter],
                    realm: Rc::clone(&rule.realm),
                    service: Rc::clone(&rule.service),
                    service_id: rule.service_id,
                    permit,
                    call: Rc::new(calls::lookup(&rule.service, &rule.realm.app, &key.token, request)),
                    started_ms: now_ms,
                    ends_ms: now_ms.saturating_add(rule.service.timeout_ms),
                    key,
                }))
            }
            Err(lookup) => {
                note(Note::Failed { lookup: &lookup, cluster: &rule.service.cluster });
                Asked::Answered(self.in_trouble(&key, hash, waiter, lookup, now_ms, note))
            }
        }
    }

    /// The host has taken a call.
    pub fn departed(&mut self, id: CallId, flight: Flight) {
        self.flights.begin(id, flight);
    }

    /// The host did not take a call.
    pub fn refused(&mut self, flight: Flight, now_ms: u64, note: &dyn Fn(Note<'_>)) -> Settled {
        self.settle(flight, Lookup::Outage(Outage::Dispatch), &[], now_ms, note)
    }

    /// Closes the flight of an answer; `None` for a call that nobody made here.
    pub fn landed(&mut self, id: CallId) -> Option<Flight> {
        self.flights.end(id)
    }

    /// The answer to a call has come.
    pub fn answered(&mut self, flight: Flight, answer: &Answer, now_ms: u64, note: &dyn Fn(Note<'_>)) -> Settled {
        self.settle(flight, answer::read(answer), answer.body(), now_ms, note)
    }

    /// Forgets all calls, which the host has given up; says how many there were.
    pub fn abandon(&mut self) -> usize {
        self.flights.abandon()
    }

    fn permit(&mut self, service: &Service, id: ServiceId, target: TargetId, now_ms: u64) -> Result<Permit, Lookup> {
        if self.flights.in_flight(id) >= service.max_in_flight {
            return Err(Lookup::Busy);
        }
        match service.breaker {
            None => Ok(Permit::Normal),
            Some(_) => self.breakers.entry(target).or_default().permit(now_ms).ok_or(Lookup::Outage(Outage::Breaker)),
        }
    }

    fn settle(&mut self, flight: Flight, lookup: Lookup, body: &[u8], now_ms: u64, note: &dyn Fn(Note<'_>)) -> Settled {
        if let Some(settings) = &flight.service.breaker {
            let outage = matches!(lookup, Lookup::Outage(_));
            self.breakers.entry(flight.realm.target_id).or_default().report(flight.permit, outage, settings, now_ms);
        }
        note(Note::Failed { lookup: &lookup, cluster: &flight.service.cluster });
        let held = flight.stamp.and_then(|mut stamp| {
            let epoch = self.ends.epoch().ok()?;
            self.ends.holds(&mut stamp, flight.hash, epoch).then_some(stamp)
        });
        match (&lookup, held) {
            (Lookup::Active(_), None) if flight.stamp.is_some() => return self.ask_again(flight, now_ms, note),
            (Lookup::Active(session), Some(stamp)) => {
                if let Some(answers) = &mut self.answers {
                    answers.keep_session(&self.ends, &flight, session, body, stamp, now_ms, note);
                }
            }
            (Lookup::None, held) => {
                if let Some(answers) = &mut self.answers {
                    answers.learn_none(&mut self.ends, &flight, held.is_some(), now_ms, note);
                }
            }
            _ => {}
        }
        let (key, hash) = (flight.key, flight.hash);
        let told = flight.waiters.into_iter();
        let told = told.map(|waiter| (waiter, self.in_trouble(&key, hash, waiter, lookup.clone(), now_ms, note)));
        Settled { told: told.collect(), again: None }
    }

    /// What a request is told: in an outage, what was known of the session until lately, if that may serve.
    fn in_trouble(
        &mut self,
        key: &Key,
        hash: Hash,
        waiter: Waiter,
        lookup: Lookup,
        now_ms: u64,
        note: &dyn Fn(Note<'_>),
    ) -> Lookup {
        let (Lookup::Outage(_), Some(answers), Ok(epoch)) = (&lookup, &mut self.answers, self.ends.epoch()) else {
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
        if let (Ok(epoch), Some(other)) = (epoch, self.flights.joinable(&flight.key, ends_ms))
            && let Some(stamp) = &mut other.stamp
            && self.ends.holds(stamp, flight.hash, epoch)
        {
            other.waiters.extend(flight.waiters);
            return Settled::default();
        }
        let permit = if ends_ms <= now_ms {
            Err(Lookup::Outage(Outage::Timeout))
        } else {
            self.permit(&flight.service, flight.service_id, flight.realm.target_id, now_ms)
        };
        match permit {
            Ok(permit) => {
                note(Note::Count(Counter::Calls));
                let stamp = epoch.and_then(|epoch| self.ends.stamp(flight.hash, epoch)).ok();
                let again = Flight { stamp, permit, started_ms: now_ms, ends_ms, ..flight };
                Settled { told: Vec::new(), again: Some(Box::new(again)) }
            }
            Err(lookup) => {
                note(Note::Failed { lookup: &lookup, cluster: &flight.service.cluster });
                let told = flight.waiters.iter().map(|waiter| (*waiter, lookup.clone()));
                Settled { told: told.collect(), again: None }
            }
        }
    }
}
