//! Coalescing: concurrent requests for one session share one call.

use super::emulator::{Request, Stream, StreamDestruction, Vm};
use super::{NONE, SESSION, assert_counters, config, pending_request, resolved_request, three_routes, token};
use serde_json::json;
use std::time::Duration;

/// Concurrent requests for the session of the first token.
fn concurrent_requests(vm: &mut Vm, size: u32) -> Vec<Stream> {
    (0..size).map(|_| vm.request(Request::get("/").token(&token(1)))).collect()
}

#[test]
fn a_thousand_requests_for_one_session_make_one_call() {
    for (body, outcome) in [(SESSION, "allowed_total"), (NONE, "denied_no_session_total")] {
        for destruction in [StreamDestruction::Immediate, StreamDestruction::Deferred] {
            let mut vm = Vm::with_config(three_routes());
            vm.set_stream_destruction(destruction);
            let streams = concurrent_requests(&mut vm, 1_000);
            let call = vm.call();
            vm.respond(&call, 200, body);
            assert!(streams.iter().all(|stream| !stream.is_paused()));
            assert_eq!(vm.dispatched(), 1);
            assert_eq!(vm.counter("calls_total"), 1);
            assert_counters(&vm, &[("coalesced_total", 999), (outcome, 1_000)]);
        }
    }
}

#[test]
fn the_request_that_started_a_shared_call_can_disconnect() {
    let mut vm = Vm::with_config(three_routes());
    let (first, call) = pending_request(&mut vm, "/");
    let others: Vec<_> = (0..3).map(|_| vm.request(Request::get("/optional/a").token(&token(1)))).collect();
    first.disconnect();
    let later = vm.request(Request::get("/").token(&token(1)));
    vm.respond(&call, 200, SESSION);
    for stream in others.iter().chain([&later]) {
        assert_eq!(stream.upstream_header("x-session-user").as_deref(), Some("user123"));
    }
    assert_eq!(vm.counter("calls_total"), 1);
    assert_counters(&vm, &[("coalesced_total", 4), ("abandoned_total", 1), ("allowed_total", 4)]);
}

#[test]
fn disconnects_among_coalesced_requests_leave_the_others_unaffected() {
    let mut vm = Vm::with_config(three_routes());
    let streams = concurrent_requests(&mut vm, 200);
    for stream in streams.iter().step_by(7) {
        stream.disconnect();
    }
    let call = vm.call();
    vm.respond(&call, 200, SESSION);
    for (n, stream) in streams.iter().enumerate() {
        assert_eq!(stream.passed(), n % 7 != 0, "stream {n}");
    }
    assert_eq!((vm.counter("abandoned_total"), vm.counter("allowed_total")), (29, 171));
}

#[test]
fn each_coalesced_request_is_decided_by_its_own_rule() {
    let mut vm = Vm::with_config(three_routes());
    let required = vm.request(Request::get("/").token(&token(1)));
    let optional = vm.request(Request::get("/optional/a").token(&token(1)));
    let call = vm.call();
    vm.respond(&call, 200, NONE);
    assert_eq!(required.local_reply_status(), Some(401));
    assert!(optional.passed());
}

#[test]
fn a_failed_shared_call_is_counted_once() {
    let mut vm = Vm::with_config(three_routes());
    let streams = concurrent_requests(&mut vm, 40);
    vm.advance(Duration::from_millis(500));
    assert!(streams.iter().all(|stream| stream.local_reply_status() == Some(503)));
    assert_eq!(vm.counter("calls_total"), 1);
    assert_counters(
        &vm,
        &[("coalesced_total", 39), ("call_failures_timeout_total", 1), ("denied_unavailable_total", 40)],
    );
}

#[test]
fn a_completed_call_is_not_joined() {
    let mut vm = Vm::with_config(three_routes());
    resolved_request(&mut vm, "/", SESSION);
    resolved_request(&mut vm, "/", NONE);
    assert_eq!(vm.counter("calls_total"), 2);
    assert_counters(&vm, &[("allowed_total", 1), ("denied_no_session_total", 1)]);
}

#[test]
fn requests_for_different_apps_or_services_do_not_share_a_call() {
    let mut configuration = config(json!({}));
    configuration["rules"] = json!([
        {"match": {"paths": ["/app"]}, "session": "required", "app": "other"},
        {"match": {"paths": ["/service"]}, "session": "required",
         "rest_sessions": {"cluster": "rest-sessions", "path_prefix": "/b"}},
    ]);
    let mut vm = Vm::with_config(configuration);
    for path in ["/", "/app", "/service"] {
        vm.request(Request::get(path).token(&token(1)));
    }
    let calls = vm.calls();
    assert_eq!(calls.len(), 3);
    for call in &calls {
        vm.respond(call, 200, SESSION);
    }
    assert_eq!(vm.counter("calls_total"), 3);
    assert_counters(&vm, &[("allowed_total", 3)]);
}

#[test]
fn a_request_joins_only_calls_that_end_within_its_own_timeout() {
    let mut configuration = config(json!({}));
    configuration["rules"] = json!([
        {"match": {"paths": ["/long-timeout"]}, "session": "required",
         "rest_sessions": {"cluster": "rest-sessions", "timeout": "10s"}},
    ]);
    let mut vm = Vm::with_config(configuration);
    let long = vm.request(Request::get("/long-timeout").token(&token(1)));
    let short = vm.request(Request::get("/").token(&token(1)));
    assert_eq!(vm.calls().len(), 2, "a timeout of 500 ms does not join a call of ten seconds");
    let joining = vm.request(Request::get("/long-timeout").token(&token(1)));
    assert_eq!(vm.calls().len(), 2, "a timeout of ten seconds joins a call of 500 ms");
    vm.advance(Duration::from_millis(500));
    assert_eq!((short.is_paused(), joining.is_paused(), long.is_paused()), (false, false, true));
    let call = vm.call();
    vm.respond(&call, 200, SESSION);
    assert!(long.passed());
}

#[test]
fn coalesced_requests_count_as_one_call_in_flight() {
    let mut configuration = config(json!({}));
    configuration["rest_sessions"]["max_in_flight"] = json!(1);
    let mut vm = Vm::with_config(configuration);
    let streams = concurrent_requests(&mut vm, 10);
    let other = vm.request(Request::get("/").token(&token(2)));
    assert_eq!(other.denial().map(|(_, code)| code).as_deref(), Some("sessions_busy"));
    assert_eq!(vm.gauge("in_flight"), 1);
    let call = vm.call();
    vm.respond(&call, 200, SESSION);
    assert!(streams.iter().all(|stream| stream.passed()));
}
