//! Upstream responses that change or end sessions: the calls that they are held for, and the outcomes of these.

use super::emulator::{Call, Request, Stream, StreamDestruction, Vm};
use super::{NONE, SESSION, config, resolved_request, token};
use serde_json::{Value, json};
use std::time::Duration;

pub const SET: (&str, &str) = ("x-session-set", r#"{"cart":3}"#);
pub const KILL: (&str, &str) = ("x-session-kill", "1");
const NO_TRAILERS: Option<[(&str, &str); 0]> = None;

pub fn write_back_config() -> Value {
    config(json!({"write_back": {}, "cache": {"ttl": "1h"}}))
}

/// A request that has passed with the session of the first token.
fn passed_request(vm: &mut Vm) -> Stream {
    let stream = vm.request(Request::get("/").token(&token(1)));
    if stream.is_paused() {
        let call = vm.call();
        vm.respond(&call, 200, SESSION);
    }
    assert!(stream.passed());
    stream
}

/// The upstream responds with these headers and two others.
pub fn respond_with_headers(stream: Stream, headers: &[(&str, &str)]) {
    let status = [(":status", "200"), ("x-other", "stays")];
    stream.upstream_responds_with(status.iter().chain(headers).copied(), b"upstream", NO_TRAILERS);
}

fn client_values(stream: Stream, name: &str) -> Vec<String> {
    let headers = stream.client_headers();
    let values = headers.iter().filter(|(found, _)| found == name.as_bytes());
    values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
}

#[test]
fn a_response_is_held_until_its_session_change_completes_and_hides_the_change_header() {
    for destruction in [StreamDestruction::Immediate, StreamDestruction::Deferred] {
        let mut vm = Vm::with_config(write_back_config());
        vm.set_stream_destruction(destruction);
        let stream = passed_request(&mut vm);
        respond_with_headers(stream, &[SET]);
        let call = vm.call();
        assert!(call.path().contains("/set/") && stream.client_body().is_empty());
        vm.respond(&call, 200, r#"{"id":"user123","ttl":7200,"d":{"cart":3}}"#);
        assert_eq!(
            (client_values(stream, "x-session-set"), client_values(stream, "x-other")),
            (vec![], vec!["stays".to_owned()])
        );
        assert_eq!(stream.client_body(), b"upstream");
        // The response to the change is cached.
        let next = vm.request(Request::get("/").token(&token(1)));
        assert_eq!(next.upstream_header("x-session-data").as_deref(), Some(r#"{"cart":3}"#));
        assert_eq!((vm.counter("write_backs_total"), vm.gauge("in_flight")), (1, 0));
    }
}

#[test]
fn the_response_passes_and_the_cached_session_is_invalidated_whatever_the_outcome_of_the_change() {
    type Outcome = fn(&mut Vm, &Call);
    let outcomes: [(Outcome, bool); 8] = [
        (|vm, call| vm.respond(call, 200, SESSION), true),
        (|vm, call| vm.respond(call, 200, NONE), true),
        (|vm, call| vm.respond(call, 200, "junk"), false),
        (|vm, call| vm.respond(call, 413, ""), false),
        (|vm, call| vm.respond(call, 500, ""), false),
        (|vm, call| vm.refuse_connection(call), false),
        (|vm, call| vm.reset(call), false),
        (|vm, call| vm.time_out(call), false),
    ];
    for (number, (outcome, changed)) in outcomes.into_iter().enumerate() {
        let mut vm = Vm::with_config(write_back_config());
        let stream = passed_request(&mut vm);
        respond_with_headers(stream, &[SET]);
        let call = vm.call();
        outcome(&mut vm, &call);
        assert_eq!(stream.client_body(), b"upstream", "outcome {number}");
        assert_eq!(vm.counter("write_backs_total"), u64::from(changed), "outcome {number}");
        assert_eq!(vm.counter("write_back_failures_total"), u64::from(!changed), "outcome {number}");
        let next = vm.request(Request::get("/").token(&token(1)));
        match number {
            0 => assert!(next.passed()),
            1 => assert!(next.local_reply_status() == Some(401)),
            _ => {
                assert!(next.is_paused(), "outcome {number}: the data of the session is unknown, a call was expected");
                let call = vm.call();
                vm.respond(&call, 200, SESSION);
            }
        }
    }
}

#[test]
fn on_failure_deny_replaces_the_response_when_the_change_fails() {
    let mut configuration = write_back_config();
    configuration["write_back"] = json!({"on_failure": "deny"});
    let mut vm = Vm::with_config(configuration);
    let stream = passed_request(&mut vm);
    respond_with_headers(stream, &[SET]);
    let call = vm.call();
    vm.respond(&call, 500, "");
    assert_eq!(stream.denial(), Some((503, "sessions_unavailable".to_owned())));
    // The same where the host refuses the call at dispatch.
    let stream = passed_request(&mut vm);
    vm.set_cluster("rest-sessions", None);
    respond_with_headers(stream, &[SET]);
    assert_eq!(stream.denial(), Some((503, "sessions_unavailable".to_owned())));
}

#[test]
fn a_change_response_never_reaches_a_stream_with_a_reused_id() {
    let mut vm = Vm::with_config(write_back_config());
    let gone = passed_request(&mut vm);
    respond_with_headers(gone, &[KILL]);
    let kill = vm.call();
    gone.disconnect();
    let reused = vm.request_reusing_id(gone, Request::get("/").token(&token(2)));
    let lookup = vm.calls().into_iter().find(|call| call.path().contains("/get/")).expect("a lookup is in flight");
    vm.respond(&lookup, 200, SESSION);
    respond_with_headers(reused, &[SET]);
    let set = vm.calls().into_iter().find(|call| call.path().contains("/set/")).expect("a change is in flight");
    vm.respond(&kill, 200, r#"{"kill":1}"#);
    assert!(reused.client_body().is_empty(), "the response is held for its own change");
    vm.respond(&set, 200, SESSION);
    assert_eq!(reused.client_body(), b"upstream");
    assert!(client_values(reused, "set-cookie").is_empty());
    let next = resolved_request(&mut vm, "/", NONE);
    assert!(next.denial().is_some());
}

#[test]
fn a_response_is_denied_when_the_host_refuses_to_remove_its_change_header() {
    let mut vm = Vm::with_config(write_back_config());
    let stream = passed_request(&mut vm);
    vm.refuse_header_changes();
    respond_with_headers(stream, &[SET]);
    assert_eq!(stream.local_reply_status(), Some(503));
    assert!(vm.calls().is_empty());
}

#[test]
fn an_open_request_that_changes_its_session_is_still_rechecked() {
    let mut configuration = write_back_config();
    configuration["default"] = json!({"session": "required", "recheck": "10s", "max_staleness": "0s"});
    let mut vm = Vm::with_config(configuration);
    vm.set_stream_destruction(StreamDestruction::Manual);
    let stream = passed_request(&mut vm);
    respond_with_headers(stream, &[SET]);
    let set = vm.call();
    vm.advance(Duration::from_millis(100));
    vm.respond(&set, 200, SESSION);
    assert!(!stream.client_body().is_empty() && !stream.is_gone());
    vm.advance(Duration::from_secs(10));
    let call = vm.call();
    vm.respond(&call, 200, NONE);
    assert!(stream.is_gone());
    assert_eq!(vm.counter("recheck_closed_total"), 1);
}
