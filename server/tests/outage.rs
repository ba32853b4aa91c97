//! The program while Redis hangs, stops and restarts.

mod support;

use std::time::{Duration, Instant};

use support::process::Server;
use test_support::forwarder::Forwarder;
use test_support::redis::RedisServer;
use test_support::wait::until_true;

fn assert_unavailable_in_time(server: &Server, token: &str) {
    let unavailable =
        r#"{"name":"storeUnavailable","message":"the session store does not answer; try again later"}"#.to_owned();
    for (method, path) in [
        ("GET", "/ping".to_owned()),
        ("GET", format!("/app1/get/{token}")),
        ("POST", format!("/app1/set/{token}")),
        ("DELETE", format!("/app1/kill/{token}")),
        ("PUT", "/app1/create/u?ip=1".to_owned()),
        ("GET", "/app1/soapp?dt=60".to_owned()),
        ("DELETE", "/app1/killall".to_owned()),
    ] {
        let began = Instant::now();
        assert_eq!(server.call(method, &path, r#"{"b":2}"#), (503, unavailable.clone()), "{method} {path}");
        let took = began.elapsed();
        // Five times the timeout that the server was given, because the machine may be busy with other tests.
        assert!(took < Duration::from_millis(1500), "{method} {path} took {took:?}");
    }
    assert_eq!(server.call("GET", "/app1/get/junk", "").0, 500, "an invalid parameter is answered without Redis");
}

#[test]
fn while_redis_hangs_requests_are_answered_503_in_time_and_no_session_is_lost() {
    let redis = RedisServer::start();
    let server = Server::start(&["--store", &redis.url(), "--store-timeout", "300"]);
    let token = server.create();
    redis.pause();
    let (status, body) = server.call("GET", &format!("/app1/get/{token}"), "");
    assert_eq!(status, 503, "{body}");
    let waiting: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..20).map(|_| scope.spawn(|| server.call("GET", "/ping", ""))).collect();
        calls.into_iter().map(|call| call.join().unwrap().0).collect()
    });
    assert_eq!(waiting, [503; 20]);
    redis.resume();
    until_true("redis answers again", || server.call("GET", "/ping", "").0 == 200);
    let (status, session) = server.call("GET", &format!("/app1/get/{token}"), "");
    assert_eq!(status, 200);
    assert!(session.contains(r#""id":"some-user""#), "{session}");
    let log = server.log();
    assert_eq!(log.matches("redis fails; requests are answered 503").count(), 1, "{log}");
    assert!(log.contains("redis answers again"), "{log}");
}

#[test]
fn without_redis_it_starts_answers_503_in_time_and_connects_when_redis_starts() {
    let mut redis = RedisServer::start();
    redis.stop();
    let server = Server::start(&["--store", &redis.url(), "--store-timeout", "300"]);
    assert_unavailable_in_time(&server, &"a".repeat(64));

    redis.restart();
    let token = server.create();
    redis.pause();
    assert_unavailable_in_time(&server, &"a".repeat(64));
    redis.stop();
    assert_unavailable_in_time(&server, &"a".repeat(64));

    // Scripts and connections are gone with the old process; the next calls succeed nevertheless.
    redis.restart();
    assert_eq!(server.call("GET", &format!("/app1/get/{token}"), ""), (200, "{}".to_owned()));
    let token = server.create();
    assert!(server.call("POST", &format!("/app1/set/{token}"), r#"{"b":2}"#).1.ends_with(r#""d":{"a":1,"b":2}}"#));
    assert_eq!(server.call("DELETE", &format!("/app1/kill/{token}"), "").1, r#"{"kill":1}"#);
}

#[test]
fn a_connection_that_redis_closed_fails_no_request() {
    let redis = RedisServer::start();
    let server = Server::start(&["--store", &redis.url()]);
    let token = server.create();
    for _ in 0..5 {
        let _: i64 = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").query(&mut redis.connection()).unwrap();
        assert_eq!(server.call("GET", &format!("/app1/get/{token}"), "").0, 200);
    }
}

#[test]
fn expired_sessions_are_swept_by_the_running_server() {
    let redis = RedisServer::start();
    let server = Server::start(&["--store", &redis.url(), "--sweep-interval", "1"]);
    server.create();
    let mut client = redis.connection();
    let member: Vec<String> = redis::cmd("ZRANGE").arg("rs:SESSIONS").arg(0).arg(-1).query(&mut client).unwrap();
    let _: () = redis::cmd("ZADD").arg("rs:SESSIONS").arg(1).arg(&member[0]).query(&mut client).unwrap();
    until_true("the session is swept", || {
        let left: i64 = redis::cmd("DBSIZE").query(&mut client).unwrap();
        left == 0
    });
}

#[test]
fn a_connection_that_went_silent_is_replaced() {
    let redis = RedisServer::start();
    let forwarder = Forwarder::start(redis.address());
    let server = Server::start(&["--store", &forwarder.url(), "--store-timeout", "300"]);
    let token = server.create();
    forwarder.silence();
    assert_eq!(server.call("GET", &format!("/app1/get/{token}"), "").0, 503);
    assert_eq!(server.call("GET", &format!("/app1/get/{token}"), "").0, 200);
}
