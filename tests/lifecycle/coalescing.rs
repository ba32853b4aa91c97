//! One call for all who ask for the same session at the same time.

use super::emulator::{Request, Stream, StreamDestruction, Vm};
use super::{NONE, SESSION, assert_counters, config, three_routes, token, waiting};
use serde_json::json;
use std::time::Duration;

fn crowd(vm: &mut Vm, size: u32) -> Vec<Stream> {
    (0..size).map(|_| vm.request(Request::get("/").token(&token(1)))).collect()
}

#[test]
fn a_thousand_requests_for_one_session_make_one_call() {
    for (body, outcome) in [(SESSION, "allowed_total"), (NONE, "denied_no_session_total")] {
        for ending in [StreamDestruction::Immediate, StreamDestruction::Deferred] {
            let mut vm = Vm::with_config(three_routes());
            vm.set_stream_destruction(ending);
            let streams = crowd(&mut vm, 1_000);
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
fn whoever_started_the_call_may_leave() {
    let mut vm = Vm::with_config(three_routes());
    let (first, call) = waiting(&mut vm, "/");
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
fn some_of_a_crowd_may_leave_while_the_others_are_being_settled() {
    let mut vm = Vm::with_config(three_routes());
    let streams = crowd(&mut vm, 200);
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
fn each_who_waits_is_judged_by_its_own_rule() {
    let mut vm = Vm::with_config(three_routes());
    let required = vm.request(Request::get("/").token(&token(1)));
    let optional = vm.request(Request::get("/optional/a").token(&token(1)));
    let call = vm.call();
    vm.respond(&call, 200, NONE);
    assert_eq!(required.denial_status(), Some(401));
    assert!(optional.passed());
}

#[test]
fn a_failure_counts_once_whoever_waits() {
    let mut vm = Vm::with_config(three_routes());
    let streams = crowd(&mut vm, 40);
    vm.advance(Duration::from_millis(500));
    assert!(streams.iter().all(|stream| stream.denial_status() == Some(503)));
    assert_eq!(vm.counter("calls_total"), 1);
    assert_counters(
        &vm,
        &[("coalesced_total", 39), ("call_failures_timeout_total", 1), ("denied_unavailable_total", 40)],
    );
}

#[test]
fn a_call_that_has_ended_is_not_joined() {
    let mut vm = Vm::with_config(three_routes());
    let (_, call) = waiting(&mut vm, "/");
    vm.respond(&call, 200, SESSION);
    let (_, call) = waiting(&mut vm, "/");
    vm.respond(&call, 200, NONE);
    assert_eq!(vm.counter("calls_total"), 2);
    assert_counters(&vm, &[("allowed_total", 1), ("denied_no_session_total", 1)]);
}

#[test]
fn one_token_of_two_apps_or_two_services_is_two_sessions() {
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
fn nobody_waits_longer_than_their_own_timeout() {
    let mut configuration = config(json!({}));
    configuration["rules"] = json!([
        {"match": {"paths": ["/patient"]}, "session": "required",
         "rest_sessions": {"cluster": "rest-sessions", "timeout": "10s"}},
    ]);
    let mut vm = Vm::with_config(configuration);
    let patient = vm.request(Request::get("/patient").token(&token(1)));
    let hasty = vm.request(Request::get("/").token(&token(1)));
    assert_eq!(vm.calls().len(), 2, "a call of ten seconds is nothing to wait for");
    let also_patient = vm.request(Request::get("/patient").token(&token(1)));
    assert_eq!(vm.calls().len(), 2, "who may wait longer joins");
    vm.advance(Duration::from_millis(500));
    assert_eq!((hasty.is_paused(), also_patient.is_paused(), patient.is_paused()), (false, false, true));
    let call = vm.call();
    vm.respond(&call, 200, SESSION);
    assert!(patient.passed());
}

#[test]
fn many_who_join_are_one_call_in_flight() {
    let mut configuration = config(json!({}));
    configuration["rest_sessions"]["max_in_flight"] = json!(1);
    let mut vm = Vm::with_config(configuration);
    let streams = crowd(&mut vm, 10);
    let other = vm.request(Request::get("/").token(&token(2)));
    assert_eq!(other.denial().map(|(_, code)| code).as_deref(), Some("sessions_busy"));
    assert_eq!(vm.gauge("in_flight"), 1);
    let call = vm.call();
    vm.respond(&call, 200, SESSION);
    assert!(streams.iter().all(|stream| stream.passed()));
}
