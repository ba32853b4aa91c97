//! Which calls may be made: no more at once than allowed, and none to a service that fails every time.

use crate::session::breaker::{Breaker, Permit};
use crate::session::calls::{Service, ServiceId, TargetId};
use crate::session::lookup::{Failure, Outage};

/// The way to one service, as a call takes it.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    pub service: &'a Service,
    pub service_id: ServiceId,
    pub target_id: TargetId,
}

#[derive(Default)]
pub struct Gates {
    /// By the services' numbers.
    in_flight: Vec<usize>,
    /// By the targets' numbers.
    breakers: Vec<Breaker>,
}

impl Gates {
    /// Whether a call may be made now; if so, [`Self::report`] follows, whatever becomes of it.
    pub fn permit(&mut self, way: Way<'_>, now_ms: u64) -> Result<Permit, Failure> {
        if slot(&mut self.in_flight, way.service_id.0).is_none_or(|count| *count >= way.service.max_in_flight) {
            return Err(Failure::Busy);
        }
        match way.service.breaker {
            None => Ok(Permit::Normal),
            Some(_) => slot(&mut self.breakers, way.target_id.0)
                .and_then(|breaker| breaker.permit(now_ms))
                .ok_or(Failure::Outage(Outage::Breaker)),
        }
    }

    /// The host has taken a call.
    pub fn began(&mut self, service: ServiceId) {
        if let Some(count) = slot(&mut self.in_flight, service.0) {
            *count = count.saturating_add(1);
        }
    }

    /// A call that had begun is over.
    pub fn ended(&mut self, service: ServiceId) {
        if let Some(count) = slot(&mut self.in_flight, service.0) {
            *count = count.saturating_sub(1);
        }
    }

    /// What a permitted call came to.
    pub fn report(&mut self, way: Way<'_>, permit: Permit, failure: Option<Failure>, now_ms: u64) {
        if let (Some(settings), Some(breaker)) = (&way.service.breaker, slot(&mut self.breakers, way.target_id.0)) {
            breaker.report(permit, matches!(failure, Some(Failure::Outage(_))), settings, now_ms);
        }
    }

    /// All calls are over at once.
    pub fn abandon(&mut self) {
        self.in_flight.clear();
    }
}

/// What is known under a number: numbers are few, and start at zero.
fn slot<T: Default>(list: &mut Vec<T>, number: usize) -> Option<&mut T> {
    if list.len() <= number {
        list.resize_with(number.saturating_add(1), T::default);
    }
    list.get_mut(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::breaker::Settings;

    fn service() -> Service {
        Service {
            cluster: "rs".into(),
            authority: "rs".into(),
            path_prefix: String::new(),
            timeout_ms: 500,
            retries: 0,
            max_in_flight: 2,
            breaker: Some(Settings { failures: 1, open_for_ms: 1_000 }),
        }
    }

    fn way(service: &Service, id: usize) -> Way<'_> {
        Way { service, service_id: ServiceId(id), target_id: TargetId(id) }
    }

    #[test]
    fn each_service_has_a_number_of_calls_at_once() {
        let service = service();
        let mut gates = Gates::default();
        for _ in 0..2 {
            gates.permit(way(&service, 0), 0).unwrap();
            gates.began(ServiceId(0));
        }
        assert_eq!(gates.permit(way(&service, 0), 0), Err(Failure::Busy));
        assert!(gates.permit(way(&service, 1), 0).is_ok());
        gates.ended(ServiceId(0));
        assert!(gates.permit(way(&service, 0), 0).is_ok());
        gates.began(ServiceId(0));
        gates.abandon();
        assert!(gates.permit(way(&service, 0), 0).is_ok());
    }

    #[test]
    fn a_target_that_fails_is_left_alone_and_no_other() {
        let service = service();
        let mut gates = Gates::default();
        let permit = gates.permit(way(&service, 0), 0).unwrap();
        gates.report(way(&service, 0), permit, Some(Failure::Outage(Outage::Timeout)), 10);
        assert_eq!(gates.permit(way(&service, 0), 10), Err(Failure::Outage(Outage::Breaker)));
        assert!(gates.permit(way(&service, 1), 10).is_ok());
        let permit = gates.permit(way(&service, 0), 1_010).unwrap();
        gates.report(way(&service, 0), permit, None, 1_011);
        assert!(gates.permit(way(&service, 0), 1_011).is_ok());
    }
}
