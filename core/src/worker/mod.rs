//! One worker: events in, actions out. The order of the steps that follow an event stands here. Within the first step,
//! what the headers of a request alone decide, the order is [`exchange::request_headers`]'s.
//!
//! - `requests`: a request's headers, and the completion of what it waits for.
//! - `responses`: the headers of an upstream's response.
//! - `recheck`: streams that are open for long.
//! - `sessions`: the cache and the calls to rest-sessions.
//! - `ledger`: what this worker has added to the gauges.
//! - `pending`: the streams that wait. The calls that they wait for are in `sessions`.

mod event;
mod gauges;
pub mod ledger;
mod pending;
mod recheck;
mod requests;
mod responses;
mod sessions;
#[cfg(test)]
mod tests;

use std::hash::RandomState;
use std::rc::Rc;

use crate::action::{Action, HeaderMap, StreamId, StreamRef};
use crate::cache::shared_data::{LocalData, Unavailable};
use crate::config::Config;
use crate::exchange::{self, Context, Effects, Environment, Refused};
use crate::http::local_reply::{Denial, LocalReply};
use crate::rest_sessions::client::{CallId, Dispatched};
use crate::rest_sessions::response::CalloutResponse;
use crate::telemetry::{Counter, Gauge, LogLine, Outcome};

pub use event::Event;
use gauges::{Gauges, Levels};
pub use pending::Expectations;
use pending::PendingStreams;
use sessions::Sessions;

/// How many streams are completed in one callback of the host. What the host does about each of them comes on top of the
/// others on its stack, which was seen to overflow at some 270.
const COMPLETIONS: usize = 16;

/// Random values that the core is given.
pub struct Seeds {
    /// Keys the digests that stand for tokens in log lines.
    pub digest_key: RandomState,
    /// Cannot be predicted.
    pub random: [u64; 4],
}

/// A configuration in one of Envoy's worker threads.
pub struct Worker {
    config: Rc<Config>,
    digest_key: RandomState,
    /// In place of the host's shared data, with `cache.shared: false`.
    own_data: Option<LocalData>,
    streams: PendingStreams,
    sessions: Sessions,
    gauges: Gauges,
    next_generation: u64,
    /// How many streams may still be completed in this callback of the host.
    completions_left: usize,
    /// Rechecks are due that go on in a callback of their own.
    has_due: bool,
}

impl Worker {
    /// Starts a worker.
    ///
    /// # Errors
    ///
    /// If the host has no shared data.
    pub fn new(config: Rc<Config>, seeds: Seeds, environment: &dyn Environment) -> Result<Self, Unavailable> {
        // Without a cache the shared data is used too: a request must not join a call that began before another worker saw
        // the session end.
        let shares_nothing = config.cache.as_ref().is_some_and(|cache| !cache.shared);
        let own_data = shares_nothing.then(LocalData::default);
        let shared_data = own_data.as_ref().map_or(environment.shared_data(), |own| own);
        let host_data = environment.shared_data();
        let sessions = Sessions::new(config.cache.as_ref(), config.limits, shared_data, host_data, seeds.random)?;
        Ok(Self {
            config,
            digest_key: seeds.digest_key,
            own_data,
            streams: PendingStreams::default(),
            sessions,
            gauges: Gauges::default(),
            next_generation: 0,
            completions_left: 0,
            has_due: false,
        })
    }

    /// How often [`Event::Tick`] must come, in milliseconds.
    #[must_use]
    pub fn tick_period_ms(&self) -> u32 {
        self.config.tick_ms().unwrap_or(ledger::PERIOD_MS).min(ledger::PERIOD_MS)
    }

    /// Whether responses must be handed in.
    #[must_use]
    pub fn reads_responses(&self) -> bool {
        self.config.write_back.is_some()
    }

    /// A reference to a stream that begins.
    pub fn admit(&mut self, id: StreamId) -> StreamRef {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        StreamRef { id, generation }
    }

    /// What may still happen to a stream whose request went on.
    #[must_use]
    pub fn expectations(&self, stream: StreamRef) -> Expectations {
        self.streams.expectations(stream)
    }

    /// Handles an event. The actions are to be carried out before the next event.
    pub fn handle(&mut self, event: Event, environment: &dyn Environment, actions: &mut Vec<Action>) {
        let is_tick = matches!(event, Event::Tick);
        self.take_event(event, environment, actions);
        let evictions = self.sessions.take_evictions();
        actions.extend((0..evictions).map(|_| Action::Count(Counter::CacheEvictions)));
        let levels = Levels { cache: self.sessions.cache_size(), pending_bytes: self.pending_bytes() };
        self.gauges.show(levels, is_tick, actions);
    }

    /// What requests that wait, or whose response is to come, hold of the memory, in bytes.
    fn pending_bytes(&self) -> usize {
        self.streams.bytes().saturating_add(self.sessions.pending_bytes())
    }

    /// Whether one more request may wait. What it holds is limited by itself, so the total stays close to the limit.
    fn has_room(&self) -> bool {
        self.pending_bytes() < self.config.max_pending_bytes
    }

    fn take_event(&mut self, event: Event, environment: &dyn Environment, actions: &mut Vec<Action>) {
        if let Event::StreamEnded(stream) = event {
            if self.streams.end(stream) {
                actions.push(Action::Count(Counter::Outcome(Outcome::Abandoned)));
            }
            return;
        }
        let config = Rc::clone(&self.config);
        let digest_key = self.digest_key.clone();
        let own_data = self.own_data.clone();
        let shared_data = own_data.as_ref().map_or(environment.shared_data(), |own| own);
        let cx = &Context::new(&config, environment, shared_data, &digest_key);
        match event {
            Event::RequestHeaders { stream, headers, end_of_stream } => {
                self.gauges.start();
                self.request_headers(cx, stream, headers, end_of_stream, actions);
            }
            Event::ResponseHeaders { stream, headers } => self.response_headers(cx, stream, &headers, actions),
            Event::Dispatched { dispatched, callback } => self.dispatched(cx, dispatched, callback, actions),
            Event::CalloutResponse { call, response } => self.callout_response(cx, call, &response, actions),
            Event::Complete(completion) => self.complete(cx, completion, actions),
            event => self.handle_rare(cx, event, actions),
        }
    }

    /// The events that few requests cause. Apart from the others, so that their path stays short.
    #[inline(never)]
    fn handle_rare(&mut self, cx: &Context<'_>, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::RequestHeaders { .. }
            | Event::ResponseHeaders { .. }
            | Event::Dispatched { .. }
            | Event::CalloutResponse { .. }
            | Event::Complete(_)
            | Event::StreamEnded(_) => {}
            Event::RequestTrailers(trailers) => {
                exchange::request_trailers(cx.config, &trailers, &mut Effects::new(cx.config, actions));
                actions.push(Action::ContinueRequest);
            }
            Event::ResponseTrailers(trailers) => {
                exchange::response_trailers(cx.config, &trailers, &mut Effects::new(cx.config, actions));
                actions.push(Action::ContinueResponse);
            }
            Event::StreamGone(completion) => self.stream_gone(cx, completion, actions),
            Event::Wakeup => {
                self.completions_left = COMPLETIONS;
                self.go_on(cx, actions);
            }
            Event::WakeupRefused => {
                // A deep stack is better than a stream that is never completed.
                self.completions_left = usize::MAX;
                self.has_due = false;
                self.emit_completions(actions);
            }
            Event::Tick => self.tick(cx, actions),
            Event::Refused { stream, map, status, undone } => {
                for action in undone {
                    match action {
                        Action::Dispatch(dispatch) => self.sessions.cancel(cx, dispatch),
                        // What they say happened before the host refused.
                        Action::Gauge(..)
                        | Action::Count(Counter::CacheEvictions | Counter::Ends | Counter::CallFailures(_))
                        | Action::Log(LogLine::CallFailed { .. }) => actions.push(action),
                        _ => {}
                    }
                }
                self.refused(stream, map, status, actions);
            }
            Event::Retired => {
                self.gauges.retire(self.sessions.retire(), actions);
                let abandoned = self.streams.clear_shadows();
                actions.extend((0..abandoned).map(|_| Action::Count(Counter::Outcome(Outcome::Abandoned))));
            }
        }
    }

    /// The host has taken a call, or refused it: a refused call is over.
    #[inline(never)]
    fn dispatched(
        &mut self,
        cx: &Context<'_>,
        dispatched: Dispatched,
        callback: Option<StreamRef>,
        actions: &mut Vec<Action>,
    ) {
        let ready = self.sessions.dispatched(cx, dispatched, actions);
        if ready.is_empty() {
            return;
        }
        self.streams.make_ready(ready);
        // No recheck follows at once: the host may refuse its call as well, and so on, ever deeper on the stack.
        let Some(own) = callback else { return self.emit_completions(actions) };
        // In the callback of a stream, nothing may be done to another one: the host would stop the stream.
        actions.extend(self.streams.take_ready(own).map(Action::Complete));
    }

    /// The response to a call has come: the call is over, and the streams that waited for it go on.
    #[inline(never)]
    fn callout_response(
        &mut self,
        cx: &Context<'_>,
        call: CallId,
        response: &CalloutResponse,
        actions: &mut Vec<Action>,
    ) {
        self.completions_left = COMPLETIONS;
        let Some(mut pending) = self.sessions.take(call) else {
            actions.push(Action::Log(LogLine::UnknownCall { call }));
            return;
        };
        let now_ms = cx.now_ms_or(pending.deadline_ms());
        actions.push(Action::Gauge(Gauge::InFlight, -1));
        actions.push(Action::CallDuration(now_ms.saturating_sub(pending.started_ms())));
        let outcome = self.sessions.read(&mut pending, response, now_ms);
        let ready = self.sessions.complete(cx, pending, outcome, actions);
        self.streams.make_ready(ready);
        self.go_on(cx, actions);
    }

    /// In a callback of the root: rechecks what is due, where few completions come first, and completes streams.
    #[inline(never)]
    fn go_on(&mut self, cx: &Context<'_>, actions: &mut Vec<Action>) {
        if self.streams.ready() < COMPLETIONS && self.streams.is_watching() {
            self.recheck_due(cx, actions);
        }
        self.emit_completions(actions);
    }

    /// Completes as many streams as this callback may, and the others in a later one.
    fn emit_completions(&mut self, actions: &mut Vec<Action>) {
        while self.completions_left > 0 {
            let Some(completion) = self.streams.next_ready() else { break };
            self.completions_left = self.completions_left.saturating_sub(1);
            actions.push(Action::Complete(completion));
        }
        if self.streams.ready() > 0 || self.has_due {
            actions.push(Action::Wakeup);
        }
    }

    /// The host has refused what it takes to judge a request, or to let a request or response go on safely: it is answered
    /// 503.
    #[inline(never)]
    fn refused(&mut self, stream: StreamRef, map: HeaderMap, status: Refused, actions: &mut Vec<Action>) {
        let is_undecided = if map == HeaderMap::RequestHeaders {
            self.streams.remove(stream);
            true
        } else {
            self.streams.refuse(stream)
        };
        if is_undecided {
            actions.push(Action::Count(Counter::Outcome(Outcome::DeniedUnavailable)));
        }
        actions.push(Action::Log(LogLine::HostCallRefused { status: status.0 }));
        actions.push(Action::Reply(LocalReply::new(Denial::Unavailable { retry: false }, "", None)));
    }
}
