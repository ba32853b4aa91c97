//! One session: created, read, changed, ended, expired.

use crate::NO_TOKEN;
use crate::support::{NOW, Service};

over_both_stores! {
    a_session_is_created_and_read_byte_for_byte
    a_session_without_data_has_no_d
    a_read_counts_slides_and_resets_idle
    a_use_within_a_second_does_not_reset_idle
    a_session_expires_when_idle_for_longer_than_its_ttl
    an_expired_session_is_neither_set_nor_killed
    a_set_merges_removes_and_counts_as_a_write
    a_set_slides_the_expiry
    d_is_absent_after_its_last_key_is_removed
    numbers_keep_their_text
    a_session_belongs_to_its_app
    kill_ends_one_session
}

async fn a_session_is_created_and_read_byte_for_byte(service: Service) {
    let token = service
        .create(
            "/app1/create/user123?ip=192.168.99.22&ttl=86400",
            r#"{"name": "Peter Smith", "x": null, "unread_msgs": 12}"#,
        )
        .await;
    assert_eq!(token.len(), 64);
    let time = token.split('Z').next_back().unwrap();
    assert_eq!(u64::from_str_radix(time, 36).unwrap(), NOW * 1000);
    service.advance(273);
    let reply = service.call("GET", &format!("/app1/get/{token}")).await;
    assert_eq!(
        reply.body,
        r#"{"id":"user123","r":1,"w":1,"ttl":86400,"idle":273,"ip":"192.168.99.22","d":{"name":"Peter Smith","unread_msgs":12}}"#
    );
    assert_eq!(reply.content_type, "application/json; charset=utf-8");
}

async fn a_session_without_data_has_no_d(service: Service) {
    for body in ["", "{}", "[]", " { } ", r#"{"a":null}"#] {
        let token = service.create("/app1/create/u?ip=1", body).await;
        let session = r#"{"id":"u","r":1,"w":1,"ttl":7200,"idle":0,"ip":"1"}"#;
        assert_eq!(service.get("app1", &token).await, session, "{body}");
    }
}

async fn a_read_counts_slides_and_resets_idle(service: Service) {
    let token = service.create("/app1/create/u?ip=1&ttl=10", "").await;
    for reads in 1..=3 {
        service.advance(10);
        let expected = format!(r#"{{"id":"u","r":{reads},"w":1,"ttl":10,"idle":10,"ip":"1"}}"#);
        assert_eq!(service.get("app1", &token).await, expected);
    }
}

async fn a_use_within_a_second_does_not_reset_idle(service: Service) {
    let token = service.create("/app1/create/u?ip=1", "").await;
    for (reads, idle) in [(1, 1), (2, 2), (3, 1)] {
        service.advance(1);
        let expected = format!(r#"{{"id":"u","r":{reads},"w":1,"ttl":7200,"idle":{idle},"ip":"1"}}"#);
        assert_eq!(service.get("app1", &token).await, expected);
    }
}

async fn a_session_expires_when_idle_for_longer_than_its_ttl(service: Service) {
    let token = service.create("/app1/create/u?ip=1&ttl=10", "").await;
    service.advance(11);
    assert_eq!(service.get("app1", &token).await, "{}");
}

async fn an_expired_session_is_neither_set_nor_killed(service: Service) {
    let token = service.create("/app1/create/u?ip=1&ttl=10", "").await;
    service.advance(11);
    assert_eq!(service.set("app1", &token, r#"{"a":1}"#).await, "{}");
    assert_eq!(service.kill("app1", &token).await, r#"{"kill":0}"#);
    assert_eq!(service.ok("GET", "/app1/soid/u").await, r#"{"sessions":[]}"#);
    assert_eq!(service.ok("GET", "/app1/soapp?dt=60").await, r#"{"sessions":[]}"#);
}

async fn a_set_merges_removes_and_counts_as_a_write(service: Service) {
    let token = service.create("/app1/create/u?ip=1", r#"{"a":1,"b":"x","c":true}"#).await;
    service.advance(5);
    let changed = service.set("app1", &token, r#"{"b":null,"a":2,"z":false}"#).await;
    assert_eq!(changed, r#"{"id":"u","r":1,"w":2,"ttl":7200,"idle":5,"ip":"1","d":{"a":2,"c":true,"z":false}}"#);
    let read = service.get("app1", &token).await;
    assert_eq!(read, r#"{"id":"u","r":1,"w":2,"ttl":7200,"idle":0,"ip":"1","d":{"a":2,"c":true,"z":false}}"#);
    assert_eq!(service.set("app1", NO_TOKEN, r#"{"a":1}"#).await, "{}");
}

async fn a_set_slides_the_expiry(service: Service) {
    let token = service.create("/app1/create/u?ip=1&ttl=10", "").await;
    for _ in 0..3 {
        service.advance(10);
        assert_ne!(service.set("app1", &token, r#"{"a":1}"#).await, "{}");
    }
    service.advance(10);
    assert_ne!(service.get("app1", &token).await, "{}");
}

async fn d_is_absent_after_its_last_key_is_removed(service: Service) {
    let token = service.create("/app1/create/u?ip=1", r#"{"a":1,"b":2}"#).await;
    service.set("app1", &token, r#"{"a":null}"#).await;
    let changed = service.set("app1", &token, r#"{"b":null,"never":null}"#).await;
    assert_eq!(changed, r#"{"id":"u","r":1,"w":3,"ttl":7200,"idle":0,"ip":"1"}"#);
    assert_eq!(service.get("app1", &token).await, changed);
    assert!(service.set("app1", &token, r#"{"c":3}"#).await.ends_with(r#""d":{"c":3}}"#));
}

async fn numbers_keep_their_text(service: Service) {
    let data = r#"{"a":1.10,"b":12345678901234567890,"c":1e400,"d":-0,"e":0.1e-7}"#;
    let token = service.create("/app1/create/u?ip=1", data).await;
    assert!(service.get("app1", &token).await.ends_with(&format!(r#""d":{data}}}"#)));
    let changed = service.set("app1", &token, r#"{"f":1.000}"#).await;
    assert!(changed.ends_with(&format!(r#""d":{}}}"#, data.replace('}', r#","f":1.000}"#))), "{changed}");
}

async fn a_session_belongs_to_its_app(service: Service) {
    let token = service.create("/app1/create/u?ip=1", "").await;
    assert_eq!(service.get("app2", &token).await, "{}");
    assert_eq!(service.set("app2", &token, r#"{"a":1}"#).await, "{}");
    assert_eq!(service.kill("app2", &token).await, r#"{"kill":0}"#);
    assert_eq!(service.ok("DELETE", "/app2/killall").await, r#"{"kill":0}"#);
    assert_eq!(service.ok("DELETE", "/app2/killsoid/u").await, r#"{"kill":0}"#);
    assert_ne!(service.get("app1", &token).await, "{}");
}

async fn kill_ends_one_session(service: Service) {
    let first = service.create("/app1/create/u?ip=1", "").await;
    let second = service.create("/app1/create/u?ip=1", "").await;
    assert_eq!(service.kill("app1", &first).await, r#"{"kill":1}"#);
    assert_eq!(service.kill("app1", &first).await, r#"{"kill":0}"#);
    assert_eq!(service.get("app1", &first).await, "{}");
    assert_ne!(service.get("app1", &second).await, "{}");
}
