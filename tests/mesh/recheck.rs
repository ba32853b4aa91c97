//! Streams that outlive their sessions: looked at again, and closed once nobody would let them in any more.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use test_support::http1::{Connection, Request};
use test_support::token;
use test_support::wait;

use crate::harness::http2;
use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::sessions::{APP, RestSessions};
use crate::harness::stub::{Answer, Call, Stub};

fn rechecked(keys: Value) -> Value {
    let mut rule = json!({"session": "required", "recheck": "1s"});
    rule.as_object_mut().expect("a rule is an object").extend(keys.as_object().expect("keys").clone());
    plugin(json!({"default": rule}))
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
fn websocket_is_closed_once_its_session_is_gone_and_no_other_is() {
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
fn websocket_is_closed_once_a_requirement_fails() {
    let sessions = RestSessions::over_redis();
    let keys = rechecked(json!({"require": [{"field": "d.role", "equals": "admin"}]}));
    let mesh = Setup::new(keys).sessions(sessions.address()).start();
    let token = sessions.create("user1", &json!({"role": "admin"}));
    let mut connection = open(&mesh, &Request::upgrade("/ws").session(&token));
    let set = Request::new("POST", &format!("/{APP}/set/{token}")).header("content-type", "application/json");
    assert_eq!(set.body(r#"{"role":"member"}"#).send_to(sessions.address()).status, 200);
    assert!(connection.is_closed_by_peer());
    assert_eq!(mesh.counter("recheck_closed_total"), 1);
}

#[test]
fn websocket_of_somebody_who_logs_out_elsewhere_is_closed() {
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
fn upload_that_goes_on_for_longer_than_its_session_is_cut_off() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(rechecked(json!({}))).sessions(sessions.address()).start();
    let token = sessions.create("user1", &json!(null));
    let upload = Request::new("POST", "/upload").session(&token).header("content-length", "1000000");
    let mut connection = mesh.begin(&upload);
    connection.write(b"the first bytes");
    wait::until_equal("the upload to be let through", &1, || mesh.counter("allowed_total"));
    sessions.kill(&token);
    assert!(connection.is_closed_by_peer());
    assert_eq!(mesh.counter("recheck_closed_total"), 1);
}

/// A session service that may be told to fail, and to forget.
#[derive(Clone, Default)]
struct Service {
    fails: Arc<AtomicBool>,
    gone: Arc<Mutex<HashSet<String>>>,
}

impl Service {
    fn start(&self) -> Stub {
        let this = self.clone();
        Stub::start(move |call: &Call| {
            if this.fails.load(Ordering::Relaxed) {
                Answer::text(503, "{}")
            } else if this.gone.lock().unwrap().contains(call.token()) {
                Answer::none()
            } else {
                Answer::session()
            }
        })
    }
}

#[test]
fn while_rest_sessions_is_away_what_is_open_stays_open_and_ends_once_it_is_back() {
    let service = Service::default();
    let stub = service.start();
    let mesh = Setup::new(rechecked(json!({}))).sessions(stub.address()).start();
    let token = token::fresh();
    let mut connection = open(&mesh, &Request::upgrade("/ws").session(&token));
    service.fails.store(true, Ordering::Relaxed);
    wait::until("two lookups to fail", || (mesh.counter("call_failures_status_total") >= 2).then_some(()));
    assert_open(&mut connection);
    service.gone.lock().unwrap().insert(token);
    service.fails.store(false, Ordering::Relaxed);
    assert!(connection.is_closed_by_peer());
}

#[test]
fn websocket_over_http_2_is_closed_and_its_connection_is_not() {
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
    assert!(ended, "the stream ends, and its connection serves another one");
    assert_eq!(mesh.counter("recheck_closed_total"), 1);
}

#[test]
fn hundreds_of_websockets_whose_sessions_end_at_once_are_all_closed() {
    const OPEN: usize = 300;
    let service = Service::default();
    let stub = service.start();
    let mesh = Setup::new(rechecked(json!({}))).sessions(stub.address()).workers(2).start();
    let tokens: Vec<String> = (0..OPEN).map(|_| token::fresh()).collect();
    let mut sockets: Vec<Connection> =
        tokens.iter().map(|token| open(&mesh, &Request::upgrade("/ws").session(token))).collect();
    service.gone.lock().unwrap().extend(tokens);
    for socket in &mut sockets {
        assert!(socket.is_closed_by_peer());
    }
    mesh.expect_outcomes(&[("allowed_total", OPEN as u64)]);
    assert_eq!(mesh.counter("recheck_closed_total"), OPEN as u64);
}

#[test]
fn request_that_is_over_is_not_asked_about_again() {
    let service = Service::default();
    let stub = service.start();
    let mesh = Setup::new(rechecked(json!({}))).sessions(stub.address()).start();
    let (short, long) = (token::fresh(), token::fresh());
    mesh.passes(&Request::get("/").session(&short));
    drop(open(&mesh, &Request::upgrade("/ws").session(&short)));
    let mut connection = open(&mesh, &Request::upgrade("/ws").session(&long));
    wait::until("the open one to be asked about twice", || (stub.calls_for(&long).len() >= 3).then_some(()));
    assert_open(&mut connection);
    assert_eq!(stub.calls_for(&short).len(), 2, "once for each of its requests");
    assert_eq!(mesh.counter("recheck_closed_total"), 0);
}
