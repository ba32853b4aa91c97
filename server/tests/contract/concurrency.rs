//! Concurrent calls for one session.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::Service;

over_both_stores! {
    concurrent_sets_lose_no_key
    concurrent_reads_are_all_counted
    a_set_that_races_a_kill_leaves_no_keys
    every_set_beside_renewals_is_in_the_new_session_or_finds_none
    of_renewals_at_once_one_succeeds
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

async fn every_set_beside_renewals_is_in_the_new_session_or_finds_none(service: Service) {
    const WRITERS: usize = 8;
    const SETS: usize = 60;
    let first = service.create("/app1/create/u?ip=1", r#"{"first":1}"#).await;
    let current = Arc::new(Mutex::new(first));
    let done = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (service, current, done) = (service.clone(), Arc::clone(&current), Arc::clone(&done));
            tokio::spawn(async move {
                let mut outcomes = Vec::new();
                for n in 0..SETS {
                    let token = current.lock().unwrap().clone();
                    let key = format!("k{writer}x{n}");
                    let answer = service.set("app1", &token, &format!(r#"{{"{key}":1}}"#)).await;
                    assert!(answer == "{}" || answer.contains(&key), "{answer}");
                    outcomes.push((key, answer != "{}"));
                    done.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
                outcomes
            })
        })
        .collect();
    let mut renewals = 0;
    while writers.iter().any(|writer| !writer.is_finished()) {
        // Some sets come between two renewals, and others are under way.
        if done.load(Ordering::SeqCst) < renewals * 2 * WRITERS {
            tokio::task::yield_now().await;
            continue;
        }
        let token = current.lock().unwrap().clone();
        let change = format!(r#"{{"r{renewals}":1}}"#);
        *current.lock().unwrap() = service.renew("app1", &token, &change).await.expect("only this task renews");
        renewals += 1;
    }
    let token = current.lock().unwrap().clone();
    let session = service.get("app1", &token).await;
    let (mut written, mut dropped) = (0, 0);
    for writer in writers {
        for (key, acknowledged) in writer.await.unwrap() {
            assert_eq!(session.contains(&format!(r#""{key}":1"#)), acknowledged, "{key}");
            *if acknowledged { &mut written } else { &mut dropped } += 1;
        }
    }
    eprintln!("{renewals} renewals, {written} sets written, {dropped} dropped");
    assert!(
        renewals >= 10 && written >= WRITERS * SETS / 4,
        "{renewals} renewals, {written} sets written, {dropped} dropped"
    );
    assert!((0..renewals).all(|n| session.contains(&format!(r#""r{n}":1"#))), "{session}");
    assert_eq!(service.ok("GET", "/app1/soid/u").await.matches(r#""id""#).count(), 1);
}

async fn of_renewals_at_once_one_succeeds(service: Service) {
    for round in 0..20 {
        let token = service.create("/app1/create/u?ip=1", "").await;
        let renewals: Vec<_> = (0..6)
            .map(|n| {
                // One of them ends the other sessions of the user: not the new one of a renewal that came first.
                let (service, query) = (service.clone(), if n == 3 { "?others=1" } else { "" });
                let renewed = format!("{token}{query}");
                tokio::spawn(async move { service.renew("app1", &renewed, &format!(r#"{{"n":{n}}}"#)).await })
            })
            .collect();
        let mut tokens = Vec::new();
        for renewal in renewals {
            tokens.extend(renewal.await.unwrap());
        }
        assert_eq!(tokens.len(), 1, "round {round}");
        assert!(service.get("app1", &tokens[0]).await.contains(r#""d":{"n":"#), "round {round}");
        assert_eq!(service.ok("DELETE", "/app1/killsoid/u").await, r#"{"kill":1}"#, "round {round}");
    }
}
