//! Token sources: where a token is read, and whether the upstream receives it.

use super::emulator::{Level, Request, Vm};
use super::{NONE, SESSION, assert_counters, config, resolved_request, respond_to_all, three_routes, token};
use serde_json::json;
use std::time::Duration;

#[test]
fn the_first_source_that_holds_a_token_decides() {
    let config = config(json!({"token_from": [
        {"cookie": "sid"}, {"header": "authorization", "prefix": "Bearer "}, {"query": "token"},
    ]}));
    let mut vm = Vm::with_config(config);
    let cookie = |n: u32| format!("a=b; sid={}", token(n));
    for (request, expected) in [
        (Request::get("/").header("cookie", cookie(1)).header("authorization", format!("Bearer {}", token(2))), 1),
        (Request::get("/").header("cookie", "a=b").header("cookie", cookie(3)), 3),
        (Request::get("/").header("cookie", format!("sid=\"{}\"", token(4))), 4),
        (Request::get("/").header("cookie", "sid=junk").header("authorization", format!("bearer {}", token(5))), 5),
        (Request::get("/").header("cookie", cookie(6)).header("cookie", cookie(6)), 6),
        (
            Request::get(&format!("/ws?a=b&token={}", token(7)))
                .header("upgrade", "websocket")
                .header("connection", "keep-alive, Upgrade"),
            7,
        ),
    ] {
        let stream = vm.request(request);
        let call = vm.call();
        assert_eq!(call.path(), format!("/myapp/get/{}", token(expected)));
        vm.respond(&call, 200, SESSION);
        assert!(stream.passed());
    }
    let query = vm.request(Request::get(&format!("/?token={}", token(8))));
    assert_eq!(query.local_reply_status(), Some(401), "a query is a source for WebSocket upgrades only");
}

/// A request with a cookie for the token of each number, and a Bearer token beside them.
fn with_cookies(numbers: &[u32]) -> Request {
    let request = Request::get("/").header("authorization", format!("Bearer {}", token(99)));
    numbers.iter().fold(request, |request, number| request.token(&token(*number)))
}

fn two_sources() -> Vm {
    let sources = json!([{"cookie": "session-cookie"}, {"header": "authorization", "prefix": "Bearer "}]);
    Vm::with_config(config(json!({"token_from": sources})))
}

#[test]
fn all_tokens_of_the_first_source_are_looked_up_and_the_one_active_session_is_used() {
    for (dead, live) in [(0, 1), (1, 0)] {
        let mut vm = two_sources();
        let stream = vm.request(with_cookies(&[1, 2]));
        let calls = vm.calls();
        assert_eq!(
            calls.iter().map(|call| call.path()).collect::<Vec<_>>(),
            [1, 2].map(|n| format!("/myapp/get/{}", token(n)))
        );
        vm.respond(&calls[dead], 200, NONE);
        assert!(stream.is_paused(), "it waits for both");
        vm.respond(&calls[live], 200, SESSION);
        assert!(stream.passed());
        assert_counters(&vm, &[("allowed_total", 1)]);
    }
}

#[test]
fn two_active_sessions_are_a_conflict_and_no_later_source_is_read() {
    let mut vm = two_sources();
    let stream = vm.request(with_cookies(&[1, 2]));
    respond_to_all(&mut vm);
    assert_eq!(stream.local_reply_status(), Some(401));
    assert_counters(&vm, &[("conflicts_total", 1), ("denied_no_session_total", 1)]);
}

#[test]
fn more_than_four_tokens_are_a_conflict_without_a_lookup_and_no_later_source_is_read() {
    let mut vm = two_sources();
    let stream = vm.request(with_cookies(&[1, 2, 3, 4, 5]));
    assert_eq!(stream.local_reply_status(), Some(401));
    assert_eq!(vm.counter("calls_total"), 0);
    assert_counters(&vm, &[("conflicts_total", 1), ("denied_no_session_total", 1)]);
}

#[test]
fn one_lookup_that_fails_fails_a_request_with_several_tokens() {
    for refuse_first in [true, false] {
        let mut vm = two_sources();
        let stream = vm.request(with_cookies(&[1, 2]));
        let calls = vm.calls();
        let (failed, answered) = if refuse_first { (0, 1) } else { (1, 0) };
        vm.refuse_connection(&calls[failed]);
        vm.respond(&calls[answered], 200, SESSION);
        assert_eq!(stream.local_reply_status(), Some(503));
        assert_counters(&vm, &[("call_failures_connect_total", 1), ("denied_unavailable_total", 1)]);
    }
}

#[test]
fn a_client_that_leaves_between_two_answers_is_abandoned_and_the_later_answer_harms_nobody() {
    let mut vm = two_sources();
    let stream = vm.request(with_cookies(&[1, 2]));
    let calls = vm.calls();
    vm.respond(&calls[0], 200, SESSION);
    stream.disconnect();
    vm.respond(&calls[1], 200, NONE);
    assert_counters(&vm, &[("abandoned_total", 1)]);
}

#[test]
fn a_session_from_a_server_whose_clock_is_ahead_is_accepted_and_logged_once_a_minute() {
    let mut vm = Vm::with_config(config(json!({"annotate": {"headers": {"x-age": "age"}}})));
    let request = |vm: &mut Vm, ahead_s: u64| {
        let now_ms = u64::try_from(vm.now().as_millis()).expect("milliseconds since 1970 fit");
        let token = test_support::token::created_at("ahead", now_ms + ahead_s * 1_000);
        let stream = vm.request(Request::get("/").token(&token));
        respond_to_all(vm);
        (stream.passed().then(|| stream.upstream_header("x-age")).flatten(), vm.log_at(Level::Warn).len())
    };
    let age_0 = Some("0".to_owned());
    assert_eq!(request(&mut vm, 60), (age_0.clone(), 0));
    assert_eq!(request(&mut vm, 90), (age_0.clone(), 1));
    assert_eq!(request(&mut vm, 86_400), (age_0.clone(), 1), "once a minute");
    vm.advance(Duration::from_secs(60));
    assert_eq!(request(&mut vm, 3_600), (age_0, 2));
    let line = |seconds, held_back| {
        format!("event=clock_ahead cluster=\"rest-sessions\" seconds={seconds} held_back={held_back}")
    };
    assert_eq!(vm.log_at(Level::Warn), [line(90, 0), line(3_600, 1)]);
    assert_eq!(request(&mut vm, 86_401), (None, 2), "it is no token");
}

#[test]
fn an_unknown_token_from_the_future_is_not_logged() {
    let mut vm = Vm::with_config(three_routes());
    let now_ms = u64::try_from(vm.now().as_millis()).expect("milliseconds since 1970 fit");
    vm.request(Request::get("/").token(&test_support::token::created_at("ahead", now_ms + 90_000)));
    let call = vm.call();
    vm.respond(&call, 200, NONE);
    assert_eq!(vm.log_at(Level::Warn), [""; 0], "a client can send any token");
}

#[test]
fn forward_token_false_removes_the_token_from_every_source_and_nothing_else() {
    let mut config = three_routes();
    config["forward_token"] = json!(false);
    config["token_from"] = json!([{"cookie": "sid"}, {"header": "authorization", "prefix": "Bearer "}]);
    let mut vm = Vm::with_config(config);
    for path in ["/", "/optional/a", "/off/a"] {
        let stream = vm.request(
            Request::get(path)
                .header("cookie", format!("theme=dark; sid={}; sid=junk; lang=en", token(1)))
                .header("cookie", "sid=other")
                .header("authorization", "Basic dTpw")
                .header("authorization", format!("Bearer {}", token(2))),
        );
        respond_to_all(&mut vm);
        let cookies = stream.upstream_header_values("cookie").join("; ");
        assert!(cookies.contains("theme=dark") && cookies.contains("lang=en"), "{path}: {cookies}");
        assert!(!cookies.contains("sid="), "{path}: {cookies}");
        assert_eq!(stream.upstream_header_values("authorization"), ["Basic dTpw"], "{path}");
    }
}

#[test]
fn the_token_reaches_the_upstream_by_default() {
    let mut vm = Vm::with_config(three_routes());
    let stream = resolved_request(&mut vm, "/", SESSION);
    assert_eq!(stream.upstream_header("cookie"), Some(format!("session-cookie={}", token(1))));
}
