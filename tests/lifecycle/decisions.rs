//! The decision table, row by row, and the counters that go with it.

use super::emulator::{Call, ClusterState, Request, Stream, Vm};
use super::{NONE, SESSION, annotation, assert_counters, config, status_alone, three_routes, token, waiting};
use serde_json::json;

/// One way in which rest-sessions fails, and how it is counted.
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

const BAD_ANSWERS: [&str; 9] = [
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

fn settled(vm: &mut Vm, path: &str, act: impl FnOnce(&mut Vm, &Call)) -> Stream {
    let (stream, call) = waiting(vm, path);
    act(vm, &call);
    assert!(!stream.is_paused(), "the answer has come");
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
    let stream = settled(&mut vm, "/", |vm, call| vm.respond(call, 200, SESSION));
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
    let stream = settled(&mut vm, "/", |vm, call| vm.respond(call, 200, NONE));
    assert_eq!(stream.denial(), Some((401, "session_required".to_owned())));
    assert_counters(&vm, &[("denied_no_session_total", 1)]);
}

#[test]
fn an_outage_denies_for_a_moment_where_a_session_is_required() {
    for (act, cause) in OUTAGES {
        let mut vm = Vm::with_config(three_routes());
        assert_unavailable(settled(&mut vm, "/", act), Some("1"));
        assert_counters(&vm, &[("denied_unavailable_total", 1), (cause, 1)]);
    }
}

#[test]
fn a_bad_answer_denies_without_a_promise_where_a_session_is_required() {
    for body in BAD_ANSWERS {
        let mut vm = Vm::with_config(three_routes());
        assert_unavailable(settled(&mut vm, "/", |vm, call| vm.respond(call, 200, body)), None);
        assert_counters(&vm, &[("denied_unavailable_total", 1), ("call_failures_invalid_total", 1)]);
    }
    for status in [100, 204, 302, 404, 413] {
        let mut vm = Vm::with_config(three_routes());
        assert_unavailable(settled(&mut vm, "/", |vm, call| vm.respond(call, status, NONE)), None);
        assert_eq!(vm.counter("denied_unavailable_total"), 1);
    }
}

#[test]
fn an_answer_of_256_kib_is_read_and_one_byte_more_is_a_bad_answer() {
    let body = |size: usize| format!("{SESSION}{}", " ".repeat(size - SESSION.len()));
    let mut vm = Vm::with_config(three_routes());
    assert!(settled(&mut vm, "/", |vm, call| vm.respond(call, 200, body(256 * 1024))).passed());
    assert_unavailable(settled(&mut vm, "/", |vm, call| vm.respond(call, 200, body(256 * 1024 + 1))), None);
    assert_unavailable(settled(&mut vm, "/", |vm, call| vm.respond(call, 200, vec![b'x'; 8 << 20])), None);
}

#[test]
fn failure_mode_allow_lets_an_outage_through_with_its_status_alone() {
    for (act, cause) in OUTAGES {
        let mut config = three_routes();
        config["failure_mode"] = json!("allow");
        let mut vm = Vm::with_config(config);
        let stream = settled(&mut vm, "/", act);
        assert_eq!(annotation(stream), status_alone("unavailable"));
        assert_counters(&vm, &[("failed_open_total", 1), (cause, 1)]);
    }
}

#[test]
fn failure_mode_allow_admits_neither_a_bad_answer_nor_a_missing_session() {
    let mut config = three_routes();
    config["failure_mode"] = json!("allow");
    let mut vm = Vm::with_config(config);
    assert_unavailable(settled(&mut vm, "/", |vm, call| vm.respond(call, 200, "[]")), None);
    assert_eq!(settled(&mut vm, "/", |vm, call| vm.respond(call, 200, NONE)).denial_status(), Some(401));
    assert_eq!(vm.request(Request::get("/")).denial_status(), Some(401));
    assert_counters(
        &vm,
        &[("denied_unavailable_total", 1), ("denied_no_session_total", 2), ("call_failures_invalid_total", 1)],
    );
}

#[test]
fn an_optional_route_passes_without_a_token() {
    let mut vm = Vm::with_config(three_routes());
    let stream = vm.request(Request::get("/optional/a"));
    assert_eq!(annotation(stream), status_alone("none"));
    assert_eq!(vm.dispatched(), 0);
    assert_counters(&vm, &[("anonymous_total", 1)]);
}

#[test]
fn an_optional_route_passes_an_active_session_annotated() {
    let mut vm = Vm::with_config(three_routes());
    let stream = settled(&mut vm, "/optional/a", |vm, call| vm.respond(call, 200, SESSION));
    assert_eq!(stream.upstream_header("x-session-user").as_deref(), Some("user123"));
    assert_eq!(stream.upstream_header("x-session-status").as_deref(), Some("active"));
    assert_counters(&vm, &[("allowed_total", 1)]);
}

#[test]
fn an_optional_route_passes_an_unknown_session_as_none() {
    let mut vm = Vm::with_config(three_routes());
    let stream = settled(&mut vm, "/optional/a", |vm, call| vm.respond(call, 200, NONE));
    assert_eq!(annotation(stream), status_alone("none"));
    assert_counters(&vm, &[("anonymous_total", 1)]);
}

#[test]
fn an_optional_route_passes_in_an_outage() {
    for (act, cause) in OUTAGES {
        let mut vm = Vm::with_config(three_routes());
        let stream = settled(&mut vm, "/optional/a", act);
        assert_eq!(annotation(stream), status_alone("unavailable"));
        assert_counters(&vm, &[("anonymous_total", 1), (cause, 1)]);
    }
}

#[test]
fn an_optional_route_passes_at_a_bad_answer() {
    for body in BAD_ANSWERS {
        let mut vm = Vm::with_config(three_routes());
        let stream = settled(&mut vm, "/optional/a", |vm, call| vm.respond(call, 200, body));
        assert_eq!(annotation(stream), status_alone("unavailable"));
        assert_counters(&vm, &[("anonymous_total", 1), ("call_failures_invalid_total", 1)]);
    }
}

#[test]
fn a_route_that_is_off_asks_nobody_and_annotates_nothing() {
    let mut vm = Vm::with_config(three_routes());
    for request in [Request::get("/off/a"), Request::get("/off/a").token(&token(1))] {
        let stream = vm.request(request);
        assert_eq!(annotation(stream), [None, None, None]);
    }
    assert_eq!(vm.dispatched(), 0);
    assert_counters(&vm, &[("off_total", 2)]);
}

#[test]
fn a_401_is_the_same_whatever_was_wrong_with_the_token() {
    let mut vm = Vm::with_config(three_routes());
    let missing = vm.request(Request::get("/")).local_reply();
    let mut replies = Vec::new();
    let malformed = [&token(1)[1..], "", "x", &format!("{}Zzzzzzzzz", &token(1)[..55])];
    for value in malformed {
        replies.push(vm.request(Request::get("/").token(value)).local_reply());
    }
    replies.push(vm.request(Request::get("/").token(&token(1)).token(&token(2))).local_reply());
    assert_eq!(vm.dispatched(), 0);
    replies.push(settled(&mut vm, "/", |vm, call| vm.respond(call, 200, NONE)).local_reply());
    for reply in replies {
        assert_eq!(reply, missing);
    }
    assert_counters(&vm, &[("denied_no_session_total", 7), ("conflicts_total", 1)]);
}

#[test]
fn beyond_max_in_flight_a_required_session_is_busy_even_where_outages_pass() {
    let mut config = three_routes();
    config["rest_sessions"]["max_in_flight"] = json!(1);
    config["failure_mode"] = json!("allow");
    let mut vm = Vm::with_config(config);
    let (first, call) = waiting(&mut vm, "/");
    assert_eq!(vm.gauge("in_flight"), 1);

    let busy = vm.request(Request::get("/").token(&token(2)));
    assert_eq!(busy.denial(), Some((503, "sessions_busy".to_owned())));
    assert_eq!(busy.local_reply().unwrap().header("retry-after").as_deref(), Some("1"));
    let optional = vm.request(Request::get("/optional/a").token(&token(3)));
    assert_eq!(annotation(optional), status_alone("unavailable"));
    assert_eq!(vm.dispatched(), 1);

    vm.respond(&call, 200, SESSION);
    assert!(first.passed());
    assert_eq!(vm.gauge("in_flight"), 0);
    let (again, call) = waiting(&mut vm, "/");
    vm.respond(&call, 200, SESSION);
    assert!(again.passed());
    assert_counters(&vm, &[("allowed_total", 2), ("denied_busy_total", 1), ("anonymous_total", 1)]);
}

#[test]
fn a_session_that_is_too_large_is_never_passed_on_in_part() {
    let mut config = three_routes();
    config["annotate"]["max_bytes"] = json!(16);
    let mut vm = Vm::with_config(config);
    let large = SESSION.replace("user123", "a user with a long name");
    let required = settled(&mut vm, "/", |vm, call| vm.respond(call, 200, &large));
    assert_eq!(required.denial(), Some((500, "session_too_large".to_owned())));
    let optional = settled(&mut vm, "/optional/a", |vm, call| vm.respond(call, 200, &large));
    assert_eq!(annotation(optional), status_alone("unavailable"));
    assert_counters(&vm, &[("session_too_large_total", 2)]);
}

#[test]
fn a_call_that_the_host_refuses_is_an_outage_at_once() {
    let mut elsewhere = three_routes();
    elsewhere["rest_sessions"]["cluster"] = json!("nowhere");
    let mut empty = three_routes();
    empty["rest_sessions"]["cluster"] = json!("empty");
    for config in [elsewhere, empty] {
        let mut vm = Vm::with_config(config);
        vm.set_cluster("empty", Some(ClusterState::NoEndpoints));
        assert_unavailable(vm.request(Request::get("/").token(&token(1))), Some("1"));
        let optional = vm.request(Request::get("/optional/a").token(&token(1)));
        assert_eq!(annotation(optional), status_alone("unavailable"));
        assert_eq!((vm.dispatched(), vm.gauge("in_flight")), (0, 0));
        assert_eq!(vm.counter("denied_unavailable_total"), 1);
        assert_eq!(vm.counter("anonymous_total"), 1);
        assert_eq!(vm.counter("call_failures_dispatch_total"), 2);
    }
}

#[test]
fn a_cluster_that_comes_back_is_asked_again() {
    let mut vm = Vm::with_config(three_routes());
    vm.set_cluster("rest-sessions", Some(ClusterState::NoEndpoints));
    assert_unavailable(vm.request(Request::get("/").token(&token(1))), Some("1"));
    vm.set_cluster("rest-sessions", Some(ClusterState::Healthy));
    assert!(settled(&mut vm, "/", |vm, call| vm.respond(call, 200, SESSION)).passed());
}

#[test]
fn a_rule_may_name_its_own_app_and_service() {
    let mut vm = Vm::with_config(config(json!({"rules": [{
        "match": {"paths": ["/admin/*"]}, "session": "required", "app": "backoffice",
        "rest_sessions": {"cluster": "outbound|3000||sessions.admin.svc", "path_prefix": "/rs", "timeout": "80ms"},
    }]})));
    vm.set_cluster("outbound|3000||sessions.admin.svc", Some(ClusterState::Healthy));
    let (stream, call) = waiting(&mut vm, "/admin/users");
    assert_eq!(call.path(), format!("/rs/backoffice/get/{}", token(1)));
    assert_eq!(call.header(":authority").as_deref(), Some("sessions.admin.svc"));
    assert_eq!(call.timeout.unwrap().as_millis(), 80);
    vm.respond(&call, 200, NONE);
    let reply = stream.local_reply().unwrap();
    assert_eq!(reply.header("www-authenticate").as_deref(), Some(r#"Session realm="backoffice""#));
}
