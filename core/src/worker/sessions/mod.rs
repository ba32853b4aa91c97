//! The sessions of a worker: looked up in the cache, else by joining a call in flight, else by a call of their own; ended
//! and changed by calls, and invalidated in all workers.

mod idle;
mod lookups;
mod mutations;
mod sets;

use std::rc::Rc;

use crate::action::{Action, Completion};
use crate::cache::Settings;
use crate::cache::invalidation::{Invalidations, KeyHash};
use crate::cache::session_cache::{Received, SessionCache, Size};
use crate::cache::shared_data::{SharedData, Unavailable};
use crate::exchange::Context;
use crate::policy::limits::Limits;
use crate::rest_sessions::admission::CallKind;
use crate::rest_sessions::backend::{Backend, SessionKey};
use crate::rest_sessions::breaker::Permit;
use crate::rest_sessions::client::{self, CallId, CallInfo, Client, Dispatch, Dispatched, PendingCall};
use crate::rest_sessions::request::CallRequest;
use crate::rest_sessions::response::{CalloutResponse, is_late};
use crate::session::lookup::{Failure, Outage};
use crate::session::token::Token;
use crate::telemetry::{Cause, Counter, Gauge, LogLine, Throttle};

use idle::IdleLimit;
use lookups::PendingLookup;
use mutations::PendingMutation;

pub use lookups::Waiter;

pub struct Sessions {
    client: Client<Purpose>,
    /// Absent: nothing is cached.
    cache: Option<SessionCache>,
    invalidations: Invalidations,
    limits: Limits,
    /// Absent without `limits.idle`.
    idle: Option<IdleLimit>,
    throttle: Throttle,
}

/// What a call is for.
enum Purpose {
    Lookup(PendingLookup),
    Mutation(PendingMutation),
}

impl client::Purpose for Purpose {
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Lookup(lookup) => lookup.heap_bytes(),
            Self::Mutation(mutation) => mutation.heap_bytes(),
        }
    }
}

/// A call whose response came.
pub struct Call(PendingCall<Purpose>);

/// The session that a step is about.
struct Target<'a> {
    backend: &'a Rc<Backend>,
    key: SessionKey,
    hash: KeyHash,
}

impl Sessions {
    /// `shared_data`: where `cache.shared: false`, this worker's own; `host_data`: the host's in any case. `random`: four
    /// numbers that cannot be predicted.
    ///
    /// # Errors
    ///
    /// If the shared data is not available.
    pub fn new(
        settings: Option<&Settings>,
        limits: Limits,
        shared_data: &dyn SharedData,
        host_data: &dyn SharedData,
        random: [u64; 4],
    ) -> Result<Self, Unavailable> {
        let invalidations = Invalidations::new(shared_data, random)?;
        Ok(Self {
            client: Client::default(),
            cache: settings.cloned().map(|settings| SessionCache::new(settings, limits.age_ms, limits.idle_ms)),
            invalidations,
            limits,
            idle: IdleLimit::new(limits, host_data, random)?,
            throttle: Throttle::default(),
        })
    }

    /// Records what the host said to a dispatch. A refused call is over, with an outage.
    pub fn dispatched(
        &mut self,
        cx: &Context<'_>,
        dispatched: Dispatched,
        actions: &mut Vec<Action>,
    ) -> Vec<Completion> {
        match self.client.dispatched(dispatched) {
            None => {
                actions.push(Action::Gauge(Gauge::InFlight, 1));
                Vec::new()
            }
            Some(call) => self.complete(cx, Call(call), Err(Failure::Outage(Outage::Dispatch)), actions),
        }
    }

    /// A call was not handed to the host.
    pub fn cancel(&mut self, cx: &Context<'_>, dispatch: Dispatch) {
        let Some(PendingCall { info, purpose: Purpose::Lookup(pending), .. }) = self.client.cancel(dispatch) else {
            return;
        };
        // Lookups of other workers would wait for it.
        self.forget_idle(cx, &info.backend, &info.key.token, pending.idle);
    }

    /// Takes the call that a response belongs to; `None` for a call that was not made here.
    pub fn take(&mut self, call: CallId) -> Option<Call> {
        self.client.take(call).map(Call)
    }

    /// The body of the response to a call.
    ///
    /// # Errors
    ///
    /// Why the response does not answer the call.
    pub fn read<'r>(&self, call: &mut Call, response: &'r CalloutResponse, now_ms: u64) -> Result<&'r [u8], Failure> {
        if let (Some(limit), Purpose::Lookup(PendingLookup { idle: Some(check), .. })) =
            (&self.idle, &mut call.0.purpose)
        {
            check.is_enforced = check.is_asked && limit.is_enforced(response.max_idle_s());
        }
        response.body(is_late(now_ms, call.deadline_ms()))
    }

    /// A call is over: `outcome` is the body of its response. Returns what is ready for the streams that waited for it.
    pub fn complete(
        &mut self,
        cx: &Context<'_>,
        Call(call): Call,
        outcome: Result<&[u8], Failure>,
        actions: &mut Vec<Action>,
    ) -> Vec<Completion> {
        match &call.purpose {
            Purpose::Lookup(_) => self.complete_lookup(cx, call, outcome, actions),
            Purpose::Mutation(_) => self.complete_mutation(cx, call, outcome, actions),
        }
    }

    /// Forgets all calls. Returns how many were in flight.
    pub fn retire(&mut self) -> usize {
        self.clear_waiting();
        self.client.clear()
    }

    /// The cache's size.
    pub fn cache_size(&self) -> Size {
        self.cache.as_ref().map_or(Size::default(), SessionCache::size)
    }

    /// How many useful entries the cache has evicted since the last call.
    pub fn take_evictions(&mut self) -> usize {
        self.cache.as_mut().map_or(0, SessionCache::take_evictions)
    }

    /// The memory of the calls in flight, in bytes, with those that wait for them and the changes that follow.
    pub fn pending_bytes(&self) -> usize {
        self.client.bytes()
    }

    fn target<'a>(&self, backend: &'a Rc<Backend>, token: &Token) -> Target<'a> {
        let hash = self.invalidations.hash(&backend.namespace, token);
        let key = SessionKey { namespace: backend.namespace.id, token: token.clone(), touches: true };
        Target { backend, key, hash }
    }

    /// Begins an admitted call. The shell dispatches it when it carries the actions out.
    fn begin(&mut self, info: CallInfo, purpose: Purpose, permit: Permit, actions: &mut Vec<Action>) {
        actions.push(Action::Count(Counter::Calls));
        actions.push(Action::Dispatch(self.client.begin(info, purpose, permit)));
    }

    /// Counts a call that could not be made, or whose response is not usable, and logs it at most once a second for each
    /// cause.
    fn report_failure(&mut self, cx: &Context<'_>, failure: Failure, backend: &Backend, actions: &mut Vec<Action>) {
        let Some(cause) = Cause::of(failure) else { return };
        actions.push(Action::Count(Counter::CallFailures(cause)));
        let cluster = &backend.service.cluster;
        if let Some(held_back) = self.throttle.admit(cause, cx.now_ms()) {
            actions.push(Action::Log(LogLine::CallFailed { failure, cluster: Rc::clone(cluster), held_back }));
        }
    }

    /// Reports a session whose token is created in the future, at most once a minute: the clock of its server is wrong, or
    /// this one.
    fn report_clock(&mut self, info: &CallInfo, now_ms: u64, actions: &mut Vec<Action>) {
        if let Some(ahead_ms) = info.key.token.ahead_ms(now_ms)
            && let Some(held_back) = self.throttle.admit_clock(now_ms)
        {
            let cluster = Rc::clone(&info.backend.service.cluster);
            actions.push(Action::Log(LogLine::ClockAhead { cluster, ahead_s: ahead_ms / 1_000, held_back }));
        }
    }
}

impl Call {
    /// When the call was made, in milliseconds since 1970.
    pub fn started_ms(&self) -> u64 {
        self.0.info.started_ms
    }

    /// When the host gives up on it, in milliseconds since 1970.
    pub fn deadline_ms(&self) -> u64 {
        self.0.info.deadline_ms
    }
}

impl Target<'_> {
    fn call_info(&self, kind: CallKind, request: CallRequest, now_ms: u64) -> CallInfo {
        CallInfo {
            kind,
            backend: Rc::clone(self.backend),
            key: self.key.clone(),
            request: Rc::new(request),
            started_ms: now_ms,
            deadline_ms: now_ms.saturating_add(self.backend.service.timeout_ms),
        }
    }
}

/// Where the response of a call belongs in the cache.
fn received<'a>(data: &'a dyn SharedData, info: &'a CallInfo, hash: KeyHash, now_ms: u64) -> Received<'a> {
    Received { data, namespace: &info.backend.namespace, key: &info.key, hash, requested_ms: info.started_ms, now_ms }
}
