//! The sessions of a user and of an app: ended together, counted, listed, swept.

use crate::support::Service;

over_both_stores! {
    killsoid_ends_every_session_of_a_user
    killall_ends_every_session_of_an_app
    activity_counts_users_not_sessions
    killing_the_last_session_of_a_user_ends_its_activity
    soapp_lists_the_most_recently_active_first
    soid_lists_the_sessions_of_a_user
    ids_with_special_characters_work_in_every_endpoint
    a_sweep_removes_expired_sessions_only
}

async fn killsoid_ends_every_session_of_a_user(service: Service) {
    for _ in 0..3 {
        service.create("/app1/create/u?ip=1", "").await;
    }
    let other = service.create("/app1/create/other?ip=1", "").await;
    assert_eq!(service.ok("DELETE", "/app1/killsoid/u").await, r#"{"kill":3}"#);
    assert_eq!(service.ok("DELETE", "/app1/killsoid/u").await, r#"{"kill":0}"#);
    assert_ne!(service.get("app1", &other).await, "{}");
    assert_eq!(service.ok("GET", "/app1/activity?dt=60").await, r#"{"activity":1}"#);
}

async fn killall_ends_every_session_of_an_app(service: Service) {
    for user in 0..1100 {
        service.create(&format!("/app1/create/u{user}?ip=1"), "").await;
    }
    let other = service.create("/app2/create/u?ip=1", "").await;
    assert_eq!(service.ok("DELETE", "/app1/killall").await, r#"{"kill":1100}"#);
    assert_eq!(service.ok("DELETE", "/app1/killall").await, r#"{"kill":0}"#);
    assert_eq!(service.ok("GET", "/app1/activity?dt=60").await, r#"{"activity":0}"#);
    assert_ne!(service.get("app2", &other).await, "{}");
}

async fn activity_counts_users_not_sessions(service: Service) {
    service.create("/app1/create/a?ip=1", "").await;
    service.create("/app1/create/a?ip=1", "").await;
    service.advance(100);
    let token = service.create("/app1/create/b?ip=1", "").await;
    service.advance(10);
    service.get("app1", &token).await;
    for (dt, users) in [("10", 1), ("109", 1), ("110", 2), ("99999999999999999999999999", 2)] {
        let reply = service.ok("GET", &format!("/app1/activity?dt={dt}")).await;
        assert_eq!(reply, format!(r#"{{"activity":{users}}}"#), "dt={dt}");
    }
}

async fn killing_the_last_session_of_a_user_ends_its_activity(service: Service) {
    let first = service.create("/app1/create/u?ip=1", "").await;
    let second = service.create("/app1/create/u?ip=1", "").await;
    service.kill("app1", &first).await;
    assert_eq!(service.ok("GET", "/app1/activity?dt=60").await, r#"{"activity":1}"#);
    service.kill("app1", &second).await;
    assert_eq!(service.ok("GET", "/app1/activity?dt=60").await, r#"{"activity":0}"#);
}

async fn soapp_lists_the_most_recently_active_first(service: Service) {
    let oldest = service.create("/app1/create/a?ip=1", "").await;
    service.advance(20);
    service.create("/app1/create/b?ip=1", r#"{"k":1}"#).await;
    service.advance(20);
    assert_eq!(
        service.ok("GET", "/app1/soapp?dt=20").await,
        r#"{"sessions":[{"id":"b","r":1,"w":1,"ttl":7200,"idle":20,"ip":"1","d":{"k":1}}]}"#
    );
    service.get("app1", &oldest).await;
    assert_eq!(
        service.ok("GET", "/app1/soapp?dt=600").await,
        r#"{"sessions":[{"id":"a","r":2,"w":1,"ttl":7200,"idle":0,"ip":"1"},{"id":"b","r":1,"w":1,"ttl":7200,"idle":20,"ip":"1","d":{"k":1}}]}"#
    );
}

async fn soid_lists_the_sessions_of_a_user(service: Service) {
    assert_eq!(service.ok("GET", "/app1/soid/u").await, r#"{"sessions":[]}"#);
    for ip in ["1", "2"] {
        service.create(&format!("/app1/create/u?ip={ip}"), "").await;
    }
    service.create("/app1/create/other?ip=3", "").await;
    let sessions = service.ok("GET", "/app1/soid/u").await;
    for ip in ["1", "2"] {
        let session = format!(r#"{{"id":"u","r":1,"w":1,"ttl":7200,"idle":0,"ip":"{ip}"}}"#);
        assert_eq!(sessions.matches(&session).count(), 1, "{sessions}");
    }
    assert!(!sessions.contains("other"));
}

async fn ids_with_special_characters_work_in_every_endpoint(service: Service) {
    let long = "x".repeat(128);
    for (encoded, shown) in [
        ("a%2Fb", "a/b"),
        ("a:b:c", "a:b:c"),
        ("%09", "\\t"),
        ("%00", "\\u0000"),
        ("a,b", "a,b"),
        ("%C3%BC%F0%9F%98%80", "ü😀"),
        ("a%20b+c", "a b+c"),
        ("..", ".."),
        (long.as_str(), long.as_str()),
    ] {
        let token = service.create(&format!("/app1/create/{encoded}?ip=::1"), "").await;
        let session = format!(r#"{{"id":"{shown}","r":1,"w":1,"ttl":7200,"idle":0,"ip":"::1"}}"#);
        assert_eq!(service.ok("GET", &format!("/app1/soid/{encoded}")).await, format!(r#"{{"sessions":[{session}]}}"#));
        assert_eq!(service.get("app1", &token).await, session);
        service.create(&format!("/app1/create/{encoded}?ip=::1"), "").await;
        assert_eq!(service.kill("app1", &token).await, r#"{"kill":1}"#);
        assert_eq!(service.ok("DELETE", &format!("/app1/killsoid/{encoded}")).await, r#"{"kill":1}"#, "{shown}");
        assert_eq!(service.ok("GET", "/app1/activity?dt=60").await, r#"{"activity":0}"#, "{shown}");
    }
}

async fn a_sweep_removes_expired_sessions_only(service: Service) {
    for user in 0..3 {
        service.create(&format!("/app1/create/short:{user}?ip=1&ttl=10"), "").await;
    }
    let used = service.create("/app1/create/used?ip=1&ttl=10", "").await;
    let long = service.create("/app2/create/long?ip=1&ttl=100", "").await;
    service.advance(10);
    service.get("app1", &used).await;
    assert_eq!(service.store.sweep(service.now()).await, Ok(0));
    service.advance(1);
    assert_eq!(service.ok("GET", "/app1/activity?dt=600").await, r#"{"activity":4}"#);
    assert_eq!(service.store.sweep(service.now()).await, Ok(3));
    assert_eq!(service.store.sweep(service.now()).await, Ok(0));
    assert_eq!(service.ok("GET", "/app1/activity?dt=600").await, r#"{"activity":1}"#);
    assert_ne!(service.get("app1", &used).await, "{}");
    assert_ne!(service.get("app2", &long).await, "{}");
}
