//! Renewals over Redis: the keys that they leave, and what comes beside them, from this process and from others.

mod support;

use support::layout::half_sessions;
use support::{NOW, Service};
use test_support::redis::RedisServer;
use tokio::task::JoinHandle;

/// Lets the tasks that were spawned run until they wait for Redis.
async fn let_others_run() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_session_has_the_keys_of_a_created_one_and_the_old_one_has_none() {
    let redis = RedisServer::start();
    let service = Service::redis(&redis);
    let old = service.create("/app1/create/a:b?ip=1.2.3.4&ttl=100", r#"{"n":1.10}"#).await;
    service.advance(7);
    let new = service.renew("app1", &old, r#"{"m":2}"#).await.unwrap();
    assert_eq!(half_sessions(&[&redis]), [""; 0]);
    let now = NOW + 7;
    let score = |key: &str, member: String| redis.query::<Option<u64>>(&["ZSCORE", key, &member]);
    assert_eq!(score("rs:SESSIONS", format!("app1:{new}:a:b")), Some(now + 100));
    assert_eq!(score("rs:app1:_sessions", format!("{new}:a:b")), Some(now));
    assert_eq!(score("rs:app1:_users", "a:b".to_owned()), Some(now));
    let key = format!("rs:app1:{new}");
    let mut fields: Vec<String> = redis.query(&["HGETALL", &key]);
    fields.sort_unstable();
    let la = now.to_string();
    let mut expected =
        ["id", "a:b", "r", "1", "w", "1", "ttl", "100", "la", &la, "ip", "1.2.3.4", "d", r#"{"n":1.10,"m":2}"#];
    expected.sort_unstable();
    assert_eq!(fields, expected);
    let forgotten: u64 = redis.query(&["TTL", &key]);
    assert!((2 * 100 + 604_000..=2 * 100 + 604_800).contains(&forgotten), "forgotten after {forgotten} s");
    assert_eq!(redis.query::<u64>(&["EXISTS", &format!("rs:app1:{old}")]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_does_not_slide_keeps_its_end() {
    let redis = RedisServer::start();
    let service = Service::redis(&redis);
    let mut token = service.create("/app1/create/u?ip=1&ttl=100", r#"{"a":1}"#).await;
    redis.query::<u64>(&["HSET", &format!("rs:app1:{token}"), "no_resave", "1"]);
    for left in [70, 40, 10] {
        service.advance(30);
        token = service.renew("app1", &token, "").await.unwrap();
        let session = service.get("app1", &token).await;
        assert!(session.contains(&format!(r#""ttl":{left},"idle":0,"#)), "{session}");
        assert!(session.ends_with(r#""ip":"1","no_resave":true,"d":{"a":1}}"#), "{session}");
        let end: u64 = redis.query(&["ZSCORE", "rs:SESSIONS", &format!("app1:{token}:u")]);
        assert_eq!(end, NOW + 100);
    }
    service.advance(11);
    assert_eq!(service.renew("app1", &token, "").await, None);
    assert_eq!(service.get("app1", &token).await, "{}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_other_programs_are_renewed_as_they_are_read() {
    let redis = RedisServer::start();
    let service = Service::redis(&redis);
    let token = "a".repeat(64);
    let key = format!("rs:app1:{token}");
    let la = NOW.to_string();
    redis.query::<u64>(&["HSET", &key, "w", "2", "d", r#"{"a":1}"#]);
    assert_eq!(service.renew("app1", &token, "").await, None, "a session without all fields is missing");
    redis.query::<u64>(&["HSET", &key, "id", "u", "ttl", "1e+22", "la", &la, "ip", "1", "d", "nonsense"]);
    let reply = service.call("POST", &format!("/app1/renew/{token}")).await;
    assert_eq!(reply.status, 500);
    assert!(reply.body.starts_with(r#"{"name":"corruptSession","#), "{reply:?}");
    assert_eq!(redis.query::<u64>(&["EXISTS", &key]), 1, "it was not renewed");
    for (w, d) in [("1.5", r#"{ "a" : "x", "1": 2 }"#), ("nan", ""), ("", "{}")] {
        redis.query::<u64>(&["HSET", &key, "id", "u", "ttl", "1e+22", "la", &la, "ip", "1", "w", w, "d", d]);
        let new = service.renew("app1", &token, r#"{"b":1}"#).await.unwrap();
        let session = service.get("app1", &new).await;
        assert!(session.contains(r#""r":1,"w":1,"ttl":9007199254740991,"#), "{session}");
        assert!(session.ends_with(r#""b":1}}"#), "{session}");
    }
    redis.query::<u64>(&["HSET", &key, "id", "x", "ttl", "100", "la", &la, "ip", "1", "w", "1"]);
    redis.query::<()>(&["SET", "rs:app1:us:x", "of another type"]);
    for query in ["", "?others=1"] {
        assert_eq!(service.call("POST", &format!("/app1/renew/{token}{query}")).await.status, 503);
        assert_ne!(service.get("app1", &token).await, "{}", "a renewal that fails leaves the session as it was");
    }
}

/// Begins to set one key of a session, another for each number.
fn set_key(service: &Service, token: &str, number: usize) -> JoinHandle<String> {
    let (service, token) = (service.clone(), token.to_owned());
    tokio::spawn(async move { service.set("app1", &token, &format!(r#"{{"k{number}":1}}"#)).await })
}

#[tokio::test]
async fn a_renewal_takes_its_turn_among_the_sets_of_its_session() {
    let redis = RedisServer::start();
    let service = Service::redis(&redis);
    let token = service.create("/app1/create/u?ip=1", r#"{"a":1}"#).await;
    let set = |n| set_key(&service, &token, n);
    // Scripts and connections are there.
    set(0).await.unwrap();
    redis.pause();
    let before: Vec<_> = (1..200).map(set).collect();
    let_others_run().await;
    let renewal = {
        let (service, token) = (service.clone(), token.clone());
        tokio::spawn(async move { service.renew("app1", &token, r#"{"renewed":1}"#).await })
    };
    let_others_run().await;
    let after: Vec<_> = (200..400).map(set).collect();
    let_others_run().await;
    redis.resume();
    for set in before {
        assert_ne!(set.await.unwrap(), "{}", "it came before the renewal");
    }
    for set in after {
        assert_eq!(set.await.unwrap(), "{}", "it came after the renewal");
    }
    let session = service.get("app1", &renewal.await.unwrap().unwrap()).await;
    assert!((0..200).all(|n| session.contains(&format!(r#""k{n}":1"#))), "{session}");
    assert!(session.contains(r#""renewed":1"#) && !session.contains("k200"), "{session}");
}

#[tokio::test]
async fn a_caller_of_a_renewal_that_leaves_holds_up_nobody() {
    let redis = RedisServer::start();
    let service = Service::redis(&redis);
    let token = service.create("/app1/create/u?ip=1", r#"{"a":1}"#).await;
    let set = |n| set_key(&service, &token, n);
    set(0).await.unwrap();
    redis.pause();
    // One leaves while it waits for its turn, the other one while it reads the session.
    for begins_first in [false, true] {
        let writer = if begins_first { None } else { Some(set(1)) };
        let_others_run().await;
        let renewal = {
            let (service, token) = (service.clone(), token.clone());
            tokio::spawn(async move { service.renew("app1", &token, "").await })
        };
        let_others_run().await;
        let waiting = set(2);
        let_others_run().await;
        renewal.abort();
        assert!(renewal.await.unwrap_err().is_cancelled());
        redis.resume();
        for set in writer.into_iter().chain([waiting]) {
            assert!(set.await.unwrap().contains(r#""a":1"#));
        }
        redis.pause();
    }
    redis.resume();
    assert!(service.renew("app1", &token, "").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sets_of_another_process_beside_renewals_are_in_the_new_session_or_find_none() {
    let redis = RedisServer::start();
    // Two instances that share nothing but Redis.
    let (here, elsewhere) = (Service::redis(&redis), Service::redis(&redis));
    let (mut written, mut dropped) = (0, 0);
    for round in 0..40 {
        let token = here.create("/app1/create/u?ip=1", "").await;
        let sets: Vec<_> = (0..10)
            .map(|n| {
                let (elsewhere, token) = (elsewhere.clone(), token.clone());
                let delay = n % 5;
                tokio::spawn(async move {
                    for _ in 0..delay {
                        elsewhere.get("app1", &token).await;
                    }
                    elsewhere.set("app1", &token, &format!(r#"{{"k{n}":1}}"#)).await
                })
            })
            .collect();
        for _ in 0..round % 4 {
            here.get("app1", &token).await;
        }
        let new = here.renew("app1", &token, r#"{"renewed":1}"#).await.unwrap();
        let session = here.get("app1", &new).await;
        for (n, set) in sets.into_iter().enumerate() {
            let acknowledged = set.await.unwrap() != "{}";
            assert_eq!(session.contains(&format!(r#""k{n}":1"#)), acknowledged, "k{n} in round {round}: {session}");
            *if acknowledged { &mut written } else { &mut dropped } += 1;
        }
    }
    eprintln!("{written} sets written, {dropped} dropped");
    assert!(written >= 20 && dropped >= 20, "{written} sets written, {dropped} dropped");
    assert_eq!(half_sessions(&[&redis]), [""; 0]);
}
