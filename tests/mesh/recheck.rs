//! Recheck: open streams are looked up again, and closed once their session would no longer be allowed.

use std::thread;

use serde_json::{Value, json};

use crate::harness::http2;
use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::sessions::{APP, RestSessions};
use crate::harness::stub::session;
use crate::setup::{Service, extended};
use test_support::http1::{Connection, Request};
use test_support::token;
use test_support::wait;

fn rechecked(keys: Value) -> Value {
    plugin(json!({"default": extended(json!({"session": "required", "recheck": "1s"}), keys)}))
}

fn open(mesh: &Mesh, request: &Request) -> Connection {
    let mut connection = mesh.begin(request);
    assert_eq!(connection.read(false).status, 101, "{request}");
    assert_open(&mut connection);
    connection
}

#[track_caller]
fn assert_open(connection: &mut Connection) {
    connection.write(b"ping");
    assert_eq!(connection.read_exact(4), b"ping");
}

#[test]
fn a_websocket_is_closed_when_its_session_is_gone_and_others_stay_open() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(rechecked(json!({}))).sessions(sessions.address()).start();
    let [mine, other] = ["user1", "user2"].map(|user| sessions.create(user, &json!(null)));
    let mut closes = open(&mesh, &Request::upgrade("/ws").session(&mine));
    let mut stays = open(&mesh, &Request::upgrade("/ws").session(&other));
    sessions.kill(&mine);
    assert!(closes.is_closed_by_peer());
    assert_open(&mut stays);
    mesh.expect_outcomes(&[("allowed_total", 2)]);
    assert_eq!(mesh.counter("recheck_closed_total"), 1);
}

#[test]
fn a_websocket_is_closed_when_a_requirement_fails() {
    let sessions = RestSessions::over_redis();
    let keys = rechecked(json!({"require": [{"field": "d.role", "equals": "admin"}]}));
    let mesh = Setup::new(keys).sessions(sessions.address()).start();
    let token = sessions.create("user1", &json!({"role": "admin"}));
    let mut connection = open(&mesh, &Request::upgrade("/ws").session(&token));
    let set = sessions.call("POST", &format!("/{APP}/set/{token}"), r#"{"role":"member"}"#);
    assert_eq!(set.status, 200);
    assert!(connection.is_closed_by_peer());
    assert_eq!(mesh.counter("recheck_closed_total"), 1);
}

#[test]
fn websockets_are_closed_after_a_logout_of_their_session() {
    let sessions = RestSessions::over_redis();
    let mut keys = rechecked(json!({}));
    keys["logout"] = json!({"path": "/logout"});
    keys["cache"] = json!({"ttl": "1h"});
    let mesh = Setup::new(keys).sessions(sessions.address()).workers(2).start();
    let token = sessions.create("user1", &json!(null));
    let mut sockets: Vec<Connection> = (0..8).map(|_| open(&mesh, &Request::upgrade("/ws").session(&token))).collect();
    assert_eq!(mesh.send(&Request::new("POST", "/logout").session(&token)).status, 204);
    for socket in &mut sockets {
        assert!(socket.is_closed_by_peer());
    }
    assert_eq!(mesh.counter("recheck_closed_total"), 8);
}

#[test]
fn an_upload_is_reset_when_its_session_is_gone() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(rechecked(json!({}))).sessions(sessions.address()).start();
    let token = sessions.create("user1", &json!(null));
    let upload = Request::new("POST", "/upload").session(&token).header("content-length", "1000000");
    let mut connection = mesh.begin(&upload);
    connection.write(b"the first bytes");
    wait::until_equal("the upload to pass", &1, || mesh.counter("allowed_total"));
    sessions.kill(&token);
    assert!(connection.is_closed_by_peer());
    assert_eq!(mesh.counter("recheck_closed_total"), 1);
}

#[test]
fn an_open_stream_stays_open_while_lookups_fail_and_is_closed_once_its_session_is_found_gone() {
    let service = Service::default();
    let stub = service.start(session());
    let mesh = Setup::new(rechecked(json!({}))).sessions(stub.address()).start();
    let token = token::fresh();
    let mut connection = open(&mesh, &Request::upgrade("/ws").session(&token));
    service.fail(true);
    wait::until("two lookups to fail", || (mesh.counter("call_failures_status_total") >= 2).then_some(()));
    assert_open(&mut connection);
    service.end(&token);
    service.fail(false);
    assert!(connection.is_closed_by_peer());
}

#[test]
fn closing_a_websocket_over_http_2_keeps_its_connection() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(rechecked(json!({}))).sessions(sessions.address()).start();
    let token = sessions.create("user1", &json!(null));
    let request = Request::get("/ws").session(&token).body("hello");
    mesh.count_one();
    let ended = std::thread::scope(|scope| {
        let open = scope.spawn(|| http2::hold_websocket(mesh.address(), &request));
        wait::until_equal("the WebSocket to be open", &1, || mesh.counter("allowed_total"));
        sessions.kill(&token);
        open.join().expect("the WebSocket ends")
    });
    assert!(ended, "the stream was expected to end, and its connection to serve another one");
    assert_eq!(mesh.counter("recheck_closed_total"), 1);
}

#[test]
fn websockets_whose_sessions_end_together_are_all_closed_whatever_their_number() {
    const OPEN: usize = 1_500;
    let service = Service::default();
    let stub = service.start(session());
    let mesh = Setup::new(rechecked(json!({}))).sessions(stub.address()).workers(2).start();
    let tokens: Vec<String> = (0..OPEN).map(|_| token::fresh()).collect();
    // By several threads, so that none is silent for so long that Envoy or the upstream closes it.
    let mut sockets: Vec<Connection> = thread::scope(|scope| {
        let open_all = |tokens: &[String]| -> Vec<Connection> {
            tokens.iter().map(|token| open(&mesh, &Request::upgrade("/ws").session(token))).collect()
        };
        let parts: Vec<_> = tokens.chunks(OPEN.div_ceil(16)).map(|part| scope.spawn(move || open_all(part))).collect();
        parts.into_iter().flat_map(|part| part.join().expect("the WebSockets open")).collect()
    });
    tokens.iter().for_each(|token| service.end(token));
    for socket in &mut sockets {
        assert!(socket.is_closed_by_peer());
    }
    mesh.expect_outcomes(&[("allowed_total", OPEN as u64)]);
    assert_eq!(mesh.counter("recheck_closed_total"), OPEN as u64);
}

#[test]
fn a_finished_request_is_not_rechecked() {
    let service = Service::default();
    let stub = service.start(session());
    let mesh = Setup::new(rechecked(json!({}))).sessions(stub.address()).start();
    let (short, long) = (token::fresh(), token::fresh());
    mesh.passes(&Request::get("/").session(&short));
    drop(open(&mesh, &Request::upgrade("/ws").session(&short)));
    // Until Envoy knows that it is closed, it may be rechecked.
    let active = "http.main.downstream_rq_active";
    wait::until_equal("the requests under way", &Some(0), || mesh.envoy.stats(active).get(active).copied());
    let before = stub.calls_for(&short).len();
    assert!(before >= 2, "one lookup for each of its requests");
    let mut connection = open(&mesh, &Request::upgrade("/ws").session(&long));
    wait::until("two rechecks of the open WebSocket", || (stub.calls_for(&long).len() >= 3).then_some(()));
    assert_open(&mut connection);
    assert_eq!(stub.calls_for(&short).len(), before, "no recheck of a stream that has ended was expected");
    assert_eq!(mesh.counter("recheck_closed_total"), 0);
}
