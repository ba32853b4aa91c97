//! The bound of the store in memory.

use crate::support::Service;

#[tokio::test]
async fn memory_is_bounded_and_expired_sessions_are_removed_first() {
    let service = Service::memory_of(4 * 2048);
    for _ in 0..4 {
        service.create("/app1/create/u?ip=1&ttl=10", &format!(r#"{{"a":"{}"}}"#, "x".repeat(900))).await;
    }
    let full = r#"{"name":"storeFull","message":"the session store is full; try again later"}"#;
    let reply = service.call_with("PUT", "/app1/create/u?ip=1", format!(r#"{{"a":"{}"}}"#, "x".repeat(900))).await;
    assert_eq!((reply.status, reply.body.as_str()), (503, full));
    service.advance(11);
    let token = service.create("/app1/create/u?ip=1&ttl=10", "").await;
    for n in 0..8 {
        let uri = format!("/app1/set/{token}");
        let reply = service.call_with("POST", &uri, format!(r#"{{"k{n}":"{}"}}"#, "x".repeat(2000))).await;
        if reply.status == 503 {
            assert_eq!(reply.body, full);
            assert_eq!(service.kill("app1", &token).await, r#"{"kill":1}"#);
            return;
        }
    }
    panic!("a session grew past the bound");
}
