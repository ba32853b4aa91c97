//! Streams that stay open for long: their sessions are looked up again, and they are closed once their session is gone.

use super::sessions::Waiter;
use super::{COMPLETIONS, Worker};
use crate::action::{Action, Completion, Ready, StreamRef};
use crate::exchange::{Context, Effects, RecheckOutcome, Watch};
use crate::rest_sessions::request::Trace;
use crate::session::candidates::Position;
use crate::session::lookup::{Failure, Lookup};

/// How many streams are rechecked in one callback of the host, so that requests pass between them.
const RECHECKS: usize = 64;

/// How many rechecks that the service does not admit end the search for others, since each costs a lookup.
const REFUSALS: usize = 8;

/// How many rechecks may have calls at once, so that rechecks do not take all calls from new requests.
const RECHECK_CALLS: usize = 64;

impl Worker {
    /// The timer of the root.
    #[inline(never)]
    pub(super) fn tick(&mut self, cx: &Context<'_>, actions: &mut Vec<Action>) {
        self.completions_left = COMPLETIONS;
        cx.now_ms();
        if cx.clock_refused().is_some() {
            return;
        }
        let ready = self.sessions.go_on_after_others(cx, self.tick_period_ms(), actions);
        self.streams.make_ready(ready);
        self.go_on(cx, actions);
    }

    /// Looks the sessions of streams up that are due, the longest overdue first. What is left goes on in a callback of its
    /// own; with as many calls as may be, after a call is over; if the service takes no more calls, then or at the next
    /// tick.
    #[inline(never)]
    pub(super) fn recheck_due(&mut self, cx: &Context<'_>, actions: &mut Vec<Action>) {
        self.has_due = false;
        let now_ms = cx.now_ms();
        if cx.clock_refused().is_some() {
            return;
        }
        let mut refusals = 0_usize;
        for _ in 0..RECHECKS {
            if self.streams.calling() >= RECHECK_CALLS {
                return;
            }
            let Some((stream, watch)) = self.streams.take_due(now_ms) else { return };
            let rule = watch.rule();
            let waiter = Waiter {
                stream,
                position: Position::default(),
                max_age_ms: rule.max_staleness_ms.unwrap_or(u64::MAX).min(watch.every_ms()),
                deadline_ms: now_ms.saturating_add(rule.backend.service.timeout_ms),
                touches: rule.touches,
                in_shadow: false,
                may_wait: true,
            };
            let known = self.sessions.lookup(cx, &rule.backend, watch.token(), waiter, &Trace::default, actions);
            match known {
                // Behind all that are due already, so that streams of other services have their turn.
                Some(Lookup::Failed(Failure::Busy)) => {
                    self.streams.schedule(stream, now_ms.saturating_add(1));
                    refusals = refusals.saturating_add(1);
                    if refusals == REFUSALS {
                        return;
                    }
                }
                Some(lookup) => {
                    let ready = Ready::Lookup(Position::default(), lookup);
                    self.streams.make_ready([Completion { stream, ready }]);
                }
                None if matches!(actions.last(), Some(Action::Dispatch(_))) => self.streams.note_call(stream),
                None => {}
            }
        }
        self.has_due = refusals == 0 && self.streams.is_due(now_ms);
    }

    /// The session of a stream was looked up again.
    pub(super) fn rechecked(
        &mut self,
        cx: &Context<'_>,
        stream: StreamRef,
        watch: &Watch,
        lookup: &Lookup,
        actions: &mut Vec<Action>,
    ) {
        match watch.judge(cx, lookup, &mut Effects::new(cx.config, actions)) {
            RecheckOutcome::KeepOpen(wait_ms) => self.streams.schedule(stream, cx.now_ms().saturating_add(wait_ms)),
            RecheckOutcome::Close => {
                actions.push(Action::Close);
                // If the host refuses, it is closed by the next recheck.
                self.streams.schedule(stream, cx.now_ms().saturating_add(watch.every_ms()));
            }
        }
    }
}
