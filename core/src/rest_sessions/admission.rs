//! Admission of calls: a concurrency limit for each service, a circuit breaker for each target.

use super::backend::{Backend, ServiceId};
use super::breaker::{Breaker, Permit};
use crate::session::lookup::{Failure, Outage};

/// The calls in flight and the circuit breakers of one worker. Services and targets are added at their first call.
#[derive(Default)]
pub struct Admission {
    /// Calls in flight, by [`ServiceId`].
    in_flight: Vec<usize>,
    /// By [`TargetId`](super::backend::TargetId).
    breakers: Vec<Breaker>,
}

impl Admission {
    /// Admits a call. [`Self::report`] or [`Self::cancel`] must follow, as for every [`Permit`].
    ///
    /// # Errors
    ///
    /// [`Failure::Busy`] if `max_in_flight` calls are in flight, [`Outage::Breaker`] if the circuit is open.
    pub fn admit(&mut self, backend: &Backend, now_ms: u64) -> Result<Permit, Failure> {
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

    /// A call is in flight from now on.
    pub fn begin(&mut self, service: ServiceId) {
        if let Some(count) = slot(&mut self.in_flight, service.0) {
            *count = count.saturating_add(1);
        }
    }

    /// A call is not in flight any more.
    pub fn end(&mut self, service: ServiceId) {
        if let Some(count) = slot(&mut self.in_flight, service.0) {
            *count = count.saturating_sub(1);
        }
    }

    /// The outcome of an admitted call, for its circuit breaker. `failure`: `None` if the response is usable; only a
    /// [`Failure::Outage`] counts as an outage.
    pub fn report(&mut self, backend: &Backend, permit: Permit, failure: Option<Failure>, now_ms: u64) {
        if let (Some(settings), Some(breaker)) =
            (&backend.service.breaker, slot(&mut self.breakers, backend.namespace.target_id.0))
        {
            breaker.report(permit, matches!(failure, Some(Failure::Outage(_))), settings, now_ms);
        }
    }

    /// An admitted call is not made after all.
    pub fn cancel(&mut self, backend: &Backend, permit: Permit) {
        if let Some(breaker) = slot(&mut self.breakers, backend.namespace.target_id.0) {
            breaker.cancel(permit);
        }
    }

    /// No call is in flight any more.
    pub fn clear(&mut self) {
        self.in_flight.clear();
    }
}

/// The value of a small number, which starts as the default.
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
    fn each_service_has_its_own_limit_of_calls_in_flight() {
        let mut admission = Admission::default();
        for _ in 0..2 {
            admission.admit(&backend(0), 0).unwrap();
            admission.begin(ServiceId(0));
        }
        assert_eq!(admission.admit(&backend(0), 0), Err(Failure::Busy));
        assert!(admission.admit(&backend(1), 0).is_ok());
        admission.end(ServiceId(0));
        assert!(admission.admit(&backend(0), 0).is_ok());
        admission.begin(ServiceId(0));
        admission.clear();
        assert!(admission.admit(&backend(0), 0).is_ok());
    }

    #[test]
    fn the_breaker_of_one_target_opens_for_no_other() {
        let mut admission = Admission::default();
        let permit = admission.admit(&backend(0), 0).unwrap();
        admission.report(&backend(0), permit, Some(Failure::Outage(Outage::Timeout)), 10);
        assert_eq!(admission.admit(&backend(0), 10), Err(Failure::Outage(Outage::Breaker)));
        assert!(admission.admit(&backend(1), 10).is_ok());
        let permit = admission.admit(&backend(0), 1_010).unwrap();
        admission.report(&backend(0), permit, None, 1_011);
        assert!(admission.admit(&backend(0), 1_011).is_ok());
    }
}
