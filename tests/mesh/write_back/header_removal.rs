//! Removal of the change headers: none reaches a client on any route, and a client's own have no effect.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::{Value, json};

use super::{KILL, SET, stored, write_back};
use crate::harness::envoy::Listener;
use crate::harness::http2;
use crate::harness::mesh::{Setup, plugin};
use crate::harness::sessions::RestSessions;
use crate::harness::stub::Stub;
use crate::harness::upstream::UpstreamResponse;
use test_support::http1::{Request, Response};
use test_support::token;
use test_support::wait;

const SPELLINGS: [&str; 6] =
    ["x-session-set", "x-session-kill", "X-Session-Set", "x_session_kill", "x-session.set", "x-session_kill"];

/// A configuration with every kind of route.
fn routes() -> Value {
    write_back(json!({
        "rules": [
            {"match": {"paths": ["/off"]}, "session": "off"},
            {"match": {"paths": ["/optional"]}, "session": "optional"},
            {"match": {"paths": ["/no-write-back"]}, "session": "required", "write_back": false},
            {"match": {"paths": ["/shadow"]}, "session": "required", "shadow": true},
            {"match": {"paths": ["/open"]}, "session": "required", "failure_mode": "allow", "rest_sessions": {"cluster": "nowhere"}},
            {"match": {"paths": ["/app"]}, "session": "required", "origins": ["https://app.example.com"]},
        ],
    }))
}

/// A response with both headers in every spelling, in headers and trailers. Their values are invalid, so that no session
/// changes.
fn response_with_change_headers() -> UpstreamResponse {
    let response = SPELLINGS.iter().fold(UpstreamResponse::default(), |response, name| response.header(name, "junk"));
    // An HTTP/1 server announces its trailers.
    response
        .header("trailer", "x-session-kill, x_session_set, x-sum")
        .header("x-session-other", "stays")
        .trailer("x-session-kill", "1")
        .trailer("x_session_set", "{}")
        .trailer("x-sum", "1")
}

#[track_caller]
fn assert_removed(request: &Request, response: &Response) {
    let is_change_header = |name: &str| {
        let plain: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        ["x-session-set", "x-session-kill"].contains(&plain.as_str())
    };
    let lines = response.headers.iter().chain(&response.trailers);
    let found: Vec<_> = lines.filter(|(name, _)| is_change_header(name)).collect();
    assert!(found.is_empty(), "the client received {found:?}\n{request}");
    assert_eq!(response.header("x-session-other").as_deref(), Some("stays"), "another header was removed\n{request}");
}

fn requests(token: &str) -> Vec<Request> {
    let mut requests: Vec<Request> = ["/", "/off", "/optional", "/no-write-back", "/shadow", "/open", "/app"]
        .iter()
        .map(|path| Request::get(path).session(token).header("te", "trailers"))
        .collect();
    requests.extend(["/off", "/optional", "/shadow"].map(|path| Request::get(path).header("te", "trailers")));
    requests.push(
        Request::new("OPTIONS", "/app")
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", "PUT"),
    );
    requests.push(Request::new("HEAD", "/").session(token));
    requests
}

#[test]
fn change_headers_are_removed_from_responses_in_every_spelling_on_every_route() {
    let stub = Stub::with_active_session();
    let h1 = Listener::new("h1", routes());
    let h2 = Listener { route_to: "upstream-h2", ..Listener::new("h2", routes()) };
    let mesh = Setup::default().listener(h1).listener(h2).sessions(stub.address()).start();
    mesh.upstream.respond_with(|_| response_with_change_headers());
    for request in requests(&token::fresh()) {
        for listener in ["h1", "h2"] {
            assert_removed(&request, &mesh.send_at(listener, &request));
            mesh.count_one();
            let response = http2::send(mesh.envoy.address(listener), &request);
            assert_removed(&request, &response);
            if request.method == "GET" {
                assert_eq!(response.trailers, [("x-sum".to_owned(), b"1".to_vec())], "{listener} {request}");
            }
        }
    }
    assert_eq!(mesh.counter("write_backs_total"), 0);
    assert!(mesh.counter("write_back_dropped_total") > 0);
    assert!(stub.calls().iter().all(|call| call.method == "GET"));
}

/// Filters do not see informational responses. Envoy drops them by default.
#[test]
fn change_headers_in_informational_responses_never_reach_a_client() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    let upstream = listener.local_addr().expect("a listener has an address");
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("Envoy connects");
        let mut request = BufReader::new(stream.try_clone().expect("a second handle"));
        while request.read_line(&mut String::new()).expect("Envoy sends a request") > 2 {}
        for status in ["103 Early Hints", "102 Processing"] {
            let hint = format!("HTTP/1.1 {status}\r\nx-session-kill: 1\r\nx-session-set: {{\"a\":2}}\r\n\r\n");
            stream.write_all(hint.as_bytes()).expect("Envoy reads");
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nx-session-other: stays\r\ncontent-length: 2\r\n\r\nok")
            .expect("Envoy reads");
    });
    let sessions = RestSessions::in_memory();
    let mesh = Setup::new(write_back(json!({}))).sessions(sessions.address()).upstream(upstream).start();
    let token = sessions.create("user1", &json!({"a": 1}));
    let request = Request::get("/").session(&token);
    let response = mesh.send(&request);
    assert_removed(&request, &response);
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    assert_eq!(stored(&sessions, &token), json!({"a": 1}));
    serving.join().expect("the upstream has responded");
}

#[test]
fn change_headers_are_removed_from_websocket_upgrades() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(routes()).sessions(stub.address()).start();
    mesh.upstream.respond_with(|_| response_with_change_headers());
    let request = Request::upgrade("/").session(&token::fresh());
    let mut connection = mesh.begin(&request);
    let response = connection.read(false);
    assert_eq!(response.status, 101);
    assert_removed(&request, &response);
}

#[test]
fn change_headers_sent_by_a_client_have_no_effect_even_if_the_upstream_echoes_them() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(write_back(json!({}))).sessions(sessions.address()).start();
    mesh.upstream.respond_with(|request| {
        let echoed = request.headers.iter().chain(&request.trailers).filter(|(name, _)| name.starts_with('x'));
        echoed.fold(UpstreamResponse::default(), |response, (name, value)| response.header(name, value.clone()))
    });
    let token = sessions.create("user1", &json!({"a": 1}));
    for name in SPELLINGS {
        for value in ["1", r#"{"a":2}"#] {
            let request = Request::new("POST", "/").session(&token).body("x").header(name, value).trailer(name, value);
            let response = mesh.send(&request);
            assert_eq!(response.status, 200, "{request}");
        }
    }
    assert_eq!(stored(&sessions, &token), json!({"a": 1}));
    assert_eq!((mesh.counter("write_backs_total"), mesh.counter("write_back_dropped_total")), (0, 0));
}

#[test]
fn change_requests_without_permission_are_ignored() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(routes()).sessions(sessions.address()).start();
    mesh.upstream.respond_with(|request| match request.method.as_str() {
        "POST" => UpstreamResponse::default().header(KILL, "1"),
        _ => UpstreamResponse::default().header(SET, r#"{"a":2}"#).trailer("x-session-kill", "1"),
    });
    let token = sessions.create("user1", &json!({"a": 1}));
    let mut refused = 0;
    for path in ["/off", "/no-write-back", "/shadow", "/open"] {
        for method in ["GET", "POST"] {
            let response = mesh.send(&Request::new(method, path).session(&token));
            assert_eq!((response.status, response.values("set-cookie")), (200, vec![]), "{method} {path}");
            refused += 1;
        }
    }
    for request in [Request::get("/optional"), Request::get("/optional").session(&token::fresh())] {
        assert_eq!(mesh.send(&request).status, 200);
        refused += 1;
    }
    assert_eq!(stored(&sessions, &token), json!({"a": 1}));
    assert_eq!(mesh.counter("write_backs_total"), 0);
    // Trailers in half of the responses are counted separately.
    assert!(mesh.counter("write_back_dropped_total") >= refused);
}

#[test]
fn malformed_change_requests_are_ignored_and_logged_without_the_token() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(write_back(json!({"write_back": {"keys": ["a"]}}))).sessions(sessions.address()).start();
    let token = sessions.create("user1", &json!({"a": 1}));
    let changes: [(&str, &[u8], &str); 8] = [
        (SET, b"junk", "not_json"),
        (SET, b"{\"a\":1", "not_json"),
        (SET, b"{\"a\":\"\xff\"}", "not_json"),
        (SET, b"{\"a\":{}}", "nested"),
        (SET, b"{}", "empty"),
        (SET, b"{\"b\":1}", "key_not_allowed"),
        (KILL, b"0", "kill_is_not_1"),
        ("x_session_kill", b"1", "another_spelling"),
    ];
    for (name, value, _) in changes {
        mesh.upstream.respond_with(move |_| UpstreamResponse::default().header(name, value));
        let response = mesh.send(&Request::get("/").session(&token));
        assert_eq!((response.status, response.text().as_str()), (200, "from the upstream\n"));
    }
    assert_eq!(stored(&sessions, &token), json!({"a": 1}));
    assert_eq!(mesh.counter("write_back_dropped_total"), changes.len() as u64);
    wait::until("the reasons in the log", || {
        let log = mesh.envoy.log();
        changes
            .iter()
            .all(|(_, _, reason)| log.contains(&format!("event=write_back_dropped reason={reason}")))
            .then_some(())
    });
}

#[test]
fn without_write_back_responses_are_unchanged() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({}))).sessions(stub.address()).start();
    mesh.upstream.respond_with(|_| UpstreamResponse::default().header(SET, "{}").header(KILL, "1"));
    let response = mesh.send(&Request::get("/").session(&token::fresh()));
    assert_eq!((response.values(SET), response.values(KILL)), (vec!["{}".to_owned()], vec!["1".to_owned()]));
}
