//! The decision table, row by row, and its counters.

use super::emulator::{Call, ClusterState, Request, Stream, Vm};
use super::{
    NONE, SESSION, annotation, assert_counters, config, only_status, pending_request, resolved_request, respond_to_all,
    three_routes, token,
};
use serde_json::json;

/// How rest-sessions fails, and the counter of that failure.
type Failure = (fn(&mut Vm, &Call), &'static str);

const OUTAGES: [Failure; 7] = [
    (|vm, call| vm.time_out(call), "call_failures_timeout_total"),
    (|vm, call| vm.refuse_connection(call), "call_failures_connect_total"),
    (|vm, call| vm.reset(call), "call_failures_connect_total"),
    (|vm, call| vm.respond(call, 429, "slow down"), "call_failures_status_total"),
    (|vm, call| vm.respond(call, 500, r#"{"name":"invalidFormat"}"#), "call_failures_status_total"),
    (|vm, call| vm.respond(call, 503, r#"{"error":"redis"}"#), "call_failures_status_total"),
    (|vm, call| vm.respond(call, 504, "gateway"), "call_failures_status_total"),
];

const INVALID_BODIES: [&str; 9] = [
    "",
    "not json",
    "[]",
    "null",
    r#"{"id":"","ttl":10}"#,
    r#"{"id":"u","ttl":"10"}"#,
    r#"{"id":"u"}"#,
    r#"{"id":"u","ttl":10,"d":{"a":{"nested":1}}}"#,
    r#"{"id":"u","id":"v","ttl":10}"#,
];

/// A request with the first token, after the outcome of its lookup.
fn request_after(vm: &mut Vm, path: &str, outcome: impl FnOnce(&mut Vm, &Call)) -> Stream {
    let (stream, call) = pending_request(vm, path);
    outcome(vm, &call);
    assert!(!stream.is_paused(), "the request is still paused after the outcome of its lookup");
    stream
}

fn assert_unavailable(stream: Stream, retry_after: Option<&str>) {
    assert_eq!(stream.denial(), Some((503, "sessions_unavailable".to_owned())));
    assert_eq!(stream.local_reply().unwrap().header("retry-after").as_deref(), retry_after);
    assert!(!stream.passed());
}

#[test]
fn a_request_without_a_token_is_denied_where_a_session_is_required() {
    let mut vm = Vm::with_config(three_routes());
    let stream = vm.request(Request::get("/"));
    let reply = stream.local_reply().unwrap();
    assert_eq!(stream.denial(), Some((401, "session_required".to_owned())));
    assert_eq!(reply.header("www-authenticate").as_deref(), Some(r#"Session realm="myapp""#));
    assert_eq!(reply.header("content-type").as_deref(), Some("application/json"));
    assert_eq!(reply.header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(vm.dispatched(), 0);
    assert_counters(&vm, &[("denied_no_session_total", 1)]);
}

#[test]
fn an_active_session_passes_annotated_where_it_is_required() {
    let mut vm = Vm::with_config(three_routes());
    let stream = resolved_request(&mut vm, "/", SESSION);
    let data = r#"{"cart":2,"name":"Zo\u00eb"}"#;
    assert_eq!(annotation(stream), [Some("user123".into()), Some(data.into()), Some("active".into())]);
    assert_counters(&vm, &[("allowed_total", 1)]);
    assert_eq!(vm.counter("calls_total"), 1);
    assert_eq!(vm.histogram("call_duration_ms").len(), 1);
    assert_eq!(vm.gauge("in_flight"), 0);
}

#[test]
fn an_unknown_session_is_denied_where_it_is_required() {
    let mut vm = Vm::with_config(three_routes());
    let stream = resolved_request(&mut vm, "/", NONE);
    assert_eq!(stream.denial(), Some((401, "session_required".to_owned())));
    assert_counters(&vm, &[("denied_no_session_total", 1)]);
}

#[test]
fn an_outage_denies_with_retry_after_where_a_session_is_required() {
    for (outcome, counter) in OUTAGES {
        let mut vm = Vm::with_config(three_routes());
        assert_unavailable(request_after(&mut vm, "/", outcome), Some("1"));
        assert_counters(&vm, &[("denied_unavailable_total", 1), (counter, 1)]);
    }
}

#[test]
fn an_invalid_response_denies_without_retry_after_where_a_session_is_required() {
    for body in INVALID_BODIES {
        let mut vm = Vm::with_config(three_routes());
        assert_unavailable(resolved_request(&mut vm, "/", body), None);
        assert_counters(&vm, &[("denied_unavailable_total", 1), ("call_failures_invalid_total", 1)]);
    }
    for status in [100, 204, 302, 404, 413] {
        let mut vm = Vm::with_config(three_routes());
        assert_unavailable(request_after(&mut vm, "/", |vm, call| vm.respond(call, status, NONE)), None);
        assert_eq!(vm.counter("denied_unavailable_total"), 1);
    }
}

#[test]
fn a_call_response_above_256_kib_is_invalid() {
    let body = |size: usize| format!("{SESSION}{}", " ".repeat(size - SESSION.len()));
    let mut vm = Vm::with_config(three_routes());
    assert!(resolved_request(&mut vm, "/", body(256 * 1024)).passed());
    assert_unavailable(resolved_request(&mut vm, "/", body(256 * 1024 + 1)), None);
    assert_unavailable(resolved_request(&mut vm, "/", vec![b'x'; 8 << 20]), None);
}

#[test]
fn failure_mode_allow_passes_outages_with_only_the_status_annotated() {
    for (outcome, counter) in OUTAGES {
        let mut config = three_routes();
        config["failure_mode"] = json!("allow");
        let mut vm = Vm::with_config(config);
        let stream = request_after(&mut vm, "/", outcome);
        assert_eq!(annotation(stream), only_status("unavailable"));
        assert_counters(&vm, &[("failed_open_total", 1), (counter, 1)]);
    }
}

#[test]
fn failure_mode_allow_still_denies_invalid_responses_and_missing_sessions() {
    let mut config = three_routes();
    config["failure_mode"] = json!("allow");
    let mut vm = Vm::with_config(config);
    assert_unavailable(resolved_request(&mut vm, "/", "[]"), None);
    assert_eq!(resolved_request(&mut vm, "/", NONE).local_reply_status(), Some(401));
    assert_eq!(vm.request(Request::get("/")).local_reply_status(), Some(401));
    assert_counters(
        &vm,
        &[("denied_unavailable_total", 1), ("denied_no_session_total", 2), ("call_failures_invalid_total", 1)],
    );
}

#[test]
fn an_optional_route_passes_without_a_token() {
    let mut vm = Vm::with_config(three_routes());
    let stream = vm.request(Request::get("/optional/a"));
    assert_eq!(annotation(stream), only_status("none"));
    assert_eq!(vm.dispatched(), 0);
    assert_counters(&vm, &[("anonymous_total", 1)]);
}

#[test]
fn an_optional_route_passes_an_active_session_annotated() {
    let mut vm = Vm::with_config(three_routes());
    let stream = resolved_request(&mut vm, "/optional/a", SESSION);
    assert_eq!(stream.upstream_header("x-session-user").as_deref(), Some("user123"));
    assert_eq!(stream.upstream_header("x-session-status").as_deref(), Some("active"));
    assert_counters(&vm, &[("allowed_total", 1)]);
}

#[test]
fn an_optional_route_passes_an_unknown_session_as_none() {
    let mut vm = Vm::with_config(three_routes());
    let stream = resolved_request(&mut vm, "/optional/a", NONE);
    assert_eq!(annotation(stream), only_status("none"));
    assert_counters(&vm, &[("anonymous_total", 1)]);
}

#[test]
fn an_optional_route_passes_in_an_outage() {
    for (outcome, counter) in OUTAGES {
        let mut vm = Vm::with_config(three_routes());
        let stream = request_after(&mut vm, "/optional/a", outcome);
        assert_eq!(annotation(stream), only_status("unavailable"));
        assert_counters(&vm, &[("anonymous_total", 1), (counter, 1)]);
    }
}

#[test]
fn an_optional_route_passes_on_an_invalid_response() {
    for body in INVALID_BODIES {
        let mut vm = Vm::with_config(three_routes());
        let stream = resolved_request(&mut vm, "/optional/a", body);
        assert_eq!(annotation(stream), only_status("unavailable"));
        assert_counters(&vm, &[("anonymous_total", 1), ("call_failures_invalid_total", 1)]);
    }
}

#[test]
fn an_off_route_makes_no_call_and_annotates_nothing() {
    let mut vm = Vm::with_config(three_routes());
    for request in [Request::get("/off/a"), Request::get("/off/a").token(&token(1))] {
        let stream = vm.request(request);
        assert_eq!(annotation(stream), [None, None, None]);
    }
    assert_eq!(vm.dispatched(), 0);
    assert_counters(&vm, &[("off_total", 2)]);
}

#[test]
fn every_401_is_identical_regardless_of_the_problem_with_the_token() {
    let mut vm = Vm::with_config(three_routes());
    let missing = vm.request(Request::get("/")).local_reply();
    let mut replies = Vec::new();
    let malformed = [&token(1)[1..], "", "x", &format!("{}Zzzzzzzzz", &token(1)[..55])];
    for value in malformed {
        replies.push(vm.request(Request::get("/").token(value)).local_reply());
    }
    let too_many = (1..=5).fold(Request::get("/"), |request, number| request.token(&token(number)));
    replies.push(vm.request(too_many).local_reply());
    assert_eq!(vm.dispatched(), 0);
    let conflict = vm.request(Request::get("/").token(&token(1)).token(&token(2)));
    respond_to_all(&mut vm);
    replies.push(conflict.local_reply());
    replies.push(resolved_request(&mut vm, "/", NONE).local_reply());
    for reply in replies {
        assert_eq!(reply, missing);
    }
    assert_counters(&vm, &[("denied_no_session_total", 8), ("conflicts_total", 2)]);
}

#[test]
fn calls_above_max_in_flight_are_denied_as_busy_even_under_failure_mode_allow() {
    let mut config = three_routes();
    config["rest_sessions"]["max_in_flight"] = json!(1);
    config["failure_mode"] = json!("allow");
    let mut vm = Vm::with_config(config);
    let (first, call) = pending_request(&mut vm, "/");
    assert_eq!(vm.gauge("in_flight"), 1);

    let busy = vm.request(Request::get("/").token(&token(2)));
    assert_eq!(busy.denial(), Some((503, "sessions_busy".to_owned())));
    assert_eq!(busy.local_reply().unwrap().header("retry-after").as_deref(), Some("1"));
    let optional = vm.request(Request::get("/optional/a").token(&token(3)));
    assert_eq!(annotation(optional), only_status("unavailable"));
    assert_eq!(vm.dispatched(), 1);

    vm.respond(&call, 200, SESSION);
    assert!(first.passed());
    assert_eq!(vm.gauge("in_flight"), 0);
    let again = resolved_request(&mut vm, "/", SESSION);
    assert!(again.passed());
    assert_counters(&vm, &[("allowed_total", 2), ("denied_busy_total", 1), ("anonymous_total", 1)]);
}

#[test]
fn an_oversized_session_is_never_annotated_in_part() {
    let mut config = three_routes();
    config["annotate"]["max_bytes"] = json!(16);
    let mut vm = Vm::with_config(config);
    let large = SESSION.replace("user123", "a user with a long name");
    let required = resolved_request(&mut vm, "/", &large);
    assert_eq!(required.denial(), Some((500, "session_too_large".to_owned())));
    let optional = resolved_request(&mut vm, "/optional/a", &large);
    assert_eq!(annotation(optional), only_status("unavailable"));
    assert_counters(&vm, &[("session_too_large_total", 2)]);
}

#[test]
fn a_call_refused_at_dispatch_is_an_immediate_outage() {
    let mut elsewhere = three_routes();
    elsewhere["rest_sessions"]["cluster"] = json!("nowhere");
    let mut empty = three_routes();
    empty["rest_sessions"]["cluster"] = json!("empty");
    for config in [elsewhere, empty] {
        let mut vm = Vm::with_config(config);
        vm.set_cluster("empty", Some(ClusterState::NoEndpoints));
        assert_unavailable(vm.request(Request::get("/").token(&token(1))), Some("1"));
        let optional = vm.request(Request::get("/optional/a").token(&token(1)));
        assert_eq!(annotation(optional), only_status("unavailable"));
        assert_eq!((vm.dispatched(), vm.gauge("in_flight")), (0, 0));
        assert_eq!(vm.counter("denied_unavailable_total"), 1);
        assert_eq!(vm.counter("anonymous_total"), 1);
        assert_eq!(vm.counter("call_failures_dispatch_total"), 2);
    }
}

#[test]
fn calls_resume_once_the_cluster_is_healthy_again() {
    let mut vm = Vm::with_config(three_routes());
    vm.set_cluster("rest-sessions", Some(ClusterState::NoEndpoints));
    assert_unavailable(vm.request(Request::get("/").token(&token(1))), Some("1"));
    vm.set_cluster("rest-sessions", Some(ClusterState::Healthy));
    assert!(resolved_request(&mut vm, "/", SESSION).passed());
}

#[test]
fn a_rule_can_set_its_own_app_and_service() {
    let mut vm = Vm::with_config(config(json!({"rules": [{
        "match": {"paths": ["/admin/*"]}, "session": "required", "app": "backoffice",
        "rest_sessions": {"cluster": "outbound|3000||sessions.admin.svc", "path_prefix": "/rs", "timeout": "80ms"},
    }]})));
    vm.set_cluster("outbound|3000||sessions.admin.svc", Some(ClusterState::Healthy));
    let (stream, call) = pending_request(&mut vm, "/admin/users");
    assert_eq!(call.path(), format!("/rs/backoffice/get/{}", token(1)));
    assert_eq!(call.header(":authority").as_deref(), Some("sessions.admin.svc"));
    assert_eq!(call.timeout.unwrap().as_millis(), 80);
    vm.respond(&call, 200, NONE);
    let reply = stream.local_reply().unwrap();
    assert_eq!(reply.header("www-authenticate").as_deref(), Some(r#"Session realm="backoffice""#));
}
