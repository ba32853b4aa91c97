//! Neither header reaches a client, from whatever upstream and on whatever route; and no client's has an effect.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::{Value, json};
use test_support::http1::{Request, Response};
use test_support::token;
use test_support::wait;

use super::{KILL, SET, stored, writing};
use crate::harness::envoy::Listener;
use crate::harness::http2;
use crate::harness::mesh::{Setup, plugin};
use crate::harness::sessions::RestSessions;
use crate::harness::stub::Stub;
use crate::harness::upstream::Reply;

const SPELLINGS: [&str; 6] =
    ["x-session-set", "x-session-kill", "X-Session-Set", "x_session_kill", "x-session.set", "x-session_kill"];

fn routes(keys: Value) -> Value {
    let mut routes = writing(json!({
        "rules": [
            {"match": {"paths": ["/off"]}, "session": "off"},
            {"match": {"paths": ["/optional"]}, "session": "optional"},
            {"match": {"paths": ["/no-write-back"]}, "session": "required", "write_back": false},
            {"match": {"paths": ["/shadow"]}, "session": "required", "shadow": true},
            {"match": {"paths": ["/open"]}, "session": "required", "failure_mode": "allow", "rest_sessions": {"cluster": "nowhere"}},
            {"match": {"paths": ["/app"]}, "session": "required", "origins": ["https://app.example.com"]},
        ],
    }));
    routes.as_object_mut().expect("a plugin is an object").extend(keys.as_object().expect("keys").clone());
    routes
}

/// Replies with both headers in every spelling, in headers and in trailers, and with words that say nothing valid, so
/// that no session changes by accident.
fn talkative() -> Reply {
    let reply = SPELLINGS.iter().fold(Reply::default(), |reply, name| reply.header(name, "junk"));
    // A server of HTTP/1 says which trailers it will send.
    reply
        .header("trailer", "x-session-kill, x_session_set, x-sum")
        .header("x-session-other", "stays")
        .trailer("x-session-kill", "1")
        .trailer("x_session_set", "{}")
        .trailer("x-sum", "1")
}

#[track_caller]
fn assert_hidden(request: &Request, response: &Response) {
    let shown = |name: &str| {
        let plain: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        ["x-session-set", "x-session-kill"].contains(&plain.as_str())
    };
    let lines = response.headers.iter().chain(&response.trailers);
    let found: Vec<_> = lines.filter(|(name, _)| shown(name)).collect();
    assert!(found.is_empty(), "the client sees {found:?}\n{request}");
    assert_eq!(response.header("x-session-other").as_deref(), Some("stays"), "nothing else is taken out\n{request}");
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
fn no_client_sees_either_header_in_any_spelling_on_any_kind_of_route() {
    let stub = Stub::with_active_session();
    let h1 = Listener::new("h1", routes(json!({})));
    let h2 = Listener { upstream_h2: true, ..Listener::new("h2", routes(json!({}))) };
    let mesh = Setup::default().listener(h1).listener(h2).sessions(stub.address()).start();
    mesh.upstream.answers(|_| talkative());
    for request in requests(&token::fresh()) {
        for listener in ["h1", "h2"] {
            assert_hidden(&request, &mesh.send_at(listener, &request));
            mesh.count_one();
            let response = http2::send(mesh.envoy.address(listener), &request);
            assert_hidden(&request, &response);
            if request.method == "GET" {
                assert_eq!(response.trailers, [("x-sum".to_owned(), b"1".to_vec())], "{listener} {request}");
            }
        }
    }
    assert_eq!(mesh.counter("write_backs_total"), 0);
    assert!(mesh.counter("write_back_dropped_total") > 0);
    assert!(stub.calls().iter().all(|call| call.method == "GET"));
}

/// Informational responses are shown to no filter; Envoy lets none of them through unless it is told to.
#[test]
fn no_informational_response_of_an_upstream_brings_them_to_a_client() {
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
    let mesh = Setup::new(writing(json!({}))).sessions(sessions.address()).upstream(upstream).start();
    let token = sessions.create("user1", &json!({"a": 1}));
    let request = Request::get("/").session(&token);
    let response = mesh.send(&request);
    assert_hidden(&request, &response);
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    assert_eq!(stored(&sessions, &token), json!({"a": 1}));
    serving.join().expect("the upstream has answered");
}

#[test]
fn websocket_upgrade_hides_them_too() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(routes(json!({}))).sessions(stub.address()).start();
    mesh.upstream.answers(|_| talkative());
    let request = Request::upgrade("/").session(&token::fresh());
    let mut connection = mesh.begin(&request);
    let response = connection.read(false);
    assert_eq!(response.status, 101);
    assert_hidden(&request, &response);
}

#[test]
fn what_a_client_sends_has_no_effect_even_through_an_upstream_that_echoes_it() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(writing(json!({}))).sessions(sessions.address()).start();
    mesh.upstream.answers(|seen| {
        let echoed = seen.headers.iter().chain(&seen.trailers).filter(|(name, _)| name.starts_with('x'));
        echoed.fold(Reply::default(), |reply, (name, value)| reply.header(name, value.clone()))
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
fn who_may_not_change_the_session_does_not() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(routes(json!({}))).sessions(sessions.address()).start();
    mesh.upstream.answers(|seen| match seen.method.as_str() {
        "POST" => Reply::default().header(KILL, "1"),
        _ => Reply::default().header(SET, r#"{"a":2}"#).trailer("x-session-kill", "1"),
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
    // The trailers of half of them count by themselves.
    assert!(mesh.counter("write_back_dropped_total") >= refused);
}

#[test]
fn bad_words_are_dropped_and_logged_without_the_token_and_the_response_goes_through() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(writing(json!({"write_back": {"keys": ["a"]}}))).sessions(sessions.address()).start();
    let token = sessions.create("user1", &json!({"a": 1}));
    let words: [(&str, &[u8], &str); 8] = [
        (SET, b"junk", "not_json"),
        (SET, b"{\"a\":1", "not_json"),
        (SET, b"{\"a\":\"\xff\"}", "not_json"),
        (SET, b"{\"a\":{}}", "nested"),
        (SET, b"{}", "empty"),
        (SET, b"{\"b\":1}", "key_not_allowed"),
        (KILL, b"0", "kill_is_not_1"),
        ("x_session_kill", b"1", "another_spelling"),
    ];
    for (name, value, _) in words {
        mesh.upstream.answers(move |_| Reply::default().header(name, value));
        let response = mesh.send(&Request::get("/").session(&token));
        assert_eq!((response.status, response.text().as_str()), (200, "from the upstream\n"));
    }
    assert_eq!(stored(&sessions, &token), json!({"a": 1}));
    assert_eq!(mesh.counter("write_back_dropped_total"), words.len() as u64);
    wait::until("the reasons in the log", || {
        let log = mesh.envoy.log();
        words.iter().all(|(_, _, why)| log.contains(&format!("event=write_back_dropped reason={why}"))).then_some(())
    });
}

#[test]
fn without_write_back_responses_are_left_alone() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({}))).sessions(stub.address()).start();
    mesh.upstream.answers(|_| Reply::default().header(SET, "{}").header(KILL, "1"));
    let response = mesh.send(&Request::get("/").session(&token::fresh()));
    assert_eq!((response.values(SET), response.values(KILL)), (vec!["{}".to_owned()], vec!["1".to_owned()]));
}
