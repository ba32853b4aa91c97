//! Calls to the session service: their headers, their retries, and which request gets their response.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::envoy::{Cluster, Listener};
use crate::harness::mesh::{Setup, plugin};
use crate::harness::stub::{Call, CalloutResponse, Stub};
use crate::setup::{held_service, long_timeout};
use test_support::http1::{Connection, Request};
use test_support::token;
use test_support::wait::until_equal;

/// A session service that fails the first calls in this way, and responds to later ones with a session.
fn faulty_at_first(fault: fn(&Call) -> CalloutResponse, times: usize) -> Stub {
    let calls = AtomicUsize::new(0);
    Stub::start(
        move |call| if calls.fetch_add(1, Ordering::SeqCst) < times { fault(call) } else { CalloutResponse::session() },
    )
}

fn retrying(retries: Option<u32>) -> Value {
    let mut keys = plugin(json!({}));
    if let Some(retries) = retries {
        keys["rest_sessions"]["retries"] = retries.into();
    }
    keys
}

#[test]
fn a_call_is_retried_once_after_a_reset_connection() {
    let stub = faulty_at_first(|_| CalloutResponse::ResetBeforeHeaders, 1);
    let mesh = Setup::new(retrying(None)).sessions(stub.address()).start();
    let token = token::fresh();
    mesh.passes(&Request::get("/").session(&token));
    assert_eq!(stub.calls_for(&token).len(), 2);
    mesh.expect_counters(&[("calls_total", 1)]);
}

#[test]
fn a_call_is_retried_as_often_as_configured() {
    for (retries, calls) in [(None, 2), (Some(0), 1), (Some(3), 4)] {
        let stub = Stub::start(|_| CalloutResponse::ResetBeforeHeaders);
        let mesh = Setup::new(retrying(retries)).sessions(stub.address()).start();
        mesh.denies(&Request::get("/").session(&token::fresh()), 503, "sessions_unavailable");
        assert_eq!(stub.calls().len(), calls, "with retries {retries:?}");
        mesh.expect_counters(&[("calls_total", 1), ("call_failures_connect_total", 1)]);
    }
}

#[test]
fn a_call_with_a_response_is_not_retried() {
    for response in [
        CalloutResponse::none(),
        CalloutResponse::text(500, "{}"),
        CalloutResponse::text(503, "{}"),
        CalloutResponse::text(200, "junk"),
    ] {
        let stub = Stub::start(move |_| response.clone());
        let mesh = Setup::new(plugin(json!({}))).sessions(stub.address()).start();
        assert!(matches!(mesh.send(&Request::get("/").session(&token::fresh())).status, 401 | 503));
        assert_eq!(stub.calls().len(), 1);
    }
}

#[test]
fn calls_above_max_in_flight_are_denied_as_busy_even_under_failure_mode_allow() {
    let (latch, stub) = held_service(|_| CalloutResponse::session());
    let mut keys = long_timeout(json!({
        "failure_mode": "allow",
        "rules": [{"match": {"paths": ["/optional"]}, "session": "optional"}],
        "annotate": {"headers": {"x-session-user": "id", "x-session-status": "status"}},
    }));
    keys["rest_sessions"]["max_in_flight"] = 2.into();
    let mesh = Setup::new(keys).sessions(stub.address()).start();
    let mut pending: Vec<Connection> =
        (0..2).map(|_| mesh.begin(&Request::get("/").session(&token::fresh()))).collect();
    stub.wait_for_calls(2);
    assert_eq!(mesh.counter("in_flight"), 2);

    let denied = mesh.denies(&Request::get("/").session(&token::fresh()), 503, "sessions_busy");
    assert_eq!(denied.header("retry-after").as_deref(), Some("1"));
    let received = mesh.passes(&Request::get("/optional").session(&token::fresh()));
    assert_eq!(received.header("x-session-status").as_deref(), Some("unavailable"));
    assert_eq!(stub.calls().len(), 2);

    latch.open();
    for connection in &mut pending {
        assert_eq!(connection.read(false).status, 200);
    }
    mesh.passes(&Request::get("/").session(&token::fresh()));
    until_equal("no call to be in flight", &0, || mesh.counter("in_flight"));
    mesh.expect_outcomes(&[("allowed_total", 3), ("denied_busy_total", 1), ("anonymous_total", 1)]);
    mesh.expect_counters(&[("calls_total", 3)]);
}

#[test]
fn a_call_copies_the_trace_headers_of_the_request_and_nothing_else() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({}))).sessions(stub.address()).start();
    let token = token::fresh();
    let traced = [
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "vendor=value,other=1"),
        ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1"),
        ("x-b3-traceid", "80f198ee56343ba864fe8b2a57d3eff7"),
        ("x-b3-spanid", "e457b5a2e4d86bd1"),
        ("x-b3-parentspanid", "05e3ac9a4f6e3b90"),
        ("x-b3-sampled", "1"),
        ("x-b3-flags", "0"),
    ];
    let request = traced
        .iter()
        .fold(Request::new("POST", "/cart?item=secret"), |request, (name, value)| request.header(*name, *value));
    let request = request
        .session(&token)
        .header("cookie", "other=secret")
        .header("authorization", "Basic secret")
        .header("user-agent", "secret")
        .header("accept", "text/secret")
        .header("x-b3-other", "secret")
        .header("x-forwarded-for", "192.0.2.1")
        .header("origin", "http://secret.example.com")
        .body("secret");
    let received = mesh.passes(&request);
    let call = stub.only_call_for(&token);
    assert_eq!((call.method.as_str(), call.path), ("GET", format!("/mywebapp/get/{token}")));
    for (name, value) in traced {
        assert_eq!(call.headers.iter().filter(|(found, _)| found == name).count(), 1, "{name}");
        assert!(call.headers.contains(&(name.to_owned(), value.into())), "{name}");
    }
    let id = |values: Vec<String>| values.into_iter().next().expect("Envoy sets x-request-id");
    assert_eq!(id(call_values(&call.headers, "x-request-id")), id(received.values("x-request-id")));
    // Headers with the same value in every call, or added by Envoy.
    let known_headers = [
        "accept",
        "host",
        "x-request-id",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-envoy-internal",
        "x-envoy-expected-rq-timeout-ms",
        "content-length",
    ];
    for (name, value) in &call.headers {
        let known = known_headers.contains(&name.as_str()) || traced.iter().any(|(traced, _)| traced == name);
        assert!(known, "the header {name} was sent to the session service");
        assert!(
            !value.windows(6).any(|window| window == b"secret"),
            "a value of the request was sent to the session service in {name}"
        );
    }
    assert!(!call_values(&call.headers, "x-forwarded-for").join(",").contains("192.0.2.1"));
}

fn call_values(headers: &[(String, Vec<u8>)], name: &str) -> Vec<String> {
    headers
        .iter()
        .filter(|(found, _)| found == name)
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .collect()
}

#[test]
fn a_trace_header_is_dropped_if_too_long_repeated_or_not_visible_ascii() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({}))).sessions(stub.address()).start();
    let limits = [
        ("x-request-id", 128),
        ("traceparent", 64),
        ("tracestate", 512),
        ("b3", 128),
        ("x-b3-traceid", 64),
        ("x-b3-spanid", 64),
        ("x-b3-parentspanid", 64),
        ("x-b3-sampled", 64),
        ("x-b3-flags", 64),
    ];
    let copied = |value: &dyn Fn(usize) -> Vec<Vec<u8>>| {
        let token = token::fresh();
        let mut request = Request::get("/").session(&token);
        for (name, limit) in limits {
            for value in value(limit) {
                request = request.header(name, value);
            }
        }
        mesh.passes(&request);
        let call = stub.only_call_for(&token);
        limits.iter().filter(|(name, _)| !call.values(name).is_empty()).map(|(name, _)| *name).collect::<Vec<_>>()
    };
    assert_eq!(
        copied(&|limit| vec![vec![b'a'; limit]]),
        limits.map(|(name, _)| name),
        "values at the limit are copied"
    );
    assert_eq!(copied(&|limit| vec![vec![b'a'; limit + 1]]), [""; 0], "values one byte above the limit are dropped");
    assert_eq!(copied(&|_| vec![b"caf\xc3\xa9".to_vec()]), [""; 0], "values above ASCII are dropped");
    assert_eq!(copied(&|_| vec![b"a\tb".to_vec()]), [""; 0], "values with a control character are dropped");
    // Envoy replaces a repeated request id with one of its own.
    let repeated = copied(&|_| vec![b"a".to_vec(), b"b".to_vec()]);
    assert!(repeated.iter().all(|name| *name == "x-request-id"), "repeated headers were copied: {repeated:?}");
}

#[test]
fn the_authority_defaults_to_the_last_part_of_the_cluster_name() {
    const ISTIO_CLUSTER: &str = "outbound|3000||rest-sessions.default.svc.cluster.local";
    let stub = Stub::with_active_session();
    let mut istio = plugin(json!({}));
    istio["rest_sessions"]["cluster"] = ISTIO_CLUSTER.into();
    let mut given = istio.clone();
    given["rest_sessions"]["authority"] = "example.com".into();
    given["rest_sessions"]["path_prefix"] = "/path/to/rest-sessions".into();
    let mesh = Setup::default()
        .listener(Listener::new("plain", plugin(json!({}))))
        .listener(Listener::new("istio", istio))
        .listener(Listener::new("given", given))
        .cluster(Cluster::new(ISTIO_CLUSTER, stub.address()))
        .sessions(stub.address())
        .start();
    for (listener, authority, prefix) in [
        ("plain", "rest-sessions", ""),
        ("istio", "rest-sessions.default.svc.cluster.local", ""),
        ("given", "example.com", "/path/to/rest-sessions"),
    ] {
        let token = token::fresh();
        mesh.passes_at(listener, &Request::get("/").session(&token));
        let call = stub.only_call_for(&token);
        assert_eq!(call.values("host"), [authority]);
        assert_eq!(call.path, format!("{prefix}/mywebapp/get/{token}"));
    }
}

#[test]
fn a_client_that_disconnects_before_the_call_response_is_counted_as_abandoned() {
    let (latch, stub) = held_service(|_| CalloutResponse::session());
    let mesh = Setup::new(long_timeout(json!({}))).sessions(stub.address()).start();
    let disconnecting: Vec<Connection> =
        (0..5).map(|_| mesh.begin(&Request::get("/").session(&token::fresh()))).collect();
    let mut remaining = mesh.begin(&Request::get("/").session(&token::fresh()));
    stub.wait_for_calls(6);
    drop(disconnecting);
    mesh.expect_outcomes(&[("abandoned_total", 5)]);

    latch.open();
    assert_eq!(remaining.read(false).status, 200);
    mesh.passes(&Request::get("/").session(&token::fresh()));
    mesh.expect_outcomes(&[("abandoned_total", 5), ("allowed_total", 2)]);
    mesh.expect_counters(&[("calls_total", 7)]);
    until_equal("no call to be in flight", &0, || mesh.counter("in_flight"));
    assert_eq!(mesh.upstream.count(), 2);
}

#[test]
fn each_of_many_concurrent_requests_gets_the_response_to_its_own_call() {
    let (latch, stub) = held_service(|call| CalloutResponse::json(200, &json!({"id": call.token(), "ttl": 7200})));
    let mesh = Setup::new(long_timeout(json!({}))).sessions(stub.address()).start();
    let mut pending: Vec<(String, Request, Connection)> = (0..64)
        .map(|_| {
            let token = token::fresh();
            let request = Request::get("/").session(&token);
            let connection = mesh.begin(&request);
            (token, request, connection)
        })
        .collect();
    stub.wait_for_calls(64);
    latch.open();
    for (token, request, connection) in &mut pending {
        let response = connection.read(false);
        assert_eq!(mesh.upstream_request(request, &response).header("x-session-user").as_ref(), Some(&*token));
    }
    mesh.expect_outcomes(&[("allowed_total", 64)]);
}
