//! Reads that are no use of the session, and reads that end an idle session.

use crate::support::Service;

over_both_stores! {
    a_read_without_touch_leaves_no_trace
    a_session_idle_for_longer_than_max_idle_is_ended
    a_session_idle_for_max_idle_is_used
    max_idle_counts_from_the_last_use
    a_read_without_touch_ends_an_idle_session_too
    an_invalid_max_idle_or_touch_is_refused
    the_answer_says_that_max_idle_was_enforced
}

async fn get(service: &Service, token: &str, query: &str) -> String {
    service.ok("GET", &format!("/app1/get/{token}?{query}")).await
}

async fn a_read_without_touch_leaves_no_trace(service: Service) {
    let token = service.create("/app1/create/u?ip=1&ttl=20", r#"{"a":1}"#).await;
    service.advance(5);
    service.create("/app1/create/v?ip=1", "").await;
    service.advance(10);
    for _ in 0..3 {
        let session = r#"{"id":"u","r":1,"w":1,"ttl":20,"idle":15,"ip":"1","d":{"a":1}}"#;
        assert_eq!(get(&service, &token, "touch=0").await, session);
    }
    assert_eq!(service.ok("GET", "/app1/activity?dt=14").await, r#"{"activity":1}"#);
    assert!(!service.ok("GET", "/app1/soapp?dt=14").await.contains(r#""id":"u""#));
    service.advance(6);
    assert_eq!(service.store.sweep(service.now()).await, Ok(1));
    assert_eq!(get(&service, &token, "touch=0").await, "{}");

    let token = service.create("/app1/create/u?ip=1", "").await;
    service.advance(2);
    assert!(get(&service, &token, "touch=1").await.contains(r#""r":1,"w":1,"ttl":7200,"idle":2,"#));
    assert!(get(&service, &token, "touch=0").await.contains(r#""r":2,"w":1,"ttl":7200,"idle":0,"#));
}

async fn a_session_idle_for_longer_than_max_idle_is_ended(service: Service) {
    let idle = service.create("/app1/create/u?ip=1", "").await;
    service.advance(20);
    let used = service.create("/app1/create/u?ip=2", "").await;
    service.advance(11);
    assert_eq!(get(&service, &idle, "max_idle=30").await, "{}");
    assert_eq!(service.get("app1", &idle).await, "{}");
    assert_eq!(service.set("app1", &idle, r#"{"a":1}"#).await, "{}");
    assert_eq!(service.kill("app1", &idle).await, r#"{"kill":0}"#);
    let session = r#"{"id":"u","r":1,"w":1,"ttl":7200,"idle":11,"ip":"2"}"#;
    assert_eq!(service.ok("GET", "/app1/soid/u").await, format!(r#"{{"sessions":[{session}]}}"#));
    assert_eq!(get(&service, &used, "max_idle=30").await, session);
    service.advance(31);
    assert_eq!(get(&service, &used, "max_idle=30").await, "{}");
    assert_eq!(service.ok("GET", "/app1/activity?dt=600").await, r#"{"activity":0}"#);
    assert_eq!(service.ok("GET", "/app1/soid/u").await, r#"{"sessions":[]}"#);
    assert_eq!(get(&service, &used, "max_idle=30").await, "{}");
}

async fn a_session_idle_for_max_idle_is_used(service: Service) {
    let token = service.create("/app1/create/u?ip=1", "").await;
    for reads in 1..=3 {
        service.advance(30);
        let session = format!(r#"{{"id":"u","r":{reads},"w":1,"ttl":7200,"idle":30,"ip":"1"}}"#);
        assert_eq!(get(&service, &token, "max_idle=30&touch=1").await, session);
    }
}

/// `idle` is up to a second more, since a use within a second of another does not reset it.
async fn max_idle_counts_from_the_last_use(service: Service) {
    let token = service.create("/app1/create/u?ip=1", "").await;
    service.advance(1);
    service.get("app1", &token).await;
    service.advance(10);
    let session = r#"{"id":"u","r":2,"w":1,"ttl":7200,"idle":11,"ip":"1"}"#;
    assert_eq!(get(&service, &token, "max_idle=10&touch=0").await, session);
    assert_eq!(get(&service, &token, "max_idle=9&touch=0").await, "{}");
    assert_eq!(service.get("app1", &token).await, "{}");
}

async fn a_read_without_touch_ends_an_idle_session_too(service: Service) {
    let token = service.create("/app1/create/u?ip=1", "").await;
    service.advance(31);
    assert_eq!(get(&service, &token, "touch=0&max_idle=30").await, "{}");
    assert_eq!(service.get("app1", &token).await, "{}");
    assert_eq!(service.ok("GET", "/app1/activity?dt=600").await, r#"{"activity":0}"#);
}

async fn an_invalid_max_idle_or_touch_is_refused(service: Service) {
    let token = service.create("/app1/create/u?ip=1", "").await;
    service.advance(60);
    for (query, message) in [
        ("max_idle=0", "max_idle must be a positive integer, in seconds"),
        ("max_idle=", "max_idle must be a positive integer, in seconds"),
        ("max_idle=30s", "max_idle must be a positive integer, in seconds"),
        ("max_idle=30&max_idle=40", "max_idle must be a positive integer, in seconds"),
        ("touch=", "touch must be 0 or 1"),
        ("touch=false", "touch must be 0 or 1"),
        ("touch=0&max_idle=-1", "max_idle must be a positive integer, in seconds"),
    ] {
        let reply = service.call("GET", &format!("/app1/get/{token}?{query}")).await;
        let body = format!(r#"{{"name":"invalidValue","message":"{message}"}}"#);
        assert_eq!((reply.status, reply.body), (500, body), "{query}");
    }
    let unchanged = r#"{"id":"u","r":1,"w":1,"ttl":7200,"idle":60,"ip":"1"}"#;
    assert_eq!(service.get("app1", &token).await, unchanged);
}

async fn the_answer_says_that_max_idle_was_enforced(service: Service) {
    let token = service.create("/app1/create/u?ip=1", "").await;
    let header = async |query: &str| {
        let headers = service.headers("GET", &format!("/app1/get/{token}{query}")).await;
        headers.get("x-max-idle").map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(header("").await, None);
    assert_eq!(header("?touch=0").await, None);
    assert_eq!(header("?max_idle=1800").await.as_deref(), Some("1800"));
    service.advance(60);
    assert_eq!(header("?max_idle=30&touch=0").await.as_deref(), Some("30"), "it has ended the session");
    assert_eq!(header("?max_idle=30").await.as_deref(), Some("30"), "there is no session");
}
