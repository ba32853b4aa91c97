//! Clients that follow one session each from its creation to its end, and strangers.

use test_support::http1::Request;
use test_support::token;

use crate::ledger::{Session, TTL, now};
use crate::soak::{Expect, FORGED_HEADERS, Soak};

/// Changes of one session.
const SETS: u64 = 3;

/// Sessions one after the other: used, changed, and ended in each way.
pub fn members(soak: &Soak) {
    for round in 0_u64.. {
        if soak.is_over() {
            return;
        }
        let Some(session) = soak.create() else { continue };
        use_once(soak, &session);
        for number in 1..=SETS {
            let target = format!("/set/{}/{number}", session.number);
            let request = Request::get(&target).session(&session.token);
            if soak.ask("set", &request, Expect::Live(&session)) == Some(200) {
                session.wrote(number);
            }
            use_once(soak, &session);
        }
        let forged = FORGED_HEADERS.iter().fold(member(&session), |all, (name, value)| all.header(*name, *value));
        soak.ask("forged, with a session", &forged, Expect::Live(&session));
        match round % 3 {
            0 => {
                soak.kill(&session);
                soak.failures.pace(soak.failures.elapsed() + TTL);
            }
            1 => soak.log_out(&session),
            _ => end_by_response(soak, &session),
        }
        use_once(soak, &session);
    }
}

fn member(session: &Session) -> Request {
    Request::get(&format!("/member/{}", session.number)).session(&session.token)
}

/// Also after its end: the upstream knows whether it may arrive.
fn use_once(soak: &Soak, session: &Session) {
    soak.ask("a session", &member(session), Expect::Live(session));
}

fn end_by_response(soak: &Soak, session: &Session) {
    session.begin_end();
    let request = Request::get(&format!("/end/{}", session.number)).session(&session.token);
    if soak.ask("end by the response", &request, Expect::Live(session)) == Some(200) {
        session.ended("a response ended it", now());
    }
}

/// Requests with unknown tokens, each with another one, with too many, and with junk.
pub fn strangers(soak: &Soak) {
    while !soak.is_over() {
        let unknown = token::fresh();
        soak.ask("an unknown token", &Request::get("/stranger").session(&unknown), Expect::Stranger);
        let five = (0..5).fold(Request::get("/stranger"), |request, _| request.session(&token::fresh()));
        soak.ask("five tokens", &five, Expect::Junk);
        let junk = Request::get("/stranger").session(&unknown[1..]);
        soak.ask("junk", &junk, Expect::Junk);
        let open = FORGED_HEADERS
            .iter()
            .fold(Request::get("/open").session(&unknown), |all, (name, value)| all.header(*name, *value));
        soak.ask("forged, optional", &open, Expect::Open);
    }
}
