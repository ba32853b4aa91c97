//! Streams that stay open for long: their sessions are looked up again, and they are closed once their session is gone.

use super::sessions::Waiter;
use super::{COMPLETIONS, Worker};
use crate::action::{Action, Completion, Ready, StreamRef};
use crate::exchange::{Context, Effects, RecheckOutcome, Watch};
use crate::http::headers::Headers;
use crate::session::candidates::Position;
use crate::session::lookup::Lookup;

/// How many streams are rechecked in one tick, so that rechecks do not take all calls from new requests.
const RECHECKS: usize = 64;

impl Worker {
    /// Looks the sessions of streams up that are due.
    #[inline(never)]
    pub(super) fn recheck(&mut self, cx: &Context<'_>, actions: &mut Vec<Action>) {
        self.completions_left = COMPLETIONS;
        let now_ms = cx.now_ms();
        if cx.clock_refused().is_some() {
            return;
        }
        for (stream, watch) in self.streams.take_due(now_ms, RECHECKS) {
            let rule = watch.rule();
            let waiter = Waiter {
                stream,
                position: Position::default(),
                max_age_ms: rule.max_staleness_ms.unwrap_or(u64::MAX).min(watch.every_ms()),
                deadline_ms: now_ms.saturating_add(rule.backend.service.timeout_ms),
                in_shadow: false,
            };
            let headers = Headers::default();
            let known = self.sessions.lookup(cx, &rule.backend, watch.token(), waiter, &headers, actions);
            let ready = known.map(|lookup| Completion { stream, ready: Ready::Lookup(Position::default(), lookup) });
            self.streams.make_ready(ready);
        }
        self.sessions.report_cache(actions);
        self.emit_completions(actions);
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
            RecheckOutcome::Close => actions.push(Action::Close),
        }
    }
}
