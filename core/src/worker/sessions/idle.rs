//! `limits.idle`: whether the session that a lookup found was idle for too long, also where the lookup itself, or another
//! one beside it, counts as a use.
//!
//! - A service that enforces `max_idle` says so in its response. It has ended such a session in the step that found it.
//! - Any other service counts each lookup as a use. There the filter judges by `idle`, and waits for the lookups that the
//!   service may have served before: one of them may have reset the idle time.

use super::lookups::PendingLookup;
use super::{Sessions, Target};
use crate::action::{Action, Completion};
use crate::cache::idle_registry::{self, IdleRegistry, LookupId, Registration, Standing};
use crate::cache::shared_data::{SharedData, Unavailable};
use crate::exchange::Context;
use crate::policy::limits::Limits;
use crate::rest_sessions::backend::{Backend, TargetId};
use crate::rest_sessions::client::CallInfo;
use crate::rest_sessions::request::IdleQuery;
use crate::session::lookup::{Failure, Lookup};
use crate::session::session::Session;
use crate::session::token::Token;

/// The interval, in milliseconds, at which it is checked whether the lookups that others wait for are over.
const CHECK_EVERY_MS: u32 = 5;

/// The most, in milliseconds, by which `idle` may exceed the time since the last use, where the service has enforced the
/// limit.
const ENFORCED_SLACK_MS: u64 = 1_000;

/// The state of `limits.idle` in one worker.
pub struct IdleLimit {
    limits: Limits,
    max_idle_s: u64,
    registry: IdleRegistry,
    /// The targets whose latest response said that they enforce `max_idle`, by the bit of their number. Targets beyond the
    /// first 64 are taken for ones that do not.
    enforcing: u64,
    /// Lookups that wait for others.
    waiting: Vec<(CallInfo, PendingLookup)>,
}

/// How the idle time of a lookup's session is judged.
#[derive(Clone, Copy, Default)]
pub struct IdleCheck {
    /// The call says `max_idle`.
    pub is_asked: bool,
    /// The response says that the service has enforced it.
    pub is_enforced: bool,
    /// Other workers know of the lookup. Absent where the service enforces the limit, and once a response came.
    lookup: Option<LookupId>,
    /// Lookups that began by then may have reset the idle time, in milliseconds since 1970. Absent until a response came.
    earlier_ms: Option<u64>,
}

/// What follows for the session that a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleVerdict {
    Within,
    /// It was idle for too long, or is condemned.
    Exceeded,
    /// Other lookups decide.
    Undecided,
}

impl IdleLimit {
    /// `None` if there is no such limit. `shared_data`: the host's, whatever `cache.shared` says.
    pub fn new(limits: Limits, shared_data: &dyn SharedData, random: [u64; 4]) -> Result<Option<Self>, Unavailable> {
        let Some(max_idle_s) = limits.max_idle_s() else { return Ok(None) };
        let registry = IdleRegistry::new(shared_data, random)?;
        Ok(Some(Self { limits, max_idle_s, registry, enforcing: 0, waiting: Vec::new() }))
    }

    /// Whether this is the limit that a response enforces.
    pub fn is_enforced(&self, max_idle_s: Option<u64>) -> bool {
        max_idle_s == Some(self.max_idle_s)
    }

    fn note(&mut self, target: TargetId, is_enforced: bool) {
        let bit = bit(target);
        self.enforcing = if is_enforced { self.enforcing | bit } else { self.enforcing & !bit };
    }

    /// Whether a session was idle for longer than a service may let pass.
    fn is_exceeded(&self, session: &Session, check: IdleCheck) -> bool {
        let slack_ms = if check.is_enforced { ENFORCED_SLACK_MS } else { 0 };
        let limits = Limits { idle_ms: self.limits.idle_ms.map(|limit| limit.saturating_add(slack_ms)), age_ms: None };
        limits.idle_exceeded(session)
    }
}

fn bit(TargetId(number): TargetId) -> u64 {
    u32::try_from(number).ok().and_then(|number| 1_u64.checked_shl(number)).unwrap_or(0)
}

impl Sessions {
    /// How a lookup that is about to begin treats the idle time. For a request in shadow, the service ends nothing.
    ///
    /// # Errors
    ///
    /// [`Failure::Busy`] if the other workers cannot learn of it. Then it must not begin.
    pub(super) fn check_idle(
        &mut self,
        cx: &Context<'_>,
        target: &Target<'_>,
        in_shadow: bool,
    ) -> Result<(IdleQuery, Option<IdleCheck>), Failure> {
        let Some(limit) = &mut self.idle else { return Ok((IdleQuery::default(), None)) };
        let backend = target.backend;
        let mut check = IdleCheck { is_asked: !in_shadow, ..IdleCheck::default() };
        let counts_as_use = in_shadow || limit.enforcing & bit(backend.namespace.target_id) == 0;
        if counts_as_use {
            let (lookup, now_ms) = (limit.registry.new_id(), cx.now_ms());
            let change = Registration::Begin(lookup, now_ms.saturating_add(backend.service.timeout_ms));
            let hash = limit.registry.hash(&backend.namespace, &target.key.token);
            let data = cx.environment.shared_data();
            idle_registry::register(data, hash, change, now_ms, now_ms).map_err(|_| Failure::Busy)?;
            check.lookup = Some(lookup);
        }
        let query = IdleQuery { max_idle_s: check.is_asked.then_some(limit.max_idle_s), only_once: counts_as_use };
        Ok((query, Some(check)))
    }

    /// A lookup that was to begin does not.
    pub(super) fn forget_idle(&self, cx: &Context<'_>, backend: &Backend, token: &Token, check: Option<IdleCheck>) {
        if let (Some(limit), Some(IdleCheck { lookup: Some(lookup), .. })) = (&self.idle, check) {
            let hash = limit.registry.hash(&backend.namespace, token);
            let (data, now_ms) = (cx.environment.shared_data(), cx.now_ms());
            let _ = idle_registry::register(data, hash, Registration::End(lookup), now_ms, now_ms);
        }
    }

    /// A response, or the lack of one, has come to a lookup. This must come before the lookup's version is checked: a
    /// session is condemned until after it was invalidated.
    pub(super) fn judge_idle(
        &mut self,
        cx: &Context<'_>,
        info: &CallInfo,
        pending: &mut PendingLookup,
        lookup: &Lookup,
    ) -> IdleVerdict {
        let (Some(limit), Some(check)) = (&mut self.idle, &mut pending.idle) else { return IdleVerdict::Within };
        let namespace = &info.backend.namespace;
        if check.is_asked && !matches!(lookup, Lookup::Failed(_)) {
            limit.note(namespace.target_id, check.is_enforced);
        }
        let own = check.lookup.take();
        let session = if let Lookup::Active(session) = lookup { Some(session) } else { None };
        let exceeding = session.filter(|session| limit.is_exceeded(session, *check));
        // The service lets lookups in shadow revive a session, of which it then knows nothing.
        let is_judged = || check.is_enforced && exceeding.is_none() && cx.config.rules.iter().all(|rule| !rule.shadow);
        if own.is_none() && (session.is_none() || is_judged()) {
            return IdleVerdict::Within;
        }
        let (data, now_ms) = (cx.environment.shared_data(), cx.now_ms());
        let hash = limit.registry.hash(namespace, &info.key.token);
        let lookup = own.unwrap_or_default();
        let change = match exceeding {
            // This lookup has restarted its time to live.
            // In shadow too: nothing is ended, but a request that is not in shadow must not get in because of it.
            Some(session) => Registration::Condemn(lookup, now_ms.saturating_add(session.ttl_ms().max(1))),
            None => Registration::End(lookup),
        };
        let idle_ms = session.and_then(|session| session.idle_ms()).unwrap_or(0);
        let earlier_ms = check.earlier_ms.unwrap_or(idle_registry::latest_earlier_ms(idle_ms, now_ms));
        check.earlier_ms = Some(earlier_ms);
        let standing = idle_registry::register(data, hash, change, earlier_ms, now_ms);
        match standing {
            _ if exceeding.is_some() => IdleVerdict::Exceeded,
            Ok(Standing::Condemned) => IdleVerdict::Exceeded,
            Ok(Standing::Clear) => IdleVerdict::Within,
            Ok(Standing::Contested) if check.is_enforced => IdleVerdict::Within,
            Ok(Standing::Contested) | Err(Unavailable) => IdleVerdict::Undecided,
        }
    }

    /// A lookup waits for others to be over.
    pub(super) fn await_others(&mut self, info: CallInfo, pending: PendingLookup, actions: &mut Vec<Action>) {
        if let Some(limit) = &mut self.idle {
            // The timer is not set again while it runs: that would put its next tick off.
            if limit.waiting.is_empty() {
                actions.push(Action::Timer(CHECK_EVERY_MS));
            }
            limit.waiting.push((info, pending));
        }
    }

    /// Repeats the lookups that waited for others which are over now, or for as long as their streams may wait. `tick_ms`:
    /// the interval of ticks for other reasons.
    pub fn go_on_after_others(&mut self, cx: &Context<'_>, tick_ms: u32, actions: &mut Vec<Action>) -> Vec<Completion> {
        let mut ready = Vec::new();
        let waiting = self.idle.as_mut().map(|limit| std::mem::take(&mut limit.waiting)).unwrap_or_default();
        if waiting.is_empty() {
            return ready;
        }
        let (data, now_ms) = (cx.environment.shared_data(), cx.now_ms());
        for (info, pending) in waiting {
            let Some(limit) = &mut self.idle else { continue };
            let hash = limit.registry.hash(&info.backend.namespace, &info.key.token);
            let earlier_ms = pending.idle.and_then(|check| check.earlier_ms).unwrap_or(now_ms);
            let standing = idle_registry::standing(data, hash, earlier_ms, now_ms);
            if pending.deadline_ms() > now_ms && matches!(standing, Ok(Standing::Contested) | Err(Unavailable)) {
                limit.waiting.push((info, pending));
            } else {
                ready.extend(self.look_up_again(cx, info, pending, actions));
            }
        }
        if self.idle.as_ref().is_some_and(|limit| limit.waiting.is_empty()) {
            actions.push(Action::Timer(tick_ms));
        }
        ready
    }

    /// A condemned session was killed, or is none. A lookup that was served before may be answered until its deadline.
    pub(super) fn end_condemned(&mut self, cx: &Context<'_>, info: &CallInfo) {
        let Some(limit) = &self.idle else { return };
        let hash = limit.registry.hash(&info.backend.namespace, &info.key.token);
        let (data, now_ms) = (cx.environment.shared_data(), cx.now_ms());
        if idle_registry::standing(data, hash, 0, now_ms) == Ok(Standing::Condemned) {
            let until_ms = now_ms.saturating_add(info.backend.service.timeout_ms);
            let change = Registration::Condemn(LookupId::default(), until_ms);
            let _ = idle_registry::register(data, hash, change, 0, now_ms);
        }
    }

    /// Forgets the lookups that wait for others.
    pub(super) fn clear_waiting(&mut self) {
        if let Some(limit) = &mut self.idle {
            limit.waiting.clear();
        }
    }
}
