//! Looking sessions up, so that requests for one session share one call.

use std::rc::Rc;

use super::idle::{IdleCheck, IdleVerdict};
use super::{Purpose, Sessions, Target, received};
use crate::action::{Action, Completion, Ready, StreamRef};
use crate::cache::invalidation::{KeyHash, Version};
use crate::cache::session_cache::{CachedLookup, Query};
use crate::cache::shared_data::{SharedData, Unavailable};
use crate::exchange::Context;
use crate::rest_sessions::admission::CallKind;
use crate::rest_sessions::backend::{Backend, SessionKey};
use crate::rest_sessions::body;
use crate::rest_sessions::client::{CallInfo, PendingCall};
use crate::rest_sessions::request::{self, Trace};
use crate::session::candidates::Position;
use crate::session::heap;
use crate::session::lookup::{Failure, Lookup, Outage};
use crate::session::token::Token;
use crate::telemetry::Counter;

/// A stream that waits for a lookup.
#[derive(Clone, Copy, Debug)]
pub struct Waiter {
    pub stream: StreamRef,
    /// Which of the stream's tokens is looked up.
    pub position: Position,
    /// How old a cached session may be, in milliseconds.
    pub max_age_ms: u64,
    /// Until when it waits, in milliseconds since 1970.
    pub deadline_ms: u64,
    /// The lookup counts as a use of the session.
    pub touches: bool,
    /// Its rule is in shadow, so nothing may change because of it.
    pub in_shadow: bool,
    /// There is memory for it to wait.
    pub may_wait: bool,
}

/// What the response to a lookup is for.
pub struct PendingLookup {
    hash: KeyHash,
    /// Absent if the shared data was not available. Then the session is not cached, and no further request joins.
    version: Option<Version>,
    /// Absent without `limits.idle`.
    pub(super) idle: Option<IdleCheck>,
    /// The stream that caused the call first. A stream that has ended stays in the list, and the call goes on.
    pub(super) waiters: Vec<Waiter>,
}

impl PendingLookup {
    /// The earliest of the waiters' deadlines, in milliseconds since 1970.
    pub(super) fn deadline_ms(&self) -> u64 {
        self.waiters.iter().map(|waiter| waiter.deadline_ms).min().unwrap_or(0)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        heap::of_box(self.waiters.capacity().saturating_mul(size_of::<Waiter>()))
    }
}

impl Sessions {
    /// Looks a session up. Returns what is known at once; `None` if the waiter's stream gets a completion.
    pub fn lookup(
        &mut self,
        cx: &Context<'_>,
        backend: &Rc<Backend>,
        token: &Token,
        waiter: Waiter,
        trace: &dyn Fn() -> Trace,
        actions: &mut Vec<Action>,
    ) -> Option<Lookup> {
        let mut target = self.target(backend, token);
        target.key.touches = waiter.touches;
        let (key, hash) = (&target.key, target.hash);
        let data = cx.shared_data;
        let now_ms = cx.now_ms();
        // The epoch is read before everything else: an invalidation after this has another one.
        let epoch = data.epoch();
        if let Some(cache) = &mut self.cache {
            let cached = epoch.ok().and_then(|epoch| {
                let query = Query { data, key, hash, epoch, max_age_ms: waiter.max_age_ms, now_ms };
                cache.get(query, &backend.namespace)
            });
            let (counter, lookup) = match cached {
                Some(CachedLookup::Hit(session)) => (Counter::CacheHits, Some(Lookup::Active(session))),
                Some(CachedLookup::SharedHit(session)) => (Counter::CacheSharedHits, Some(Lookup::Active(session))),
                Some(CachedLookup::NegativeHit) => (Counter::CacheNegativeHits, Some(Lookup::None)),
                None => (Counter::CacheMisses, None),
            };
            actions.push(Action::Count(counter));
            if lookup.is_some() {
                return lookup;
            }
        }
        if !waiter.may_wait {
            return Some(Lookup::Failed(Failure::Busy));
        }
        if let Ok(epoch) = epoch
            && self.join_lookup(data, key, hash, epoch, waiter.deadline_ms, &[waiter])
        {
            actions.push(Action::Count(Counter::Coalesced));
            return None;
        }
        self.call(cx, &target, epoch, waiter, trace, actions)
    }

    /// Looks a session up by a call.
    #[inline(never)]
    fn call(
        &mut self,
        cx: &Context<'_>,
        target: &Target<'_>,
        epoch: Result<u64, Unavailable>,
        waiter: Waiter,
        trace: &dyn Fn() -> Trace,
        actions: &mut Vec<Action>,
    ) -> Option<Lookup> {
        let (backend, key, hash) = (target.backend, &target.key, target.hash);
        let (data, now_ms) = (cx.shared_data, cx.now_ms());
        let failure = match self.check_idle(cx, target, waiter.in_shadow) {
            Ok((query, idle)) => match self.client.admit(backend, CallKind::Lookup, now_ms) {
                Ok(permit) => {
                    let version = epoch.and_then(|epoch| Version::read(data, hash, epoch)).ok();
                    let call = request::lookup(&backend.service, &backend.namespace.app, key, query, trace());
                    let pending = PendingLookup { hash, version, idle, waiters: vec![waiter] };
                    self.begin(
                        target.call_info(CallKind::Lookup, call, now_ms),
                        Purpose::Lookup(pending),
                        permit,
                        actions,
                    );
                    return None;
                }
                Err(failure) => {
                    self.forget_idle(cx, backend, &key.token, idle);
                    failure
                }
            },
            Err(failure) => failure,
        };
        self.report_failure(cx, failure, backend, actions);
        Some(self.or_cached(cx, key, hash, waiter, Lookup::Failed(failure), actions))
    }

    /// Lets waiters join the lookup of the session that is in flight, if it began after the session's last invalidation.
    /// Returns whether they have joined one.
    fn join_lookup(
        &mut self,
        data: &dyn SharedData,
        key: &SessionKey,
        hash: KeyHash,
        epoch: u64,
        deadline_ms: u64,
        waiters: &[Waiter],
    ) -> bool {
        let joined = self.client.join(CallKind::Lookup, key, deadline_ms, |purpose| {
            let Purpose::Lookup(PendingLookup { version: Some(version), waiters: others, .. }) = purpose else {
                return false;
            };
            let is_current = version.is_current(data, hash, epoch);
            if is_current {
                others.extend(waiters);
            }
            is_current
        });
        joined == Some(true)
    }

    /// A lookup is over: `outcome` is the body of its response.
    pub(super) fn complete_lookup(
        &mut self,
        cx: &Context<'_>,
        call: PendingCall<Purpose>,
        outcome: Result<&[u8], Failure>,
        actions: &mut Vec<Action>,
    ) -> Vec<Completion> {
        let lookup = outcome.map_or_else(Lookup::Failed, body::lookup);
        let failure = if let Lookup::Failed(failure) = lookup { Some(failure) } else { None };
        let now_ms = cx.now_ms();
        self.client.report(&call, failure, now_ms);
        let PendingCall { info, purpose: Purpose::Lookup(mut pending), .. } = call else { return Vec::new() };
        if let Some(failure) = failure {
            self.report_failure(cx, failure, &info.backend, actions);
        }
        if let Lookup::Active(_) = &lookup {
            self.report_clock(&info, now_ms, actions);
        }
        let verdict = self.judge_idle(cx, &info, &mut pending, &lookup);
        let data = cx.shared_data;
        let current = pending.version.and_then(|mut version| {
            let epoch = data.epoch().ok()?;
            version.is_current(data, pending.hash, epoch).then_some(version)
        });
        match (&lookup, current) {
            (Lookup::Active(_), _)
                if verdict == IdleVerdict::Exceeded || self.limits.age_exceeded(&info.key.token, now_ms) =>
            {
                let only_shadows = pending.waiters.iter().all(|waiter| waiter.in_shadow);
                if !only_shadows {
                    self.end_over_limit(cx, &info, pending.hash, actions);
                }
                return completions(&pending.waiters, &Lookup::None);
            }
            (Lookup::Active(_), _) if verdict == IdleVerdict::Undecided => {
                self.await_others(info, pending, actions);
                return Vec::new();
            }
            (Lookup::Active(_), None) if pending.version.is_some() => {
                return self.look_up_again(cx, info, pending, actions);
            }
            (Lookup::Active(session), Some(version)) => {
                if let Some(cache) = &mut self.cache {
                    let body = outcome.unwrap_or_default();
                    cache.insert(received(data, &info, pending.hash, now_ms), session, body, version);
                }
            }
            (Lookup::None, current) => self.learn_none(cx, &info, pending.hash, current.is_some(), actions),
            _ => {}
        }
        let ready = pending.waiters.iter().map(|waiter| {
            let lookup = self.or_cached(cx, &info.key, pending.hash, *waiter, lookup.clone(), actions);
            completion(waiter, lookup)
        });
        ready.collect()
    }

    /// The lookup, or in an outage a cached session, if there is one that may be used.
    fn or_cached(
        &mut self,
        cx: &Context<'_>,
        key: &SessionKey,
        hash: KeyHash,
        waiter: Waiter,
        lookup: Lookup,
        actions: &mut Vec<Action>,
    ) -> Lookup {
        let (Lookup::Failed(Failure::Outage(_)), Some(cache)) = (&lookup, &mut self.cache) else { return lookup };
        let data = cx.shared_data;
        let Ok(epoch) = data.epoch() else { return lookup };
        let query = Query { data, key, hash, epoch, max_age_ms: waiter.max_age_ms, now_ms: cx.now_ms() };
        match cache.get_in_outage(query) {
            Some((session, is_stale)) => {
                if is_stale {
                    actions.push(Action::Count(Counter::CacheStale));
                }
                Lookup::Active(session)
            }
            None => lookup,
        }
    }

    /// The session was invalidated while it was looked up, or other lookups decide about it: the response is discarded, and
    /// the lookup repeated for all waiters until the earliest of their deadlines. Other workers need not know of it, since
    /// the first lookup was a use already.
    pub(super) fn look_up_again(
        &mut self,
        cx: &Context<'_>,
        info: CallInfo,
        pending: PendingLookup,
        actions: &mut Vec<Action>,
    ) -> Vec<Completion> {
        let data = cx.shared_data;
        let (epoch, now_ms, hash) = (data.epoch(), cx.now_ms(), pending.hash);
        let deadline_ms = pending.deadline_ms();
        if let Ok(epoch) = epoch
            && self.join_lookup(data, &info.key, hash, epoch, deadline_ms, &pending.waiters)
        {
            return Vec::new();
        }
        let permit = if deadline_ms <= now_ms {
            Err(Failure::Outage(Outage::Timeout))
        } else {
            self.client.admit(&info.backend, CallKind::Lookup, now_ms)
        };
        match permit {
            Ok(permit) => {
                let version = epoch.and_then(|epoch| Version::read(data, hash, epoch)).ok();
                let info = CallInfo { started_ms: now_ms, deadline_ms, ..info };
                self.begin(info, Purpose::Lookup(PendingLookup { version, ..pending }), permit, actions);
                Vec::new()
            }
            Err(failure) => {
                self.report_failure(cx, failure, &info.backend, actions);
                completions(&pending.waiters, &Lookup::Failed(failure))
            }
        }
    }
}

fn completions(waiters: &[Waiter], lookup: &Lookup) -> Vec<Completion> {
    waiters.iter().map(|waiter| completion(waiter, lookup.clone())).collect()
}

fn completion(waiter: &Waiter, lookup: Lookup) -> Completion {
    Completion { stream: waiter.stream, ready: Ready::Lookup(waiter.position, lookup) }
}
