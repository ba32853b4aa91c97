//! Answers that are kept and shared, ends that all workers see, and a service that is left alone.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};
use test_support::http1::Request;
use test_support::token;
use test_support::wait::{until, until_equal};

use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::sessions::RestSessions;
use crate::harness::stub::{Answer, Call, Latch, Stub};

/// Enough connections that both of two workers serve some of them.
const CONNECTIONS: usize = 24;

/// A session service that forgets on command, and may be told to fail.
#[derive(Clone, Default)]
struct Service {
    gone: Arc<Mutex<HashSet<String>>>,
    fails: Arc<Mutex<bool>>,
}

impl Service {
    fn start(&self, session: Value) -> Stub {
        let this = self.clone();
        Stub::start(move |call: &Call| {
            if *this.fails.lock().unwrap() {
                Answer::text(500, "{}")
            } else if this.gone.lock().unwrap().contains(call.token()) {
                Answer::none()
            } else {
                Answer::json(200, &session)
            }
        })
    }

    fn kill(&self, token: &str) {
        self.gone.lock().unwrap().insert(token.to_owned());
    }

    fn fail(&self, fails: bool) {
        *self.fails.lock().unwrap() = fails;
    }
}

fn session(keys: Value) -> Value {
    let mut session = json!({"id": "user123", "r": 1, "w": 1, "ttl": 7200, "idle": 3, "ip": "192.0.2.1"});
    for (key, value) in keys.as_object().unwrap() {
        session[key] = value.clone();
    }
    session
}

/// `/now` takes nothing that is kept, and does not wait for the calls of the others.
fn cached(cache: Value) -> Value {
    plugin(json!({
        "cache": cache,
        "rules": [{"match": {"paths": ["/now"]}, "session": "required", "max_staleness": "0s",
                   "rest_sessions": {"cluster": "rest-sessions", "timeout": "4s"}}],
    }))
}

fn mesh(cache: Value, stub: &Stub, workers: u32) -> Mesh {
    Setup::new(cached(cache)).sessions(stub.address()).workers(workers).start()
}

#[test]
fn a_second_request_is_answered_from_the_cache_without_a_call() {
    let stub = Service::default().start(session(json!({"d": {"cart": 2}})));
    let mesh = mesh(json!({"ttl": "1h"}), &stub, 1);
    let request = Request::get("/").session(&token::fresh());
    let first = mesh.passes(&request);
    let second = mesh.passes(&request);
    assert_eq!(first.values("x-session-data"), second.values("x-session-data"));
    assert_eq!(second.values("x-session-user"), ["user123"]);
    mesh.expect_counters(&[("calls_total", 1), ("cache_misses_total", 1), ("cache_hits_total", 1)]);
    assert_eq!(mesh.counter("cache_entries"), 1);
    assert!(mesh.counter("cache_bytes") > 0);
}

#[test]
fn an_answer_is_asked_for_again_after_its_time() {
    let service = Service::default();
    let stub = service.start(session(json!({})));
    let mesh = mesh(json!({"ttl": "300ms"}), &stub, 1);
    let token = token::fresh();
    let request = Request::get("/").session(&token);
    let began = Instant::now();
    mesh.passes(&request);
    until("the answer to be asked for again", || {
        mesh.passes(&request);
        (stub.calls().len() == 2).then_some(())
    });
    assert!(began.elapsed().as_millis() >= 300);
    service.kill(&token);
    until("the end to be seen", || (mesh.send(&request).status == 401).then_some(()));
}

#[test]
fn a_session_that_does_not_slide_is_not_served_past_its_end() {
    let service = Service::default();
    let stub = service.start(session(json!({"ttl": 1, "no_resave": true})));
    let mesh = mesh(json!({"ttl": "1h", "stale_if_error": "1h"}), &stub, 1);
    let request = Request::get("/").session(&token::fresh());
    mesh.passes(&request);
    mesh.passes(&request);
    assert_eq!(stub.calls().len(), 1);
    service.fail(true);
    until("the end of the session", || (mesh.send(&request).status == 503).then_some(()));
    assert_eq!(mesh.counter("cache_stale_total"), 0);
}

#[test]
fn that_there_is_no_session_is_kept_for_a_while() {
    let service = Service::default();
    let stub = service.start(session(json!({})));
    let mesh = mesh(json!({"ttl": "1h", "negative_ttl": "1h"}), &stub, 1);
    let token = token::fresh();
    service.kill(&token);
    for _ in 0..3 {
        mesh.denies(&Request::get("/").session(&token), 401, "session_required");
    }
    mesh.expect_counters(&[("calls_total", 1), ("cache_misses_total", 1), ("cache_negative_hits_total", 2)]);
}

#[test]
fn an_answer_past_its_time_serves_while_the_service_is_away_and_not_when_it_is_back() {
    let service = Service::default();
    let stub = service.start(session(json!({})));
    let mesh = mesh(json!({"ttl": "200ms", "stale_if_error": "1h"}), &stub, 1);
    let token = token::fresh();
    let request = Request::get("/").session(&token);
    mesh.passes(&request);
    service.fail(true);
    until("a request to pass with a stale answer", || {
        mesh.passes(&request);
        (mesh.counter("cache_stale_total") > 0).then_some(())
    });
    mesh.denies(&Request::get("/now").session(&token), 503, "sessions_unavailable");
    mesh.denies(&Request::get("/").session(&token::fresh()), 503, "sessions_unavailable");
    service.fail(false);
    service.kill(&token);
    until("the end to be seen", || (mesh.send(&request).status == 401).then_some(()));
}

#[test]
fn a_flood_of_junk_tokens_leaves_a_session_in_the_cache() {
    let stub = Stub::start(|call| if call.token().starts_with("junk") { Answer::none() } else { Answer::session() });
    let mesh = mesh(json!({"ttl": "1h", "max_bytes": 65_536}), &stub, 1);
    let request = Request::get("/").session(&token::fresh());
    mesh.passes(&request);
    for number in 0..500 {
        mesh.denies(&Request::get("/").session(&format!("junk{number:060}")), 401, "session_required");
    }
    mesh.passes(&request);
    assert_eq!(mesh.counter("cache_hits_total"), 1);
    assert!(mesh.counter("cache_evictions_total") > 300);
    assert_eq!(mesh.counter("ends_total"), 0);
}

#[test]
fn what_one_worker_has_asked_for_serves_the_other() {
    let stub = Service::default().start(session(json!({})));
    let mesh = mesh(json!({"ttl": "1h"}), &stub, 2);
    let request = Request::get("/").session(&token::fresh());
    mesh.passes(&request);
    until("both workers to have served", || {
        mesh.passes(&request);
        (mesh.counter("cache_shared_hits_total") == 1).then_some(())
    });
    assert_eq!(stub.calls().len(), 1);
}

#[test]
fn workers_that_share_nothing_each_ask() {
    let stub = Service::default().start(session(json!({})));
    let mesh = mesh(json!({"ttl": "1h", "shared": false}), &stub, 2);
    let request = Request::get("/").session(&token::fresh());
    until("both workers to have asked", || {
        mesh.passes(&request);
        (stub.calls().len() == 2).then_some(())
    });
    assert_eq!(mesh.counter("cache_shared_hits_total"), 0);
}

#[test]
fn an_end_that_one_worker_learns_of_is_seen_by_all_from_the_very_next_request_on() {
    let service = Service::default();
    let stub = service.start(session(json!({})));
    let mesh = mesh(json!({"ttl": "1h", "stale_if_error": "1h", "negative_ttl": "0s"}), &stub, 2);
    for round in 1..=20 {
        let token = token::fresh();
        let request = Request::get("/").session(&token);
        for _ in 0..CONNECTIONS {
            mesh.passes(&request);
        }
        service.kill(&token);
        mesh.denies(&Request::get("/now").session(&token), 401, "session_required");
        for _ in 0..CONNECTIONS {
            mesh.denies(&request, 401, "session_required");
        }
        until_equal("each end to be told once", &round, || mesh.counter("ends_total"));
    }
    assert!(mesh.counter("cache_shared_hits_total") > 0, "one worker served all");
}

#[test]
fn who_waits_for_an_answer_from_before_an_end_is_not_told_it_but_asks_again() {
    let latch = Latch::default();
    let token = token::fresh();
    let (held, asked) = (latch.clone(), Arc::new(Mutex::new(0)));
    // The first answer is kept by a worker, the second is late, and what is answered meanwhile is that it is gone.
    let stub = Stub::start(move |_| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        match *asked {
            1 => Answer::session(),
            2 => Answer::After(held.clone(), Box::new(Answer::session())),
            _ => Answer::none(),
        }
    });
    let keys = plugin(json!({
        "cache": {"ttl": "1h", "negative_ttl": "0s"},
        "rules": [
            {"match": {"paths": ["/late"]}, "session": "required", "max_staleness": "0s",
             "rest_sessions": {"cluster": "rest-sessions", "timeout": "20s"}},
            {"match": {"paths": ["/now"]}, "session": "required", "max_staleness": "0s"},
        ],
    }));
    let mesh = Setup::new(keys).sessions(stub.address()).start();
    mesh.passes(&Request::get("/").session(&token));
    let mut waits = mesh.begin(&Request::get("/late").session(&token));
    stub.wait_for_calls(2);
    mesh.denies(&Request::get("/now").session(&token), 401, "session_required");
    latch.open();
    assert_eq!(waits.read(false).status, 401, "it was told what was true before the end");
    mesh.denies(&Request::get("/").session(&token), 401, "session_required");
    assert_eq!(mesh.counter("ends_total"), 1);
    assert_eq!(stub.calls().len(), 5);
}

#[test]
fn a_service_that_fails_every_time_is_left_alone_until_one_request_tries() {
    let service = Service::default();
    let stub = service.start(session(json!({})));
    let mut keys = plugin(json!({}));
    keys["rest_sessions"]["breaker"] = json!({"failures": 3, "open_for": "500ms"});
    let mesh = Setup::new(keys).sessions(stub.address()).start();
    let request = Request::get("/").session(&token::fresh());
    service.fail(true);
    for _ in 0..10 {
        mesh.denies(&request, 503, "sessions_unavailable");
    }
    let (calls, spared) = (stub.calls().len(), mesh.counter("call_failures_breaker_total"));
    assert_eq!(calls as u64 + spared, 10);
    assert!(spared >= 5, "{calls} calls were made");
    service.fail(false);
    until("one request to try", || (mesh.send(&request).status == 200).then_some(()));
    mesh.passes(&request);
}

#[test]
fn a_breaker_that_is_off_leaves_nobody_alone() {
    let service = Service::default();
    let stub = service.start(session(json!({})));
    service.fail(true);
    let mut keys = plugin(json!({}));
    keys["rest_sessions"]["breaker"] = "off".into();
    let mesh = Setup::new(keys).sessions(stub.address()).start();
    for _ in 0..10 {
        mesh.denies(&Request::get("/").session(&token::fresh()), 503, "sessions_unavailable");
    }
    assert_eq!(stub.calls().len(), 10);
}

#[test]
fn while_redis_is_away_a_kept_session_serves_and_once_it_is_back_it_is_asked_again() {
    let mut sessions = RestSessions::over_redis();
    let token = sessions.create("user123", &json!({"cart": 2}));
    let keys = cached(json!({"ttl": "200ms", "stale_if_error": "1h"}));
    let mesh = Setup::new(keys).sessions(sessions.address()).start();
    let request = Request::get("/").session(&token);
    assert_eq!(mesh.passes(&request).values("x-session-user"), ["user123"]);
    let redis = sessions.redis.as_mut().expect("this service stands on Redis");
    redis.stop();
    until("a stale answer", || {
        mesh.passes(&request);
        (mesh.counter("cache_stale_total") > 0).then_some(())
    });
    // It comes back empty: the session is gone, and is found to be.
    redis.restart();
    until("the end to be seen", || (mesh.send(&request).status == 401).then_some(()));
    assert_eq!(mesh.counter("ends_total"), 1);
}
