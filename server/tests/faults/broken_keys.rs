//! Keys that another program broke: sweeps and lists go on past them, and say which they were.

use std::collections::BTreeSet;

use serde_json::Value;
use test_support::over_redis_versions;
use test_support::redis::{RedisServer, RedisVersion};
use test_support::token;
use test_support::wait::{until, until_true};

use crate::support::process::Server;

over_redis_versions! {
    a_sweep_goes_on_past_broken_members_sessions_and_types
    lists_go_on_past_sessions_that_are_broken
    a_session_is_forgotten_by_redis_itself_after_its_end
}

/// Adds a member to the expirations, which every sweep will find first.
fn expire(redis: &RedisServer, member: &str) {
    redis.query::<i64>(&["ZADD", "rs:SESSIONS", "1", member]);
}

fn a_sweep_goes_on_past_broken_members_sessions_and_types(version: RedisVersion) {
    let redis = RedisServer::start_version(version, &[]);
    let healthy: Vec<_> = {
        let server = Server::start(&["--store", &redis.url(), "--sweep-interval", "0"]);
        (0..3).map(|_| server.create()).collect()
    };
    for member in ["", "no colon", "app1:", "a/b:c:d", "app1:short:u", ":::", "\u{e4}:\u{f6}:\u{fc}"] {
        expire(&redis, member);
    }
    // More sessions of the wrong type than one step of a sweep reads.
    let wrong: Vec<_> = (0..700).map(|_| token::fresh()).collect();
    let mut pipe = redis::pipe();
    for token in &wrong {
        pipe.cmd("SET").arg(format!("rs:app1:{token}")).arg("a string").ignore();
        pipe.cmd("ZADD").arg("rs:SESSIONS").arg(1).arg(format!("app1:{token}:secret-user")).ignore();
    }
    let mut client = redis.connection();
    pipe.exec(&mut client).unwrap();
    // A user's tokens of the wrong type, of a session that is whole otherwise, and a hash without fields that count.
    let (orphan, empty) = (token::fresh(), token::fresh());
    redis.query::<()>(&["SET", "rs:app1:us:orphaned-user", "a string"]);
    redis.query::<i64>(&[
        "HSET",
        &format!("rs:app1:{orphan}"),
        "id",
        "orphaned-user",
        "ttl",
        "10",
        "la",
        "1",
        "ip",
        "1",
    ]);
    expire(&redis, &format!("app1:{orphan}:orphaned-user"));
    redis.query::<i64>(&["HSET", &format!("rs:app1:{empty}"), "other", "1", "d", "no JSON"]);
    expire(&redis, &format!("app1:{empty}:secret-user"));
    // The healthy ones are last.
    for (score, token) in healthy.iter().enumerate() {
        let score = (score + 2).to_string();
        redis.query::<i64>(&["ZADD", "rs:SESSIONS", &score, &format!("app1:{token}:some-user")]);
        redis.query::<i64>(&["HSET", &format!("rs:app1:{token}"), "la", "1"]);
    }

    // The first sweep is soon after the start, not after an interval.
    let server = Server::start(&["--store", &redis.url(), "--sweep-interval", "600"]);
    for token in &healthy {
        until_true("the healthy sessions are swept", || {
            redis.query::<i64>(&["EXISTS", &format!("rs:app1:{token}")]) == 0
        });
    }
    assert_eq!(server.call("GET", "/ping", "").0, 200);
    let line = until("a broken key is logged", || {
        let log = server.log();
        log.lines().find(|line| line.contains("WARN") && line.contains("rs:")).map(str::to_owned)
    });
    eprintln!("{line}");
    let log = server.log();
    for token in wrong.iter().chain([&orphan, &empty]).chain(&healthy) {
        assert!(!log.contains(token.as_str()) && !log.contains(&token[..55]), "{log}");
    }
    assert!(!log.contains("secret-user") && !log.contains("orphaned-user"), "{log}");
    assert!(log.lines().count() < 30, "{log}");
    assert_eq!(redis.query::<Option<f64>>(&["ZSCORE", "rs:SESSIONS", "no colon"]), None, "it would be found again");
}

fn lists_go_on_past_sessions_that_are_broken(version: RedisVersion) {
    let redis = RedisServer::start_version(version, &[]);
    let server = Server::start(&["--store", &redis.url()]);
    let tokens: Vec<_> = (0..5).map(|_| server.create()).collect();
    let key = |n: usize| format!("rs:app1:{}", tokens[n]);
    redis.query::<i64>(&["DEL", &key(1)]);
    redis.query::<()>(&["SET", &key(1), "a string"]);
    redis.query::<i64>(&["HSET", &key(2), "d", "no JSON"]);
    redis.query::<i64>(&["HDEL", &key(3), "id", "la"]);
    for whole in [0, 4] {
        redis.query::<i64>(&["HSET", &key(whole), "d", &format!(r#"{{"n":{whole}}}"#)]);
    }
    // Members that name no session.
    let now: Vec<String> = redis.query(&["TIME"]);
    redis.query::<i64>(&["ZADD", "rs:app1:_sessions", &now[0], "no colon"]);
    redis.query::<i64>(&["SADD", "rs:app1:us:some-user", "no token"]);
    for path in ["/app1/soapp?dt=600", "/app1/soid/some-user"] {
        let (status, body) = server.call("GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        let listed: Value = serde_json::from_str(&body).unwrap();
        let found: BTreeSet<_> =
            listed["sessions"].as_array().unwrap().iter().filter_map(|session| session["d"]["n"].as_u64()).collect();
        assert_eq!(found, BTreeSet::from([0, 4]), "{path}: {body}");
    }
    assert_eq!(server.call("GET", "/app1/activity?dt=600", "").1, r#"{"activity":1}"#);
    let log = server.log();
    for cause in ["wrongType", "corruptSession"] {
        let names = |line: &str| line.contains("WARN") && line.contains("app1:") && line.contains(cause);
        assert!(log.lines().any(names), "which key is broken ({cause}) is not logged: {log}");
    }
    assert!(tokens.iter().all(|token| !log.contains(&token[..55])), "{log}");
    // Those that are whole can be ended together, broken ones among them.
    assert_eq!(server.call("DELETE", "/app1/killsoid/some-user", "").0, 200);
    assert_eq!(server.call("GET", "/app1/soid/some-user", "").1, r#"{"sessions":[]}"#);
}

fn a_session_is_forgotten_by_redis_itself_after_its_end(version: RedisVersion) {
    let redis = RedisServer::start_version(version, &[]);
    let server = Server::start(&["--store", &redis.url(), "--sweep-interval", "0"]);
    let create = |ttl: i64| {
        let (status, body) = server.call("PUT", &format!("/app1/create/u?ip=1&ttl={ttl}"), r#"{"a":1}"#);
        assert_eq!(status, 200, "{body}");
        body[r#"{"token":""#.len()..][..64].to_owned()
    };
    for ttl in [10, 7200, 86_400] {
        let token = create(ttl);
        let key = format!("rs:app1:{token}");
        let left = || redis.query::<i64>(&["TTL", &key]);
        let first = left();
        assert!(first > ttl, "a session of {ttl} s is forgotten after {first} s");
        for (method, path, body) in [("GET", "get", ""), ("POST", "set", r#"{"b":2}"#)] {
            redis.query::<i64>(&["EXPIRE", &key, "5"]);
            // A use within a second of the last one writes less.
            redis.query::<i64>(&["HINCRBY", &key, "la", "-3"]);
            assert_eq!(server.call(method, &format!("/app1/{path}/{token}"), body).0, 200);
            assert!(left() > ttl, "after {path}, a session of {ttl} s is forgotten after {} s", left());
        }
    }
    // One that lives for ever, or nearly so, is refused by no Redis.
    let token = create(9_007_199_254_740_991);
    assert!(server.call("GET", &format!("/app1/get/{token}"), "").1.contains(r#""a":1"#));
}
