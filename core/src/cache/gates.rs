//! Which calls may be made: no more at once than allowed, and none to a service that fails every time.

use crate::rest_sessions::backend::{Backend, ServiceId};
use crate::rest_sessions::breaker::{Breaker, Permit};
use crate::session::lookup::{Failure, Outage};

#[derive(Default)]
pub struct Gates {
    /// By the services' numbers.
    in_flight: Vec<usize>,
    /// By the targets' numbers.
    breakers: Vec<Breaker>,
}

impl Gates {
    /// Whether a call may be made now; if so, [`Self::report`] follows, whatever becomes of it.
    pub fn permit(&mut self, backend: &Backend, now_ms: u64) -> Result<Permit, Failure> {
        if slot(&mut self.in_flight, backend.service_id.0).is_none_or(|count| *count >= backend.service.max_in_flight) {
            return Err(Failure::Busy);
        }
        match backend.service.breaker {
            None => Ok(Permit::Normal),
            Some(_) => slot(&mut self.breakers, backend.namespace.target_id.0)
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
    pub fn report(&mut self, backend: &Backend, permit: Permit, failure: Option<Failure>, now_ms: u64) {
        if let (Some(settings), Some(breaker)) =
            (&backend.service.breaker, slot(&mut self.breakers, backend.namespace.target_id.0))
        {
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
    use crate::rest_sessions::backend::{Namespace, NamespaceId, Service, TargetId};
    use crate::rest_sessions::breaker::Settings;

    fn backend(id: usize) -> Backend {
        let service = Service {
            max_in_flight: 2,
            breaker: Some(Settings { failures: 1, open_for_ms: 1_000 }),
            ..Service::default()
        };
        let namespace = Namespace::new(NamespaceId(id), TargetId(id), &service, "app".into());
        Backend { service, service_id: ServiceId(id), namespace }
    }

    #[test]
    fn each_service_has_a_number_of_calls_at_once() {
        let mut gates = Gates::default();
        for _ in 0..2 {
            gates.permit(&backend(0), 0).unwrap();
            gates.began(ServiceId(0));
        }
        assert_eq!(gates.permit(&backend(0), 0), Err(Failure::Busy));
        assert!(gates.permit(&backend(1), 0).is_ok());
        gates.ended(ServiceId(0));
        assert!(gates.permit(&backend(0), 0).is_ok());
        gates.began(ServiceId(0));
        gates.abandon();
        assert!(gates.permit(&backend(0), 0).is_ok());
    }

    #[test]
    fn a_target_that_fails_is_left_alone_and_no_other() {
        let mut gates = Gates::default();
        let permit = gates.permit(&backend(0), 0).unwrap();
        gates.report(&backend(0), permit, Some(Failure::Outage(Outage::Timeout)), 10);
        assert_eq!(gates.permit(&backend(0), 10), Err(Failure::Outage(Outage::Breaker)));
        assert!(gates.permit(&backend(1), 10).is_ok());
        let permit = gates.permit(&backend(0), 1_010).unwrap();
        gates.report(&backend(0), permit, None, 1_011);
        assert!(gates.permit(&backend(0), 1_011).is_ok());
    }
}
