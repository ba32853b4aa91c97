//! The calls that are under way, and who waits for each.

use std::collections::HashMap;

use crate::session::calls::ServiceId;

/// The host's number of a call.
pub type CallId = u32;

/// Who waits for a call. The host may give the number of a request that has ended to a later one, and an answer must
/// never reach another request than the one that it was asked for; so a ticket, which no two requests share, goes with
/// the host's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    pub stream: StreamId,
    pub ticket: u64,
}

/// The host's number of a request.
pub type StreamId = u32;

/// A call that is under way.
#[derive(Debug, PartialEq, Eq)]
pub struct Flight {
    /// Who waits; gone if the client left, but the call goes on.
    pub waiter: Waiter,
    pub service: ServiceId,
    /// Where the call went.
    pub cluster: String,
    pub started_ms: u64,
}

/// The calls of one configuration in one worker.
#[derive(Debug, Default)]
pub struct Flights {
    flights: HashMap<CallId, Flight>,
    in_flight: HashMap<ServiceId, usize>,
}

impl Flights {
    #[must_use]
    pub fn in_flight(&self, service: ServiceId) -> usize {
        self.in_flight.get(&service).copied().unwrap_or(0)
    }

    pub fn begin(&mut self, call: CallId, flight: Flight) {
        let count = self.in_flight.entry(flight.service).or_default();
        *count = count.saturating_add(1);
        self.flights.insert(call, flight);
    }

    /// Forgets all calls, which the host has given up; says how many there were.
    pub fn abandon(&mut self) -> usize {
        self.in_flight.clear();
        std::mem::take(&mut self.flights).len()
    }

    /// Closes the flight of an answer; `None` for a call that nobody made here.
    pub fn end(&mut self, call: CallId) -> Option<Flight> {
        let flight = self.flights.remove(&call)?;
        if let Some(count) = self.in_flight.get_mut(&flight.service) {
            *count = count.saturating_sub(1);
        }
        Some(flight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_for_each_service_and_end_once() {
        let mut flights = Flights::default();
        let flight = |stream, service| Flight {
            waiter: Waiter { stream, ticket: 7 },
            service: ServiceId(service),
            cluster: "rs".into(),
            started_ms: 0,
        };
        flights.begin(1, flight(10, 0));
        flights.begin(2, flight(11, 0));
        flights.begin(3, flight(12, 1));
        assert_eq!((flights.in_flight(ServiceId(0)), flights.in_flight(ServiceId(1))), (2, 1));
        assert_eq!(flights.end(2), Some(flight(11, 0)));
        assert_eq!(flights.end(2), None);
        assert_eq!(flights.end(99), None);
        assert_eq!((flights.in_flight(ServiceId(0)), flights.in_flight(ServiceId(1))), (1, 1));
        assert_eq!(flights.abandon(), 2);
        assert_eq!((flights.end(1), flights.in_flight(ServiceId(0))), (None, 0));
    }
}
