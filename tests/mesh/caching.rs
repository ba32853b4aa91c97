//! The cache, shared between workers, the ends that every worker sees, and the circuit breaker.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::sessions::RestSessions;
use crate::harness::stub::{CalloutResponse, Latch, Stub};
use crate::setup::{CONNECTIONS, Service, extended};
use test_support::http1::Request;
use test_support::token;
use test_support::wait::{until, until_equal};

fn session(keys: Value) -> Value {
    extended(json!({"id": "user123", "r": 1, "w": 1, "ttl": 7200, "idle": 3, "ip": "192.0.2.1"}), keys)
}

/// `/now` accepts no cached session; its own timeout keeps it from joining the calls of other routes.
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
fn a_second_request_is_served_from_the_cache_without_a_call() {
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
fn a_cached_session_is_looked_up_again_after_its_ttl() {
    let service = Service::default();
    let stub = service.start(session(json!({})));
    let mesh = mesh(json!({"ttl": "300ms"}), &stub, 1);
    let token = token::fresh();
    let request = Request::get("/").session(&token);
    let began = Instant::now();
    mesh.passes(&request);
    until("a second lookup", || {
        mesh.passes(&request);
        (stub.calls().len() == 2).then_some(())
    });
    assert!(began.elapsed().as_millis() >= 300);
    service.end(&token);
    until("the end of the session to be found", || (mesh.send(&request).status == 401).then_some(()));
}

#[test]
fn a_non_sliding_session_is_not_served_after_its_expiry() {
    let service = Service::default();
    let stub = service.start(session(json!({"ttl": 1, "no_resave": true})));
    let mesh = mesh(json!({"ttl": "1h", "stale_if_error": "1h"}), &stub, 1);
    let request = Request::get("/").session(&token::fresh());
    mesh.passes(&request);
    mesh.passes(&request);
    assert_eq!(stub.calls().len(), 1);
    service.fail(true);
    until("the session to expire", || (mesh.send(&request).status == 503).then_some(()));
    assert_eq!(mesh.counter("cache_stale_total"), 0);
}

#[test]
fn an_unknown_token_is_cached_for_the_negative_ttl() {
    let service = Service::default();
    let stub = service.start(session(json!({})));
    let mesh = mesh(json!({"ttl": "1h", "negative_ttl": "1h"}), &stub, 1);
    let token = token::fresh();
    service.end(&token);
    for _ in 0..3 {
        mesh.denies(&Request::get("/").session(&token), 401, "session_required");
    }
    mesh.expect_counters(&[("calls_total", 1), ("cache_misses_total", 1), ("cache_negative_hits_total", 2)]);
}

#[test]
fn a_stale_session_is_served_only_while_the_service_is_unavailable() {
    let service = Service::default();
    let stub = service.start(session(json!({})));
    let mesh = mesh(json!({"ttl": "200ms", "stale_if_error": "1h"}), &stub, 1);
    let token = token::fresh();
    let request = Request::get("/").session(&token);
    mesh.passes(&request);
    service.fail(true);
    until("a request to pass with a stale session", || {
        mesh.passes(&request);
        (mesh.counter("cache_stale_total") > 0).then_some(())
    });
    mesh.denies(&Request::get("/now").session(&token), 503, "sessions_unavailable");
    mesh.denies(&Request::get("/").session(&token::fresh()), 503, "sessions_unavailable");
    service.fail(false);
    service.end(&token);
    until("the end of the session to be found", || (mesh.send(&request).status == 401).then_some(()));
}

#[test]
fn unknown_tokens_do_not_evict_a_session() {
    let stub = Stub::start(|call| {
        if call.token().starts_with("junk") { CalloutResponse::none() } else { CalloutResponse::session() }
    });
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
fn a_session_looked_up_by_one_worker_is_served_by_the_other() {
    let stub = Service::default().start(session(json!({})));
    let mesh = mesh(json!({"ttl": "1h"}), &stub, 2);
    let request = Request::get("/").session(&token::fresh());
    mesh.passes(&request);
    until("both workers to have served the session", || {
        mesh.passes(&request);
        (mesh.counter("cache_shared_hits_total") == 1).then_some(())
    });
    assert_eq!(stub.calls().len(), 1);
}

#[test]
fn workers_without_a_shared_cache_each_look_the_session_up() {
    let stub = Service::default().start(session(json!({})));
    let mesh = mesh(json!({"ttl": "1h", "shared": false}), &stub, 2);
    let request = Request::get("/").session(&token::fresh());
    until("a lookup by each worker", || {
        mesh.passes(&request);
        (stub.calls().len() == 2).then_some(())
    });
    assert_eq!(mesh.counter("cache_shared_hits_total"), 0);
}

#[test]
fn an_end_found_by_one_worker_applies_to_the_next_request_at_every_worker() {
    let service = Service::default();
    let stub = service.start(session(json!({})));
    let mesh = mesh(json!({"ttl": "1h", "stale_if_error": "1h", "negative_ttl": "0s"}), &stub, 2);
    for round in 1..=20 {
        let token = token::fresh();
        let request = Request::get("/").session(&token);
        for _ in 0..CONNECTIONS {
            mesh.passes(&request);
        }
        service.end(&token);
        mesh.denies(&Request::get("/now").session(&token), 401, "session_required");
        for _ in 0..CONNECTIONS {
            mesh.denies(&request, 401, "session_required");
        }
        until_equal("each end to be counted once", &round, || mesh.counter("ends_total"));
    }
    assert!(mesh.counter("cache_shared_hits_total") > 0, "one worker served every request, two were expected");
}

#[test]
fn a_lookup_dispatched_before_an_end_is_discarded_and_repeated() {
    let latch = Latch::default();
    let token = token::fresh();
    let (held, lookups) = (latch.clone(), Arc::new(Mutex::new(0)));
    // The first response is cached, the second is held, and every later one says that the session is gone.
    let stub = Stub::start(move |_| {
        let mut lookups = lookups.lock().unwrap();
        *lookups += 1;
        match *lookups {
            1 => CalloutResponse::session(),
            2 => CalloutResponse::After(held.clone(), Box::new(CalloutResponse::session())),
            _ => CalloutResponse::none(),
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
    let mut pending = mesh.begin(&Request::get("/late").session(&token));
    stub.wait_for_calls(2);
    mesh.denies(&Request::get("/now").session(&token), 401, "session_required");
    latch.open();
    assert_eq!(pending.read(false).status, 401, "a response from before the end was used");
    mesh.denies(&Request::get("/").session(&token), 401, "session_required");
    assert_eq!(mesh.counter("ends_total"), 1);
    assert_eq!(stub.calls().len(), 5);
}

#[test]
fn a_breaker_stops_calls_to_a_failing_service_until_a_probe_succeeds() {
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
    assert!(spared >= 5, "{calls} of 10 requests made a call, at most 5 were expected");
    service.fail(false);
    until("a probe to succeed", || (mesh.send(&request).status == 200).then_some(()));
    mesh.passes(&request);
}

#[test]
fn without_a_breaker_every_request_calls_a_failing_service() {
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
fn a_stale_session_is_served_while_redis_is_stopped_and_looked_up_again_once_it_is_back() {
    let mut sessions = RestSessions::over_redis();
    let token = sessions.create("user123", &json!({"cart": 2}));
    let keys = cached(json!({"ttl": "200ms", "stale_if_error": "1h"}));
    let mesh = Setup::new(keys).sessions(sessions.address()).start();
    let request = Request::get("/").session(&token);
    assert_eq!(mesh.passes(&request).values("x-session-user"), ["user123"]);
    let redis = sessions.redis.as_mut().expect("this service uses Redis");
    redis.stop();
    until("a stale session to be served", || {
        mesh.passes(&request);
        (mesh.counter("cache_stale_total") > 0).then_some(())
    });
    // Redis restarts empty, so the session is gone.
    redis.restart();
    until("the end of the session to be found", || (mesh.send(&request).status == 401).then_some(()));
    assert_eq!(mesh.counter("ends_total"), 1);
}
