//! The calls of one worker to rest-sessions, from admission to response. It knows nothing of what a call is for.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::admission::{Admission, CallKind};
use super::backend::{Backend, SessionKey};
use super::breaker::Permit;
use super::request::CallRequest;
use crate::int_map::{IntMap, MAP_SLACK};
use crate::session::lookup::Failure;
use crate::session::token::Token;

/// The host's number of a call.
pub type CallId = u32;

/// This worker's number of a call, never used twice.
type CallNumber = u64;

/// A call that was admitted: what it does, to whom, about which session, and when.
pub struct CallInfo {
    /// What the call does.
    pub kind: CallKind,
    /// The service that is called. Its limit and its circuit breaker admitted the call.
    pub backend: Rc<Backend>,
    /// The session that the call is about.
    pub key: SessionKey,
    /// The request that the host dispatches.
    pub request: Rc<CallRequest>,
    /// In milliseconds since 1970.
    pub started_ms: u64,
    /// When the host gives up on it, in milliseconds since 1970.
    pub deadline_ms: u64,
}

/// What the caller attaches to a call.
pub trait Purpose {
    /// The heap that it takes, in bytes.
    fn heap_bytes(&self) -> usize;
}

/// An admitted call and what its response is for.
pub struct PendingCall<P> {
    /// The call itself.
    pub info: CallInfo,
    /// What the caller attached in [`Client::begin`], such as the streams that wait.
    pub purpose: P,
    permit: Permit,
}

/// A call for the host to dispatch. What the host said must be reported, by [`Self::accepted`] or [`Self::refused`].
#[must_use]
pub struct Dispatch {
    number: CallNumber,
    /// The request for `proxy_http_call` (proxy-wasm ABI 0.2.1).
    pub request: Rc<CallRequest>,
    /// The time after which the host gives up on the call, retries included.
    pub timeout: Duration,
}

impl Dispatch {
    /// The host has taken the call and given it this number.
    pub fn accepted(self, call: CallId) -> Dispatched {
        Dispatched { number: self.number, call: Some(call) }
    }

    /// The host has refused the call: no such cluster, no endpoint, or a circuit breaker of Envoy's is open.
    pub fn refused(self) -> Dispatched {
        Dispatched { number: self.number, call: None }
    }
}

impl fmt::Debug for Dispatch {
    /// Without the request, whose path holds the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch").field("number", &self.number).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// What the host said to a [`Dispatch`].
#[must_use]
pub struct Dispatched {
    number: CallNumber,
    call: Option<CallId>,
}

impl Dispatched {
    /// Whether the host has taken the call.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.call.is_some()
    }
}

/// The calls of one worker.
pub struct Client<P> {
    admission: Admission,
    calls: IntMap<CallNumber, PendingCall<P>>,
    /// The calls that the host has taken.
    numbers: IntMap<CallId, CallNumber>,
    /// By [`CallKind`]: the latest call of this kind about each session, which further requests may join.
    joinable: [HashMap<SessionKey, CallNumber>; CallKind::COUNT],
    next_number: CallNumber,
    bytes: usize,
}

/// The memory of a call beside its request, in bytes: its places in the three maps, each of which may be less than half
/// full, and the key that it shares with them.
const fn call_bytes<P>() -> usize {
    let calls = size_of::<(CallNumber, PendingCall<P>)>();
    let numbers = size_of::<(CallId, CallNumber)>();
    let joinable = size_of::<(SessionKey, CallNumber)>();
    calls.saturating_add(numbers).saturating_add(joinable).saturating_mul(MAP_SLACK).saturating_add(Token::HEAP_BYTES)
}

impl<P> Default for Client<P> {
    fn default() -> Self {
        Self {
            admission: Admission::default(),
            calls: IntMap::default(),
            numbers: IntMap::default(),
            joinable: Default::default(),
            next_number: 0,
            bytes: 0,
        }
    }
}

impl<P: Purpose> Client<P> {
    /// Admits a call. [`Self::begin`] must follow.
    ///
    /// # Errors
    ///
    /// [`Failure::Busy`] if too many calls are in flight, an outage if the circuit breaker is open.
    pub fn admit(&mut self, backend: &Backend, kind: CallKind, now_ms: u64) -> Result<Permit, Failure> {
        self.admission.admit(backend, kind, now_ms)
    }

    /// Begins an admitted call. Further requests for the session may wait for its response.
    pub fn begin(&mut self, info: CallInfo, purpose: P, permit: Permit) -> Dispatch {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        if let Some(joinable) = self.joinable.get_mut(info.kind as usize) {
            joinable.insert(info.key.clone(), number);
        }
        self.admission.begin(info.backend.service_id, info.kind);
        let timeout = Duration::from_millis(info.deadline_ms.saturating_sub(info.started_ms));
        let dispatch = Dispatch { number, request: Rc::clone(&info.request), timeout };
        let call = PendingCall { info, purpose, permit };
        self.bytes = self.bytes.saturating_add(call.bytes());
        self.calls.insert(number, call);
        dispatch
    }

    /// Hands the purpose of the call of this kind to `join` that a request for the session may join: a call that is over
    /// before the request's own deadline, in milliseconds since 1970. `None`: there is no such call.
    pub fn join<R>(
        &mut self,
        kind: CallKind,
        key: &SessionKey,
        deadline_ms: u64,
        join: impl FnOnce(&mut P) -> R,
    ) -> Option<R> {
        let number = self.joinable.get(kind as usize)?.get(key)?;
        let call = self.calls.get_mut(number).filter(|call| call.info.deadline_ms <= deadline_ms)?;
        let before = call.bytes();
        let joined = join(&mut call.purpose);
        self.bytes = self.bytes.saturating_sub(before).saturating_add(call.bytes());
        Some(joined)
    }

    /// Records what the host said. Returns the call if the host has refused it; then [`Self::report`] must follow.
    /// `None`: the call is in flight.
    pub fn dispatched(&mut self, dispatched: Dispatched) -> Option<PendingCall<P>> {
        let Some(call) = dispatched.call else { return self.remove(dispatched.number) };
        self.numbers.insert(call, dispatched.number);
        None
    }

    /// Takes the call that a response belongs to; `None` for a call that was not made here. [`Self::report`] must
    /// follow.
    pub fn take(&mut self, call: CallId) -> Option<PendingCall<P>> {
        let number = self.numbers.remove(&call)?;
        self.remove(number)
    }

    /// The outcome of a call, for its circuit breaker. `failure`: `None` if the response is usable.
    pub fn report(&mut self, call: &PendingCall<P>, failure: Option<Failure>, now_ms: u64) {
        let CallInfo { backend, kind, key, .. } = &call.info;
        self.admission.report(backend, (*kind, key), call.permit, failure, now_ms);
    }

    /// A call was begun and is not dispatched.
    pub fn cancel(&mut self, dispatch: Dispatch) -> Option<PendingCall<P>> {
        let call = self.remove(dispatch.number)?;
        self.admission.cancel(&call.info.backend, call.info.kind, call.permit);
        Some(call)
    }

    /// Forgets all calls, which the host has given up. Returns how many were in flight.
    pub fn clear(&mut self) -> usize {
        self.admission.clear();
        self.calls.clear();
        self.joinable = Default::default();
        self.bytes = 0;
        std::mem::take(&mut self.numbers).len()
    }

    /// The memory of all calls in flight with their requests and purposes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn remove(&mut self, number: CallNumber) -> Option<PendingCall<P>> {
        let call = self.calls.remove(&number)?;
        let CallInfo { backend, kind, key, .. } = &call.info;
        if let Some(joinable) = self.joinable.get_mut(*kind as usize)
            && joinable.get(key) == Some(&number)
        {
            joinable.remove(key);
        }
        self.admission.end(backend.service_id, *kind);
        self.bytes = self.bytes.saturating_sub(call.bytes());
        Some(call)
    }
}

impl<P: Purpose> PendingCall<P> {
    fn bytes(&self) -> usize {
        call_bytes::<P>().saturating_add(self.info.request.bytes()).saturating_add(self.purpose.heap_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::super::backend::{Namespace, NamespaceId, Service, ServiceId, TargetId};
    use super::super::breaker;
    use super::*;
    use crate::session::lookup::Outage;
    use crate::session::token::tests::{NOW_MS, token_made_at};

    /// Calls whose purpose is a list of the requests that wait for them.
    type Calls = Client<Vec<u32>>;

    impl Purpose for Vec<u32> {
        fn heap_bytes(&self) -> usize {
            self.capacity() * size_of::<u32>()
        }
    }

    fn key(namespace: usize, age_ms: u64) -> SessionKey {
        let token = Token::parse(token_made_at(NOW_MS - age_ms).as_bytes(), &|| NOW_MS).unwrap();
        SessionKey { namespace: NamespaceId(namespace), token, touches: true }
    }

    fn backend(breaker: Option<breaker::Settings>) -> Rc<Backend> {
        let service = Service { max_in_flight: 2, breaker, ..Service::default() };
        let namespace = Namespace::new(NamespaceId(0), TargetId(0), &service, "app".into());
        Rc::new(Backend { service, service_id: ServiceId(0), namespace })
    }

    fn begin(calls: &mut Calls, backend: &Rc<Backend>, key: SessionKey, request: u32, deadline_ms: u64) -> Dispatch {
        let permit = calls.admit(backend, CallKind::Lookup, 0).unwrap();
        let call_request = Rc::new(CallRequest { cluster: "rs".into(), headers: Vec::new(), body: None });
        let (kind, backend) = (CallKind::Lookup, Rc::clone(backend));
        let info = CallInfo { kind, backend, key, request: call_request, started_ms: 0, deadline_ms };
        calls.begin(info, vec![request], permit)
    }

    fn join(calls: &mut Calls, key: &SessionKey, request: u32, deadline_ms: u64) -> bool {
        calls.join(CallKind::Lookup, key, deadline_ms, |requests| requests.push(request)).is_some()
    }

    fn requests(call: Option<PendingCall<Vec<u32>>>) -> Vec<u32> {
        call.expect("a call is pending").purpose
    }

    #[test]
    fn requests_for_one_session_share_one_call_until_its_response() {
        let (mut calls, backend) = (Calls::default(), backend(None));
        let dispatch = begin(&mut calls, &backend, key(0, 0), 10, 500);
        assert!(join(&mut calls, &key(0, 0), 11, 600), "also before the host has taken it");
        assert!(calls.dispatched(dispatch.accepted(1)).is_none());
        assert!(join(&mut calls, &key(0, 0), 12, 500));
        assert_eq!(requests(calls.take(1)), [10, 11, 12]);
        assert!(!join(&mut calls, &key(0, 0), 13, 600), "the call is over");
    }

    #[test]
    fn the_memory_of_a_call_grows_with_those_that_join_it_and_is_given_back_with_it() {
        let (mut calls, backend) = (Calls::default(), backend(None));
        let dispatch = begin(&mut calls, &backend, key(0, 0), 10, 500);
        let one = calls.bytes();
        assert!(calls.dispatched(dispatch.accepted(1)).is_none());
        (0..1_000).for_each(|request| assert!(join(&mut calls, &key(0, 0), request, 500)));
        assert!((4_000..8_000).contains(&(calls.bytes() - one)));
        assert!(calls.take(1).is_some());
        assert_eq!(calls.bytes(), 0);
        let dispatch = begin(&mut calls, &backend, key(0, 0), 10, 500);
        calls.cancel(dispatch);
        assert_eq!(calls.bytes(), 0);
    }

    #[test]
    fn another_token_or_namespace_needs_another_call() {
        let (mut calls, backend) = (Calls::default(), backend(None));
        let _ = begin(&mut calls, &backend, key(0, 0), 10, 500);
        for other in [key(1, 0), key(0, 1)] {
            assert!(!join(&mut calls, &other, 11, 600));
        }
    }

    #[test]
    fn a_call_that_may_outlast_a_requests_deadline_is_not_joined() {
        let (mut calls, backend) = (Calls::default(), backend(None));
        let long = begin(&mut calls, &backend, key(0, 0), 10, 500);
        assert!(calls.dispatched(long.accepted(1)).is_none());
        assert!(!join(&mut calls, &key(0, 0), 11, 499));
        let short = begin(&mut calls, &backend, key(0, 0), 11, 499);
        assert!(calls.dispatched(short.accepted(2)).is_none());
        assert!(join(&mut calls, &key(0, 0), 12, 500), "from now on the shorter one is joined");
        assert_eq!(requests(calls.take(1)), [10]);
        assert!(join(&mut calls, &key(0, 0), 13, 500), "the end of the first leaves the second joinable");
        assert_eq!(requests(calls.take(2)), [11, 12, 13]);
    }

    #[test]
    fn a_call_is_taken_once() {
        let (mut calls, backend) = (Calls::default(), backend(None));
        for (call, age_ms) in [(1, 0), (2, 1)] {
            let dispatch = begin(&mut calls, &backend, key(0, age_ms), 10 + call, 500);
            assert!(calls.dispatched(dispatch.accepted(call)).is_none());
        }
        assert_eq!(requests(calls.take(2)), [12]);
        assert!(calls.take(2).is_none());
        assert!(calls.take(99).is_none());
        assert_eq!(calls.clear(), 1);
        assert!(calls.take(1).is_none());
        assert!(!join(&mut calls, &key(0, 0), 13, 600));
    }

    #[test]
    fn a_refused_call_is_returned_and_leaves_room_for_another() {
        let (mut calls, backend) = (Calls::default(), backend(None));
        let _ = begin(&mut calls, &backend, key(0, 0), 10, 500);
        let second = begin(&mut calls, &backend, key(0, 1), 11, 500);
        assert_eq!(
            calls.admit(&backend, CallKind::Lookup, 0),
            Err(Failure::Busy),
            "what is being dispatched counts as in flight"
        );
        assert_eq!(requests(calls.dispatched(second.refused())), [11]);
        assert!(calls.admit(&backend, CallKind::Lookup, 0).is_ok());
        assert!(!join(&mut calls, &key(0, 1), 12, 600));
    }

    #[test]
    fn a_cancelled_probe_lets_the_next_call_probe() {
        let backend = backend(Some(breaker::Settings { failures: 1, open_for_ms: 1_000 }));
        let mut calls = Calls::default();
        let failed = begin(&mut calls, &backend, key(0, 0), 10, 500);
        let failed = calls.dispatched(failed.refused()).expect("the host has refused it");
        calls.report(&failed, Some(Failure::Outage(Outage::Dispatch)), 0);
        assert_eq!(calls.admit(&backend, CallKind::Lookup, 1), Err(Failure::Outage(Outage::Breaker)));
        assert_eq!(calls.admit(&backend, CallKind::Lookup, 1_000), Ok(Permit::Probe));
        let info = CallInfo {
            kind: CallKind::Lookup,
            backend: Rc::clone(&backend),
            key: key(0, 0),
            request: Rc::new(CallRequest { cluster: "rs".into(), headers: Vec::new(), body: None }),
            started_ms: 0,
            deadline_ms: 500,
        };
        let probe = calls.begin(info, vec![11], Permit::Probe);
        assert_eq!(calls.admit(&backend, CallKind::Lookup, 1_000), Err(Failure::Outage(Outage::Breaker)));
        calls.cancel(probe);
        assert_eq!(calls.admit(&backend, CallKind::Lookup, 1_000), Ok(Permit::Probe));
    }
}
