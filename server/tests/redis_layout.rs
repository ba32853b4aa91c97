//! The keys in Redis: those of the original, so that both servers can share one Redis.

mod support;

use redis::Commands;
use support::{NOW, Service};
use test_support::redis::RedisServer;

type Pairs = Vec<(String, i64)>;

fn keys(redis: &mut redis::Connection) -> Vec<String> {
    let mut keys: Vec<String> = redis.keys("*").unwrap();
    keys.sort();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_stored_in_the_keys_of_the_original() {
    let server = RedisServer::start();
    let service = Service::redis(&server);
    let mut redis = server.connection();
    let token = service.create("/app1/create/a:b?ip=1.2.3.4&ttl=100", r#"{"n":1.10}"#).await;
    let hash = format!("rs:app1:{token}");
    let mut expected = vec![hash.as_str(), "rs:SESSIONS", "rs:app1:_sessions", "rs:app1:_users", "rs:app1:us:a:b"];
    expected.sort_unstable();
    assert_eq!(keys(&mut redis), expected);

    let fields: std::collections::BTreeMap<String, String> = redis.hgetall(&hash).unwrap();
    let now = NOW.to_string();
    let expected = [
        ("id", "a:b"),
        ("r", "1"),
        ("w", "1"),
        ("ttl", "100"),
        ("la", now.as_str()),
        ("ip", "1.2.3.4"),
        ("d", r#"{"n":1.10}"#),
    ];
    assert_eq!(fields, expected.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect());
    let scores = |redis: &mut redis::Connection, key: &str| -> Pairs { redis.zrange_withscores(key, 0, -1).unwrap() };
    let now = i64::try_from(NOW).unwrap();
    assert_eq!(scores(&mut redis, "rs:app1:_sessions"), [(format!("{token}:a:b"), now)]);
    assert_eq!(scores(&mut redis, "rs:app1:_users"), [("a:b".to_owned(), now)]);
    assert_eq!(scores(&mut redis, "rs:SESSIONS"), [(format!("app1:{token}:a:b"), now + 100)]);
    let tokens: Vec<String> = redis.smembers("rs:app1:us:a:b").unwrap();
    assert_eq!(tokens, std::slice::from_ref(&token));

    service.advance(7);
    service.get("app1", &token).await;
    service.set("app1", &token, r#"{"n":null}"#).await;
    assert_eq!(scores(&mut redis, "rs:SESSIONS"), [(format!("app1:{token}:a:b"), now + 107)]);
    assert_eq!(scores(&mut redis, "rs:app1:_sessions"), [(format!("{token}:a:b"), now + 7)]);
    let after: (String, String, String, Option<String>) = redis.hmget(&hash, &["r", "w", "la", "d"]).unwrap();
    assert_eq!(after, ("2".to_owned(), "2".to_owned(), (now + 7).to_string(), None));

    service.kill("app1", &token).await;
    assert!(keys(&mut redis).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_and_swept_sessions_leave_no_keys() {
    let server = RedisServer::start();
    let service = Service::redis(&server);
    let mut redis = server.connection();
    for user in ["a:b", "c", "c"] {
        service.create(&format!("/app1/create/{user}?ip=1&ttl=10"), "").await;
    }
    service.ok("DELETE", "/app1/killall").await;
    assert!(keys(&mut redis).is_empty());

    for user in ["a:b", "c", "c"] {
        service.create(&format!("/app1/create/{user}?ip=1&ttl=10"), "").await;
    }
    let _: () = redis.zadd("rs:SESSIONS", "names no session", 1).unwrap();
    service.advance(11);
    assert_eq!(service.store.sweep(service.now()).await, Ok(3));
    assert!(keys(&mut redis).is_empty());

    for round in 0..20 {
        let token = service.create("/app1/create/u?ip=1", r#"{"a":1}"#).await;
        let set = {
            let (service, token) = (service.clone(), token.clone());
            tokio::spawn(async move { service.set("app1", &token, r#"{"b":1}"#).await })
        };
        service.kill("app1", &token).await;
        set.await.unwrap();
        assert!(keys(&mut redis).is_empty(), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_does_not_slide_expires_at_its_time_even_if_it_is_used() {
    let server = RedisServer::start();
    let service = Service::redis(&server);
    let mut redis = server.connection();
    let token = service.create("/app1/create/u?ip=1&ttl=100", r#"{"a":1}"#).await;
    let hash = format!("rs:app1:{token}");
    let _: () = redis.hset(&hash, "no_resave", 1).unwrap();
    for second in 1..=100 {
        service.advance(1);
        let session = service.get("app1", &token).await;
        let left = 100 - second;
        assert!(session.contains(&format!(r#""ttl":{left},"#)), "after {second} s: {session}");
        assert!(session.ends_with(r#""ip":"1","no_resave":true,"d":{"a":1}}"#), "{session}");
        assert!(service.set("app1", &token, r#"{"a":1}"#).await.contains(&format!(r#""ttl":{left},"#)));
    }
    let end: i64 = redis.zscore("rs:SESSIONS", format!("app1:{token}:u")).unwrap();
    assert_eq!(end, i64::try_from(NOW).unwrap() + 100);
    service.advance(1);
    assert_eq!(service.get("app1", &token).await, "{}");
    assert_eq!(service.store.sweep(service.now()).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_keys_of_other_programs_are_handled() {
    let server = RedisServer::start();
    let service = Service::redis(&server);
    let mut redis = server.connection();
    let token = "a".repeat(64);
    let hash = format!("rs:app1:{token}");

    let _: () = redis.hset_multiple(&hash, &[("w", "2"), ("d", r#"{"a":1}"#)]).unwrap();
    assert_eq!(service.get("app1", &token).await, "{}", "a session without all fields is missing");
    assert_eq!(service.set("app1", &token, r#"{"a":1}"#).await, "{}");
    assert_eq!(service.kill("app1", &token).await, r#"{"kill":0}"#);

    let la = NOW.to_string();
    let whole = [("id", "u"), ("r", "1"), ("w", "1"), ("ttl", "1e+22"), ("la", &la), ("ip", "1"), ("d", "nonsense")];
    let _: () = redis.hset_multiple(&hash, &whole).unwrap();
    let corrupt =
        r#"{"name":"corruptSession","message":"the session store holds data for this session that is no JSON object"}"#;
    let reply = service.call("GET", &format!("/app1/get/{token}")).await;
    assert_eq!((reply.status, reply.body.as_str()), (500, corrupt));
    let reply = service.call_with("POST", &format!("/app1/set/{token}"), r#"{"a":1}"#).await;
    assert_eq!((reply.status, reply.body.as_str()), (500, corrupt));

    let _: () = redis.hset(&hash, "d", r#"{ "a" : "x", "1": 2 }"#).unwrap();
    let session = service.get("app1", &token).await;
    assert!(session.contains(r#""ttl":9007199254740991,"#), "{session}");
    assert!(session.ends_with(r#""d":{"a":"x","1":2}}"#), "{session}");
    assert_eq!(service.kill("app1", &token).await, r#"{"kill":1}"#);

    for w in ["1.5", "0x10", " 5", "nan", "inf", "9007199254740993", "abc", ""] {
        let numbers = [("id", "u"), ("r", "1"), ("w", w), ("ttl", "100"), ("la", &la), ("ip", "1"), ("d", "{}")];
        let _: () = redis.hset_multiple(&hash, &numbers).unwrap();
        for n in 0..2 {
            let set = service.set("app1", &token, &format!(r#"{{"n":{n}}}"#)).await;
            assert!(set.ends_with(&format!(r#""d":{{"n":{n}}}}}"#)), "w {w:?}: {set}");
        }
    }
    let _: i64 = redis.del(&hash).unwrap();
    let _: () = redis.set(&hash, "of another type").unwrap();
    assert_eq!(service.call("GET", &format!("/app1/get/{token}")).await.status, 503);
    assert_eq!(service.ok("GET", "/ping").await, "PONG");
}
