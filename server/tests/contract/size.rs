//! The bound of the `d` of one session.

use crate::support::Service;

over_both_stores! {
    a_set_that_makes_a_session_too_large_changes_nothing
}

async fn a_set_that_makes_a_session_too_large_changes_nothing(service: Service) {
    let token = service.create("/app1/create/u?ip=1&ttl=20", "").await;
    let uri = format!("/app1/set/{token}");
    let part = |n: usize| format!(r#"{{"k{n}":"{}"}}"#, "x".repeat(50_000));
    for n in 0..5 {
        assert_eq!(service.call_with("POST", &uri, part(n)).await.status, 200);
    }
    service.advance(10);
    let peek = format!("/app1/get/{token}?touch=0");
    let before = service.ok("GET", &peek).await;
    assert!(before.starts_with(r#"{"id":"u","r":1,"w":6,"ttl":20,"idle":10,"#), "{}", &before[..60]);
    let reply = service.call_with("POST", &uri, part(5)).await;
    let message = "the session would be too large: with this change it takes more than 262144 bytes; it is unchanged";
    assert_eq!((reply.status, reply.body), (413, format!(r#"{{"name":"sessionTooLarge","message":"{message}"}}"#)));
    assert!(service.ok("GET", &peek).await == before, "the session has changed");

    // A key is replaced: the sum stays the same.
    assert_eq!(service.call_with("POST", &uri, part(4)).await.status, 200);
    assert!(service.set("app1", &token, r#"{"k0":null,"small":1}"#).await.ends_with(r#""small":1}}"#));
    assert_eq!(service.call_with("POST", &uri, part(0)).await.status, 200);
    assert_eq!(service.call_with("POST", &uri, part(5)).await.status, 413);
    service.advance(21);
    assert_eq!(service.get("app1", &token).await, "{}");
}
