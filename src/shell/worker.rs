//! What the requests of one configuration share in one worker, and how steps of the core become host calls.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::RandomState;
use std::time::Duration;

use proxy_wasm::hostcalls::dispatch_http_call;
use proxy_wasm::types::{BufferType, MapType};

use super::host::{self, Refused};
use super::metrics::Metrics;
use crate::cache::flights::{CallId, Flight, Flights, StreamId, Waiter};
use crate::config::Config;
use crate::exchange::{Effect, Event, Exchange, Next, Step, Surroundings};
use crate::http::reply::{Denial, Reply};
use crate::session::answer::{self, Answer, Body};
use crate::session::calls::Call;
use crate::session::lookup::{Lookup, MAX_BODY, Outage};
use crate::telemetry::{Cause, Counter, Line, Throttle};

/// No cell is borrowed while the host is called, since the host may call back.
pub struct Worker {
    root_id: u32,
    config: Config,
    metrics: Metrics,
    digest_key: RandomState,
    /// The requests that the host has not finished; nothing is done to any other.
    exchanges: RefCell<HashMap<StreamId, Tracked>>,
    next_ticket: Cell<u64>,
    flights: RefCell<Flights>,
    throttle: RefCell<Throttle>,
    outbox: RefCell<Outbox>,
}

/// A request with its ticket (see [`Waiter`]).
struct Tracked {
    ticket: u64,
    exchange: Exchange,
}

/// A call on its way from a stream's callback to the root, which sends it.
enum Outbox {
    Empty,
    ToSend(Call),
    Sent(Option<CallId>),
}

/// Where a request stands after a step was carried out.
pub enum Progress {
    Unchanged,
    Forward,
    Replied,
    Waiting,
}

/// Which context's callback is running.
#[derive(Clone, Copy)]
enum Caller {
    Stream,
    Root,
}

/// The queue by whose event a stream's callback asks the root to send; the host numbers its queues from 1.
const SEND: u32 = u32::MAX;

unsafe extern "C" {
    /// The SDK's export, called from inside: it makes the root the context that the SDK thinks is running, so that
    /// the SDK hands the call's answer to the root, which lives as long as the worker does. An answer to a stream
    /// that has left would be dropped. It may be called from a stream's callback alone: in one of the root's own, the
    /// SDK holds the root already.
    fn proxy_on_queue_ready(context_id: u32, queue_id: u32);
}

impl Worker {
    pub fn new(root_id: u32, config: Config, metrics: Metrics) -> Self {
        Self {
            root_id,
            config,
            metrics,
            digest_key: RandomState::new(),
            exchanges: RefCell::default(),
            next_ticket: Cell::new(0),
            flights: RefCell::default(),
            throttle: RefCell::default(),
            outbox: RefCell::new(Outbox::Empty),
        }
    }

    pub fn stream_began(&self, stream: StreamId) {
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket.wrapping_add(1));
        self.exchanges.borrow_mut().insert(stream, Tracked { ticket, exchange: Exchange::default() });
    }

    pub fn stream_ended(&self, stream: StreamId) {
        let tracked = self.exchanges.borrow_mut().remove(&stream);
        if let Some(outcome) = tracked.and_then(|tracked| tracked.exchange.end()) {
            self.metrics.count(Counter::Outcome(outcome));
        }
    }

    /// The configuration goes, and the host gives up its calls.
    pub fn retire(&self) {
        let abandoned = self.flights.borrow_mut().abandon();
        self.metrics.calls_abandoned(abandoned);
    }

    /// Handles an event of a stream in its own callback.
    pub fn stream_event(&self, stream: StreamId, event: Event<'_>) -> Result<Progress, Refused> {
        let now_ms = host::now_ms()?;
        let ticket = self.exchanges.borrow().get(&stream).map(|tracked| tracked.ticket);
        let Some(waiter) = ticket.map(|ticket| Waiter { stream, ticket }) else { return Ok(Progress::Unchanged) };
        Ok(match self.step(waiter, now_ms, event) {
            Some(step) => self.carry_out(waiter, Caller::Stream, now_ms, step),
            None => Progress::Unchanged,
        })
    }

    /// The root was woken, by [`SEND`] or by an event that is not for it.
    pub fn queue_ready(&self, queue: u32) {
        if queue != SEND {
            return;
        }
        if let Outbox::ToSend(call) = self.outbox.replace(Outbox::Empty) {
            let sent = dispatch(&call);
            self.outbox.replace(Outbox::Sent(sent));
        }
    }

    /// The answer to a call has come, in the root's callback.
    pub fn answered(&self, call: CallId, num_headers: usize, body_size: usize) {
        let flight = self.flights.borrow_mut().end(call);
        let Some(flight) = flight else {
            self.log(&Line::UnknownCall { call });
            return;
        };
        let now_ms = host::now_ms().unwrap_or(flight.started_ms);
        self.metrics.call_ended(now_ms.saturating_sub(flight.started_ms));
        let lookup = answer::read(&read_answer(num_headers, body_size));
        self.note_failure(&lookup, &flight, now_ms);
        self.settle(flight.waiter, now_ms, &lookup);
    }

    fn surroundings(&self, now_ms: u64) -> Surroundings<'_> {
        Surroundings { config: &self.config, now_ms, digest_key: &self.digest_key }
    }

    /// Moves a request on, if it is still the one that is meant.
    fn step(&self, waiter: Waiter, now_ms: u64, event: Event<'_>) -> Option<Step> {
        let mut exchanges = self.exchanges.borrow_mut();
        let tracked = exchanges.get_mut(&waiter.stream).filter(|tracked| tracked.ticket == waiter.ticket)?;
        Some(tracked.exchange.handle(self.surroundings(now_ms), event))
    }

    /// Tells a waiting request what became of its lookup, if it still waits.
    fn settle(&self, waiter: Waiter, now_ms: u64, lookup: &Lookup) {
        let Some(step) = self.step(waiter, now_ms, Event::Session(lookup)) else { return };
        if let Err(refused) = host::set_effective_context(waiter.stream) {
            log::debug!("event=stream_gone status={refused:?}");
            return;
        }
        if let Progress::Forward = self.carry_out(waiter, Caller::Root, now_ms, step)
            && let Err(refused) = host::resume_request()
        {
            log::warn!("event=resume_refused status={refused:?}");
        }
        if let Err(refused) = host::set_effective_context(self.root_id) {
            log::warn!("event=root_gone status={refused:?}");
        }
    }

    fn carry_out(&self, waiter: Waiter, caller: Caller, now_ms: u64, step: Step) -> Progress {
        let mut changed = Ok(());
        for effect in step.effects {
            match effect {
                Effect::RequestHeader(change) => {
                    changed = changed.and(host::change_header(MapType::HttpRequestHeaders, &change));
                }
                Effect::RequestTrailer(change) => {
                    changed = changed.and(host::change_header(MapType::HttpRequestTrailers, &change));
                }
                Effect::FilterState(key, value) => {
                    if let Err(refused) = host::set_property(key.key(), value.as_bytes()) {
                        log::debug!("event=filter_state_refused status={refused:?}");
                    }
                }
                Effect::Count(counter) => self.metrics.count(counter),
                Effect::Log(line) => self.log(&line),
            }
        }
        match (step.next, changed) {
            (Next::Reply(reply), _) => send_reply(&reply),
            // A header that the host would not change must not reach an upstream that trusts it.
            (_, Err(refused)) => give_up(&refused),
            (Next::Unchanged, Ok(())) => Progress::Unchanged,
            (Next::Forward, Ok(())) => Progress::Forward,
            (Next::Call(call), Ok(())) => self.ask(waiter, caller, now_ms, call),
        }
    }

    /// Sends a lookup, or settles it at once where that cannot be.
    fn ask(&self, waiter: Waiter, caller: Caller, now_ms: u64, call: Call) -> Progress {
        let service = call.service_id;
        let lookup = if self.flights.borrow().in_flight(service) >= call.max_in_flight {
            Lookup::Busy
        } else {
            self.metrics.count(Counter::Calls);
            let cluster = call.cluster.clone();
            let flight = Flight { waiter, service, started_ms: now_ms, cluster };
            match self.send(caller, call) {
                Some(id) => {
                    self.metrics.call_began();
                    self.flights.borrow_mut().begin(id, flight);
                    return Progress::Waiting;
                }
                None => {
                    let lookup = Lookup::Outage(Outage::Dispatch);
                    self.note_failure(&lookup, &flight, now_ms);
                    lookup
                }
            }
        };
        match self.step(waiter, now_ms, Event::Session(&lookup)) {
            Some(step) => self.carry_out(waiter, caller, now_ms, step),
            None => Progress::Unchanged,
        }
    }

    /// Sends a call so that the root gets its answer; `None` if the host does not take it.
    fn send(&self, caller: Caller, call: Call) -> Option<CallId> {
        match caller {
            Caller::Root => dispatch(&call),
            Caller::Stream => {
                self.outbox.replace(Outbox::ToSend(call));
                // SAFETY: a stream's callback is running, so the SDK does not hold the root.
                unsafe { proxy_on_queue_ready(self.root_id, SEND) };
                match self.outbox.replace(Outbox::Empty) {
                    Outbox::Sent(id) => id,
                    Outbox::Empty | Outbox::ToSend(_) => None,
                }
            }
        }
    }

    fn note_failure(&self, lookup: &Lookup, flight: &Flight, now_ms: u64) {
        if let Some(cause) = Cause::of(lookup) {
            self.metrics.count(Counter::CallFailures(cause));
        }
        let trouble = self.throttle.borrow_mut().trouble(lookup, &flight.cluster, now_ms);
        if let Some(trouble) = trouble {
            log::warn!("{trouble}");
        }
    }

    fn log(&self, line: &Line) {
        if host::shows_debug() {
            log::debug!("{line}");
        }
    }
}

fn dispatch(call: &Call) -> Option<CallId> {
    let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let timeout = Duration::from_millis(call.timeout_ms);
    dispatch_http_call(&call.cluster, headers, None, Vec::new(), timeout).ok()
}

fn read_answer(num_headers: usize, body_size: usize) -> Answer {
    let headers = match host::headers(MapType::HttpCallResponseHeaders) {
        Ok(headers) if num_headers > 0 => headers,
        _ => return Answer::Broken,
    };
    let status = headers.first(":status").and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    let body = if body_size > MAX_BODY {
        Body::TooLarge
    } else {
        Body::Read(host::buffer(BufferType::HttpCallResponseBody, body_size).unwrap_or_default())
    };
    Answer::Complete {
        status: status.unwrap_or(0),
        from_service: headers.first("x-envoy-upstream-service-time").is_some(),
        body,
    }
}

fn send_reply(reply: &Reply) -> Progress {
    if let Err(refused) = host::reply(reply) {
        // The request stays paused, and Envoy ends it after `stream_idle_timeout`.
        log::error!("event=reply_refused status={refused:?}");
    }
    Progress::Replied
}

/// Turns a request away because the host would not do what it takes to let it pass.
pub fn give_up(refused: &Refused) -> Progress {
    log::error!("event=host_call_refused status={refused:?}");
    send_reply(&Reply::new(Denial::Unavailable { retry: false }, "", None))
}
