//! Pending responses: held until their session change completes, and passed or replaced when it fails.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{KILL, SET, setting, stored, write_back};
use crate::harness::envoy::Listener;
use crate::harness::mesh::{Mesh, Setup, assert_denied};
use crate::harness::sessions::RestSessions;
use crate::harness::stub::{Call, CalloutResponse, Latch, Stub};
use crate::harness::upstream::UpstreamResponse;
use crate::setup::CONNECTIONS;
use test_support::http1::Request;
use test_support::token;
use test_support::wait;

/// A session service that knows every token, and responds to changes like this.
fn changing_service(change: CalloutResponse) -> Stub {
    Stub::start(move |call: &Call| if call.method == "GET" { CalloutResponse::session() } else { change.clone() })
}

fn start(stub: &Stub, keys: Value) -> Mesh {
    let mesh = Setup::new(write_back(keys)).sessions(stub.address()).start();
    mesh.upstream.respond_with(|_| setting(&json!({"a": 1})));
    mesh
}

fn changed() -> CalloutResponse {
    CalloutResponse::json(200, &json!({"id": "user123", "ttl": 7200, "d": {"a": 1}}))
}

#[test]
fn a_response_is_held_until_its_session_change_completes() {
    let latch = Latch::default();
    let stub = changing_service(CalloutResponse::After(latch.clone(), Box::new(changed())));
    let mesh = start(&stub, json!({}));
    let mut connection = mesh.begin(&Request::get("/").session(&token::fresh()));
    stub.wait_for_calls(2);
    assert!(connection.is_silent_for(Duration::from_millis(100)));
    latch.open();
    let response = connection.read(false);
    assert_eq!((response.status, response.text().as_str()), (200, "from the upstream\n"));
    let call = &stub.calls()[1];
    assert_eq!((call.method.as_str(), call.values("content-type")), ("POST", vec!["application/json".to_owned()]));
    assert!(call.path.contains("/set/"));
}

#[test]
fn a_failed_change_passes_or_replaces_the_response_within_the_timeout() {
    let failures = [
        ("an error", CalloutResponse::text(500, "{}")),
        ("a reset", CalloutResponse::ResetBeforeHeaders),
        ("a response that ends early", CalloutResponse::EndMidBody),
        ("an invalid body", CalloutResponse::text(200, "<html>")),
        ("a session without ttl", CalloutResponse::text(200, r#"{"id":"u"}"#)),
        ("no response", CalloutResponse::Silence),
        ("a slow response", CalloutResponse::Drip),
    ];
    for (failure, response) in failures {
        println!("{failure}");
        let stub = changing_service(response);
        for (on_failure, status) in [("pass", 200), ("deny", 503)] {
            let keys = json!({
                "write_back": {"on_failure": on_failure},
                "rest_sessions": {"cluster": "rest-sessions", "timeout": "700ms", "breaker": "off"},
                "logout": {"path": "/logout"},
            });
            let mesh = start(&stub, keys);
            for response in [setting(&json!({"a": 1})), UpstreamResponse::default().header(KILL, "1")] {
                mesh.upstream.respond_with(move |_| response.clone());
                for (method, h2) in [("GET", false), ("GET", true), ("HEAD", false)] {
                    let request = Request::new(method, "/").session(&token::fresh());
                    let began = Instant::now();
                    let response = if h2 { mesh.send_h2(&request) } else { mesh.send(&request) };
                    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
                    assert_eq!(response.status, status, "{method} {}", response.text());
                    assert_eq!(
                        response.values("set-cookie"),
                        Vec::<String>::new(),
                        "the session may be active, so its cookie must stay"
                    );
                    if status == 503 && method == "GET" {
                        assert_denied(&request, &response, 503, "sessions_unavailable");
                    }
                }
            }
            assert_eq!(mesh.counter("write_back_failures_total"), 6, "{on_failure}");
        }
    }
}

#[test]
fn a_failed_change_invalidates_the_cached_session_at_every_worker() {
    let stub = changing_service(CalloutResponse::text(500, "{}"));
    let keys =
        write_back(json!({"cache": {"ttl": "1h"}, "rest_sessions": {"cluster": "rest-sessions", "breaker": "off"}}));
    let mesh = Setup::new(keys).sessions(stub.address()).workers(2).start();
    let token = token::fresh();
    let request = Request::get("/").session(&token);
    for _ in 0..CONNECTIONS {
        mesh.passes(&request);
    }
    let before = stub.calls().len();
    mesh.upstream.respond_with(|_| setting(&json!({"a": 1})));
    mesh.passes(&request);
    mesh.upstream.respond_with(|_| UpstreamResponse::default());
    mesh.passes(&request);
    assert_eq!(stub.calls().len(), before + 2, "one change and one lookup were expected");
}

#[test]
fn a_response_passes_when_redis_stops_before_its_change() {
    let mut sessions = RestSessions::over_redis();
    let mesh = Setup::new(write_back(json!({"cache": {"ttl": "1h"}}))).sessions(sessions.address()).start();
    let token = sessions.create("user1", &json!({"a": 0}));
    let request = Request::get("/").session(&token);
    mesh.passes(&request);
    sessions.redis.as_mut().expect("this service uses Redis").stop();
    mesh.upstream.respond_with(|_| setting(&json!({"a": 1})));
    let response = mesh.send(&request);
    assert_eq!((response.status, response.text().as_str()), (200, "from the upstream\n"));
    assert_eq!(mesh.counter("write_back_failures_total"), 1);
    // The data of the session is unknown, so the cached session is not served.
    mesh.denies(&request, 503, "sessions_unavailable");
}

#[test]
fn a_change_above_max_in_flight_fails_immediately() {
    let latch = Latch::default();
    let held = latch.clone();
    let stub = Stub::start(move |call: &Call| match call.token().starts_with("Held") {
        true => CalloutResponse::After(held.clone(), Box::new(CalloutResponse::session())),
        false => CalloutResponse::session(),
    });
    let keys = json!({
        "cache": {"ttl": "1h"},
        "write_back": {"on_failure": "deny"},
        "rest_sessions": {"cluster": "rest-sessions", "timeout": "10s", "max_in_flight": 1},
    });
    let mesh = start(&stub, keys);
    mesh.upstream.respond_with(|_| UpstreamResponse::default());
    let known = Request::get("/").session(&token::fresh());
    mesh.passes(&known);
    let pending = mesh.begin(&Request::get("/").session(&format!("Held{}", &token::fresh()[4..])));
    stub.wait_for_calls(2);
    mesh.upstream.respond_with(|_| setting(&json!({"a": 1})));
    let response = mesh.send(&known);
    assert_denied(&known, &response, 503, "sessions_busy");
    latch.open();
    drop(pending);
}

#[test]
fn a_large_held_response_is_not_buffered() {
    const PIECES: usize = 512;
    let latch = Latch::default();
    let stub = changing_service(CalloutResponse::After(latch.clone(), Box::new(changed())));
    let mut keys = write_back(json!({}));
    keys["rest_sessions"]["timeout"] = "15s".into();
    let small_buffer = Listener { buffer_limit: Some(65_536), ..Listener::new("main", keys) };
    let mesh = Setup::default().listener(small_buffer).sessions(stub.address()).start();
    let response = setting(&json!({"a": 1})).stream(PIECES);
    let sent = response.clone();
    mesh.upstream.respond_with(move |_| response.clone());
    let mut connection = mesh.begin(&Request::get("/").session(&token::fresh()));
    stub.wait_for_calls(2);
    // The buffers of both sockets, Envoy and the upstream's library take a part of the 32 MiB.
    let mut last = usize::MAX;
    wait::until("the upstream to be blocked", || {
        let now = sent.sent();
        std::thread::sleep(Duration::from_millis(200));
        (std::mem::replace(&mut last, now) == now && now > 0).then_some(())
    });
    assert!(
        sent.sent() < PIECES * 65_536 / 2,
        "{} bytes were read from the upstream before the session was changed",
        sent.sent()
    );
    latch.open();
    let response = connection.read(false);
    assert_eq!((response.status, response.body.len()), (200, PIECES * 65_536));
}

#[test]
fn a_websocket_upgrade_can_change_its_session() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(write_back(json!({"default": {"session": "required", "recheck": "1s"}})))
        .sessions(sessions.address())
        .start();
    let token = sessions.create("user1", &Value::Null);
    mesh.upstream.respond_with(|_| setting(&json!({"open": true})));
    let mut connection = mesh.begin(&Request::upgrade("/ws").session(&token));
    let response = connection.read(false);
    assert_eq!((response.status, response.values(SET)), (101, vec![]));
    assert_eq!(stored(&sessions, &token), json!({"open": true}));
    connection.write(b"hello");
    assert_eq!(connection.read_exact(5), b"hello");
    sessions.kill(&token);
    assert!(connection.is_closed_by_peer());
}

#[test]
fn a_grpc_response_with_a_session_change_keeps_its_trailers() {
    let sessions = RestSessions::over_redis();
    let keys = Listener { route_to: "upstream-h2", ..Listener::new("main", write_back(json!({}))) };
    let mesh = Setup::default().listener(keys).sessions(sessions.address()).start();
    let token = sessions.create("user1", &Value::Null);
    mesh.upstream
        .respond_with(|_| setting(&json!({"a": 1})).header("grpc-encoding", "identity").trailer("grpc-status", "0"));
    let call = Request::new("POST", "/shop.Cart/Add")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .session(&token)
        .body("a message");
    let response = mesh.send_h2(&call);
    assert_eq!((response.status, response.text().as_str()), (200, "from the upstream\n"));
    assert_eq!(response.trailers, [("grpc-status".to_owned(), b"0".to_vec())]);
    assert_eq!(stored(&sessions, &token), json!({"a": 1}));
}

#[test]
fn a_response_without_a_body_is_held_and_passes() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(write_back(json!({}))).sessions(sessions.address()).start();
    let token = sessions.create("user1", &Value::Null);
    for status in [204, 304, 302, 500] {
        mesh.upstream.respond_with(move |_| setting(&json!({"status": status})).status(status).without_body());
        assert_eq!(mesh.send(&Request::get("/").session(&token)).status, status);
        assert_eq!(stored(&sessions, &token), json!({"status": status}));
    }
}
