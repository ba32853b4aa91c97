//! Sets of one session that wait for each other, and callers that do not wait for them.

mod support;

use support::Service;
use test_support::redis::RedisServer;

/// Lets the tasks that were spawned run until they wait for Redis.
async fn let_others_run() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_caller_that_leaves_halfway_holds_up_nobody() {
    let redis = RedisServer::start();
    let service = Service::redis(&redis);
    let token = service.create("/app1/create/u?ip=1", r#"{"a":1}"#).await;
    let set = |n: usize| {
        let (service, token) = (service.clone(), token.clone());
        tokio::spawn(async move { service.set("app1", &token, &format!(r#"{{"k{n}":{n}}}"#)).await })
    };
    // Scripts and connections are there.
    set(0).await.unwrap();
    redis.pause();
    let leaves = set(1);
    let_others_run().await;
    let others: Vec<_> = (2..6).map(set).collect();
    let_others_run().await;
    leaves.abort();
    assert!(leaves.await.unwrap_err().is_cancelled());
    redis.resume();
    for (other, n) in others.into_iter().zip(2..) {
        let session = other.await.unwrap();
        assert!(session.contains(&format!(r#""k{n}":{n}"#)), "{session}");
    }
    let session = service.get("app1", &token).await;
    assert!((0..6).filter(|n| *n != 1).all(|n| session.contains(&format!(r#""k{n}":{n}"#))), "{session}");
    // The next one finds no trace of the queue.
    assert!(set(6).await.unwrap().contains(r#""k6":6"#));
}

#[tokio::test]
async fn a_set_that_waits_for_a_session_that_is_killed_finds_none() {
    let redis = RedisServer::start();
    let service = Service::redis(&redis);
    let token = service.create("/app1/create/u?ip=1", r#"{"a":1}"#).await;
    assert_eq!(service.kill("app1", &token).await, r#"{"kill":1}"#);
    let sets: Vec<_> = (0..5)
        .map(|n| {
            let (service, token) = (service.clone(), token.clone());
            tokio::spawn(async move { service.set("app1", &token, &format!(r#"{{"k{n}":{n}}}"#)).await })
        })
        .collect();
    for set in sets {
        assert_eq!(set.await.unwrap(), "{}");
    }
}
