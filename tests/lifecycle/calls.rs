//! The calls that the filter makes: their headers, retries, timeout and circuit breaker.

use super::emulator::{Request, Vm};
use super::{NONE, SESSION, client_status, config, pending_request, resolved_request, three_routes, token};
use serde_json::json;
use std::time::Duration;

#[test]
fn a_lookup_is_a_get_of_the_token_that_envoy_retries_at_most_once() {
    let mut vm = Vm::with_config(three_routes());
    let (_, call) = pending_request(&mut vm, "/");
    assert_eq!(call.cluster, "rest-sessions");
    assert_eq!(call.header(":method").as_deref(), Some("GET"));
    assert_eq!(call.header(":authority").as_deref(), Some("rest-sessions"));
    assert_eq!(call.path(), format!("/myapp/get/{}", token(1)));
    assert_eq!(call.header("x-envoy-max-retries").as_deref(), Some("1"));
    let retried = call.header("x-envoy-retry-on").unwrap();
    assert!(retried.contains("connect-failure") && retried.contains("reset") && !retried.contains("5xx"), "{retried}");
    assert_eq!(call.timeout, Some(Duration::from_millis(500)));
    assert!(call.body.is_empty());
    vm.respond(&call, 200, SESSION);
}

#[test]
fn a_call_copies_the_trace_headers_of_the_request_and_no_others() {
    let mut vm = Vm::with_config(three_routes());
    let request = Request::get("/")
        .token(&token(1))
        .header("x-request-id", "4f0c")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("tracestate", "a".repeat(513))
        .header("b3", b"\xff")
        .header("x-b3-traceid", "1")
        .header("x-b3-traceid", "2")
        .header("authorization", "Bearer mine");
    let stream = vm.request(request);
    let call = vm.call();
    assert_eq!(call.header("x-request-id").as_deref(), Some("4f0c"));
    assert!(call.header("traceparent").is_some());
    for absent in ["tracestate", "b3", "x-b3-traceid", "authorization", "cookie"] {
        assert_eq!(call.header(absent), None, "{absent}");
    }
    vm.respond(&call, 200, SESSION);
    assert!(stream.passed());
}

#[test]
fn a_pending_request_is_denied_exactly_when_the_timeout_is_over() {
    let mut config = three_routes();
    config["rest_sessions"]["timeout"] = json!("250ms");
    let mut vm = Vm::with_config(config);
    let (stream, _) = pending_request(&mut vm, "/");
    vm.advance(Duration::from_millis(249));
    assert!(stream.is_paused());
    vm.advance(Duration::from_millis(1));
    assert_eq!(stream.denial(), Some((503, "sessions_unavailable".to_owned())));
    assert_eq!(vm.counter("call_failures_timeout_total"), 1);
    assert_eq!(vm.gauge("in_flight"), 0);
}

#[test]
fn the_duration_of_a_call_is_recorded_in_milliseconds() {
    let mut vm = Vm::with_config(three_routes());
    let (_, call) = pending_request(&mut vm, "/");
    vm.advance(Duration::from_millis(37));
    vm.respond(&call, 200, SESSION);
    assert_eq!(vm.histogram("call_duration_ms"), [37]);
}

#[test]
fn an_invalid_response_for_one_session_does_not_affect_others() {
    let mut vm = Vm::with_config(three_routes());
    let streams = [1, 2, 3].map(|n| vm.request(Request::get("/").token(&token(n))));
    let calls = vm.calls();
    vm.respond(&calls[1], 200, r#"{"id":7}"#);
    vm.respond(&calls[0], 200, SESSION);
    vm.respond(&calls[2], 200, SESSION);
    assert!(streams[0].passed() && streams[2].passed());
    assert_eq!(streams[1].local_reply_status(), Some(503));
}

#[test]
fn a_call_response_without_a_valid_status_is_invalid() {
    let responses = [
        vec![(b"content-type".to_vec(), b"application/json".to_vec())],
        vec![(b":status".to_vec(), b"\xff".to_vec())],
        vec![(b":status".to_vec(), b"".to_vec())],
        vec![(b":status".to_vec(), b"99999999999999999999".to_vec())],
    ];
    for headers in responses {
        let mut vm = Vm::with_config(three_routes());
        let (stream, call) = pending_request(&mut vm, "/");
        vm.respond_with_headers(&call, headers, SESSION);
        assert_eq!(stream.local_reply_status(), Some(503));
    }
}

#[test]
fn zero_retries_omit_the_retry_headers() {
    let mut vm = Vm::with_config(config(json!({"rest_sessions": {"cluster": "rest-sessions", "retries": 0}})));
    let (_, call) = pending_request(&mut vm, "/");
    assert_eq!(call.header("x-envoy-max-retries"), None);
    assert_eq!(call.header("x-envoy-retry-on"), None);
    vm.respond(&call, 200, SESSION);
}

#[test]
fn without_a_cache_each_request_is_looked_up() {
    let mut vm = Vm::with_config(three_routes());
    for _ in 0..3 {
        let stream = resolved_request(&mut vm, "/", SESSION);
        assert!(stream.passed());
    }
    assert_eq!(vm.counter("calls_total"), 3);
}

#[test]
fn a_breaker_opens_after_consecutive_outages_and_admits_one_probe() {
    let mut vm = Vm::with_config(config(json!({})));
    for _ in 0..5 {
        let (_, call) = pending_request(&mut vm, "/");
        vm.respond(&call, 500, "{}");
    }
    assert_eq!(client_status(vm.request(Request::get("/").token(&token(1)))), 503);
    vm.advance(Duration::from_secs(1));
    let (_, call) = pending_request(&mut vm, "/");
    assert_eq!(client_status(vm.request(Request::get("/").token(&token(2)))), 503, "only one probe is admitted");
    vm.respond(&call, 200, SESSION);
    assert!(vm.request(Request::get("/").token(&token(2))).is_paused());
    let call = vm.call();
    vm.respond(&call, 200, NONE);
    assert_eq!(vm.counter("call_failures_breaker_total"), 2);
    assert_eq!(vm.counter("calls_total"), 7);
}
