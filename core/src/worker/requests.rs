//! A request: from its headers to a decision, at once or after what it waits for.

use super::Worker;
use super::pending::{Exchange, Resumed};
use super::sessions::Waiter;
use crate::action::{Action, Completion, HeaderMap, StreamRef};
use crate::exchange::{self, Arrival, AwaitKills, AwaitSession, Context, Effects, Verdict, Watch};
use crate::http::headers::Headers;
use crate::policy::session_change::Change;
use crate::session::lookup::{Failure, Lookup};
use crate::telemetry::{Counter, Outcome};

impl Worker {
    #[inline(never)]
    pub(super) fn request_headers(
        &mut self,
        cx: &Context<'_>,
        stream: StreamRef,
        headers: Headers,
        end_of_stream: bool,
        actions: &mut Vec<Action>,
    ) {
        let arrival = exchange::request_headers(cx, headers, end_of_stream, &mut Effects::new(cx.config, actions));
        if let Some(refused) = cx.clock_refused() {
            actions.clear();
            return self.refused(stream, HeaderMap::RequestHeaders, refused, actions);
        }
        match arrival {
            Arrival::Decided(verdict) => self.conclude(cx, stream, verdict, actions),
            Arrival::LookUp(exchange) => self.look_up(cx, stream, exchange, actions),
            Arrival::LogOut(exchange) => self.log_out(cx, stream, exchange, actions),
        }
    }

    #[inline(never)]
    fn look_up(&mut self, cx: &Context<'_>, stream: StreamRef, mut exchange: AwaitSession, actions: &mut Vec<Action>) {
        let (in_shadow, may_wait) = (exchange.rule().shadow, self.has_room());
        let known = exchange.look_up(|rule, request, position, token| {
            let waiter = Waiter {
                stream,
                position,
                max_age_ms: rule.max_staleness_ms.unwrap_or(u64::MAX),
                deadline_ms: cx.now_ms().saturating_add(rule.backend.service.timeout_ms),
                touches: rule.touches,
                in_shadow,
                may_wait,
            };
            self.sessions.lookup(cx, &rule.backend, token, waiter, &|| request.trace(), actions)
        });
        match known {
            Some(lookup) => {
                let lookup =
                    if may_wait || !exchange.leaves_something() { lookup } else { Lookup::Failed(Failure::Busy) };
                let verdict = exchange.judge(cx, lookup, &mut Effects::new(cx.config, actions));
                self.conclude(cx, stream, verdict, actions);
            }
            None if in_shadow => {
                exchange.reduce(cx.config);
                self.streams.insert(stream, Exchange::Shadow { exchange, has_ended: false });
                actions.extend([Action::Track, Action::ContinueRequest]);
            }
            None => {
                exchange.reduce(cx.config);
                self.streams.insert(stream, Exchange::Session(exchange));
                actions.push(Action::Track);
            }
        }
    }

    #[inline(never)]
    fn log_out(&mut self, cx: &Context<'_>, stream: StreamRef, mut exchange: AwaitKills, actions: &mut Vec<Action>) {
        for token in exchange.tokens().to_vec() {
            let (backend, trace) = (&exchange.rule().backend, exchange.trace());
            let known = if self.has_room() {
                self.sessions.mutate(cx, backend, &token, Change::Kill, stream, trace, actions)
            } else {
                Some(Err(Failure::Busy))
            };
            if let Some(outcome) = known {
                exchange.record(outcome);
            }
        }
        if exchange.is_over() {
            let verdict = exchange.conclude(cx, &mut Effects::new(cx.config, actions));
            self.conclude(cx, stream, verdict, actions);
        } else {
            self.streams.insert(stream, Exchange::Kills(exchange));
            actions.push(Action::Track);
        }
    }

    /// What a stream waits for is ready, and the stream is the effective context.
    #[inline(never)]
    pub(super) fn complete(&mut self, cx: &Context<'_>, completion: Completion, actions: &mut Vec<Action>) {
        let stream = completion.stream;
        let Some(resumed) = self.streams.resume(completion) else { return };
        let mut effects = Effects::new(cx.config, actions);
        match resumed {
            Resumed::Session(exchange, lookup) => {
                let verdict = exchange.judge(cx, lookup, &mut effects);
                self.conclude(cx, stream, verdict, actions);
            }
            Resumed::Kills(exchange) => {
                let verdict = exchange.conclude(cx, &mut effects);
                self.conclude(cx, stream, verdict, actions);
            }
            Resumed::Shadow { exchange, has_ended, lookup } => {
                judge_shadow(cx, exchange, lookup, has_ended, actions);
            }
            Resumed::Recheck(watch, lookup) => self.rechecked(cx, stream, &watch, &lookup, actions),
            Resumed::Change(exchange, outcome) => {
                let verdict = exchange.conclude(cx.config, outcome, &mut effects);
                Self::conclude_response(verdict, actions);
            }
        }
    }

    /// The host does not know a stream any more that was to be completed.
    #[inline(never)]
    pub(super) fn stream_gone(&mut self, cx: &Context<'_>, completion: Completion, actions: &mut Vec<Action>) {
        let stream = completion.stream;
        match self.streams.resume(completion) {
            Some(Resumed::Shadow { exchange, lookup, .. }) => judge_shadow(cx, exchange, lookup, true, actions),
            Some(resumed) if resumed.is_undecided() => {
                actions.push(Action::Count(Counter::Outcome(Outcome::Abandoned)));
            }
            Some(Resumed::Recheck(..)) => self.streams.recheck_is_over(stream),
            Some(_) | None => {}
        }
    }

    fn conclude(&mut self, cx: &Context<'_>, stream: StreamRef, verdict: Verdict, actions: &mut Vec<Action>) {
        match verdict {
            Verdict::Forward(follow_up) => {
                let every_ms = follow_up.watch.as_ref().map(Watch::every_ms);
                let due_ms = every_ms.map(|every_ms| cx.now_ms().saturating_add(every_ms));
                if self.streams.follow(stream, follow_up, due_ms) {
                    actions.push(Action::Track);
                }
                actions.push(Action::ContinueRequest);
            }
            Verdict::Reply(reply) => actions.push(Action::Reply(reply)),
        }
    }
}

/// A request in shadow has gone on: its outcome is counted. Nothing else can be done for a stream that has ended.
fn judge_shadow(cx: &Context<'_>, exchange: AwaitSession, lookup: Lookup, has_ended: bool, actions: &mut Vec<Action>) {
    let before = actions.len();
    exchange.judge(cx, lookup, &mut Effects::new(cx.config, actions));
    if has_ended {
        let judged = actions.split_off(before);
        actions.extend(judged.into_iter().filter(|action| matches!(action, Action::Count(_))));
    }
}
