//! Admission of calls: concurrency limits for each service, circuit breakers for each target.
//!
//! Lookups, changes and kills each have a circuit breaker of their own: what one session makes fail, such as changes that
//! conflict with each other, neither denies lookups to others nor keeps others from logging out. Kills have a concurrency
//! limit of their own: a flood of logouts leaves lookups their calls, and a flood of lookups leaves logouts theirs.

use super::backend::{Backend, Service, ServiceId, SessionKey};
use super::breaker::{Breaker, Permit};
use crate::session::lookup::{Failure, Outage};

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// It looks a session up.
    Lookup,
    /// It changes a session.
    Set,
    /// It ends a session.
    Kill,
}

impl CallKind {
    /// The number of kinds.
    pub const COUNT: usize = Self::Kill as usize + 1;
}

/// The calls in flight and the circuit breakers of one worker. Services and targets are added at their first call.
#[derive(Default)]
pub struct Admission {
    /// By [`ServiceId`].
    in_flight: Vec<InFlight>,
    /// By [`TargetId`](super::backend::TargetId).
    targets: Vec<Target>,
}

/// The calls in flight to one service.
#[derive(Default)]
struct InFlight {
    lookups_and_sets: usize,
    kills: usize,
}

impl InFlight {
    fn of(&mut self, kind: CallKind) -> &mut usize {
        match kind {
            CallKind::Lookup | CallKind::Set => &mut self.lookups_and_sets,
            CallKind::Kill => &mut self.kills,
        }
    }
}

/// The circuits of one target.
#[derive(Default)]
struct Target {
    lookup: Breaker,
    set: Breaker,
    kill: Breaker,
    /// The session whose change failed last, if no change has succeeded since.
    failed_set: Option<SessionKey>,
}

impl Target {
    fn breaker(&mut self, kind: CallKind) -> &mut Breaker {
        match kind {
            CallKind::Lookup => &mut self.lookup,
            CallKind::Set => &mut self.set,
            CallKind::Kill => &mut self.kill,
        }
    }
}

/// A logout may end so many sessions at once, whatever the service's limit is.
const MIN_KILLS: usize = 8;

/// The maximum number of calls of this kind, or of those that it shares the limit with.
fn limit(service: &Service, kind: CallKind) -> usize {
    match kind {
        CallKind::Lookup | CallKind::Set => service.max_in_flight,
        CallKind::Kill => (service.max_in_flight / 4).max(MIN_KILLS),
    }
}

impl Admission {
    /// Admits a call. [`Self::report`] or [`Self::cancel`] must follow, as for every [`Permit`].
    ///
    /// # Errors
    ///
    /// [`Failure::Busy`] if too many calls are in flight, [`Outage::Breaker`] if the circuit is open.
    pub fn admit(&mut self, backend: &Backend, kind: CallKind, now_ms: u64) -> Result<Permit, Failure> {
        let limit = limit(&backend.service, kind);
        if slot(&mut self.in_flight, backend.service_id.0).is_none_or(|in_flight| *in_flight.of(kind) >= limit) {
            return Err(Failure::Busy);
        }
        match backend.service.breaker {
            None => Ok(Permit::Normal),
            Some(_) => slot(&mut self.targets, backend.namespace.target_id.0)
                .and_then(|target| target.breaker(kind).permit(now_ms))
                .ok_or(Failure::Outage(Outage::Breaker)),
        }
    }

    /// A call is in flight from now on.
    pub fn begin(&mut self, service: ServiceId, kind: CallKind) {
        if let Some(in_flight) = slot(&mut self.in_flight, service.0) {
            let count = in_flight.of(kind);
            *count = count.saturating_add(1);
        }
    }

    /// A call is not in flight any more.
    pub fn end(&mut self, service: ServiceId, kind: CallKind) {
        if let Some(in_flight) = slot(&mut self.in_flight, service.0) {
            let count = in_flight.of(kind);
            *count = count.saturating_sub(1);
        }
    }

    /// The outcome of an admitted call about a session, for its circuit breaker. `failure`: `None` if the response is
    /// usable; only a [`Failure::Outage`] counts as an outage. Failed changes of one session in a row count as one
    /// outage.
    pub fn report(
        &mut self,
        backend: &Backend,
        (kind, session): (CallKind, &SessionKey),
        permit: Permit,
        failure: Option<Failure>,
        now_ms: u64,
    ) {
        let (Some(settings), Some(target)) =
            (&backend.service.breaker, slot(&mut self.targets, backend.namespace.target_id.0))
        else {
            return;
        };
        let outage = matches!(failure, Some(Failure::Outage(_)));
        if kind == CallKind::Set {
            let failed = outage.then(|| session.clone());
            if std::mem::replace(&mut target.failed_set, failed).as_ref() == Some(session)
                && outage
                && permit == Permit::Normal
            {
                return;
            }
        }
        target.breaker(kind).report(permit, outage, settings, now_ms);
    }

    /// An admitted call is not made after all.
    pub fn cancel(&mut self, backend: &Backend, kind: CallKind, permit: Permit) {
        if let Some(target) = slot(&mut self.targets, backend.namespace.target_id.0) {
            target.breaker(kind).cancel(permit);
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
    use crate::rest_sessions::backend::{Namespace, NamespaceId, TargetId};
    use crate::rest_sessions::breaker::Settings;
    use crate::session::token::Token;
    use crate::session::token::tests::{NOW_MS, token_made_at};

    const KINDS: [CallKind; CallKind::COUNT] = [CallKind::Lookup, CallKind::Set, CallKind::Kill];
    const TIMEOUT: Failure = Failure::Outage(Outage::Timeout);
    const OPEN: Failure = Failure::Outage(Outage::Breaker);

    fn backend(id: usize, max_in_flight: usize, failures: u32) -> Backend {
        let breaker = Some(Settings { failures, open_for_ms: 1_000 });
        let service = Service { max_in_flight, breaker, ..Service::default() };
        let namespace = Namespace::new(NamespaceId(id), TargetId(id), &service, "app".into());
        Backend { service, service_id: ServiceId(id), namespace }
    }

    fn session(number: u64) -> SessionKey {
        let token = Token::parse(token_made_at(NOW_MS - number).as_bytes(), &|| NOW_MS).unwrap();
        SessionKey { namespace: NamespaceId(0), token, touches: true }
    }

    /// Makes a call at 0 ms that fails or not.
    fn call(admission: &mut Admission, backend: &Backend, kind: CallKind, about: u64, failure: Option<Failure>) {
        let permit = admission.admit(backend, kind, 0).unwrap();
        admission.report(backend, (kind, &session(about)), permit, failure, 0);
    }

    #[test]
    fn each_service_has_its_own_limit_of_calls_in_flight() {
        let mut admission = Admission::default();
        let [first, second] = [0, 1].map(|id| backend(id, 2, 1));
        for kind in [CallKind::Lookup, CallKind::Set] {
            admission.admit(&first, kind, 0).unwrap();
            admission.begin(ServiceId(0), kind);
        }
        for kind in [CallKind::Lookup, CallKind::Set] {
            assert_eq!(admission.admit(&first, kind, 0), Err(Failure::Busy));
            assert!(admission.admit(&second, kind, 0).is_ok());
        }
        admission.end(ServiceId(0), CallKind::Set);
        assert!(admission.admit(&first, CallKind::Lookup, 0).is_ok());
        admission.begin(ServiceId(0), CallKind::Lookup);
        admission.clear();
        assert!(admission.admit(&first, CallKind::Lookup, 0).is_ok());
    }

    #[test]
    fn kills_have_a_limit_of_their_own_a_quarter_of_the_other_calls_and_at_least_8() {
        for (max_in_flight, kills) in [(1, 8), (32, 8), (36, 9), (256, 64), (100_000, 25_000)] {
            let mut admission = Admission::default();
            let backend = backend(0, max_in_flight, 1);
            for (kind, limit, other) in
                [(CallKind::Kill, kills, CallKind::Lookup), (CallKind::Lookup, max_in_flight, CallKind::Kill)]
            {
                admission.clear();
                for _ in 0..limit {
                    admission.admit(&backend, kind, 0).unwrap();
                    admission.begin(ServiceId(0), kind);
                }
                assert_eq!(admission.admit(&backend, kind, 0), Err(Failure::Busy), "{max_in_flight}");
                assert!(admission.admit(&backend, other, 0).is_ok(), "{max_in_flight}");
            }
        }
    }

    #[test]
    fn the_breaker_of_one_target_opens_for_no_other() {
        let mut admission = Admission::default();
        let [first, second] = [0, 1].map(|id| backend(id, 2, 1));
        call(&mut admission, &first, CallKind::Lookup, 0, Some(TIMEOUT));
        assert_eq!(admission.admit(&first, CallKind::Lookup, 10), Err(OPEN));
        assert!(admission.admit(&second, CallKind::Lookup, 10).is_ok());
        let permit = admission.admit(&first, CallKind::Lookup, 1_010).unwrap();
        admission.report(&first, (CallKind::Lookup, &session(0)), permit, None, 1_011);
        assert!(admission.admit(&first, CallKind::Lookup, 1_011).is_ok());
    }

    #[test]
    fn calls_of_one_kind_open_the_breaker_of_no_other_kind() {
        for failing in KINDS {
            let (mut admission, backend) = (Admission::default(), backend(0, 2, 2));
            for about in 0..2 {
                call(&mut admission, &backend, failing, about, Some(TIMEOUT));
            }
            for kind in KINDS {
                assert_eq!(admission.admit(&backend, kind, 0).is_ok(), kind != failing, "{failing:?} {kind:?}");
            }
        }
    }

    #[test]
    fn failed_changes_of_one_session_in_a_row_count_as_one_outage() {
        let (mut admission, backend) = (Admission::default(), backend(0, 2, 3));
        let mut set = |about, failure| call(&mut admission, &backend, CallKind::Set, about, failure);
        for _ in 0..10 {
            set(1, Some(TIMEOUT));
        }
        set(1, None);
        for about in [1, 1, 2, 2, 2] {
            set(about, Some(TIMEOUT));
        }
        set(1, Some(TIMEOUT));
        assert_eq!(admission.admit(&backend, CallKind::Set, 0), Err(OPEN), "three in a row, of two sessions");
        // The probe counts, whatever session it is about.
        let probe = admission.admit(&backend, CallKind::Set, 1_000).unwrap();
        admission.report(&backend, (CallKind::Set, &session(1)), probe, Some(TIMEOUT), 1_000);
        assert_eq!(admission.admit(&backend, CallKind::Set, 1_999), Err(OPEN));
        assert_eq!(admission.admit(&backend, CallKind::Set, 2_000), Ok(Permit::Probe));
    }
}
