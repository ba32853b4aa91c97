//! Streams beyond one request and one response: held uploads, WebSockets, keep-alive connections, several workers.

use std::time::Duration;

use serde_json::json;

use crate::harness::envoy::Listener;
use crate::harness::http2;
use crate::harness::mesh::{Setup, assert_denied, plugin};
use crate::harness::sessions::RestSessions;
use crate::harness::stub::{CalloutResponse, Stub};
use crate::setup::{held_service, long_timeout};
use test_support::http1::{Connection, Request};
use test_support::token;

#[test]
fn an_upload_of_8_mib_is_held_until_its_session_is_known_and_arrives_complete() {
    let (latch, stub) = held_service(|_| CalloutResponse::session());
    let configuration = long_timeout(json!({}));
    let small_buffer = Listener { buffer_limit: Some(65_536), ..Listener::new("main", configuration) };
    let mesh = Setup::default().listener(small_buffer).sessions(stub.address()).start();
    // The bytes do not repeat at any buffer size, so that a lost or duplicated chunk is detected.
    let upload: Vec<u8> = (0..8_u32 << 20).map(|position| (position.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let request = Request::new("POST", "/upload").session(&token::fresh()).body(upload.clone());
    let received = std::thread::scope(|scope| {
        let sending = scope.spawn(|| mesh.passes(&request));
        stub.wait_for_calls(1);
        assert_eq!(mesh.upstream.count(), 0, "the upstream was reached before the session was known");
        latch.open();
        sending.join().expect("the upload has a response")
    });
    assert_eq!(received.header("x-session-user").as_deref(), Some("user123"));
    assert_eq!(received.body.len(), upload.len());
    assert!(received.body == upload, "the upload arrived with other bytes than were sent");
}

#[test]
fn a_websocket_opens_with_a_session_and_is_denied_without_one() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(plugin(json!({
        "token_from": [{"cookie": "session-cookie"}, {"query": "token"}],
    })))
    .sessions(sessions.address())
    .start();
    let token = sessions.create("user123", &json!({"name": "Peter"}));
    for request in [Request::upgrade("/ws").session(&token), Request::upgrade(&format!("/ws?token={token}"))] {
        let mut connection = mesh.begin(&request);
        let response = connection.read(false);
        assert_eq!(response.status, 101, "{response:?}");
        assert_eq!(mesh.upstream_request(&request, &response).header("x-session-user").as_deref(), Some("user123"));
        for message in [&b"\x81\x05hello"[..], b"\x00\xff", b"bye"] {
            connection.write(message);
            assert_eq!(connection.read_exact(message.len()), message);
        }
    }
    mesh.denies(&Request::upgrade("/ws"), 401, "session_required");
    mesh.denies(&Request::upgrade("/ws").session(&token::fresh()), 401, "session_required");
    mesh.expect_outcomes(&[("allowed_total", 2), ("denied_no_session_total", 2)]);
}

/// Browsers set no header of a WebSocket but this one, by the second argument of `WebSocket`.
#[test]
fn a_token_among_the_subprotocols_is_removed_and_the_others_stay_where_it_has_a_prefix() {
    let stub = Stub::with_active_session();
    let token = token::fresh();
    for (source, offered, left) in [
        (
            json!({"header": "sec-websocket-protocol", "prefix": "session."}),
            format!("chat, session.{token}"),
            Some("chat"),
        ),
        (
            json!({"header": "sec-websocket-protocol", "prefix": "session."}),
            format!("session.{token},chat"),
            Some("chat"),
        ),
        // Without a prefix every value belongs to the source.
        (json!({"header": "sec-websocket-protocol"}), format!("chat, {token}"), None),
    ] {
        let mesh = Setup::new(plugin(json!({"token_from": [source], "forward_token": false})))
            .sessions(stub.address())
            .start();
        let received = mesh.passes(&Request::upgrade("/ws").header("sec-websocket-protocol", offered));
        assert_eq!(received.header("x-session-user").as_deref(), Some("user123"));
        assert_eq!(received.header("sec-websocket-protocol").as_deref(), left);
        assert!(!received.mentions(&token));
    }
}

#[test]
fn a_websocket_opens_only_for_its_own_and_listed_origins() {
    let sessions = RestSessions::in_memory();
    let mesh = Setup::new(plugin(json!({
        "default": {"session": "required", "origins": ["https://app.example.org"]},
    })))
    .sessions(sessions.address())
    .start();
    let token = sessions.create("user1", &json!(null));
    let from = |origin: &str| Request::upgrade("/ws").session(&token).header("origin", origin);
    for request in [
        from("https://app.example.org"),
        from("http://shop.example.com"),
        from("http://SHOP.example.com:80"),
        // Without an origin: the client is no page.
        Request::upgrade("/ws").session(&token),
    ] {
        let mut connection = mesh.begin(&request);
        assert_eq!(connection.read(false).status, 101, "{request}");
        connection.write(b"hello");
        assert_eq!(connection.read_exact(5), b"hello");
    }
    for request in [
        from("https://evil.example.org"),
        from("https://shop.example.com.evil.org"),
        from("http://app.example.org"),
        from("https://app.example.org:8443"),
        from("null"),
        from(""),
        from("https://app.example.org").header("origin", "https://evil.example.org"),
    ] {
        mesh.denies(&request, 403, "bad_origin");
    }
    mesh.expect_outcomes(&[("allowed_total", 4), ("denied_origin_total", 7)]);
}

#[test]
fn a_websocket_over_http_2_is_decided_like_one_over_http_1() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({
        "token_from": [{"cookie": "session-cookie"}, {"query": "token"}],
        "default": {"session": "required", "origins": []},
    })))
    .sessions(stub.address())
    .start();
    let token = token::fresh();
    let websocket = |target: &str| Request::get(target).body("hello");
    let send = |request: &Request| {
        mesh.count_one();
        http2::open_websocket(mesh.address(), request)
    };
    for request in [websocket("/ws").session(&token), websocket(&format!("/ws?token={token}"))] {
        let response = send(&request);
        assert_eq!((response.status, response.text().as_str()), (200, "hello"), "{response:?}");
        assert_eq!(mesh.upstream_request(&request, &response).header("x-session-user").as_deref(), Some("user123"));
    }
    let without = websocket("/ws");
    assert_denied(&without, &send(&without), 401, "session_required");
    let foreign = websocket("/ws").session(&token).header("origin", "https://evil.example.org");
    assert_denied(&foreign, &send(&foreign), 403, "bad_origin");
}

#[test]
fn each_request_of_a_keep_alive_connection_is_decided_separately() {
    let stub = Stub::start(|call| CalloutResponse::json(200, &json!({"id": call.token(), "ttl": 7200})));
    let mesh = Setup::new(plugin(json!({}))).sessions(stub.address()).start();
    let mut connection = Connection::open(mesh.address());
    for _ in 0..3 {
        let token = token::fresh();
        for request in [Request::get("/").session(&token), Request::get("/")] {
            mesh.count_one();
            connection = connection.send(&request);
            let response = connection.read(false);
            if request.headers.is_empty() {
                assert_denied(&request, &response, 401, "session_required");
            } else {
                assert_eq!(mesh.upstream_request(&request, &response).header("x-session-user").as_ref(), Some(&token));
            }
        }
    }
}

#[test]
fn hundreds_of_pending_requests_are_denied_when_their_calls_fail_together() {
    const PENDING: usize = 200;
    let (latch, stub) = held_service(|_| CalloutResponse::ResetBeforeHeaders);
    let mut keys = long_timeout(json!({}));
    keys["rest_sessions"]["retries"] = 0.into();
    let mesh = Setup::new(keys).sessions(stub.address()).start();
    let requests: Vec<Request> = (0..PENDING).map(|_| Request::get("/").session(&token::fresh())).collect();
    let mut pending: Vec<Connection> = requests.iter().map(|request| mesh.begin(request)).collect();
    stub.wait_for_calls(PENDING);
    latch.open();
    for (request, connection) in requests.iter().zip(&mut pending) {
        assert_denied(request, &connection.read(false), 503, "sessions_unavailable");
    }
    mesh.expect_outcomes(&[("denied_unavailable_total", PENDING as u64)]);
}

#[test]
fn a_request_is_held_until_its_call_has_a_response() {
    let (latch, stub) = held_service(|_| CalloutResponse::session());
    let mesh = Setup::new(long_timeout(json!({}))).sessions(stub.address()).start();
    let mut connection = mesh.begin(&Request::get("/").session(&token::fresh()));
    stub.wait_for_calls(1);
    assert!(connection.is_silent_for(Duration::from_millis(50)));
    assert_eq!(mesh.upstream.count(), 0);
    latch.open();
    assert_eq!(connection.read(false).status, 200);
}

#[test]
fn several_workers_decide_alike_and_share_their_counters() {
    const CLIENTS: u64 = 8;
    const ROUNDS: u64 = 10;
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(plugin(json!({}))).sessions(sessions.address()).workers(2).start();
    let tokens: Vec<String> =
        (0..CLIENTS).map(|client| sessions.create(&format!("user{client}"), &json!(null))).collect();
    std::thread::scope(|scope| {
        for (client, token) in tokens.iter().enumerate() {
            let mesh = &mesh;
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    mesh.denies(&Request::get("/"), 401, "session_required");
                    let received = mesh.passes(&Request::get("/").session(token));
                    assert_eq!(received.header("x-session-user"), Some(format!("user{client}")));
                }
            });
        }
    });
    mesh.expect_outcomes(&[("allowed_total", CLIENTS * ROUNDS), ("denied_no_session_total", CLIENTS * ROUNDS)]);
}
