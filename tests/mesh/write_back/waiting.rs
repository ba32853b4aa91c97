//! Responses that wait for rest-sessions, and what becomes of them when it fails.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use test_support::http1::Request;
use test_support::token;
use test_support::wait;

use super::{CONNECTIONS, KILL, SET, setting, stored, writing};
use crate::harness::envoy::Listener;
use crate::harness::mesh::{Mesh, Setup, assert_denied};
use crate::harness::sessions::RestSessions;
use crate::harness::stub::{Answer, Call, Latch, Stub};
use crate::harness::upstream::Reply;

/// Knows every token, and answers changes like this.
fn answering(change: Answer) -> Stub {
    Stub::start(move |call: &Call| if call.method == "GET" { Answer::session() } else { change.clone() })
}

fn start(stub: &Stub, keys: Value) -> Mesh {
    let mesh = Setup::new(writing(keys)).sessions(stub.address()).start();
    mesh.upstream.answers(|_| setting(&json!({"a": 1})));
    mesh
}

fn changed() -> Answer {
    Answer::json(200, &json!({"id": "user123", "ttl": 7200, "d": {"a": 1}}))
}

#[test]
fn the_response_waits_until_the_session_is_changed() {
    let latch = Latch::default();
    let stub = answering(Answer::After(latch.clone(), Box::new(changed())));
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
fn whatever_rest_sessions_does_the_response_goes_through_in_time_or_is_replaced() {
    let failures = [
        ("an error", Answer::text(500, "{}")),
        ("a reset", Answer::ResetBeforeHeaders),
        ("half an answer", Answer::EndMidBody),
        ("nonsense", Answer::text(200, "<html>")),
        ("another shape", Answer::text(200, r#"{"id":"u"}"#)),
        ("no answer", Answer::Silence),
        ("an endless answer", Answer::Drip),
    ];
    for (what, answer) in failures {
        println!("{what}");
        let stub = answering(answer);
        for (on_failure, status) in [("pass", 200), ("deny", 503)] {
            let keys = json!({
                "write_back": {"on_failure": on_failure},
                "rest_sessions": {"cluster": "rest-sessions", "timeout": "700ms", "breaker": "off"},
                "logout": {"path": "/logout"},
            });
            let mesh = start(&stub, keys);
            for reply in [setting(&json!({"a": 1})), Reply::default().header(KILL, "1")] {
                mesh.upstream.answers(move |_| reply.clone());
                for (method, h2) in [("GET", false), ("GET", true), ("HEAD", false)] {
                    let request = Request::new(method, "/").session(&token::fresh());
                    let began = Instant::now();
                    let response = if h2 { mesh.send_h2(&request) } else { mesh.send(&request) };
                    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
                    assert_eq!(response.status, status, "{method} {}", response.text());
                    assert_eq!(response.values("set-cookie"), Vec::<String>::new(), "the session may live");
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
fn after_a_failure_the_session_is_asked_for_anew_by_every_worker() {
    let stub = answering(Answer::text(500, "{}"));
    let keys =
        writing(json!({"cache": {"ttl": "1h"}, "rest_sessions": {"cluster": "rest-sessions", "breaker": "off"}}));
    let mesh = Setup::new(keys).sessions(stub.address()).workers(2).start();
    let token = token::fresh();
    let request = Request::get("/").session(&token);
    for _ in 0..CONNECTIONS {
        mesh.passes(&request);
    }
    let before = stub.calls().len();
    mesh.upstream.answers(|_| setting(&json!({"a": 1})));
    mesh.passes(&request);
    mesh.upstream.answers(|_| Reply::default());
    mesh.passes(&request);
    assert_eq!(stub.calls().len(), before + 2, "a change and a lookup");
}

#[test]
fn redis_that_goes_away_loses_no_response() {
    let mut sessions = RestSessions::over_redis();
    let mesh = Setup::new(writing(json!({"cache": {"ttl": "1h"}}))).sessions(sessions.address()).start();
    let token = sessions.create("user1", &json!({"a": 0}));
    let request = Request::get("/").session(&token);
    mesh.passes(&request);
    sessions.redis.as_mut().expect("this service stands on Redis").stop();
    mesh.upstream.answers(|_| setting(&json!({"a": 1})));
    let response = mesh.send(&request);
    assert_eq!((response.status, response.text().as_str()), (200, "from the upstream\n"));
    assert_eq!(mesh.counter("write_back_failures_total"), 1);
    // Nobody knows what the session holds now, so nothing that was known of it is served.
    mesh.denies(&request, 503, "sessions_unavailable");
}

#[test]
fn busy_calls_fail_the_change_at_once() {
    let latch = Latch::default();
    let held = latch.clone();
    let stub = Stub::start(move |call: &Call| match call.token().starts_with("Held") {
        true => Answer::After(held.clone(), Box::new(Answer::session())),
        false => Answer::session(),
    });
    let keys = json!({
        "cache": {"ttl": "1h"},
        "write_back": {"on_failure": "deny"},
        "rest_sessions": {"cluster": "rest-sessions", "timeout": "10s", "max_in_flight": 1},
    });
    let mesh = start(&stub, keys);
    mesh.upstream.answers(|_| Reply::default());
    let known = Request::get("/").session(&token::fresh());
    mesh.passes(&known);
    let waits = mesh.begin(&Request::get("/").session(&format!("Held{}", &token::fresh()[4..])));
    stub.wait_for_calls(2);
    mesh.upstream.answers(|_| setting(&json!({"a": 1})));
    let response = mesh.send(&known);
    assert_denied(&known, &response, 503, "sessions_busy");
    latch.open();
    drop(waits);
}

#[test]
fn a_large_response_is_not_buffered_while_it_waits() {
    const PIECES: usize = 512;
    let latch = Latch::default();
    let stub = answering(Answer::After(latch.clone(), Box::new(changed())));
    let mut keys = writing(json!({}));
    keys["rest_sessions"]["timeout"] = "15s".into();
    let small_buffer = Listener { buffer_limit: Some(65_536), ..Listener::new("main", keys) };
    let mesh = Setup::default().listener(small_buffer).sessions(stub.address()).start();
    let reply = setting(&json!({"a": 1})).stream(PIECES);
    let sent = reply.clone();
    mesh.upstream.answers(move |_| reply.clone());
    let mut connection = mesh.begin(&Request::get("/").session(&token::fresh()));
    stub.wait_for_calls(2);
    // What the buffers of both sockets, Envoy and the upstream's library take; far from all 32 MiB.
    let mut last = usize::MAX;
    wait::until("the upstream to be held up", || {
        let now = sent.sent();
        std::thread::sleep(Duration::from_millis(200));
        (std::mem::replace(&mut last, now) == now && now > 0).then_some(())
    });
    assert!(sent.sent() < PIECES * 65_536 / 2, "{} bytes were taken before the session was changed", sent.sent());
    latch.open();
    let response = connection.read(false);
    assert_eq!((response.status, response.body.len()), (200, PIECES * 65_536));
}

#[test]
fn websocket_may_change_its_session_when_it_opens() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(writing(json!({"default": {"session": "required", "recheck": "1s"}})))
        .sessions(sessions.address())
        .start();
    let token = sessions.create("user1", &Value::Null);
    mesh.upstream.answers(|_| setting(&json!({"open": true})));
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
fn grpc_response_keeps_its_trailers_and_its_session_changes() {
    let sessions = RestSessions::over_redis();
    let keys = Listener { upstream_h2: true, ..Listener::new("main", writing(json!({}))) };
    let mesh = Setup::default().listener(keys).sessions(sessions.address()).start();
    let token = sessions.create("user1", &Value::Null);
    mesh.upstream
        .answers(|_| setting(&json!({"a": 1})).header("grpc-encoding", "identity").trailer("grpc-status", "0"));
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
fn response_without_a_body_waits_and_goes_on_as_well() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(writing(json!({}))).sessions(sessions.address()).start();
    let token = sessions.create("user1", &Value::Null);
    for status in [204, 304, 302, 500] {
        mesh.upstream.answers(move |_| setting(&json!({"status": status})).status(status).without_body());
        assert_eq!(mesh.send(&Request::get("/").session(&token)).status, status);
        assert_eq!(stored(&sessions, &token), json!({"status": status}));
    }
}
