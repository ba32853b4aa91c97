//! Redis refuses writes: live sessions are still read, and callers and `/readyz` are told the truth.

use serde_json::Value;
use test_support::over_redis_versions;
use test_support::ports::RefusingPort;
use test_support::redis::{RedisServer, RedisVersion};
use test_support::wait::{until, until_true};

use crate::support::process::Server;

over_redis_versions! {
    sessions_are_read_while_memory_is_full
    sessions_are_read_while_snapshots_fail
    sessions_are_read_while_there_are_too_few_replicas
    sessions_are_read_while_redis_is_a_replica
    a_full_server_takes_writes_again_once_there_is_room
}

/// Asserts what is answered while Redis refuses writes, between `refuse` and `permit`. `name` is that of the error of a
/// refused write, and `cause` is what `/readyz` says.
fn check(
    version: RedisVersion,
    (name, cause): (&str, &str),
    refuse: impl FnOnce(&RedisServer),
    permit: impl FnOnce(&RedisServer),
) {
    let redis = RedisServer::start_version(version, &[]);
    let server = Server::start(&["--store", &redis.url(), "--store-timeout", UNHURRIED]);
    let [live, expired, doomed] = [(); 3].map(|()| server.create());
    let get = |token: &str| server.call("GET", &format!("/app1/get/{token}"), "");
    redis.query::<i64>(&["HSET", &format!("rs:app1:{expired}"), "la", "1000000000"]);
    assert_eq!(server.call("GET", "/readyz", ""), (200, r#"{"status":"ready"}"#.to_owned()));
    let stored = |token: &str| -> Vec<String> {
        let fields = ["id", "r", "w", "ttl", "d", "la"];
        redis.query(&[&["HMGET", &format!("rs:app1:{token}")], &fields[..]].concat())
    };
    let before = stored(&live);

    refuse(&redis);
    for _ in 0..20 {
        let (status, body) = get(&live);
        assert!(status == 200 && body.contains("some-user") && body.ends_with(r#""d":{"a":1}}"#), "{status} {body}");
        assert_eq!(get(&expired), (200, "{}".to_owned()));
        assert_eq!(get(&"a".repeat(64)), (200, "{}".to_owned()));
    }
    assert_eq!(stored(&live), before, "a read without a touch changes nothing");
    let refused = |(status, body): (u16, String)| {
        let error: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, error["name"].as_str()), (503, Some(name)), "{body}");
    };
    refused(server.call("POST", &format!("/app1/set/{live}"), r#"{"b":2}"#));
    refused(server.call("POST", &format!("/app1/renew/{live}"), r#"{"b":2}"#));
    assert_eq!(stored(&live), before, "a renewal that is refused changes nothing");
    refused(server.call("PUT", "/app1/create/u?ip=1", r#"{"b":2}"#));
    // Redis takes what needs no memory: a kill is done, or refused.
    let killed = server.call("DELETE", &format!("/app1/kill/{doomed}"), "");
    if killed == (200, r#"{"kill":1}"#.to_owned()) {
        assert_eq!(get(&doomed), (200, "{}".to_owned()));
    } else {
        refused(killed);
        assert!(get(&doomed).1.contains("some-user"));
    }

    // A check may serve several probes.
    let body =
        until("/readyz to be 503", || Some(server.call("GET", "/readyz", "")).filter(|(status, _)| *status == 503)).1;
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((told["status"].as_str(), told["cause"].as_str()), (Some("unready"), Some(cause)), "{body}");
    assert!(told["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    assert_eq!(server.call("GET", "/livez", ""), (200, r#"{"status":"alive"}"#.to_owned()));
    // Redis 6.2 refuses PING, too, while snapshots fail.
    if redis.try_query::<()>(&["PING"]).is_ok() {
        assert_eq!(server.call("GET", "/ping", ""), (200, "PONG".to_owned()));
    }
    assert_eq!(stored(&live), before);

    permit(&redis);
    until_true("it is ready again", || server.call("GET", "/readyz", "").0 == 200);
    let (status, session) = server.call("POST", &format!("/app1/set/{live}"), r#"{"b":2}"#);
    assert!(status == 200 && session.ends_with(r#""d":{"a":1,"b":2}}"#), "{status} {session}");
    server.create();
    let log = server.log();
    assert!(!log.contains(&live[..55]) && !log.contains("some-user"), "{log}");
}

/// Milliseconds: no test here measures the timeout, and a busy machine is slow.
const UNHURRIED: &str = "5000";

fn sessions_are_read_while_memory_is_full(version: RedisVersion) {
    check(version, ("storeFull", "storeFull"), RedisServer::fill_memory, RedisServer::free_memory);
}

fn sessions_are_read_while_snapshots_fail(version: RedisVersion) {
    check(version, ("storeUnavailable", "persistence"), RedisServer::fail_saving, RedisServer::repair_saving);
}

fn sessions_are_read_while_there_are_too_few_replicas(version: RedisVersion) {
    let want = |replicas: &'static str| move |redis: &RedisServer| redis.config_set("min-replicas-to-write", replicas);
    check(version, ("storeUnavailable", "noReplicas"), want("1"), want("0"));
}

fn sessions_are_read_while_redis_is_a_replica(version: RedisVersion) {
    let nobody = RefusingPort::reserve();
    let demote = |redis: &RedisServer| redis.replicate(nobody.address());
    check(version, ("storeUnavailable", "readOnly"), demote, RedisServer::promote);
}

fn a_full_server_takes_writes_again_once_there_is_room(version: RedisVersion) {
    let redis = RedisServer::start_version(version, &["--maxmemory", "8mb"]);
    let server = Server::start(&["--store", &redis.url(), "--store-timeout", UNHURRIED]);
    let data = format!(r#"{{"a":"{}"}}"#, "x".repeat(50_000));
    let mut created = 0;
    let full = loop {
        let (status, body) = server.call("PUT", "/app1/create/u?ip=1", &data);
        if status != 200 {
            break (status, body);
        }
        created += 1;
        assert!(created < 1000, "Redis is never full");
    };
    assert_eq!(full.0, 503);
    assert!(full.1.contains(r#""name":"storeFull""#), "{}", full.1);
    let sessions: Value = serde_json::from_str(&server.call("GET", "/app1/soid/u", "").1).unwrap();
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), created, "those that were acknowledged, and no other");
    assert_eq!(server.call("DELETE", "/app1/killsoid/u", "").1, format!(r#"{{"kill":{created}}}"#));
    until_true("there is room again", || server.call("PUT", "/app1/create/u?ip=1", &data).0 == 200);
}
