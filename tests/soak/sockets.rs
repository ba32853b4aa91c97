//! WebSockets, some of which are open across many configurations: closed after their session's end, and open before it.

use std::collections::VecDeque;
use std::sync::Arc;

use test_support::http1::Request;

use crate::ledger::{Session, now};
use crate::soak::{Expect, Soak};
use crate::wire::Socket;

/// WebSockets that each round opens, and ends with their sessions.
const PER_ROUND: usize = 6;
/// WebSockets that stay open for as many rounds, one of each.
const LASTING: usize = 8;

struct Open {
    session: Arc<Session>,
    socket: Socket,
    since: u64,
}

/// Opens and closes WebSockets until the soak is over.
pub fn open_and_close(soak: &Soak) {
    let mut lasting = VecDeque::new();
    while !soak.is_over() {
        let mut round: Vec<Open> = (0..PER_ROUND).filter_map(|_| open(soak)).collect();
        round.iter_mut().for_each(|open| echo(soak, open));
        lasting.iter_mut().for_each(|open| echo(soak, open));
        lasting.extend(round.pop());
        if lasting.len() > LASTING {
            round.extend(lasting.pop_front());
        }
        for (index, open) in round.iter().enumerate() {
            if index.is_multiple_of(2) { soak.kill(&open.session) } else { soak.log_out(&open.session) }
        }
        round.into_iter().for_each(|open| wait_for_close(soak, open));
        // Those whose Redis was killed are closed too.
        let (ended, kept): (Vec<Open>, Vec<Open>) = lasting.into_iter().partition(|open| open.session.is_ending());
        lasting = kept.into();
        ended.into_iter().for_each(|open| wait_for_close(soak, open));
    }
}

fn open(soak: &Soak) -> Option<Open> {
    let session = soak.create()?;
    let request = Request::upgrade(&format!("/ws/{}", session.number)).session(&session.token);
    let since = now();
    let (outcome, socket) = match Socket::open(soak.envoy, &request) {
        Ok((status, socket)) => (Ok(status), Some(socket)),
        Err(error) => (Err(error), None),
    };
    soak.judge("websocket", &request, Expect::Live(&session), since, &outcome);
    let socket = socket.filter(|_| matches!(outcome, Ok(101)))?;
    Some(Open { session, socket, since })
}

fn echo(soak: &Soak, open: &mut Open) {
    if let Err(error) = open.socket.echo()
        && !open.session.is_ending()
    {
        let seconds = age(open);
        soak.failures.report(&format!(
            "the WebSocket of s{}, open for {seconds} s, does not echo while its session lives: {error}",
            open.session.number
        ));
    }
}

fn wait_for_close(soak: &Soak, mut open: Open) {
    // A logout that failed may not have ended the session.
    soak.kill(&open.session);
    let began = now();
    if let Err(error) = open.socket.wait_for_close()
        && soak.ledger.is_calm(began, now())
    {
        let seconds = age(&open);
        soak.failures.report(&format!(
            "the WebSocket of s{}, open for {seconds} s, is not closed after its session's end: {error}",
            open.session.number
        ));
    }
}

fn age(open: &Open) -> u64 {
    (now() - open.since) / 1_000_000
}
