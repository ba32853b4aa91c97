//! Changing sessions: in a worker, one call at a time for each session. Concurrent changes of one session conflict with each
//! other at rest-sessions, which fails all but one of them.

use std::collections::VecDeque;
use std::rc::Rc;

use super::mutations::{Mutation, PendingMutation, completions};
use super::{Purpose, Sessions, Target, received};
use crate::action::{Action, Completion, StreamRef};
use crate::cache::invalidation::{KeyHash, Version};
use crate::exchange::Context;
use crate::policy::session_change;
use crate::rest_sessions::admission::CallKind;
use crate::rest_sessions::backend::{Backend, SessionKey};
use crate::rest_sessions::breaker::Permit;
use crate::rest_sessions::client::CallInfo;
use crate::rest_sessions::request::{self, Trace};
use crate::session::heap;
use crate::session::lookup::{Failure, Lookup, Outage};
use crate::session::token::Token;
use crate::telemetry::Counter;

/// The changes of a session that wait until the call for earlier ones is over, in their order.
pub type Queue = VecDeque<QueuedSet>;

/// One or more changes that one call makes.
pub struct QueuedSet {
    backend: Rc<Backend>,
    body: String,
    trace: Trace,
    /// The earliest of their deadlines, in milliseconds since 1970.
    deadline_ms: u64,
    /// The streams that wait for the call. A stream that has ended stays in the list, and its change is made.
    waiters: Vec<StreamRef>,
}

/// The heap that a queue takes, in bytes.
pub fn heap_bytes(queue: &Queue) -> usize {
    let list = heap::of_box(queue.capacity().saturating_mul(size_of::<QueuedSet>()));
    queue.iter().fold(list, |sum, set| {
        let waiters = heap::of_box(set.waiters.capacity().saturating_mul(size_of::<StreamRef>()));
        let body = heap::of_box(set.body.capacity());
        sum.saturating_add(waiters).saturating_add(body).saturating_add(set.trace.heap_bytes())
    })
}

impl Sessions {
    /// Changes a session for a stream. Returns why that is impossible; `None` if the stream gets a completion.
    #[expect(clippy::too_many_arguments, reason = "which change to make to which session, and for whom")]
    pub(super) fn set(
        &mut self,
        cx: &Context<'_>,
        backend: &Rc<Backend>,
        token: &Token,
        body: String,
        stream: StreamRef,
        trace: &Trace,
        actions: &mut Vec<Action>,
    ) -> Option<Failure> {
        let Target { key, hash, .. } = self.target(backend, token);
        let deadline_ms = cx.now_ms().saturating_add(backend.service.timeout_ms);
        let set =
            QueuedSet { backend: Rc::clone(backend), body, trace: trace.clone(), deadline_ms, waiters: vec![stream] };
        // The call in flight is over before this change's own deadline, and so is each one that follows for the queue.
        let mut set = Some(set);
        self.client.join(CallKind::Set, &key, deadline_ms, |purpose| {
            if let Purpose::Mutation(PendingMutation { mutation: Mutation::Set { queue, .. }, .. }) = purpose {
                set.take().into_iter().for_each(|set| enqueue(queue, set));
            }
        });
        let set = set?;
        let permit = match self.client.admit(backend, CallKind::Set, cx.now_ms()) {
            Ok(permit) => permit,
            Err(failure) => {
                self.prepare_set(cx, &key, hash);
                self.report_failure(cx, failure, backend, actions);
                return Some(failure);
            }
        };
        self.begin_set(cx, key, hash, set, Queue::new(), permit, actions);
        None
    }

    /// What is known of the session is not served any more, by no worker. Returns the version from after that; `None` if
    /// the shared data is not available.
    fn prepare_set(&mut self, cx: &Context<'_>, key: &SessionKey, hash: KeyHash) -> Option<Version> {
        let data = cx.shared_data;
        if let Some(cache) = &mut self.cache {
            cache.remove(data, key, hash, cx.now_ms());
        }
        let invalidated = self.invalidations.invalidate(data, hash);
        invalidated.and_then(|()| Version::read(data, hash, data.epoch()?)).ok()
    }

    #[expect(clippy::too_many_arguments, reason = "a call, and what follows it")]
    fn begin_set(
        &mut self,
        cx: &Context<'_>,
        key: SessionKey,
        hash: KeyHash,
        set: QueuedSet,
        queue: Queue,
        permit: Permit,
        actions: &mut Vec<Action>,
    ) {
        let version = self.prepare_set(cx, &key, hash);
        let QueuedSet { backend, body, trace, deadline_ms, waiters } = set;
        let call = request::set(&backend.service, &backend.namespace.app, &key.token, body, trace);
        let info = Target { backend: &backend, key, hash }.call_info(CallKind::Set, call, cx.now_ms());
        let mutation = Mutation::Set { version, queue };
        let purpose = Purpose::Mutation(PendingMutation { hash, waiters, mutation });
        self.begin(CallInfo { deadline_ms, ..info }, purpose, permit, actions);
    }

    /// The call for earlier changes is over: makes the next ones. Returns what is ready for the streams whose changes
    /// cannot be made.
    pub(super) fn set_next(
        &mut self,
        cx: &Context<'_>,
        info: &CallInfo,
        hash: KeyHash,
        mut queue: Queue,
        actions: &mut Vec<Action>,
    ) -> Vec<Completion> {
        let mut ready = Vec::new();
        while let Some(set) = queue.pop_front() {
            let permit = if set.deadline_ms <= cx.now_ms() {
                Err(Failure::Outage(Outage::Timeout))
            } else {
                self.client.admit(&set.backend, CallKind::Set, cx.now_ms())
            };
            match permit {
                Ok(permit) => {
                    self.begin_set(cx, info.key.clone(), hash, set, queue, permit, actions);
                    break;
                }
                Err(failure) => {
                    self.report_failure(cx, failure, &set.backend, actions);
                    ready.extend(completions(&set.waiters, Err(failure)));
                }
            }
        }
        ready
    }

    #[expect(clippy::too_many_arguments, reason = "the call, and all that its response says")]
    pub(super) fn complete_set(
        &mut self,
        cx: &Context<'_>,
        info: &CallInfo,
        hash: KeyHash,
        version: Option<Version>,
        lookup: &Lookup,
        body: &[u8],
        actions: &mut Vec<Action>,
    ) {
        let data = cx.shared_data;
        // Once more: a lookup that began in between may have found the session unchanged. After a failure it is unknown
        // whether the session has changed.
        let version = match version {
            Some(version) => self.invalidations.invalidate_answered(data, hash, version),
            None => {
                let _ = self.invalidations.invalidate(data, hash);
                None
            }
        };
        match lookup {
            Lookup::Active(session) => {
                actions.push(Action::Count(Counter::Ends));
                let now_ms = cx.now_ms();
                if let (Some(cache), Some(version)) = (&mut self.cache, version)
                    && !self.limits.exceeded_by(session, &info.key.token, now_ms)
                {
                    cache.insert(received(data, info, hash, now_ms), session, body, version);
                }
            }
            Lookup::None => self.learn_none(cx, info, hash, version.is_some(), actions),
            Lookup::Failed(_) => {}
        }
    }
}

/// Adds a change to the queue: to the last call in it if one call can make both, else as a call of its own.
fn enqueue(queue: &mut Queue, set: QueuedSet) {
    if let Some(last) = queue.back_mut()
        && let Some(body) = session_change::merge(&last.body, &set.body)
    {
        last.body = body;
        last.deadline_ms = last.deadline_ms.min(set.deadline_ms);
        last.waiters.extend(set.waiters);
        return;
    }
    queue.push_back(set);
}
