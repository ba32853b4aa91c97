//! Ending and changing sessions, so that no worker serves what was known of them before.

use std::rc::Rc;

use super::sets::{self, Queue};
use super::{Purpose, Sessions, Target, received};
use crate::action::{Action, Completion, Ready, StreamRef};
use crate::cache::invalidation::{KeyHash, Version};
use crate::cache::session_cache::{Query, SessionCache};
use crate::exchange::Context;
use crate::policy::session_change::Change;
use crate::rest_sessions::admission::CallKind;
use crate::rest_sessions::backend::Backend;
use crate::rest_sessions::body;
use crate::rest_sessions::client::{CallInfo, PendingCall};
use crate::rest_sessions::request::{self, Trace};
use crate::session::heap;
use crate::session::lookup::{Failure, Lookup};
use crate::session::token::Token;
use crate::telemetry::Counter;

/// How old the answer that a token has no session may be for a kill of it to be spared, in milliseconds. It is short, so
/// that a wrong answer, such as that of a replica that lags behind, hides a session from a logout for no longer.
const MAX_NONE_AGE_MS: u64 = 1_000;

/// What the response to a kill or a set is for.
pub struct PendingMutation {
    pub(super) hash: KeyHash,
    /// The streams that wait for it. A stream that has ended stays in the list, and the call goes on. Empty if a limit ends
    /// the session.
    pub(super) waiters: Vec<StreamRef>,
    pub(super) mutation: Mutation,
}

pub enum Mutation {
    Kill {
        /// The end was published to all workers before the call went out, and counted.
        was_published: bool,
    },
    Set {
        /// The version from after the invalidation before the call; absent if the shared data was not available.
        version: Option<Version>,
        /// The changes that follow once this call is over.
        queue: Queue,
    },
}

impl PendingMutation {
    pub(super) fn heap_bytes(&self) -> usize {
        let queue = match &self.mutation {
            Mutation::Kill { .. } => 0,
            Mutation::Set { queue, .. } => sets::heap_bytes(queue),
        };
        heap::of_box(self.waiters.capacity().saturating_mul(size_of::<StreamRef>())).saturating_add(queue)
    }
}

impl Sessions {
    /// Ends or changes a session for a stream. Returns the outcome if it is known at once: whether there was a session, or
    /// why no call is made. `None`: the stream gets a completion. From then on, and whatever becomes of the call, no
    /// worker serves what was known of the session before.
    #[expect(clippy::too_many_arguments, reason = "what to do to which session, and for whom")]
    pub fn mutate(
        &mut self,
        cx: &Context<'_>,
        backend: &Rc<Backend>,
        token: &Token,
        change: Change,
        stream: StreamRef,
        trace: &Trace,
        actions: &mut Vec<Action>,
    ) -> Option<Result<bool, Failure>> {
        match change {
            Change::Kill => self.kill(cx, backend, token, stream, trace, actions),
            Change::Set(body) => self.set(cx, backend, token, body, stream, trace, actions).map(Err),
        }
    }

    fn kill(
        &mut self,
        cx: &Context<'_>,
        backend: &Rc<Backend>,
        token: &Token,
        stream: StreamRef,
        trace: &Trace,
        actions: &mut Vec<Action>,
    ) -> Option<Result<bool, Failure>> {
        let target = self.target(backend, token);
        let (key, hash) = (&target.key, target.hash);
        let data = cx.shared_data;
        let now_ms = cx.now_ms();
        let mut may_be_held = false;
        if let Some(cache) = &mut self.cache {
            let epoch = data.epoch().unwrap_or_default();
            if cache.knows_none(Query { data, key, hash, epoch, max_age_ms: MAX_NONE_AGE_MS, now_ms }) {
                return Some(Ok(false));
            }
            may_be_held = cache.remove(data, key, hash, now_ms);
        }
        if may_be_held {
            let key_bytes = backend.namespace.key_bytes(token);
            SessionCache::invalidate(data, &mut self.invalidations, hash, &key_bytes);
        }
        let deadline_ms = now_ms.saturating_add(backend.service.timeout_ms);
        // The session of a token that is being ended cannot begin again, so one kill serves all.
        let joined = self.client.join(CallKind::Kill, key, deadline_ms, |purpose| {
            let Purpose::Mutation(PendingMutation { waiters, mutation: Mutation::Kill { was_published }, .. }) =
                purpose
            else {
                return false;
            };
            waiters.push(stream);
            std::mem::replace(was_published, *was_published || may_be_held)
        });
        if may_be_held && joined != Some(true) {
            actions.push(Action::Count(Counter::Ends));
        }
        if joined.is_some() {
            return None;
        }
        match self.client.admit(backend, CallKind::Kill, now_ms) {
            Ok(permit) => {
                let call = request::kill(&backend.service, &backend.namespace.app, token, trace.clone());
                let info = target.call_info(CallKind::Kill, call, now_ms);
                let mutation = Mutation::Kill { was_published: may_be_held };
                let pending = PendingMutation { hash, waiters: vec![stream], mutation };
                self.begin(info, Purpose::Mutation(pending), permit, actions);
                None
            }
            Err(failure) => {
                self.report_failure(cx, failure, backend, actions);
                Some(Err(failure))
            }
        }
    }

    /// A kill or a set is over: `outcome` is the body of its response.
    pub(super) fn complete_mutation(
        &mut self,
        cx: &Context<'_>,
        call: PendingCall<Purpose>,
        outcome: Result<&[u8], Failure>,
        actions: &mut Vec<Action>,
    ) -> Vec<Completion> {
        let lookup = match call.info.kind {
            CallKind::Set => Some(outcome.map_or_else(Lookup::Failed, body::lookup)),
            CallKind::Lookup | CallKind::Kill => None,
        };
        let existed = match &lookup {
            None => outcome.and_then(body::killed),
            Some(Lookup::Active(_)) => Ok(true),
            Some(Lookup::None) => Ok(false),
            Some(Lookup::Failed(failure)) => Err(*failure),
        };
        self.client.report(&call, existed.err(), cx.now_ms());
        let PendingCall { info, purpose: Purpose::Mutation(pending), .. } = call else { return Vec::new() };
        if let Err(failure) = existed {
            self.report_failure(cx, failure, &info.backend, actions);
        }
        let PendingMutation { hash, waiters, mutation } = pending;
        let mut ready: Vec<_> = completions(&waiters, existed).collect();
        match (mutation, &lookup) {
            (Mutation::Set { version, queue }, Some(lookup)) => {
                let body = outcome.unwrap_or_default();
                self.complete_set(cx, &info, hash, version, lookup, body, actions);
                ready.extend(self.set_next(cx, &info, hash, queue, actions));
            }
            (Mutation::Kill { was_published }, _) => {
                self.complete_kill(cx, &info, hash, was_published, existed, actions);
            }
            (Mutation::Set { .. }, None) => {}
        }
        ready
    }

    fn complete_kill(
        &mut self,
        cx: &Context<'_>,
        info: &CallInfo,
        hash: KeyHash,
        was_published: bool,
        existed: Result<bool, Failure>,
        actions: &mut Vec<Action>,
    ) {
        if existed.is_ok() {
            self.end_condemned(cx, info);
        }
        // Once more: a lookup that began in between may have found the session. After a failure it is unknown whether
        // the session has ended.
        if existed != Ok(false) {
            let data = cx.shared_data;
            let _ = self.invalidations.invalidate(data, hash);
            if !was_published && existed == Ok(true) {
                actions.push(Action::Count(Counter::Ends));
            }
        } else if let Some(cache) = &mut self.cache {
            cache.insert_none(received(cx.shared_data, info, hash, cx.now_ms()), true);
        }
    }

    /// rest-sessions has no such session. If a worker may hold it, it has ended and is invalidated in all workers.
    pub(super) fn learn_none(
        &mut self,
        cx: &Context<'_>,
        info: &CallInfo,
        hash: KeyHash,
        is_current: bool,
        actions: &mut Vec<Action>,
    ) {
        let Some(cache) = &mut self.cache else { return };
        let data = cx.shared_data;
        let now_ms = cx.now_ms();
        if cache.remove(data, &info.key, hash, now_ms) {
            let key_bytes = info.backend.namespace.key_bytes(&info.key.token);
            SessionCache::invalidate(data, &mut self.invalidations, hash, &key_bytes);
            actions.push(Action::Count(Counter::Ends));
        }
        cache.insert_none(received(data, info, hash, now_ms), is_current);
    }

    /// A session is beyond a limit: it counts as none from now on, and is killed.
    pub(super) fn end_over_limit(
        &mut self,
        cx: &Context<'_>,
        info: &CallInfo,
        hash: KeyHash,
        actions: &mut Vec<Action>,
    ) {
        let data = cx.shared_data;
        if self.cache.is_some() {
            let key_bytes = info.backend.namespace.key_bytes(&info.key.token);
            SessionCache::invalidate(data, &mut self.invalidations, hash, &key_bytes);
        } else {
            let _ = self.invalidations.invalidate(data, hash);
        }
        actions.push(Action::Count(Counter::Ends));
        let now_ms = cx.now_ms();
        if self.client.join(CallKind::Kill, &info.key, u64::MAX, |_| ()).is_some() {
            return;
        }
        if let Ok(permit) = self.client.admit(&info.backend, CallKind::Kill, now_ms) {
            let Backend { service, namespace, .. } = &*info.backend;
            let call = request::kill(service, &namespace.app, &info.key.token, Trace::default());
            let target = Target { backend: &info.backend, key: info.key.clone(), hash };
            let mutation = Mutation::Kill { was_published: true };
            let pending = PendingMutation { hash, waiters: Vec::new(), mutation };
            self.begin(target.call_info(CallKind::Kill, call, now_ms), Purpose::Mutation(pending), permit, actions);
        }
    }
}

/// A mutation is over for these streams.
pub fn completions(waiters: &[StreamRef], existed: Result<bool, Failure>) -> impl Iterator<Item = Completion> {
    waiters.iter().map(move |stream| Completion { stream: *stream, ready: Ready::Mutation(existed) })
}
