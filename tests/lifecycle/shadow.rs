//! Shadow requests: they pass at once, and the outcome that they would have had is counted.

use super::emulator::{Request, Vm};
use super::{NONE, SESSION, assert_counters, config, token};
use serde_json::{Value, json};

fn shadowed() -> Value {
    config(json!({"shadow": true, "filter_state": true}))
}

#[test]
fn a_shadow_request_passes_at_once_and_is_counted_on_its_call_response() {
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
fn a_shadow_request_that_ends_before_its_call_response_is_counted_once() {
    for (body, outcome) in [(SESSION, "shadow_allowed_total"), (NONE, "shadow_denied_total")] {
        let mut vm = Vm::with_config(shadowed());
        let stream = vm.request(Request::get("/").token(&token(1)));
        stream.upstream_responds(200);
        assert!(stream.is_gone());
        let reused = vm.request_reusing_id(stream, Request::get("/").token(&token(2)));
        let calls = vm.calls();
        vm.respond(&calls[0], 200, body);
        assert_counters(&vm, &[(outcome, 1)]);
        assert_eq!(
            reused.filter_state("wasm.rest_sessions.decision"),
            None,
            "the decision of the previous stream with this id was set"
        );
        vm.respond(&calls[1], 200, body);
        assert_counters(&vm, &[(outcome, 2)]);
    }
}

#[test]
fn a_shadow_request_passes_when_its_call_is_refused_at_dispatch() {
    let mut vm = Vm::with_config(shadowed());
    vm.set_cluster("rest-sessions", None);
    let stream = vm.request(Request::get("/").token(&token(1)));
    assert!(stream.passed());
    assert_eq!(vm.counter("shadow_denied_total"), 1);
}

#[test]
fn deleting_a_shadow_configuration_counts_its_pending_requests_as_abandoned() {
    let mut vm = Vm::with_config(shadowed());
    let stream = vm.request(Request::get("/").token(&token(1)));
    stream.upstream_responds(200);
    let old = vm.root();
    vm.configure(shadowed()).unwrap();
    vm.retire(old);
    assert_eq!(vm.counter("abandoned_total"), 1);
}
