//! The calls that are under way, and who waits for each: requests for one session share one call.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use super::ends::{Hash, Stamp};
use crate::session::breaker::Permit;
use crate::session::calls::{Call, Service, ServiceId};
use crate::session::realm::{Realm, RealmId};
use crate::session::token::Token;

/// The host's number of a call.
pub type CallId = u32;

/// The host's number of a request.
pub type StreamId = u32;

/// What a call asks for. Two requests share a call only if all of it is the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub realm: RealmId,
    pub token: Token,
}

/// Who waits for a call. The host may give the number of a request that has ended to a later one, and an answer must
/// never reach another request than one that waits for it; so a ticket, which no two requests share, goes with the
/// host's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    pub stream: StreamId,
    pub ticket: u64,
    /// How old an answer may be that it takes, in milliseconds.
    pub oldest_ms: u64,
    /// Until when it waits, in milliseconds since 1970.
    pub deadline_ms: u64,
}

/// A call that is about to go out, or under way.
pub struct Flight {
    pub key: Key,
    pub hash: Hash,
    /// What was known of ends before the call went out; absent where that could not be told.
    pub stamp: Option<Stamp>,
    /// Who waits, the one that started it first. Who has left stays listed, and the call goes on.
    pub waiters: Vec<Waiter>,
    pub realm: Rc<Realm>,
    pub service: Rc<Service>,
    pub service_id: ServiceId,
    pub permit: Permit,
    pub call: Rc<Call>,
    pub started_ms: u64,
    /// When the host gives up on it.
    pub ends_ms: u64,
}

impl Flight {
    /// How long the call may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.ends_ms.saturating_sub(self.started_ms))
    }
}

/// The calls of one configuration in one worker.
#[derive(Default)]
pub struct Flights {
    flights: HashMap<CallId, Flight>,
    /// The call that a further request for a session may join: the last that was made for it.
    latest: HashMap<Key, CallId>,
    in_flight: HashMap<ServiceId, usize>,
}

impl Flights {
    #[must_use]
    pub fn in_flight(&self, service: ServiceId) -> usize {
        self.in_flight.get(&service).copied().unwrap_or(0)
    }

    /// The call under way that a further request may wait for; not one that may last longer than the request waits.
    pub fn joinable(&mut self, key: &Key, deadline_ms: u64) -> Option<&mut Flight> {
        let flight = self.latest.get(key).and_then(|call| self.flights.get_mut(call));
        flight.filter(|flight| flight.ends_ms <= deadline_ms)
    }

    pub fn begin(&mut self, call: CallId, flight: Flight) {
        let count = self.in_flight.entry(flight.service_id).or_default();
        *count = count.saturating_add(1);
        self.latest.insert(flight.key.clone(), call);
        self.flights.insert(call, flight);
    }

    /// Closes the flight of an answer; `None` for a call that nobody made here.
    pub fn end(&mut self, call: CallId) -> Option<Flight> {
        let flight = self.flights.remove(&call)?;
        if self.latest.get(&flight.key) == Some(&call) {
            self.latest.remove(&flight.key);
        }
        if let Some(count) = self.in_flight.get_mut(&flight.service_id) {
            *count = count.saturating_sub(1);
        }
        Some(flight)
    }

    /// Forgets all calls, which the host has given up; says how many there were.
    pub fn abandon(&mut self) -> usize {
        self.in_flight.clear();
        self.latest.clear();
        std::mem::take(&mut self.flights).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::calls::TargetId;
    use crate::session::token::tests::{NOW_MS, token_made_at};

    fn key(realm: usize, age_ms: u64) -> Key {
        let token = Token::parse(token_made_at(NOW_MS - age_ms).as_bytes(), &|| NOW_MS).unwrap();
        Key { realm: RealmId(realm), token }
    }

    fn waiter(stream: StreamId) -> Waiter {
        Waiter { stream, ticket: stream.into(), oldest_ms: u64::MAX, deadline_ms: u64::MAX }
    }

    fn join(flights: &mut Flights, key: &Key, waiter: Waiter, deadline_ms: u64) -> bool {
        let flight = flights.joinable(key, deadline_ms);
        flight.map(|flight| flight.waiters.push(waiter)).is_some()
    }

    fn flight(key: Key, service: usize, stream: StreamId, ends_ms: u64) -> Flight {
        let asked = Service {
            cluster: "rs".into(),
            authority: "rs".into(),
            path_prefix: String::new(),
            timeout_ms: 500,
            retries: 0,
            max_in_flight: 256,
            breaker: None,
        };
        Flight {
            hash: Hash(0),
            stamp: None,
            waiters: vec![waiter(stream)],
            realm: Rc::new(Realm::new(key.realm, TargetId(0), &asked, "app".into())),
            key,
            service: Rc::new(asked),
            service_id: ServiceId(service),
            permit: Permit::Normal,
            call: Rc::new(Call { cluster: "rs".into(), headers: Vec::new() }),
            started_ms: 0,
            ends_ms,
        }
    }

    fn streams(flight: Option<Flight>) -> Vec<StreamId> {
        flight.unwrap().waiters.iter().map(|waiter| waiter.stream).collect()
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
    fn calls_are_counted_for_each_service_and_end_once() {
        let mut flights = Flights::default();
        flights.begin(1, flight(key(0, 0), 0, 10, 500));
        flights.begin(2, flight(key(0, 1), 0, 11, 500));
        flights.begin(3, flight(key(0, 2), 1, 12, 500));
        assert_eq!((flights.in_flight(ServiceId(0)), flights.in_flight(ServiceId(1))), (2, 1));
        assert_eq!(streams(flights.end(2)), [11]);
        assert!(flights.end(2).is_none());
        assert!(flights.end(99).is_none());
        assert_eq!((flights.in_flight(ServiceId(0)), flights.in_flight(ServiceId(1))), (1, 1));
        assert_eq!(flights.abandon(), 2);
        assert!(flights.end(1).is_none());
        assert_eq!(flights.in_flight(ServiceId(0)), 0);
        assert!(!join(&mut flights, &key(0, 0), waiter(13), 600));
    }
}
