//! `limits.idle`: whether the session that a lookup found was idle for too long, also where the lookup itself, or another
//! one beside it, counts as a use.
//!
//! - A service that enforces `max_idle` says so in its response. It has ended such a session in the step that found it.
//! - Any other service counts each lookup as a use. There the filter judges by `idle`, and waits for the lookups that the
//!   service may have served before: one of them may have reset the idle time.

use super::lookups::PendingLookup;
use super::{Sessions, Target};
use crate::action::{Action, Completion};
use crate::cache::idle_registry::{IdleRegistry, LookupId, Others};
use crate::cache::shared_data::{SharedData, Unavailable};
use crate::exchange::Context;
use crate::policy::limits::Limits;
use crate::rest_sessions::backend::{Backend, TargetId};
use crate::rest_sessions::client::CallInfo;
use crate::rest_sessions::request::IdleQuery;
use crate::session::lookup::{Failure, Lookup};

/// The interval, in milliseconds, at which it is checked whether the lookups that others wait for are over.
const CHECK_EVERY_MS: u32 = 5;

/// The state of `limits.idle` in one worker.
pub struct IdleLimit {
    limits: Limits,
    max_idle_s: u64,
    registry: IdleRegistry,
    /// The targets whose latest response said that they enforce `max_idle`.
    enforcing: Vec<TargetId>,
    /// Lookups that wait for others.
    waiting: Vec<(CallInfo, PendingLookup)>,
}

/// How the idle time of a lookup's session is judged.
pub struct IdleCheck {
    /// The call says `max_idle`.
    pub is_asked: bool,
    /// The response says that the service has enforced it.
    pub is_enforced: bool,
    /// Other workers know of the lookup. Absent where the service enforces the limit, and once a response came.
    lookup: Option<LookupId>,
    /// The lookups that may have reset the idle time. `None`: no response came yet.
    after: Option<Vec<LookupId>>,
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
        Ok(Some(Self { limits, max_idle_s, registry, enforcing: Vec::new(), waiting: Vec::new() }))
    }

    /// Whether this is the limit that a response enforces.
    pub fn is_enforced(&self, max_idle_s: Option<u64>) -> bool {
        max_idle_s == Some(self.max_idle_s)
    }

    fn note(&mut self, target: TargetId, is_enforced: bool) {
        if self.enforcing.contains(&target) != is_enforced {
            self.enforcing.retain(|other| *other != target);
            self.enforcing.extend(is_enforced.then_some(target));
        }
    }
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
        deadline_ms: u64,
        in_shadow: bool,
    ) -> Result<(IdleQuery, Option<IdleCheck>), Failure> {
        let Some(limit) = &mut self.idle else { return Ok((IdleQuery::default(), None)) };
        let Backend { namespace, .. } = &**target.backend;
        let is_asked = !in_shadow;
        let counts_as_use = in_shadow || !limit.enforcing.contains(&namespace.target_id);
        let lookup = if counts_as_use {
            let hash = limit.registry.hash(namespace, &target.key.token);
            let data = cx.environment.shared_data();
            Some(limit.registry.register(data, hash, cx.now_ms(), deadline_ms).map_err(|_| Failure::Busy)?)
        } else {
            None
        };
        let query = IdleQuery { max_idle_s: is_asked.then_some(limit.max_idle_s), only_once: counts_as_use };
        Ok((query, Some(IdleCheck { is_asked, is_enforced: false, lookup, after: None })))
    }

    /// A lookup that was to begin does not.
    pub(super) fn forget_idle(&mut self, cx: &Context<'_>, target: &Target<'_>, check: Option<&IdleCheck>) {
        if let (Some(limit), Some(IdleCheck { lookup: Some(lookup), .. })) = (&self.idle, check) {
            let hash = limit.registry.hash(&target.backend.namespace, &target.key.token);
            let _ = limit.registry.conclude(cx.environment.shared_data(), hash, Some(*lookup), None, cx.now_ms());
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
        let session = match lookup {
            Lookup::Active(session) => Some(session),
            Lookup::None | Lookup::Failed(_) => None,
        };
        if own.is_none() && (session.is_none() || check.is_enforced) {
            return IdleVerdict::Within;
        }
        let (data, now_ms) = (cx.environment.shared_data(), cx.now_ms());
        let exceeding = session.filter(|session| !check.is_enforced && limit.limits.idle_exceeded(session));
        let in_shadow = pending.waiters.iter().all(|waiter| waiter.in_shadow);
        // This lookup has restarted its time to live.
        let condemned_until_ms =
            exceeding.filter(|_| !in_shadow).map(|session| now_ms.saturating_add(session.ttl_ms().max(1)));
        let hash = limit.registry.hash(namespace, &info.key.token);
        let others = limit.registry.conclude(data, hash, own, condemned_until_ms, now_ms);
        let Some(session) = session else { return IdleVerdict::Within };
        if exceeding.is_some() {
            return IdleVerdict::Exceeded;
        }
        let before = |others: &Others| match &check.after {
            None => others.before(session.idle_ms().unwrap_or(0), now_ms),
            Some(after) => others.among(after),
        };
        match others {
            Ok(Others { is_condemned: true, .. }) => IdleVerdict::Exceeded,
            Ok(_) if check.is_enforced => IdleVerdict::Within,
            Ok(others) => {
                let before = before(&others);
                let is_decided = before.is_empty();
                check.after = Some(before);
                if is_decided { IdleVerdict::Within } else { IdleVerdict::Undecided }
            }
            Err(_) => IdleVerdict::Undecided,
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
    pub fn go_on_after_others(
        &mut self,
        cx: &Context<'_>,
        tick_ms: u32,
        actions: &mut Vec<Action>,
    ) -> Vec<Completion> {
        let Some(limit) = &mut self.idle else { return Vec::new() };
        if limit.waiting.is_empty() {
            return Vec::new();
        }
        let (data, now_ms) = (cx.environment.shared_data(), cx.now_ms());
        let registry = &limit.registry;
        let (ready, waiting): (Vec<_>, Vec<_>) = limit.waiting.drain(..).partition(|(info, pending)| {
            let hash = registry.hash(&info.backend.namespace, &info.key.token);
            let after = pending.idle.as_ref().and_then(|check| check.after.as_deref()).unwrap_or_default();
            let others = registry.conclude(data, hash, None, None, now_ms);
            pending.deadline_ms() <= now_ms || others.is_ok_and(|others| others.among(after).is_empty())
        });
        if waiting.is_empty() {
            actions.push(Action::Timer(tick_ms));
        }
        limit.waiting = waiting;
        ready.into_iter().flat_map(|(info, pending)| self.look_up_again(cx, info, pending, actions)).collect()
    }

    /// A condemned session was killed, or is none.
    pub(super) fn end_condemned(&mut self, cx: &Context<'_>, info: &CallInfo) {
        if let Some(limit) = &self.idle {
            let hash = limit.registry.hash(&info.backend.namespace, &info.key.token);
            let now_ms = cx.now_ms();
            let until_ms = now_ms.saturating_add(info.backend.service.timeout_ms);
            limit.registry.ended(cx.environment.shared_data(), hash, now_ms, until_ms);
        }
    }

    /// Forgets the lookups that wait for others.
    pub(super) fn clear_waiting(&mut self) {
        if let Some(limit) = &mut self.idle {
            limit.waiting.clear();
        }
    }
}
