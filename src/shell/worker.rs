//! What the requests of one configuration share in one worker, and how steps of the core become host calls.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls::dispatch_http_call;
use proxy_wasm::types::{BufferType, MapType};

use super::board::{SharedBoard, WorkerBoard};
use super::host::{self, Refused};
use super::metrics::Metrics;
use crate::cache::board::OwnBoard;
use crate::cache::desk::{Asked, Desk, Note, Settled, Wanted};
use crate::cache::flights::{CallId, Flight, StreamId, Waiter};
use crate::config::Config;
use crate::exchange::{self, AwaitSession, Effect, Start, Step, Surroundings, Verdict};
use crate::http::headers::Headers;
use crate::http::reply::{Denial, Reply};
use crate::session::answer::{Answer, Body};
use crate::session::calls::Call;
use crate::session::lookup::{Lookup, MAX_BODY};
use crate::telemetry::{Cause, Counter, Line, Outcome, Throttle};

/// No cell is borrowed while the host is called, since the host may call back; but for the desk, whose board and notes
/// are shared data, metrics and log lines, which call nothing.
pub struct Worker {
    root_id: u32,
    config: Config,
    metrics: Rc<Metrics>,
    digest_key: RandomState,
    /// The requests that wait; nothing is done to any other from outside its own callbacks.
    waiting: RefCell<HashMap<StreamId, Waiting>>,
    next_ticket: Cell<u64>,
    desk: RefCell<Desk<WorkerBoard>>,
    /// Bytes and entries of the cache, as they were told last.
    kept: Cell<(usize, usize)>,
    throttle: RefCell<Throttle>,
    outbox: RefCell<Outbox>,
    /// Who is still to be told what became of a lookup.
    backlog: RefCell<VecDeque<(Waiter, Lookup)>>,
    /// A queue of this worker's own: what is put in comes back in a callback of its own.
    alarm: u32,
}

/// A request that waits, with its ticket (see [`Waiter`]).
struct Waiting {
    ticket: u64,
    exchange: AwaitSession,
}

/// The host's clock, read at most once for a step, and only if the step asks.
#[derive(Default)]
struct Clock {
    read: OnceCell<u64>,
    refused: Cell<Option<Refused>>,
}

impl Clock {
    /// Zero if the host does not say, which makes every token one of the future.
    fn now_ms(&self) -> u64 {
        let read = || {
            host::now_ms().unwrap_or_else(|refused| {
                self.refused.set(Some(refused));
                0
            })
        };
        *self.read.get_or_init(read)
    }
}

/// A call on its way from a stream's callback to the root, which sends it.
enum Outbox {
    Empty,
    ToSend(Rc<Call>, Duration),
    Sent(Option<CallId>),
}

/// Where a request stands after a step was carried out.
pub enum Progress {
    Forward,
    Replied,
    Waiting,
}

/// The queue by whose event a stream's callback asks the root to send; the host numbers its queues from 1.
const SEND: u32 = u32::MAX;

/// How many requests are settled in one callback. What the host does about each of them comes on top of the others on
/// its stack, which was seen to overflow at some 270.
const BATCH: usize = 16;

/// The host's timers and its clock may disagree by some milliseconds.
const TIMER_SLACK_MS: u64 = 5;

unsafe extern "C" {
    /// The SDK's export, called from inside: it makes the root the context that the SDK thinks is running, so that
    /// the SDK hands the call's answer to the root, which lives as long as the worker does. An answer to a stream
    /// that has left would be dropped. It may be called from a stream's callback alone: in one of the root's own, the
    /// SDK holds the root already.
    fn proxy_on_queue_ready(context_id: u32, queue_id: u32);
}

impl Worker {
    /// In the root's callback.
    pub fn new(root_id: u32, config: Config) -> Result<Self, Refused> {
        let digest_key = RandomState::new();
        // A queue's name belongs to whoever registered it last, so no other worker may come upon the same.
        let alarm = host::register_queue(&format!("rest_sessions.{:016x}", digest_key.hash_one(root_id)))?;
        let metrics = Rc::new(Metrics::define()?);
        let board = match &config.cache {
            Some(cache) if !cache.shared => WorkerBoard::Own(OwnBoard::default()),
            // Without a cache too: nobody may wait for a call that began before another worker saw the session end.
            _ => WorkerBoard::Shared(SharedBoard(Rc::clone(&metrics))),
        };
        let secret = RandomState::new();
        let random = [0, 1, 2, 3].map(|number| secret.hash_one(number));
        let desk = Desk::new(config.cache.as_ref(), board, random).map_err(|_| Refused::NO_SHARED_DATA)?;
        let worker = Self {
            root_id,
            config,
            metrics,
            digest_key,
            waiting: RefCell::default(),
            next_ticket: Cell::new(0),
            desk: RefCell::new(desk),
            kept: Cell::new((0, 0)),
            throttle: RefCell::default(),
            outbox: RefCell::new(Outbox::Empty),
            backlog: RefCell::default(),
            alarm,
        };
        worker.show_kept();
        Ok(worker)
    }

    /// The host is done with a request that waited, or waits still.
    pub fn stream_ended(&self, stream: StreamId) {
        let waiting = self.waiting.borrow_mut().remove(&stream);
        if let Some(Waiting { exchange, .. }) = waiting {
            self.metrics.count(exchange.abandoned());
        }
    }

    /// The configuration goes, and the host gives up its calls.
    pub fn retire(&self) {
        let abandoned = self.desk.borrow_mut().abandon();
        self.metrics.calls_abandoned(abandoned);
        let (bytes, entries) = self.kept.take();
        self.metrics.cache_changed(delta(bytes, 0), delta(entries, 0));
    }

    /// In the stream's callback.
    pub fn request_headers(&self, stream: StreamId, headers: &Headers, end_of_stream: bool) -> Progress {
        let clock = Clock::default();
        let now_ms = || clock.now_ms();
        let around = self.surroundings(&now_ms);
        let Step { effects, next } = exchange::request_headers(around, headers, end_of_stream);
        if let Some(refused) = clock.refused.take() {
            return self.give_up(&refused);
        }
        match (self.carry_out(effects), next) {
            (Err(refused), _) => self.give_up(&refused),
            (Ok(()), Start::Decided(verdict)) => conclude(&verdict),
            (Ok(()), Start::Ask(exchange)) => self.ask(stream, exchange, around, headers),
        }
    }

    /// In the stream's callback.
    pub fn request_trailers(&self, trailers: &Headers) -> Progress {
        match self.carry_out(exchange::request_trailers(&self.config, trailers)) {
            Ok(()) => Progress::Forward,
            // The request was counted when its headers were judged.
            Err(refused) => turn_away(&host_refused(&refused)),
        }
    }

    /// In the root's callback: a stream's callback has something to send, or there are requests left to settle.
    pub fn queue_ready(&self, queue: u32) {
        if queue == SEND {
            if let Outbox::ToSend(call, timeout) = self.outbox.replace(Outbox::Empty) {
                let sent = dispatch(&call, timeout);
                self.outbox.replace(Outbox::Sent(sent));
            }
        } else if queue == self.alarm {
            if let Err(refused) = host::dequeue(queue) {
                log::debug!("event=queue_empty status={refused:?}");
            }
            self.settle_some();
        }
    }

    /// In the root's callback: the answer to a call has come.
    pub fn answered(&self, call: CallId, num_headers: usize, body_size: usize) {
        let flight = self.desk.borrow_mut().landed(call);
        let Some(flight) = flight else {
            self.log(&Line::UnknownCall { call });
            return;
        };
        let now_ms = host::now_ms().unwrap_or(flight.ends_ms);
        self.metrics.call_ended(now_ms.saturating_sub(flight.started_ms));
        let late = now_ms.saturating_add(TIMER_SLACK_MS) >= flight.ends_ms;
        let answer = read_answer(num_headers, body_size, late);
        let settled = self.desk.borrow_mut().answered(flight, &answer, now_ms, &|note| self.note(note, now_ms));
        self.tell(settled, now_ms, |flight| dispatch(&flight.call, flight.timeout()));
        self.settle_some();
    }

    /// Puts those who are told something on the list, and sends what is asked again.
    fn tell(&self, settled: Settled, now_ms: u64, send: impl Fn(&Flight) -> Option<CallId>) {
        self.backlog.borrow_mut().extend(settled.told);
        if let Some(flight) = settled.again {
            match send(&flight) {
                Some(id) => {
                    self.metrics.call_began();
                    self.desk.borrow_mut().departed(id, *flight);
                }
                None => {
                    let refused = self.desk.borrow_mut().refused(*flight, now_ms, &|note| self.note(note, now_ms));
                    self.backlog.borrow_mut().extend(refused.told);
                }
            }
        }
        self.show_kept();
    }

    fn surroundings<'a>(&'a self, now_ms: &'a dyn Fn() -> u64) -> Surroundings<'a> {
        Surroundings { config: &self.config, now_ms, digest_key: &self.digest_key }
    }

    /// Settles a batch of those who wait, and sets the alarm for the next one.
    fn settle_some(&self) {
        for _ in 0..BATCH {
            let next = self.backlog.borrow_mut().pop_front();
            let Some((waiter, lookup)) = next else { return };
            self.settle(waiter, &lookup);
        }
        while !self.backlog.borrow().is_empty() {
            match host::enqueue(self.alarm) {
                Ok(()) => return,
                // Better a deep stack than a request that nobody settles.
                Err(refused) => {
                    log::warn!("event=alarm_refused status={refused:?}");
                    let next = self.backlog.borrow_mut().pop_front();
                    if let Some((waiter, lookup)) = next {
                        self.settle(waiter, &lookup);
                    }
                }
            }
        }
    }

    /// Tells a request what became of its lookup, if it still waits. The root's callback is running.
    fn settle(&self, waiter: Waiter, lookup: &Lookup) {
        let Some(exchange) = self.take(waiter) else { return };
        let clock = Clock::default();
        let now_ms = || clock.now_ms();
        let Step { effects, next } = exchange.session(self.surroundings(&now_ms), lookup);
        if let Err(refused) = host::set_effective_context(waiter.stream) {
            log::debug!("event=stream_gone status={refused:?}");
            return;
        }
        let progress = match self.carry_out(effects) {
            Ok(()) => conclude(&next),
            Err(refused) => self.give_up(&refused),
        };
        if let Progress::Forward = progress
            && let Err(refused) = host::resume_request()
        {
            log::warn!("event=resume_refused status={refused:?}");
        }
        if let Err(refused) = host::set_effective_context(self.root_id) {
            log::warn!("event=root_gone status={refused:?}");
        }
    }

    /// The exchange of a request, if it is still the one that waits.
    fn take(&self, waiter: Waiter) -> Option<AwaitSession> {
        let mut waiting = self.waiting.borrow_mut();
        let waits = waiting.get(&waiter.stream).is_some_and(|waiting| waiting.ticket == waiter.ticket);
        if waits { waiting.remove(&waiter.stream).map(|waiting| waiting.exchange) } else { None }
    }

    /// A header that the host would not change must not reach an upstream that trusts it, so a refusal ends it all.
    fn carry_out(&self, effects: Vec<Effect>) -> Result<(), Refused> {
        for effect in effects {
            match effect {
                Effect::RequestHeader(change) => host::change_header(MapType::HttpRequestHeaders, &change)?,
                Effect::RequestTrailer(change) => host::change_header(MapType::HttpRequestTrailers, &change)?,
                Effect::FilterState(key, value) => {
                    if let Err(refused) = host::set_property(key.key(), value.as_bytes()) {
                        log::debug!("event=filter_state_refused status={refused:?}");
                    }
                }
                Effect::Count(counter) => self.metrics.count(counter),
                Effect::Log(line) => self.log(&line),
            }
        }
        Ok(())
    }

    /// Turns a request away because the host would not do what it takes to judge it, or to let it pass.
    pub fn give_up(&self, refused: &Refused) -> Progress {
        self.deny(&host_refused(refused))
    }

    /// Turns a request away that nothing else was decided about.
    fn deny(&self, why: &str) -> Progress {
        self.metrics.count(Counter::Outcome(Outcome::DeniedUnavailable));
        turn_away(why)
    }

    /// Asks for a session; where there is an answer at once, the request is settled with it. The stream's callback is
    /// running.
    fn ask(&self, stream: StreamId, exchange: AwaitSession, around: Surroundings<'_>, headers: &Headers) -> Progress {
        let now_ms = (around.now_ms)();
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket.wrapping_add(1));
        let rule = exchange.rule();
        let waiter = Waiter {
            stream,
            ticket,
            oldest_ms: rule.max_staleness_ms.unwrap_or(u64::MAX),
            deadline_ms: now_ms.saturating_add(rule.service.timeout_ms),
        };
        let wanted = Wanted { rule, token: exchange.token().clone() };
        let note = |note: Note<'_>| self.note(note, now_ms);
        let asked = self.desk.borrow_mut().ask(wanted, waiter, headers, now_ms, &note);
        let lookup = match asked {
            Asked::Answered(lookup) => lookup,
            Asked::Waiting => return self.wait(waiter, exchange),
            Asked::Call(flight) => match self.send(&flight) {
                Some(id) => {
                    self.metrics.call_began();
                    self.desk.borrow_mut().departed(id, *flight);
                    return self.wait(waiter, exchange);
                }
                None => match self.desk.borrow_mut().refused(*flight, now_ms, &note).told.pop() {
                    Some((_, lookup)) => lookup,
                    None => return self.deny("event=nobody_asked"),
                },
            },
        };
        self.show_kept();
        let Step { effects, next } = exchange.session(around, &lookup);
        match self.carry_out(effects) {
            Ok(()) => conclude(&next),
            Err(refused) => self.give_up(&refused),
        }
    }

    fn wait(&self, waiter: Waiter, exchange: AwaitSession) -> Progress {
        let Waiter { stream, ticket, .. } = waiter;
        self.waiting.borrow_mut().insert(stream, Waiting { ticket, exchange });
        Progress::Waiting
    }

    /// Tells the host how much is kept, where that has changed.
    fn show_kept(&self) {
        let now = self.desk.borrow().kept();
        let before = self.kept.replace(now);
        if now != before {
            self.metrics.cache_changed(delta(before.0, now.0), delta(before.1, now.1));
        }
    }

    /// Sends a call from a stream's callback so that the root gets its answer; `None` if the host does not take it.
    fn send(&self, flight: &Flight) -> Option<CallId> {
        self.outbox.replace(Outbox::ToSend(Rc::clone(&flight.call), flight.timeout()));
        // SAFETY: a stream's callback is running, so the SDK does not hold the root.
        unsafe { proxy_on_queue_ready(self.root_id, SEND) };
        match self.outbox.replace(Outbox::Empty) {
            Outbox::Sent(id) => id,
            Outbox::Empty | Outbox::ToSend(..) => None,
        }
    }

    fn note(&self, note: Note<'_>, now_ms: u64) {
        match note {
            Note::Count(counter) => self.metrics.count(counter),
            Note::Failed { lookup, cluster } => {
                if let Some(cause) = Cause::of(lookup) {
                    self.metrics.count(Counter::CallFailures(cause));
                }
                let trouble = self.throttle.borrow_mut().trouble(lookup, cluster, now_ms);
                if let Some(trouble) = trouble {
                    log::warn!("{trouble}");
                }
            }
        }
    }

    fn log(&self, line: &Line) {
        if host::shows_debug() {
            log::debug!("{line}");
        }
    }
}

/// From one number to another, as gauges take it.
fn delta(from: usize, to: usize) -> i64 {
    let signed = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    signed(to).saturating_sub(signed(from))
}

fn dispatch(call: &Call, timeout: Duration) -> Option<CallId> {
    let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    dispatch_http_call(&call.cluster, headers, None, Vec::new(), timeout).ok()
}

fn read_answer(num_headers: usize, body_size: usize, late: bool) -> Answer {
    let headers = match host::headers(MapType::HttpCallResponseHeaders) {
        Ok(headers) if num_headers > 0 => headers,
        _ => return Answer::Broken { late },
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

fn conclude(verdict: &Verdict) -> Progress {
    match verdict {
        Verdict::Forward => Progress::Forward,
        Verdict::Reply(reply) => send_reply(reply),
    }
}

fn send_reply(reply: &Reply) -> Progress {
    if let Err(refused) = host::reply(reply) {
        // The request stays paused, and Envoy ends it after `stream_idle_timeout`.
        log::error!("event=reply_refused status={refused:?}");
    }
    Progress::Replied
}

pub fn host_refused(refused: &Refused) -> String {
    format!("event=host_call_refused status={refused:?}")
}

/// Turns a request away that nothing was decided about: what is not understood does not pass.
pub fn turn_away(why: &str) -> Progress {
    log::error!("{why}");
    send_reply(&Reply::new(Denial::Unavailable { retry: false }, "", None))
}
