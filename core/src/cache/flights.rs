//! The calls that are under way, and who waits for each: requests for one session share one lookup.

use std::collections::HashMap;

use super::ends::Stamp;
use super::numbered::Numbered;
use super::trip::{CallId, Trip, Who};
use crate::rest_sessions::backend::SessionKey;

/// A request that waits for a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    pub who: Who,
    /// How old an answer may be that it takes, in milliseconds.
    pub oldest_ms: u64,
    /// Until when it waits, in milliseconds since 1970.
    pub deadline_ms: u64,
    /// It only looks on: nothing may change because of it.
    pub shadow: bool,
}

/// A lookup that is about to go out, or under way.
pub struct Flight {
    pub trip: Trip,
    /// What was known of ends before the call went out; absent where that could not be told.
    pub stamp: Option<Stamp>,
    /// Who waits, the one that started it first. Who has left stays listed, and the call goes on.
    pub waiters: Vec<Waiter>,
}

/// A call that ends or changes a session, about to go out or under way.
pub struct Errand {
    pub trip: Trip,
    /// Who waits for it; nobody, where a limit ends the session.
    pub who: Option<Who>,
    pub order: Order,
}

/// What is to be done to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Kill {
        /// All workers were told of this end before the call went out.
        told: bool,
    },
    Set {
        /// What all workers were told before the call went out; absent where that could not be.
        stamp: Option<Stamp>,
    },
}

/// A call that is under way.
pub enum Airborne {
    Flight(Box<Flight>),
    Errand(Box<Errand>),
}

impl Airborne {
    #[must_use]
    pub fn trip(&self) -> &Trip {
        match self {
            Self::Flight(flight) => &flight.trip,
            Self::Errand(errand) => &errand.trip,
        }
    }
}

/// The calls of one configuration in one worker.
#[derive(Default)]
pub struct Flights {
    calls: Numbered<CallId, Airborne>,
    /// The lookup that a further request for a session may join: the last that was made for it.
    latest: HashMap<SessionKey, CallId>,
}

impl Flights {
    /// The lookup under way that a further request may wait for; not one that may last longer than the request waits.
    pub fn joinable(&mut self, key: &SessionKey, deadline_ms: u64) -> Option<&mut Flight> {
        match self.latest.get(key).and_then(|call| self.calls.get_mut(call))? {
            Airborne::Flight(flight) if flight.trip.ends_ms <= deadline_ms => Some(flight),
            _ => None,
        }
    }

    pub fn begin(&mut self, call: CallId, airborne: Airborne) {
        if let Airborne::Flight(flight) = &airborne {
            self.latest.insert(flight.trip.key.clone(), call);
        }
        self.calls.insert(call, airborne);
    }

    /// Takes the call of an answer off the list; `None` for one that nobody made here.
    pub fn end(&mut self, call: CallId) -> Option<Airborne> {
        let airborne = self.calls.remove(&call)?;
        let key = &airborne.trip().key;
        if self.latest.get(key) == Some(&call) {
            self.latest.remove(key);
        }
        Some(airborne)
    }

    /// Forgets all calls, which the host has given up; says how many there were.
    pub fn abandon(&mut self) -> usize {
        self.latest.clear();
        std::mem::take(&mut self.calls).len()
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::cache::ends::Hash;
    use crate::cache::trip::StreamId;
    use crate::rest_sessions::backend::{Backend, Namespace, NamespaceId, Service, ServiceId, TargetId};
    use crate::rest_sessions::breaker::Permit;
    use crate::rest_sessions::request::Call;
    use crate::session::token::Token;
    use crate::session::token::tests::{NOW_MS, token_made_at};

    fn key(namespace: usize, age_ms: u64) -> SessionKey {
        let token = Token::parse(token_made_at(NOW_MS - age_ms).as_bytes(), &|| NOW_MS).unwrap();
        SessionKey { namespace: NamespaceId(namespace), token }
    }

    fn waiter(stream: StreamId) -> Waiter {
        let who = Who { stream, ticket: stream.into() };
        Waiter { who, oldest_ms: u64::MAX, deadline_ms: u64::MAX, shadow: false }
    }

    fn join(flights: &mut Flights, key: &SessionKey, waiter: Waiter, deadline_ms: u64) -> bool {
        let flight = flights.joinable(key, deadline_ms);
        flight.map(|flight| flight.waiters.push(waiter)).is_some()
    }

    fn flight(key: SessionKey, service: usize, stream: StreamId, ends_ms: u64) -> Airborne {
        let asked = Service { max_in_flight: 256, ..Service::default() };
        let namespace = Namespace::new(key.namespace, TargetId(0), &asked, "app".into());
        let backend = Backend { service: asked, service_id: ServiceId(service), namespace };
        let trip = Trip {
            hash: Hash(0),
            key,
            backend: Rc::new(backend),
            permit: Permit::Normal,
            call: Rc::new(Call { cluster: "rs".into(), headers: Vec::new(), body: None }),
            started_ms: 0,
            ends_ms,
        };
        Airborne::Flight(Box::new(Flight { trip, stamp: None, waiters: vec![waiter(stream)] }))
    }

    fn streams(airborne: Option<Airborne>) -> Vec<StreamId> {
        let Some(Airborne::Flight(flight)) = airborne else { panic!("no lookup") };
        flight.waiters.iter().map(|waiter| waiter.who.stream).collect()
    }

    #[test]
    fn requests_for_one_session_wait_for_one_call() {
        let mut flights = Flights::default();
        flights.begin(1, flight(key(0, 0), 0, 10, 500));
        assert!(join(&mut flights, &key(0, 0), waiter(11), 600));
        assert!(join(&mut flights, &key(0, 0), waiter(12), 500));
        assert_eq!(streams(flights.end(1)), [10, 11, 12]);
        assert!(!join(&mut flights, &key(0, 0), waiter(13), 600), "the call has ended");
    }

    #[test]
    fn another_token_or_realm_is_another_call() {
        let mut flights = Flights::default();
        flights.begin(1, flight(key(0, 0), 0, 10, 500));
        for other in [key(1, 0), key(0, 1)] {
            assert!(!join(&mut flights, &other, waiter(11), 600));
        }
    }

    #[test]
    fn nobody_joins_a_call_that_may_last_longer_than_they_would_wait() {
        let mut flights = Flights::default();
        flights.begin(1, flight(key(0, 0), 0, 10, 500));
        assert!(!join(&mut flights, &key(0, 0), waiter(11), 499));
        flights.begin(2, flight(key(0, 0), 1, 11, 499));
        assert!(join(&mut flights, &key(0, 0), waiter(12), 500), "the shorter one is joined from now on");
        assert_eq!(streams(flights.end(1)), [10]);
        assert!(join(&mut flights, &key(0, 0), waiter(13), 500), "the end of the first leaves the second joinable");
        assert_eq!(streams(flights.end(2)), [11, 12, 13]);
    }

    #[test]
    fn a_call_ends_once() {
        let mut flights = Flights::default();
        flights.begin(1, flight(key(0, 0), 0, 10, 500));
        flights.begin(2, flight(key(0, 1), 0, 11, 500));
        assert_eq!(streams(flights.end(2)), [11]);
        assert!(flights.end(2).is_none());
        assert!(flights.end(99).is_none());
        assert_eq!(flights.abandon(), 1);
        assert!(flights.end(1).is_none());
        assert!(!join(&mut flights, &key(0, 0), waiter(13), 600));
    }
}
