//! Ending and changing sessions, so that no worker serves what was known of them before.

use std::rc::Rc;

use super::{Purpose, Sessions, Target, received};
use crate::action::{Action, Completion, Ready, StreamRef};
use crate::cache::invalidation::{KeyHash, Version};
use crate::cache::session_cache::SessionCache;
use crate::exchange::Context;
use crate::http::headers::Headers;
use crate::policy::session_change::Change;
use crate::rest_sessions::backend::Backend;
use crate::rest_sessions::client::{CallInfo, PendingCall};
use crate::rest_sessions::{body, request};
use crate::session::lookup::{Failure, Lookup};
use crate::session::token::Token;
use crate::telemetry::Counter;

/// What the response to a kill or a set is for.
pub struct PendingMutation {
    hash: KeyHash,
    /// Absent if a limit ends the session.
    stream: Option<StreamRef>,
    mutation: Mutation,
}

#[derive(Clone, Copy)]
enum Mutation {
    Kill {
        /// The end was published to all workers before the call went out, and counted.
        was_published: bool,
    },
    Set {
        /// The version from after the invalidation before the call; absent if the shared data was not available.
        version: Option<Version>,
    },
}

impl Sessions {
    /// Ends or changes a session for a stream, which gets a completion. From now on, and whatever becomes of the call, no
    /// worker serves what was known of the session before.
    ///
    /// # Errors
    ///
    /// Why no call is made. Then there is no completion.
    #[expect(clippy::too_many_arguments, reason = "what to do to which session, and for whom")]
    pub fn mutate(
        &mut self,
        cx: &Context<'_>,
        backend: &Rc<Backend>,
        token: &Token,
        change: Change,
        stream: StreamRef,
        request: &Headers,
        actions: &mut Vec<Action>,
    ) -> Result<(), Failure> {
        let Target { key, hash, .. } = &self.target(backend, token);
        let data = cx.shared_data;
        let now_ms = cx.now_ms();
        let may_be_held = self.cache.as_mut().is_some_and(|cache| cache.remove(data, key, *hash, now_ms));
        let Backend { service, namespace, .. } = &**backend;
        let (call, mutation) = match change {
            Change::Kill => {
                if may_be_held {
                    let key_bytes = namespace.key_bytes(token);
                    SessionCache::invalidate(data, &mut self.invalidations, *hash, &key_bytes);
                    actions.push(Action::Count(Counter::Ends));
                }
                let mutation = Mutation::Kill { was_published: may_be_held };
                (request::kill(service, &namespace.app, token, request), mutation)
            }
            Change::Set(body) => {
                let invalidated = self.invalidations.invalidate(data, *hash);
                let version = invalidated.and_then(|()| Version::read(data, *hash, data.epoch()?)).ok();
                (request::set(service, &namespace.app, token, body, request), Mutation::Set { version })
            }
        };
        let permit = match self.client.admit(backend, now_ms) {
            Ok(permit) => permit,
            Err(failure) => {
                self.report_failure(cx, failure, backend, actions);
                return Err(failure);
            }
        };
        let info = Target { backend, key: key.clone(), hash: *hash }.call_info(call, now_ms);
        let pending = PendingMutation { hash: *hash, stream: Some(stream), mutation };
        self.begin(info, Purpose::Mutation(pending), permit, actions);
        Ok(())
    }

    /// A kill or a set is over: `outcome` is the body of its response.
    pub(super) fn complete_mutation(
        &mut self,
        cx: &Context<'_>,
        call: PendingCall<Purpose>,
        outcome: Result<&[u8], Failure>,
        actions: &mut Vec<Action>,
    ) -> Vec<Completion> {
        let Purpose::Mutation(PendingMutation { mutation, .. }) = &call.purpose else { return Vec::new() };
        let lookup = match mutation {
            Mutation::Kill { .. } => None,
            Mutation::Set { .. } => Some(outcome.map_or_else(Lookup::Failed, body::lookup)),
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
        match (pending.mutation, &lookup) {
            (Mutation::Set { version }, Some(lookup)) => {
                let body = outcome.unwrap_or_default();
                self.complete_set(cx, &info, pending.hash, version, lookup, body, actions);
            }
            (Mutation::Kill { was_published }, _) => {
                self.complete_kill(cx, &info, pending.hash, was_published, existed, actions);
            }
            (Mutation::Set { .. }, None) => {}
        }
        pending.stream.map(|stream| Completion { stream, ready: Ready::Mutation(existed) }).into_iter().collect()
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
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the call, and all that its response says")]
    fn complete_set(
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
        if let Ok(permit) = self.client.admit(&info.backend, now_ms) {
            let Backend { service, namespace, .. } = &*info.backend;
            let call = request::kill(service, &namespace.app, &info.key.token, &Headers::default());
            let target = Target { backend: &info.backend, key: info.key.clone(), hash };
            let pending = PendingMutation { hash, stream: None, mutation: Mutation::Kill { was_published: true } };
            self.begin(target.call_info(call, now_ms), Purpose::Mutation(pending), permit, actions);
        }
    }
}
