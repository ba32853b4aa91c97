//! What the requests of one configuration share in one worker, and how steps of the core become host calls.

use std::cell::{Cell, RefCell};
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
use crate::exchange::{Effect, Exchange, Question, Start, Step, Surroundings, Verdict};
use crate::http::headers::Headers;
use crate::http::reply::{Denial, Reply};
use crate::session::answer::{Answer, Body};
use crate::session::calls::Call;
use crate::session::lookup::{Lookup, MAX_BODY};
use crate::telemetry::{Cause, Counter, Line, Throttle};

/// No cell is borrowed while the host is called, since the host may call back; but for the desk, whose board and notes
/// are shared data, metrics and log lines, which call nothing.
pub struct Worker {
    root_id: u32,
    config: Config,
    metrics: Rc<Metrics>,
    digest_key: RandomState,
    /// The requests that the host has not finished; nothing is done to any other.
    exchanges: RefCell<HashMap<StreamId, Tracked>>,
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

/// A request with its ticket (see [`Waiter`]).
struct Tracked {
    ticket: u64,
    exchange: Exchange,
}

/// A call on its way from a stream's callback to the root, which sends it.
enum Outbox {
    Empty,
    ToSend(Rc<Call>, Duration),
    Sent(Option<CallId>),
}

/// Where a request stands after a step was carried out.
pub enum Progress {
    Unchanged,
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
            exchanges: RefCell::default(),
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
        let abandoned = self.desk.borrow_mut().abandon();
        self.metrics.calls_abandoned(abandoned);
        let (bytes, entries) = self.kept.take();
        self.metrics.cache_changed(delta(bytes, 0), delta(entries, 0));
    }

    /// In the stream's callback.
    pub fn request_headers(
        &self,
        stream: StreamId,
        headers: &Headers,
        end_of_stream: bool,
    ) -> Result<Progress, Refused> {
        let now_ms = host::now_ms()?;
        let (ticket, step) = match self.exchanges.borrow_mut().get_mut(&stream) {
            Some(Tracked { ticket, exchange }) => {
                (*ticket, exchange.request_headers(self.surroundings(now_ms), headers, end_of_stream))
            }
            None => return Ok(turn_away("event=unknown_stream")),
        };
        // Headers that come a second time were not judged.
        let Some(Step { effects, next }) = step else { return Ok(turn_away("event=headers_twice")) };
        let changed = self.carry_out(effects);
        Ok(match next {
            Start::Decided(verdict) => conclude(changed, &verdict),
            Start::Ask(question) => match changed {
                Ok(()) => self.ask(stream, ticket, now_ms, question, headers),
                Err(refused) => give_up(&refused),
            },
        })
    }

    /// In the stream's callback.
    pub fn request_trailers(&self, trailers: &Headers) -> Result<Progress, Refused> {
        self.carry_out(Exchange::request_trailers(&self.config, trailers))?;
        Ok(Progress::Unchanged)
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

    fn surroundings(&self, now_ms: u64) -> Surroundings<'_> {
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
        let now_ms = host::now_ms().unwrap_or(0);
        let Some(Step { effects, next }) = self.decide(waiter, lookup, now_ms) else { return };
        if let Err(refused) = host::set_effective_context(waiter.stream) {
            log::debug!("event=stream_gone status={refused:?}");
            return;
        }
        if let Progress::Forward = conclude(self.carry_out(effects), &next)
            && let Err(refused) = host::resume_request()
        {
            log::warn!("event=resume_refused status={refused:?}");
        }
        if let Err(refused) = host::set_effective_context(self.root_id) {
            log::warn!("event=root_gone status={refused:?}");
        }
    }

    /// What a lookup means for a request, if it is still the one that waits.
    fn decide(&self, waiter: Waiter, lookup: &Lookup, now_ms: u64) -> Option<Step<Verdict>> {
        let mut exchanges = self.exchanges.borrow_mut();
        let tracked = exchanges.get_mut(&waiter.stream).filter(|tracked| tracked.ticket == waiter.ticket)?;
        tracked.exchange.session(self.surroundings(now_ms), lookup)
    }

    fn carry_out(&self, effects: Vec<Effect>) -> Result<(), Refused> {
        let mut changed = Ok(());
        for effect in effects {
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
        changed
    }

    /// Asks for a session; where there is an answer at once, the request is settled with it. The stream's callback is
    /// running.
    fn ask(&self, stream: StreamId, ticket: u64, now_ms: u64, question: Question, headers: &Headers) -> Progress {
        let Question { rule, token } = question;
        let waiter = Waiter {
            stream,
            ticket,
            oldest_ms: rule.max_staleness_ms.unwrap_or(u64::MAX),
            deadline_ms: now_ms.saturating_add(rule.service.timeout_ms),
        };
        let note = |note: Note<'_>| self.note(note, now_ms);
        let asked = self.desk.borrow_mut().ask(Wanted { rule: &rule, token }, waiter, headers, now_ms, &note);
        let lookup = match asked {
            Asked::Answered(lookup) => lookup,
            Asked::Waiting => return Progress::Waiting,
            Asked::Call(flight) => match self.send(&flight) {
                Some(id) => {
                    self.metrics.call_began();
                    self.desk.borrow_mut().departed(id, *flight);
                    return Progress::Waiting;
                }
                None => match self.desk.borrow_mut().refused(*flight, now_ms, &note).told.pop() {
                    Some((_, lookup)) => lookup,
                    None => return turn_away("event=nobody_asked"),
                },
            },
        };
        self.show_kept();
        match self.decide(waiter, &lookup, now_ms) {
            Some(Step { effects, next }) => conclude(self.carry_out(effects), &next),
            None => turn_away("event=nobody_asked"),
        }
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

/// Lets a request go on as it was decided. A header that the host would not change must not reach an upstream that
/// trusts it.
fn conclude(changed: Result<(), Refused>, verdict: &Verdict) -> Progress {
    match (verdict, changed) {
        (Verdict::Reply(reply), _) => send_reply(reply),
        (Verdict::Forward, Ok(())) => Progress::Forward,
        (Verdict::Forward, Err(refused)) => give_up(&refused),
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
    turn_away(&format!("event=host_call_refused status={refused:?}"))
}

/// Turns a request away that nothing was decided about: what is not understood does not pass.
pub fn turn_away(why: &str) -> Progress {
    log::error!("{why}");
    send_reply(&Reply::new(Denial::Unavailable { retry: false }, "", None))
}
