//! Faults of the Redis behind rest-sessions, as clients of Envoy see them.

use std::time::{Duration, Instant};

use serde_json::json;
use test_support::http1::Request;
use test_support::redis::RedisServer;
use test_support::wait;

use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::sessions::RestSessions;
use crate::harness::upstream::UpstreamResponse;

const TIMEOUT: Duration = Duration::from_secs(1);
/// What a loaded machine may add.
const MARGIN: Duration = Duration::from_secs(5);

/// Envoy before a rest-sessions over Redis; at `/set`, the upstream changes the session.
fn start(sessions: &RestSessions, on_failure: &str) -> Mesh {
    let configuration = plugin(json!({
        "rest_sessions": {"cluster": "rest-sessions", "timeout": "1s", "breaker": "off"},
        "write_back": {"on_failure": on_failure},
    }));
    let mesh = Setup::new(configuration).sessions(sessions.address()).start();
    mesh.upstream.respond_with(|request| match request.target.as_str() {
        "/set" => UpstreamResponse::default().header("x-session-set", r#"{"cart":1}"#),
        _ => UpstreamResponse::default(),
    });
    mesh
}

fn redis(sessions: &RestSessions) -> &RedisServer {
    sessions.redis.as_ref().expect("the store is Redis")
}

fn member(sessions: &RestSessions) -> String {
    sessions.create("user1", &json!({"name": "Peter"}))
}

#[track_caller]
fn denied_in_time(mesh: &Mesh, request: &Request) {
    let started = Instant::now();
    let denied = mesh.denies(request, 503, "sessions_unavailable");
    let took = started.elapsed();
    assert!(took < TIMEOUT + MARGIN, "a request took {took:?}");
    assert_eq!(denied.header("retry-after").as_deref(), Some("1"));
    assert_eq!(denied.header("set-cookie"), None);
}

#[test]
fn a_redis_that_hangs_is_an_outage_within_the_timeout_and_lookups_pass_again_afterwards() {
    let sessions = RestSessions::over_redis();
    let mesh = start(&sessions, "pass");
    let request = Request::get("/").session(&member(&sessions));
    mesh.passes(&request);
    redis(&sessions).pause();
    for _ in 0..3 {
        denied_in_time(&mesh, &request);
    }
    redis(&sessions).resume();
    wait::until_true("lookups to pass", || mesh.send(&request).status == 200);
}

#[test]
fn a_redis_that_restarts_empty_ends_sessions_and_is_no_outage_afterwards() {
    let mut sessions = RestSessions::over_redis();
    let mesh = start(&sessions, "pass");
    let before = Request::get("/").session(&member(&sessions));
    mesh.passes(&before);
    sessions.redis.as_mut().expect("the store is Redis").stop();
    denied_in_time(&mesh, &before);
    sessions.redis.as_mut().expect("the store is Redis").restart();
    wait::until_equal("the session to be gone", &401, || mesh.send(&before).status);
    mesh.passes(&Request::get("/").session(&member(&sessions)));
}

/// While Redis refuses writes, `refuse` to `accept`: lookups pass, changes fail as `on_failure` says.
#[track_caller]
fn assert_lookups_pass_while_writes_fail(refuse: impl Fn(&RedisServer), accept: impl Fn(&RedisServer)) {
    let sessions = RestSessions::over_redis();
    for (on_failure, status) in [("pass", 200), ("deny", 503)] {
        let mesh = start(&sessions, on_failure);
        let token = member(&sessions);
        let (read, write) = (Request::get("/").session(&token), Request::get("/set").session(&token));
        refuse(redis(&sessions));
        for _ in 0..5 {
            assert_eq!(mesh.passes(&read).header("x-session-user").as_deref(), Some("user1"));
        }
        let started = Instant::now();
        assert_eq!(mesh.send(&write).status, status, "on_failure: {on_failure}");
        assert!(started.elapsed() < 2 * TIMEOUT + MARGIN);
        assert_eq!(mesh.counter("write_back_failures_total"), 1);
        mesh.passes(&read);
        accept(redis(&sessions));
        wait::until_equal("a change to be written", &200, || mesh.send(&write).status);
        let data = mesh.passes(&read).header("x-session-data").unwrap_or_default();
        assert_eq!(data, r#"{"name":"Peter","cart":1}"#);
    }
}

#[test]
fn while_redis_is_full_lookups_pass_and_changes_fail() {
    assert_lookups_pass_while_writes_fail(RedisServer::fill_memory, RedisServer::free_memory);
}

#[test]
fn while_redis_is_read_only_lookups_pass_and_changes_fail() {
    let replicas = |count: &'static str| move |redis: &RedisServer| redis.config_set("min-replicas-to-write", count);
    assert_lookups_pass_while_writes_fail(replicas("1"), replicas("0"));
}
