//! Concurrent calls for one session.

use crate::support::Service;

over_both_stores! {
    concurrent_sets_lose_no_key
    concurrent_reads_are_all_counted
    a_set_that_races_a_kill_leaves_no_keys
}

async fn concurrent_sets_lose_no_key(service: Service) {
    let token = service.create("/app1/create/u?ip=1", r#"{"gone":1}"#).await;
    let sets: Vec<_> = (0..60)
        .map(|n| {
            let (service, token) = (service.clone(), token.clone());
            tokio::spawn(async move { service.set("app1", &token, &format!(r#"{{"k{n}":{n},"gone":null}}"#)).await })
        })
        .collect();
    for set in sets {
        assert_ne!(set.await.unwrap(), "{}");
    }
    let session = service.get("app1", &token).await;
    for n in 0..60 {
        assert!(session.contains(&format!(r#""k{n}":{n}"#)), "k{n} was lost: {session}");
    }
    assert!(session.contains(r#""w":61,"#) && !session.contains("gone"), "{session}");
}

async fn concurrent_reads_are_all_counted(service: Service) {
    let token = service.create("/app1/create/u?ip=1", "").await;
    let reads: Vec<_> = (0..60)
        .map(|_| {
            let (service, token) = (service.clone(), token.clone());
            tokio::spawn(async move { service.get("app1", &token).await })
        })
        .collect();
    for read in reads {
        assert_ne!(read.await.unwrap(), "{}");
    }
    assert!(service.get("app1", &token).await.contains(r#""r":61,"#));
}

async fn a_set_that_races_a_kill_leaves_no_keys(service: Service) {
    for round in 0..40 {
        let token = service.create("/app1/create/u?ip=1", r#"{"a":1}"#).await;
        let calls: Vec<_> = (0..6)
            .map(|n| {
                let (service, token) = (service.clone(), token.clone());
                tokio::spawn(async move {
                    match n {
                        3 => service.kill("app1", &token).await,
                        5 => service.get("app1", &token).await,
                        _ => service.set("app1", &token, &format!(r#"{{"k{n}":{n}}}"#)).await,
                    }
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
        assert_eq!(service.get("app1", &token).await, "{}", "round {round}");
        assert_eq!(service.ok("GET", "/app1/activity?dt=60").await, r#"{"activity":0}"#, "round {round}");
        assert_eq!(service.ok("GET", "/app1/soid/u").await, r#"{"sessions":[]}"#, "round {round}");
    }
    if let rest_sessions::store::Store::Memory(_) = service.store {
        assert_eq!(service.store.sweep(i64::MAX).await, Ok(0));
    }
}
