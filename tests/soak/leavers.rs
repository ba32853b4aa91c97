//! Clients that leave before their response, at every moment, over HTTP/1 and HTTP/2.

use std::sync::Arc;
use std::time::Duration;

use test_support::http1::Request;
use test_support::token;

use crate::harness::http2::ConcurrentRequests;
use crate::ledger::{Session, now};
use crate::soak::{Expect, Soak};
use crate::tally::Counts;
use crate::wire;

/// Requests at once on one HTTP/2 connection.
const CONCURRENT: usize = 16;
/// Requests of a session before the next is created.
const USES: u64 = 50;

/// Requests with a session, with an unknown token, and uploads, over HTTP/1.
pub fn over_http_1(soak: &Soak) {
    let mut session = None;
    for round in 0_u64.. {
        if soak.is_over() {
            return;
        }
        let Some(session) = current(soak, &mut session, round) else { continue };
        let request = with_session(session, round);
        let request = match round % 5 {
            0 => Request::get("/stranger").session(&token::fresh()),
            // An upload, of which a part is missing.
            1 => Request { method: "POST".to_owned(), ..request.header("content-length", "100000") },
            _ => request,
        };
        let wait = Duration::from_millis(round % 12);
        match wire::send_and_leave(soak.envoy, &request, wait) {
            Ok(()) => soak.tally.add("leaves, HTTP/1", Counts::of_left(1)),
            Err(error) => soak.failures.report(&format!("Envoy does not take a request: {error}\n{request}")),
        }
    }
}

/// A request with the session, every other one of which is answered slowly.
fn with_session(session: &Session, round: u64) -> Request {
    let target = if round.is_multiple_of(2) { "slow" } else { "member" };
    Request::get(&format!("/{target}/{}", session.number)).session(&session.token)
}

/// Several requests at once, of which some are reset.
pub fn over_http_2(soak: &Soak) {
    let mut session = None;
    for round in 0_u64.. {
        if soak.is_over() {
            return;
        }
        let Some(session) = current(soak, &mut session, round) else { continue };
        let mut request = with_session(session, round);
        let mut expect = Expect::Live(session);
        if round.is_multiple_of(5) {
            request = Request::get("/stranger").session(&token::fresh());
            expect = Expect::Stranger;
        }
        let began = now();
        let mut requests = ConcurrentRequests::send(soak.envoy, &request, CONCURRENT);
        let left = usize::try_from(round).expect("a round fits") % CONCURRENT;
        requests.cancel(left);
        soak.tally.add("leaves, HTTP/2", Counts::of_left(left as u64));
        for status in requests.statuses() {
            soak.judge("stays, HTTP/2", &request, expect, began, &Ok(status));
        }
    }
}

/// The session of this round. It is ended, and followed by the next, after some rounds.
fn current<'s>(soak: &Soak, session: &'s mut Option<Arc<Session>>, round: u64) -> Option<&'s Session> {
    let is_over = round.is_multiple_of(USES) || session.as_ref().is_some_and(|session| session.is_ending());
    if is_over && let Some(session) = session.take() {
        soak.kill(&session);
    }
    if session.is_none() {
        *session = soak.create();
    }
    session.as_deref()
}
