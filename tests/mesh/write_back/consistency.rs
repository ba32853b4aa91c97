//! Consistency: concurrent reads, changes and ends by two clients leave caches and rest-sessions consistent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::{KILL, cached, setting, stored, write_back};
use crate::harness::mesh::{Mesh, Setup};
use crate::harness::sessions::RestSessions;
use crate::harness::stub::{Call, CalloutResponse, Stub};
use crate::harness::upstream::UpstreamResponse;
use crate::setup::CONNECTIONS;
use test_support::http1::Request;

/// A pseudo-random generator (xorshift): the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Makes the upstream set a key at `/set/KEY/VALUE`, end the session at `/kill`, and change nothing elsewhere.
fn change_by_path(mesh: &Mesh) {
    mesh.upstream.respond_with(|request| {
        let parts: Vec<&str> = request.target.split('/').skip(1).collect();
        match parts.as_slice() {
            ["set", key, value] => setting(&json!({*key: value})),
            ["kill"] => UpstreamResponse::default().header(KILL, "1"),
            _ => UpstreamResponse::default(),
        }
    });
}

/// The session data that a request is annotated with; null without a session.
fn annotated(mesh: &Mesh, token: &str) -> Value {
    let request = Request::get("/").session(token);
    let response = mesh.send(&request);
    if response.status == 401 {
        return Value::Null;
    }
    let data = mesh.upstream_request(&request, &response).header("x-session-data").expect("the session's data");
    serde_json::from_str(&data).expect("JSON")
}

#[test]
fn concurrent_changes_of_two_clients_leave_caches_and_store_consistent() {
    const ROUNDS: u64 = 60;
    const STEPS: u64 = 25;
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(cached()).sessions(sessions.address()).workers(2).start();
    change_by_path(&mesh);
    for round in 0..ROUNDS {
        let token = sessions.create("user1", &json!({"round": round}));
        thread::scope(|scope| {
            for client in 0..2_u64 {
                let (mesh, token) = (&mesh, &token);
                scope.spawn(move || {
                    let mut random = Random(round * 2 + client + 1);
                    // The values that this client has set; the other client uses other keys.
                    let mut own = serde_json::Map::new();
                    for step in 0..STEPS {
                        match random.below(60) {
                            0 => {
                                mesh.send(&Request::get("/kill").session(token));
                            }
                            1..25 => {
                                let (key, value) = (format!("{client}k{}", random.below(3)), step.to_string());
                                let request = Request::get(&format!("/set/{key}/{value}")).session(token);
                                if mesh.send(&request).status == 200 {
                                    own.insert(key, value.into());
                                }
                            }
                            _ => {
                                // A client reads its own writes, unless the session has ended.
                                let all = annotated(mesh, token);
                                for (key, value) in own.iter().filter(|_| !all.is_null()) {
                                    assert_eq!(&all[key], value, "round {round}, client {client}, step {step}: {all}");
                                }
                            }
                        }
                    }
                });
            }
        });
        let truth = stored(&sessions, &token);
        for _ in 0..CONNECTIONS / 3 {
            assert_eq!(annotated(&mesh, &token), truth, "round {round}");
        }
    }
}

#[test]
fn failed_changes_leave_no_stale_session_in_any_cache() {
    let fails = Arc::new(AtomicBool::new(false));
    let sessions = RestSessions::over_redis();
    let (store, failing) = (sessions.address(), Arc::clone(&fails));
    // Forwards every call; a failing one is executed, but has no response.
    let faulty = Stub::start(move |call: &Call| {
        let request = Request::new(&call.method, &call.path).host("rest-sessions");
        let request = match call.method.as_str() {
            "POST" => request.header("content-type", "application/json").body(call.body.clone()),
            _ => request,
        };
        let response = request.send_to(store);
        if call.method != "GET" && failing.load(Ordering::Relaxed) {
            return CalloutResponse::ResetBeforeHeaders;
        }
        CalloutResponse::Body(response.status, response.body)
    });
    let keys = json!({"cache": {"ttl": "1h", "stale_if_error": "1h"},
                      "rest_sessions": {"cluster": "rest-sessions", "breaker": "off"}});
    let mesh = Setup::new(write_back(keys)).sessions(faulty.address()).workers(2).start();
    change_by_path(&mesh);
    let token = sessions.create("user1", &json!({}));
    for round in 0..30_u64 {
        fails.store(round % 3 == 0, Ordering::Relaxed);
        assert_eq!(mesh.send(&Request::get(&format!("/set/a/{round}")).session(&token)).status, 200);
        for _ in 0..6 {
            assert_eq!(annotated(&mesh, &token), json!({"a": round.to_string()}));
        }
    }
    fails.store(true, Ordering::Relaxed);
    assert_eq!(mesh.send(&Request::get("/kill").session(&token)).status, 200);
    for _ in 0..CONNECTIONS {
        assert_eq!(annotated(&mesh, &token), Value::Null);
    }
    assert_eq!(mesh.counter("write_back_failures_total"), 11);
}
