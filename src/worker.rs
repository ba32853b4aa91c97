//! What the requests of one configuration share in one worker, and how steps of the core become host calls.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

use proxy_wasm::types::MapType;

use crate::board::{SharedBoard, WorkerBoard};
use crate::calls::{self, Outbox, SEND};
use crate::clock::Clock;
use crate::host::{self, Refused};
use crate::metrics::Metrics;
use crate::progress::{Progress, host_refused, send_reply, turn_away};
use crate::waiting::{Exchange, News, Ticket, WaitingRoom};
use rest_sessions_core::cache::board::OwnBoard;
use rest_sessions_core::cache::desk::{Asked, Desk, Note, Settled, Wanted};
use rest_sessions_core::cache::flights::{Airborne, Errand, Waiter};
use rest_sessions_core::cache::trip::{CallId, StreamId, Who};
use rest_sessions_core::config::Config;
use rest_sessions_core::exchange::{self, AwaitKills, AwaitSession, Effect, Start, Step, Surroundings, Verdict, Watch};
use rest_sessions_core::http::headers::Headers;
use rest_sessions_core::policy::session_change::Change;
use rest_sessions_core::session::lookup::{Failure, Outage};
use rest_sessions_core::telemetry::{Cause, Counter, LogLine, Outcome, Throttle};

/// No cell is borrowed while the host is called, since the host may call back; but for the desk, whose board and notes
/// are shared data, metrics and log lines, which call nothing.
pub struct Worker {
    pub root_id: u32,
    pub config: Config,
    pub metrics: Rc<Metrics>,
    digest_key: RandomState,
    pub room: WaitingRoom,
    pub desk: RefCell<Desk<WorkerBoard>>,
    /// Bytes and entries of the cache, as they were told last.
    kept: Cell<(usize, usize)>,
    throttle: RefCell<Throttle>,
    outbox: Outbox,
    /// A queue of this worker's own: what is put in comes back in a callback of its own.
    pub alarm: u32,
}

impl Worker {
    /// In the root's callback.
    pub fn new(root_id: u32, config: Config) -> Result<Self, Refused> {
        let digest_key = RandomState::new();
        // A queue's name belongs to whoever registered it last, so no other worker may come upon the same.
        let alarm = host::register_queue(&format!("rest_sessions.{:016x}", digest_key.hash_one(root_id)))?;
        let metrics = Rc::new(Metrics::define()?);
        if let Some(period_ms) = config.tick_ms() {
            host::set_tick_period(period_ms)?;
        }
        let board = match &config.cache {
            Some(cache) if !cache.shared => WorkerBoard::Own(OwnBoard::default()),
            // Without a cache too: nobody may wait for a call that began before another worker saw the session end.
            _ => WorkerBoard::Shared(SharedBoard(Rc::clone(&metrics))),
        };
        let secret = RandomState::new();
        let random = [0, 1, 2, 3].map(|number| secret.hash_one(number));
        let desk =
            Desk::new(config.cache.as_ref(), config.limits, board, random).map_err(|_| Refused::NO_SHARED_DATA)?;
        let worker = Self {
            root_id,
            config,
            metrics,
            digest_key,
            room: WaitingRoom::default(),
            desk: RefCell::new(desk),
            kept: Cell::new((0, 0)),
            throttle: RefCell::default(),
            outbox: Outbox::default(),
            alarm,
        };
        worker.show_kept();
        Ok(worker)
    }

    /// The host is done with a request that the worker knows of.
    pub fn stream_ended(&self, ticket: Ticket) {
        self.room.left(ticket).into_iter().for_each(|counter| self.metrics.count(counter));
    }

    /// The configuration goes, and the host gives up its calls.
    pub fn retire(&self) {
        let abandoned = self.desk.borrow_mut().abandon();
        self.metrics.calls_abandoned(abandoned);
        self.room.close().into_iter().for_each(|counter| self.metrics.count(counter));
        let (bytes, entries) = self.kept.take();
        self.metrics.cache_changed(delta(bytes, 0), delta(entries, 0));
    }

    /// In the stream's callback.
    pub fn request_headers(&self, stream: StreamId, headers: Headers, end_of_stream: bool) -> Progress {
        let clock = Clock::default();
        let now_ms = || clock.now_ms();
        let around = self.surroundings(&now_ms);
        let Step { effects, next } = exchange::request_headers(around, &headers, end_of_stream);
        if let Some(refused) = clock.refused() {
            return self.give_up(&refused);
        }
        match (self.carry_out(effects), next) {
            (Err(refused), _) => self.give_up(&refused),
            (Ok(()), Start::Decided(verdict)) => self.conclude(self.room.admit(stream), verdict, headers),
            (Ok(()), Start::Ask(exchange)) => self.ask(self.room.admit(stream), exchange, around, headers),
            (Ok(()), Start::End(exchange)) => self.end(self.room.admit(stream), exchange, around, headers),
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
            self.outbox.empty();
        } else if queue == self.alarm {
            if let Err(refused) = host::dequeue(queue) {
                log::debug!("event=queue_empty status={refused:?}");
            }
            self.settle_some();
        }
    }

    /// In the root's callback: the answer to a call has come.
    pub fn answered(&self, call: CallId, num_headers: usize, body_size: usize) {
        let landed = self.desk.borrow_mut().landed(call);
        let Some(landed) = landed else {
            self.log(&LogLine::UnknownCall { call });
            return;
        };
        let trip = landed.trip();
        let now_ms = host::now_ms().unwrap_or(trip.ends_ms);
        self.metrics.call_ended(now_ms.saturating_sub(trip.started_ms));
        let answer = calls::read_answer(num_headers, body_size, now_ms, trip.ends_ms);
        let note = |note: Note<'_>| self.note(note, now_ms);
        match landed {
            Airborne::Flight(flight) => {
                let settled = self.desk.borrow_mut().answered(*flight, &answer, now_ms, &note);
                self.tell(settled, now_ms);
            }
            Airborne::Errand(errand) => self.done(*errand, answer.body(), now_ms),
        }
        self.settle_some();
    }

    /// In the root's callback: puts those who are told something on the list, and sends what follows from it.
    fn tell(&self, settled: Settled, now_ms: u64) {
        self.room.put_off(settled.told.into_iter().map(|(waiter, lookup)| (waiter.who, News::Session(lookup))));
        for airborne in settled.again.map(Airborne::Flight).into_iter().chain(settled.end.map(Airborne::Errand)) {
            self.send_from_root(airborne, now_ms);
        }
        self.show_kept();
    }

    /// In the root's callback.
    pub fn send_from_root(&self, airborne: Airborne, now_ms: u64) {
        let id = calls::send_from_root(airborne.trip());
        self.sent(id, airborne, now_ms);
    }

    /// The host has taken a call, or has not.
    fn sent(&self, id: Option<CallId>, airborne: Airborne, now_ms: u64) {
        match (id, airborne) {
            (Some(id), airborne) => {
                self.metrics.call_began();
                self.desk.borrow_mut().departed(id, airborne);
            }
            (None, Airborne::Flight(flight)) => {
                let note = |note: Note<'_>| self.note(note, now_ms);
                let refused = self.desk.borrow_mut().refused(*flight, now_ms, &note);
                self.tell(refused, now_ms);
            }
            (None, Airborne::Errand(errand)) => {
                self.done(*errand, Err(NOT_SENT), now_ms);
            }
        }
    }

    /// A call that was to end or change a session is over.
    fn done(&self, errand: Errand, answer: Result<&[u8], Failure>, now_ms: u64) {
        let note = |note: Note<'_>| self.note(note, now_ms);
        let outcome = self.desk.borrow_mut().done(&errand, answer, now_ms, &note);
        self.room.put_off(errand.who.map(|who| (who, News::Done(outcome))));
        self.show_kept();
    }

    pub fn surroundings<'a>(&'a self, now_ms: &'a dyn Fn() -> u64) -> Surroundings<'a> {
        Surroundings { config: &self.config, now_ms, client: &host::client, digest_key: &self.digest_key }
    }

    /// A header that the host would not change must not reach an upstream that trusts it, so a refusal ends it all.
    pub fn carry_out(&self, effects: Vec<Effect>) -> Result<(), Refused> {
        for effect in effects {
            match effect {
                Effect::RequestHeader(change) => host::change_header(MapType::HttpRequestHeaders, &change)?,
                Effect::RequestTrailer(change) => host::change_header(MapType::HttpRequestTrailers, &change)?,
                Effect::ResponseHeader(change) => host::change_header(MapType::HttpResponseHeaders, &change)?,
                Effect::ResponseTrailer(change) => host::change_header(MapType::HttpResponseTrailers, &change)?,
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
    fn ask(&self, who: Who, exchange: AwaitSession, around: Surroundings<'_>, headers: Headers) -> Progress {
        let now_ms = (around.now_ms)();
        let rule = exchange.rule();
        let waiter = Waiter {
            who,
            oldest_ms: rule.max_staleness_ms.unwrap_or(u64::MAX),
            deadline_ms: now_ms.saturating_add(rule.backend.service.timeout_ms),
            shadow: rule.shadow,
        };
        let wanted = Wanted { rule, token: exchange.token().clone() };
        let note = |note: Note<'_>| self.note(note, now_ms);
        let asked = self.desk.borrow_mut().ask(wanted, waiter, &headers, now_ms, &note);
        let lookup = match asked {
            Asked::Answered(lookup) => lookup,
            Asked::Waiting => return self.wait(who, exchange, headers),
            Asked::Call(flight) => match self.outbox.send(self.root_id, &flight.trip) {
                Some(id) => {
                    self.sent(Some(id), Airborne::Flight(flight), now_ms);
                    return self.wait(who, exchange, headers);
                }
                None => match self.desk.borrow_mut().refused(*flight, now_ms, &note).told.pop() {
                    Some((_, lookup)) => lookup,
                    None => return self.deny("event=nobody_asked"),
                },
            },
        };
        self.show_kept();
        let Step { effects, next } = exchange.session(around, &headers, &lookup);
        match self.carry_out(effects) {
            Ok(()) => self.conclude(who, next, headers),
            Err(refused) => self.give_up(&refused),
        }
    }

    fn wait(&self, who: Who, exchange: AwaitSession, headers: Headers) -> Progress {
        if exchange.rule().shadow {
            self.room.enter(who, Exchange::Shadow { exchange, headers, gone: false });
            return Progress::Followed(who.ticket);
        }
        self.room.enter(who, Exchange::Session { exchange, headers });
        Progress::Waiting(who.ticket)
    }

    /// Ends the sessions of a request. The stream's callback is running.
    fn end(&self, who: Who, mut exchange: AwaitKills, around: Surroundings<'_>, headers: Headers) -> Progress {
        for token in exchange.tokens().to_vec() {
            let wanted = Wanted { rule: exchange.rule(), token };
            if let Err(failure) = self.order(wanted, Change::Kill, who, &headers, (around.now_ms)()) {
                exchange.killed(Err(failure));
            }
        }
        if !exchange.is_over() {
            self.room.enter(who, Exchange::Kills { exchange, headers });
            return Progress::Waiting(who.ticket);
        }
        let Step { effects, next } = exchange.conclude(around, &headers);
        match self.carry_out(effects) {
            Ok(()) => self.conclude(who, next, headers),
            Err(refused) => self.give_up(&refused),
        }
    }

    /// Has a session ended or changed, if the host takes the call. A stream's callback is running.
    pub fn order(
        &self,
        wanted: Wanted<'_>,
        change: Change,
        who: Who,
        headers: &Headers,
        now_ms: u64,
    ) -> Result<(), Failure> {
        let note = |note: Note<'_>| self.note(note, now_ms);
        let errand = self.desk.borrow_mut().order(wanted, change, who, headers, now_ms, &note);
        self.show_kept();
        let errand = errand?;
        match self.outbox.send(self.root_id, &errand.trip) {
            Some(id) => {
                self.sent(Some(id), Airborne::Errand(errand), now_ms);
                Ok(())
            }
            None => self.desk.borrow_mut().done(&errand, Err(NOT_SENT), now_ms, &note).map(drop),
        }
    }

    /// Does as was decided. The headers are those that the request came with.
    pub fn conclude(&self, who: Who, verdict: Verdict, headers: Headers) -> Progress {
        match verdict {
            Verdict::Forward(open) => {
                let every_ms = open.watch.as_ref().map(Watch::every_ms);
                let due_ms =
                    every_ms.map(|every_ms| host::now_ms().map_or(0, |now_ms| now_ms.saturating_add(every_ms)));
                if self.room.open(who, open, due_ms, headers) {
                    Progress::Followed(who.ticket)
                } else {
                    Progress::Forward
                }
            }
            Verdict::Reply(reply) => send_reply(&reply),
        }
    }

    /// Tells the host how much is kept, where that has changed.
    pub fn show_kept(&self) {
        let now = self.desk.borrow().kept();
        let before = self.kept.replace(now);
        if now != before {
            self.metrics.cache_changed(delta(before.0, now.0), delta(before.1, now.1));
        }
    }

    pub fn note(&self, note: Note<'_>, now_ms: u64) {
        match note {
            Note::Count(counter) => self.metrics.count(counter),
            Note::Failed { failure, cluster } => {
                if let Some(cause) = Cause::of(failure) {
                    self.metrics.count(Counter::CallFailures(cause));
                }
                let trouble = self.throttle.borrow_mut().call_failed(failure, cluster, now_ms);
                if let Some(trouble) = trouble {
                    log::warn!("{trouble}");
                }
            }
        }
    }

    fn log(&self, line: &LogLine) {
        if host::shows_debug() {
            log::debug!("{line}");
        }
    }
}

/// What became of a call that the host did not take.
const NOT_SENT: Failure = Failure::Outage(Outage::Dispatch);

/// From one number to another, as gauges take it.
fn delta(from: usize, to: usize) -> i64 {
    let signed = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    signed(to).saturating_sub(signed(from))
}
