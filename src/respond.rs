//! Responses that may change their sessions: looked at in the streams' callbacks, and held until the change is made.

use crate::clock::Clock;
use crate::progress::{Progress, host_refused, send_reply, turn_away};
use crate::waiting::Ticket;
use crate::worker::Worker;
use rest_sessions_core::cache::desk::Wanted;
use rest_sessions_core::cache::trip::{StreamId, Who};
use rest_sessions_core::exchange::{self, Answered, Step, Written};
use rest_sessions_core::http::headers::Headers;

impl Worker {
    /// Whether responses are to be looked at.
    pub fn reads_responses(&self) -> bool {
        self.config.write_back.is_some()
    }

    /// In the stream's callback. Without a ticket the worker knows nothing of the request.
    pub fn response_headers(&self, stream: StreamId, ticket: Option<Ticket>, headers: &Headers) -> Progress {
        let (awaited, request) = ticket.and_then(|ticket| self.room.response(ticket)).unzip();
        let Step { effects, next } = exchange::response_headers(&self.config, awaited, headers);
        if let Err(refused) = self.carry_out(effects) {
            return turn_away(&host_refused(&refused));
        }
        let (Answered::Changes(exchange, change), Some(request), Some(ticket)) = (next, request, ticket) else {
            return Progress::Forward;
        };
        let clock = Clock::default();
        let now_ms = || clock.now_ms();
        let who = Who { stream, ticket };
        let wanted = Wanted { rule: exchange.rule(), token: exchange.token().clone() };
        match self.order(wanted, change, who, &request, now_ms()) {
            Ok(()) => {
                self.room.change(ticket, exchange, request);
                Progress::Waiting(ticket)
            }
            Err(failure) => self.write_back(exchange.conclude(self.surroundings(&now_ms), &request, Err(failure))),
        }
    }

    /// In the stream's callback.
    pub fn response_trailers(&self, trailers: &Headers) -> Progress {
        match self.carry_out(exchange::response_trailers(&self.config, trailers)) {
            Ok(()) => Progress::Forward,
            Err(refused) => turn_away(&host_refused(&refused)),
        }
    }

    /// A response is to go on, once its session is changed or is not.
    pub fn write_back(&self, step: Step<Written>) -> Progress {
        match (self.carry_out(step.effects), step.next) {
            (Err(refused), _) => turn_away(&host_refused(&refused)),
            (Ok(()), Written::Passes) => Progress::Forward,
            (Ok(()), Written::Reply(reply)) => send_reply(&reply),
        }
    }
}
