//! Open requests under `recheck`: looked up again at intervals, and closed once their session is gone.

use super::emulator::{Request, Stream, Vm};
use super::{NONE, SESSION, assert_counters, config, resolved_request, token};
use serde_json::{Value, json};
use std::time::Duration;

/// The recheck interval of the configuration.
const INTERVAL: Duration = Duration::from_secs(10);

fn rechecked() -> Value {
    config(json!({"default": {"session": "required", "recheck": "10s"}}))
}

/// A request that has passed with the first token and stays open.
fn open_request(vm: &mut Vm) -> Stream {
    let stream = resolved_request(vm, "/", SESSION);
    assert!(stream.passed());
    stream
}

#[test]
fn an_open_request_is_rechecked_once_per_interval() {
    let mut vm = Vm::with_config(rechecked());
    let stream = open_request(&mut vm);
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
fn an_open_request_is_closed_when_its_session_is_gone_and_stays_open_when_the_lookup_fails() {
    let mut vm = Vm::with_config(rechecked());
    let stream = open_request(&mut vm);
    for body in ["junk", ""] {
        vm.advance(INTERVAL);
        let call = vm.call();
        vm.respond(&call, if body.is_empty() { 500 } else { 200 }, body);
        assert!(!stream.is_gone(), "{body:?}");
    }
    vm.advance(INTERVAL);
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
fn a_finished_request_is_not_rechecked_and_a_stream_with_its_id_is_not_closed() {
    let mut vm = Vm::with_config(rechecked());
    let stream = open_request(&mut vm);
    stream.disconnect();
    vm.advance(Duration::from_secs(60));
    assert!(vm.calls().is_empty());

    let stream = open_request(&mut vm);
    vm.advance(INTERVAL);
    let call = vm.call();
    stream.disconnect();
    let reused = vm.request_reusing_id(stream, Request::get("/").token(&token(2)));
    let lookup =
        vm.calls().into_iter().find(|other| other.path() != call.path()).expect("the new stream's lookup is in flight");
    vm.respond(&lookup, 200, SESSION);
    vm.respond(&call, 200, NONE);
    assert!(reused.passed() && !reused.is_gone());
    assert_eq!(vm.counter("recheck_closed_total"), 0);
}

#[test]
fn hundreds_of_open_requests_are_rechecked_in_batches_and_all_closed() {
    const OPEN: u32 = 300;
    let mut vm = Vm::with_config(rechecked());
    let mut streams = Vec::new();
    for number in 0..OPEN {
        streams.push(vm.request(Request::get("/").token(&token(number))));
        let call = vm.call();
        vm.respond(&call, 200, SESSION);
    }
    vm.advance(INTERVAL);
    let mut most = 0;
    while let Some(call) = vm.calls().first() {
        most = most.max(vm.calls().len());
        vm.respond(call, 200, NONE);
    }
    assert_eq!(most, 64);
    assert!(streams.iter().all(|stream| stream.is_gone()));
    assert_eq!(vm.counter("recheck_closed_total"), u64::from(OPEN));
}

#[test]
fn open_requests_of_one_session_share_one_recheck_call() {
    let mut vm = Vm::with_config(rechecked());
    let streams = [open_request(&mut vm), open_request(&mut vm), open_request(&mut vm)];
    vm.advance(INTERVAL);
    let call = vm.call();
    vm.respond(&call, 200, NONE);
    assert!(streams.iter().all(|stream| stream.is_gone()));
    assert_eq!(vm.dispatched(), 4);
}

#[test]
fn without_recheck_an_open_request_causes_no_calls() {
    let mut vm = Vm::with_config(config(json!({})));
    let stream = open_request(&mut vm);
    vm.advance(Duration::from_secs(3_600));
    assert!(vm.calls().is_empty() && !stream.is_gone());
}

#[test]
fn deleting_a_configuration_stops_its_rechecks() {
    let mut vm = Vm::with_config(rechecked());
    let stream = open_request(&mut vm);
    let old = vm.root();
    vm.configure(rechecked()).unwrap();
    stream.disconnect();
    vm.retire(old);
    vm.advance(Duration::from_secs(60));
    assert!(vm.calls().is_empty());
}
