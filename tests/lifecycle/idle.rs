//! `limits.idle` over a service that counts each lookup as a use: an answer waits for the lookups that may have come first.

use super::emulator::{Call, Request, Stream, Vm};
use super::{NONE, assert_counters, config, token};
use serde_json::json;
use std::time::Duration;

const KILLED: &str = r#"{"kill":1}"#;

/// Two requests for one session, each with a call of its own.
fn two_lookups() -> (Vm, [(Stream, Call); 2]) {
    let mut vm = Vm::with_config(config(json!({
        "limits": {"idle": "30m"},
        "rules": [{"match": {"paths": ["/long-timeout"]}, "session": "required",
                   "rest_sessions": {"cluster": "rest-sessions", "timeout": "10s"}}],
    })));
    let first = vm.request(Request::get("/long-timeout").token(&token(1)));
    let call = vm.call();
    let second = vm.request(Request::get("/").token(&token(1)));
    let other = vm.calls().into_iter().find(|other| other.id != call.id).expect("it does not join the longer call");
    (vm, [(first, call), (second, other)])
}

fn idle(seconds: u32) -> String {
    json!({"id": "user123", "ttl": 7200, "idle": seconds}).to_string()
}

#[test]
fn an_answer_waits_for_the_lookup_that_may_have_reset_the_idle_time() {
    let (mut vm, [(first, call), (second, other)]) = two_lookups();
    vm.respond(&other, 200, idle(0));
    vm.advance(Duration::from_millis(100));
    assert!(second.is_paused() && first.is_paused());
    vm.respond(&call, 200, idle(1_801));
    assert_eq!(first.local_reply_status(), Some(401));
    let kill = vm.call();
    vm.advance(Duration::from_millis(5));
    let again = vm.calls().into_iter().find(|call| call.id != kill.id).expect("it is looked up again");
    vm.respond(&again, 200, idle(0));
    assert_eq!(second.local_reply_status(), Some(401));
    for kill in vm.calls() {
        vm.respond(&kill, 200, KILLED);
    }
    vm.advance(Duration::from_secs(60));
    assert_eq!(vm.dispatched(), 4, "two lookups, one of them again, and one kill");
}

#[test]
fn an_answer_that_waited_passes_if_the_other_lookup_found_the_session_within_the_limit() {
    let (mut vm, [(first, call), (second, other)]) = two_lookups();
    vm.respond(&other, 200, idle(0));
    vm.respond(&call, 200, idle(1_800));
    assert!(first.passed());
    vm.advance(Duration::from_millis(5));
    let again = vm.call();
    vm.respond(&again, 200, idle(0));
    assert!(second.passed());
    assert_counters(&vm, &[("allowed_total", 2)]);
}

#[test]
fn an_answer_waits_no_longer_than_its_timeout() {
    let (mut vm, [(first, call), (second, other)]) = two_lookups();
    vm.respond(&other, 200, idle(0));
    vm.advance(Duration::from_millis(505));
    assert_eq!(second.local_reply_status(), Some(503));
    vm.respond(&call, 200, NONE);
    assert_eq!(first.local_reply_status(), Some(401));
}

#[test]
fn a_client_that_leaves_while_its_answer_waits_is_counted_as_abandoned() {
    let (mut vm, [(first, call), (second, other)]) = two_lookups();
    vm.respond(&other, 200, idle(0));
    second.disconnect();
    vm.respond(&call, 200, idle(1_800));
    assert!(first.passed());
    vm.advance(Duration::from_millis(5));
    let again = vm.call();
    vm.respond(&again, 200, idle(0));
    assert_counters(&vm, &[("allowed_total", 1), ("abandoned_total", 1)]);
}

#[test]
fn deleting_a_configuration_ends_the_wait_of_its_answers() {
    let (mut vm, [(first, _), (second, other)]) = two_lookups();
    vm.respond(&other, 200, idle(0));
    let old = vm.root();
    vm.configure(config(json!({}))).unwrap();
    first.disconnect();
    second.disconnect();
    vm.retire(old);
    vm.advance(Duration::from_secs(60));
    assert!(vm.calls().is_empty());
}
