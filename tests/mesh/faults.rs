//! Faults of the session service: calls without a response, and responses that are invalid.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::envoy::Cluster;
use crate::harness::mesh::{Mesh, Setup, assert_denied, plugin};
use crate::harness::stub::{CalloutResponse, Stub, session};
use crate::setup::{held_service, long_timeout};
use test_support::http1::Request;
use test_support::token;

/// How a failed call is counted: only an outage is denied with `retry-after`.
enum Failure {
    Outage(&'static str),
    Invalid(&'static str),
}

/// A required and an optional route for each fault, with a cluster and a path prefix of its own.
fn rules_for(faults: &[(&'static str, &'static str)]) -> Value {
    let rules: Vec<Value> = faults
        .iter()
        .flat_map(|(fault, cluster)| {
            ["required", "optional"].map(|session| {
                json!({
                    "match": {"paths": [format!("/{fault}/{session}")]},
                    "session": session,
                    // Long enough for a response of many megabytes, and short where none comes.
                    "rest_sessions": {"cluster": cluster, "path_prefix": format!("/{fault}"), "timeout": timeout_for(fault)},
                })
            })
        })
        .collect();
    plugin(json!({"rules": rules, "annotate": {"headers": {"x-session-user": "id", "x-session-status": "status"}}}))
}

fn timeout_for(fault: &str) -> &'static str {
    if matches!(fault, "silence" | "drip") { "300ms" } else { "10s" }
}

/// What a loaded machine may add to the timeout of a call.
const MARGIN: Duration = Duration::from_secs(5);

#[track_caller]
fn assert_fails(mesh: &Mesh, fault: &str, failure: &Failure) {
    println!("{fault}");
    let (retry_after, counter) = match failure {
        Failure::Outage(counter) => (Some("1"), counter),
        Failure::Invalid(counter) => (None, counter),
    };
    let before = mesh.counter(counter);
    let token = token::fresh();
    let denied = mesh.denies(&Request::get(&format!("/{fault}/required")).session(&token), 503, "sessions_unavailable");
    assert_eq!(denied.header("retry-after").as_deref(), retry_after, "{fault}");
    assert!(
        !denied.headers.iter().any(|(name, _)| name == "set-cookie"),
        "the cookie of a session that may be active was changed"
    );
    let received = mesh.passes(&Request::get(&format!("/{fault}/optional")).session(&token));
    assert_eq!(received.header("x-session-status").as_deref(), Some("unavailable"), "{fault}");
    assert_eq!(received.header("x-session-user"), None, "{fault}");
    let counts = mesh.envoy.stats("call");
    assert_eq!(mesh.counter(counter), before + 2, "{fault} raises {counter} by two: {counts:?}");
}

#[test]
fn an_unreachable_service_is_an_outage() {
    let stub = Stub::with_active_session();
    let faults =
        [("no-such-cluster", "nowhere"), ("no-endpoints", "empty"), ("breaker-open", "full"), ("refused", "refused")];
    let mesh = Setup::new(rules_for(&faults))
        .sessions(stub.address())
        .cluster(Cluster::without_endpoints("empty"))
        .cluster(Cluster::with_open_breaker("full", stub.address()))
        .cluster(Cluster::refusing("refused"))
        .start();
    for fault in ["no-such-cluster", "no-endpoints", "breaker-open"] {
        assert_fails(&mesh, fault, &Failure::Outage("call_failures_dispatch_total"));
    }
    assert_fails(&mesh, "refused", &Failure::Outage("call_failures_connect_total"));
    assert!(stub.calls().is_empty());
    mesh.expect_outcomes(&[("denied_unavailable_total", 4), ("anonymous_total", 4)]);
    mesh.passes(&Request::get("/").session(&token::fresh()));
}

#[test]
fn a_service_without_a_complete_response_is_an_outage() {
    let stub = Stub::start(|call| match call.path.split('/').nth(1).unwrap_or_default() {
        "silence" => CalloutResponse::Silence,
        "drip" => CalloutResponse::Drip,
        "reset" => CalloutResponse::ResetBeforeHeaders,
        "cut" => CalloutResponse::EndMidBody,
        "reset-mid-body" => CalloutResponse::ResetMidBody,
        "33-mib" => CalloutResponse::text(200, vec![b' '; 33 << 20]),
        "40-mib" => CalloutResponse::text(200, vec![b' '; 40 << 20]),
        _ => CalloutResponse::session(),
    });
    let faults =
        ["silence", "drip", "reset", "cut", "reset-mid-body", "33-mib", "40-mib"].map(|fault| (fault, "rest-sessions"));
    let mesh = Setup::new(rules_for(&faults)).sessions(stub.address()).start();
    // Envoy ends a response that is incomplete at the timeout with a timeout as well.
    for fault in ["silence", "drip"] {
        let started = Instant::now();
        assert_fails(&mesh, fault, &Failure::Outage("call_failures_timeout_total"));
        let (took, two_timeouts) = (started.elapsed(), Duration::from_millis(2 * 300));
        assert!(
            (two_timeouts - Duration::from_millis(100)..two_timeouts + MARGIN).contains(&took),
            "{fault} took {took:?}, two timeouts of 300 ms were expected"
        );
    }
    for fault in ["reset", "cut", "reset-mid-body", "33-mib", "40-mib"] {
        assert_fails(&mesh, fault, &Failure::Outage("call_failures_connect_total"));
    }
    mesh.passes(&Request::get("/").session(&token::fresh()));
    mesh.expect_outcomes(&[("denied_unavailable_total", 7), ("anonymous_total", 7), ("allowed_total", 1)]);
}

#[test]
fn a_response_at_the_edge_of_the_timeout_is_either_read_or_an_outage() {
    const REQUESTS: u64 = 24;
    const TIMEOUT: Duration = Duration::from_millis(300);
    let stub = Stub::start(|call| {
        // From 12 ms before the timeout on, a millisecond later each time.
        let number: u64 = call.path.split('/').nth(1).and_then(|number| number.parse().ok()).unwrap_or_default();
        CalloutResponse::Late(
            TIMEOUT - Duration::from_millis(12) + Duration::from_millis(number),
            Box::new(CalloutResponse::session()),
        )
    });
    let rules: Vec<Value> = (0..REQUESTS)
        .map(|number| {
            json!({
                "match": {"paths": [format!("/{number}")]},
                "session": "required",
                "rest_sessions": {"cluster": "rest-sessions", "path_prefix": format!("/{number}"), "timeout": "300ms"},
            })
        })
        .collect();
    let mesh = Setup::new(plugin(json!({"rules": rules}))).sessions(stub.address()).start();
    let mut passed = 0;
    for number in 0..REQUESTS {
        let request = Request::get(&format!("/{number}")).session(&token::fresh());
        let started = Instant::now();
        let response = mesh.send(&request);
        assert!(started.elapsed() < TIMEOUT + MARGIN, "{number} took {:?}", started.elapsed());
        if response.status == 200 {
            mesh.upstream_request(&request, &response);
            passed += 1;
        } else {
            assert_denied(&request, &response, 503, "sessions_unavailable");
        }
    }
    println!("{passed} of {REQUESTS} responses were read");
    let expected: Vec<_> = [("allowed_total", passed), ("denied_unavailable_total", REQUESTS - passed)]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .collect();
    mesh.expect_outcomes(&expected);
    assert_eq!(mesh.counter("call_failures_timeout_total"), REQUESTS - passed);
}

#[test]
fn a_call_that_the_circuit_breaker_has_no_room_for_is_an_outage() {
    let (latch, stub) = held_service(|_| CalloutResponse::session());
    let mesh = Setup::new(long_timeout(json!({})))
        .cluster(Cluster::with_max_requests("rest-sessions", stub.address(), 1))
        .start();
    let held = Request::get("/").session(&token::fresh());
    let mut waiting = mesh.begin(&held);
    stub.wait_for_calls(1);
    let started = Instant::now();
    mesh.denies(&Request::get("/").session(&token::fresh()), 503, "sessions_unavailable");
    assert!(started.elapsed() < MARGIN);
    // Envoy refuses the call at once, or resets it once it has a connection for it.
    assert_eq!(mesh.counter("call_failures_dispatch_total") + mesh.counter("call_failures_connect_total"), 1);
    latch.open();
    mesh.upstream_request(&held, &waiting.read(false));
    mesh.passes(&Request::get("/").session(&token::fresh()));
}

#[test]
fn an_error_status_of_the_service_is_an_outage() {
    let faults = ["429", "500", "501", "502", "503", "504", "599"].map(|fault| (fault, "rest-sessions"));
    let stub = Stub::start(|call| {
        let status = call.path.split('/').nth(1).and_then(|status| status.parse().ok());
        status.map_or_else(CalloutResponse::session, |status| CalloutResponse::json(status, &session()))
    });
    let mesh = Setup::new(rules_for(&faults)).sessions(stub.address()).start();
    // A 503 or 504 of the service can look like Envoy's own, so their counter is not asserted.
    for (fault, _) in faults.iter().filter(|(fault, _)| !matches!(*fault, "503" | "504")) {
        assert_fails(&mesh, fault, &Failure::Outage("call_failures_status_total"));
    }
    for fault in ["503", "504"] {
        let denied = mesh.denies(
            &Request::get(&format!("/{fault}/required")).session(&token::fresh()),
            503,
            "sessions_unavailable",
        );
        assert_eq!(denied.header("retry-after").as_deref(), Some("1"), "{fault}");
    }
    mesh.expect_outcomes(&[("denied_unavailable_total", 7), ("anonymous_total", 5)]);
}

#[test]
fn a_malformed_response_is_invalid_and_affects_no_other_session() {
    let bodies: Vec<(&'static str, String)> = vec![
        ("html", "<html></html>".to_owned()),
        ("empty", String::new()),
        ("cut", r#"{"id":"u","ttl":10"#.to_owned()),
        ("twice", r#"{"id":"u","ttl":10}{"id":"u","ttl":10}"#.to_owned()),
        ("array", r#"[{"id":"u","ttl":10}]"#.to_owned()),
        ("null", "null".to_owned()),
        ("text", r#""user123""#.to_owned()),
        ("no-id", r#"{"ttl":10}"#.to_owned()),
        ("no-ttl", r#"{"id":"u"}"#.to_owned()),
        ("empty-id", r#"{"id":"","ttl":10}"#.to_owned()),
        ("number-id", r#"{"id":1,"ttl":10}"#.to_owned()),
        ("text-ttl", r#"{"id":"u","ttl":"10"}"#.to_owned()),
        ("null-ttl", r#"{"id":"u","ttl":null}"#.to_owned()),
        ("text-r", r#"{"id":"u","ttl":10,"r":"1"}"#.to_owned()),
        ("text-idle", r#"{"id":"u","ttl":10,"idle":"1"}"#.to_owned()),
        ("number-ip", r#"{"id":"u","ttl":10,"ip":1}"#.to_owned()),
        ("text-no-resave", r#"{"id":"u","ttl":10,"no_resave":"true"}"#.to_owned()),
        ("list-d", r#"{"id":"u","ttl":10,"d":[]}"#.to_owned()),
        ("text-d", r#"{"id":"u","ttl":10,"d":"x"}"#.to_owned()),
        ("nested-d", r#"{"id":"u","ttl":10,"d":{"a":{"b":1}}}"#.to_owned()),
        ("list-in-d", r#"{"id":"u","ttl":10,"d":{"a":[1]}}"#.to_owned()),
        ("repeated-id", r#"{"id":"u","id":"admin","ttl":10}"#.to_owned()),
        ("repeated-key-of-d", r#"{"id":"u","ttl":10,"d":{"role":"guest","role":"admin"}}"#.to_owned()),
        ("repeated-by-escape", r#"{"id":"u","ttl":10,"d":{"role":"guest","r\u006fle":"admin"}}"#.to_owned()),
        ("deep", format!(r#"{{"id":"u","ttl":10,"d":{}"#, "[".repeat(100_000))),
        ("deep-objects", r#"{"d":"#.repeat(40_000)),
        ("not-utf-8", r#"{"id":"?","ttl":10}"#.to_owned()),
        ("over-256-kib", format!(r#"{{"id":"u","ttl":10,"d":{{"k":"{}"}}}}"#, "x".repeat(256 << 10))),
    ];
    let faults: Vec<_> = bodies.iter().map(|(name, _)| (*name, "rest-sessions")).collect();
    let count = faults.len() as u64;
    let responses = bodies.clone();
    let stub = Stub::start(move |call| {
        let fault = call.path.split('/').nth(1).unwrap_or_default();
        match responses.iter().find(|(name, _)| *name == fault) {
            Some(("not-utf-8", body)) => {
                CalloutResponse::text(200, body.bytes().map(|b| if b == b'?' { 0xff } else { b }).collect::<Vec<_>>())
            }
            Some((_, body)) => CalloutResponse::text(200, body.clone()),
            None => CalloutResponse::session(),
        }
    });
    let mesh = Setup::new(rules_for(&faults)).sessions(stub.address()).start();
    for (fault, _) in &bodies {
        assert_fails(&mesh, fault, &Failure::Invalid("call_failures_invalid_total"));
        mesh.passes(&Request::get("/").session(&token::fresh()));
    }
    mesh.expect_outcomes(&[("denied_unavailable_total", count), ("anonymous_total", count), ("allowed_total", count)]);
}

#[test]
fn a_status_that_rest_sessions_never_sends_is_invalid() {
    let statuses = ["201", "204", "301", "400", "401", "404", "413"];
    let stub = Stub::start(|call| {
        let status = call.path.split('/').nth(1).and_then(|status| status.parse().ok());
        match status {
            Some(204) => CalloutResponse::text(204, ""),
            Some(status) => CalloutResponse::json(status, &session()),
            None => CalloutResponse::session(),
        }
    });
    let mesh =
        Setup::new(rules_for(&statuses.map(|status| (status, "rest-sessions")))).sessions(stub.address()).start();
    for status in statuses {
        let request = Request::get(&format!("/{status}/required")).session(&token::fresh());
        let denied = mesh.denies(&request, 503, "sessions_unavailable");
        assert_eq!(denied.header("retry-after"), None, "{status}");
    }
    let failures = mesh.counter("call_failures_status_total") + mesh.counter("call_failures_invalid_total");
    assert_eq!(failures, statuses.len() as u64);
}

#[test]
fn a_large_response_below_the_limit_is_read_in_full() {
    let stub =
        Stub::start(|_| CalloutResponse::json(200, &json!({"id": "u", "ttl": 10, "d": {"k": "x".repeat(250 << 10)}})));
    let mesh = Setup::new(plugin(json!({"annotate": {"headers": {"x-id": "id"}}}))).sessions(stub.address()).start();
    assert_eq!(mesh.passes(&Request::get("/").session(&token::fresh())).header("x-id").as_deref(), Some("u"));
}

#[test]
fn an_unknown_field_of_a_response_is_skipped_however_deep_it_is() {
    let nested = [("[", "]"), (r#"{"a":"#, "}")].map(|(open, close)| open.repeat(20_000) + "1" + &close.repeat(20_000));
    let bodies = nested.map(|value| format!(r#"{{"x":{value},"id":"u","ttl":10}}"#));
    let stub = Stub::start(move |call| {
        let number = usize::from(call.path.starts_with("/1/"));
        CalloutResponse::text(200, bodies[number].clone())
    });
    let rules: Vec<Value> = (0..2)
        .map(|number| {
            json!({
                "match": {"paths": [format!("/{number}")]},
                "session": "required",
                "rest_sessions": {"cluster": "rest-sessions", "path_prefix": format!("/{number}")},
            })
        })
        .collect();
    let mesh = Setup::new(plugin(json!({"rules": rules}))).sessions(stub.address()).start();
    for target in ["/0", "/1"] {
        let received = mesh.passes(&Request::get(target).session(&token::fresh()));
        assert_eq!(received.header("x-session-user").as_deref(), Some("u"), "{target}");
    }
}
