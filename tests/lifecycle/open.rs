//! Requests that have gone on their way and are still looked after: watched for their session's end, or in shadow.

use super::emulator::{Request, Stream, Vm};
use super::{NONE, SESSION, assert_counters, config, token, waiting};
use serde_json::{Value, json};
use std::time::Duration;

/// What `recheck` says here.
const EVERY: Duration = Duration::from_secs(10);

fn rechecked() -> Value {
    config(json!({"default": {"session": "required", "recheck": "10s"}}))
}

/// A request that was let through with the first token and stays open.
fn open(vm: &mut Vm) -> Stream {
    let (stream, call) = waiting(vm, "/");
    vm.respond(&call, 200, SESSION);
    assert!(stream.passed());
    stream
}

#[test]
fn an_open_request_is_asked_about_after_its_time_and_not_before() {
    let mut vm = Vm::with_config(rechecked());
    let stream = open(&mut vm);
    vm.advance(Duration::from_secs(9));
    assert!(vm.calls().is_empty());
    for _ in 0..3 {
        vm.advance(Duration::from_secs(1));
        let call = vm.call();
        vm.respond(&call, 200, SESSION);
        assert!(!stream.is_gone());
        vm.advance(Duration::from_secs(9));
        assert!(vm.calls().is_empty());
    }
    assert_counters(&vm, &[("allowed_total", 1)]);
}

#[test]
fn it_is_closed_once_there_is_no_session_and_stays_open_while_nobody_knows() {
    let mut vm = Vm::with_config(rechecked());
    let stream = open(&mut vm);
    for body in ["junk", ""] {
        vm.advance(EVERY);
        let call = vm.call();
        vm.respond(&call, if body.is_empty() { 500 } else { 200 }, body);
        assert!(!stream.is_gone(), "{body:?}");
    }
    vm.advance(EVERY);
    let call = vm.call();
    vm.respond(&call, 200, NONE);
    assert!(stream.is_gone());
    vm.advance(Duration::from_secs(60));
    assert!(vm.calls().is_empty());
    assert_counters(
        &vm,
        &[
            ("allowed_total", 1),
            ("recheck_closed_total", 1),
            ("call_failures_invalid_total", 1),
            ("call_failures_status_total", 1),
        ],
    );
}

#[test]
fn one_that_ends_is_forgotten_also_while_its_session_is_asked_for() {
    let mut vm = Vm::with_config(rechecked());
    let stream = open(&mut vm);
    stream.disconnect();
    vm.advance(Duration::from_secs(60));
    assert!(vm.calls().is_empty());

    let stream = open(&mut vm);
    vm.advance(EVERY);
    let call = vm.call();
    stream.disconnect();
    // Whoever takes its id is not closed in its stead.
    let heir = vm.request_reusing_id(stream, Request::get("/").token(&token(2)));
    let asks = vm.calls().into_iter().find(|other| other.path() != call.path()).expect("it asks");
    vm.respond(&asks, 200, SESSION);
    vm.respond(&call, 200, NONE);
    assert!(heir.passed() && !heir.is_gone());
    assert_eq!(vm.counter("recheck_closed_total"), 0);
}

#[test]
fn hundreds_of_open_requests_are_asked_about_in_portions_and_all_closed() {
    const OPEN: u32 = 300;
    let mut vm = Vm::with_config(rechecked());
    let mut streams = Vec::new();
    for number in 0..OPEN {
        streams.push(vm.request(Request::get("/").token(&token(number))));
        let call = vm.call();
        vm.respond(&call, 200, SESSION);
    }
    let mut most = 0;
    for _ in 0..40 {
        vm.advance(Duration::from_millis(500));
        let calls = vm.calls();
        most = most.max(calls.len());
        for call in calls {
            vm.respond(&call, 200, NONE);
        }
    }
    assert!((1..=64).contains(&most), "{most} at once");
    assert!(streams.iter().all(|stream| stream.is_gone()));
    assert_eq!(vm.counter("recheck_closed_total"), u64::from(OPEN));
}

#[test]
fn requests_of_one_session_are_asked_about_with_one_call() {
    let mut vm = Vm::with_config(rechecked());
    let streams = [open(&mut vm), open(&mut vm), open(&mut vm)];
    vm.advance(EVERY);
    let call = vm.call();
    vm.respond(&call, 200, NONE);
    assert!(streams.iter().all(|stream| stream.is_gone()));
    assert_eq!(vm.dispatched(), 4);
}

#[test]
fn without_recheck_the_host_is_asked_for_no_ticks() {
    let mut vm = Vm::with_config(config(json!({})));
    let stream = open(&mut vm);
    vm.advance(Duration::from_secs(3_600));
    assert!(vm.calls().is_empty() && !stream.is_gone());
}

#[test]
fn a_configuration_that_goes_takes_its_watch_along() {
    let mut vm = Vm::with_config(rechecked());
    let stream = open(&mut vm);
    let old = vm.root();
    vm.configure(rechecked()).unwrap();
    stream.disconnect();
    vm.retire(old);
    vm.advance(Duration::from_secs(60));
    assert!(vm.calls().is_empty());
}

fn shadowed() -> Value {
    config(json!({"shadow": true, "filter_state": true}))
}

#[test]
fn a_request_in_shadow_goes_on_at_once_and_is_counted_when_the_answer_comes() {
    for (body, outcome) in [(SESSION, "shadow_allowed_total"), (NONE, "shadow_denied_total")] {
        let mut vm = Vm::with_config(shadowed());
        let stream = vm.request(Request::get("/").token(&token(1)).header("x-session-user", "forged"));
        assert!(stream.passed() && stream.upstream_header("x-session-user").is_none());
        assert_counters(&vm, &[]);
        let call = vm.call();
        vm.respond(&call, 200, body);
        assert_eq!(stream.upstream_header("x-session-user"), None);
        assert!(stream.filter_state("wasm.rest_sessions.decision").is_some());
        assert_counters(&vm, &[(outcome, 1)]);
    }
}

#[test]
fn one_in_shadow_that_ends_before_its_answer_is_counted_once_all_the_same() {
    for (body, outcome) in [(SESSION, "shadow_allowed_total"), (NONE, "shadow_denied_total")] {
        let mut vm = Vm::with_config(shadowed());
        let stream = vm.request(Request::get("/").token(&token(1)));
        stream.upstream_responds(200);
        assert!(stream.is_gone());
        let heir = vm.request_reusing_id(stream, Request::get("/").token(&token(2)));
        let calls = vm.calls();
        vm.respond(&calls[0], 200, body);
        assert_counters(&vm, &[(outcome, 1)]);
        assert_eq!(heir.filter_state("wasm.rest_sessions.decision"), None, "it was told of another's decision");
        vm.respond(&calls[1], 200, body);
        assert_counters(&vm, &[(outcome, 2)]);
    }
}

#[test]
fn in_shadow_a_call_that_the_host_does_not_take_stops_nobody() {
    let mut vm = Vm::with_config(shadowed());
    vm.set_cluster("rest-sessions", None);
    let stream = vm.request(Request::get("/").token(&token(1)));
    assert!(stream.passed());
    assert_eq!(vm.counter("shadow_denied_total"), 1);
}

#[test]
fn a_configuration_in_shadow_that_goes_has_counted_every_request() {
    let mut vm = Vm::with_config(shadowed());
    let stream = vm.request(Request::get("/").token(&token(1)));
    stream.upstream_responds(200);
    let old = vm.root();
    vm.configure(shadowed()).unwrap();
    vm.retire(old);
    assert_eq!(vm.counter("abandoned_total"), 1);
}
