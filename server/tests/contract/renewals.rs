//! Renewals: a session gets a new token, and the old one ends.

use axum::body::Body;
use axum::http::Request;

use crate::NO_TOKEN;
use crate::support::Service;

over_both_stores! {
    a_renewed_session_is_another_one_with_the_same_user_ip_ttl_and_data
    a_renewal_merges_its_change
    a_renewal_without_a_session_makes_none
    an_expired_session_is_not_renewed
    a_renewed_session_lives_its_whole_ttl_from_its_renewal
    others_ends_every_other_session_of_the_user_and_no_more
    invalid_renewals_are_refused_and_change_nothing
    a_renewal_that_makes_a_session_too_large_changes_nothing
    a_renewed_session_is_killed_listed_and_swept_as_any_other
}

async fn a_renewed_session_is_another_one_with_the_same_user_ip_ttl_and_data(service: Service) {
    let old = service.create("/app1/create/a:b?ip=1.2.3.4&ttl=100", r#"{"n":1.10,"name":"ü"}"#).await;
    service.get("app1", &old).await;
    service.set("app1", &old, r#"{"s":true}"#).await;
    service.advance(7);
    for body in ["", "{}", "[]", " { } "] {
        let expected =
            r#"{"id":"a:b","r":1,"w":1,"ttl":100,"idle":0,"ip":"1.2.3.4","d":{"n":1.10,"name":"ü","s":true}}"#;
        let first = service.create("/app1/create/a:b?ip=1.2.3.4&ttl=100", r#"{"n":1.10,"name":"ü","s":true}"#).await;
        let reply = service.call_with("POST", &format!("/app1/renew/{first}"), body).await;
        assert_eq!((reply.status, reply.content_type.as_str()), (200, "application/json; charset=utf-8"), "{body}");
        let token = reply.token().unwrap();
        assert_eq!((token.len(), reply.body.len()), (64, 76), "{reply:?}");
        let time = token.split('Z').next_back().unwrap();
        assert_eq!(i64::from_str_radix(time, 36).unwrap(), service.now() * 1000, "a token tells when it was made");
        assert_eq!(service.get("app1", &first).await, "{}");
        assert_eq!(service.get("app1", &token).await, expected, "{body}");
    }
    let new = service.renew("app1", &old, "").await.unwrap();
    let session = r#"{"id":"a:b","r":1,"w":1,"ttl":100,"idle":0,"ip":"1.2.3.4","d":{"n":1.10,"name":"ü","s":true}}"#;
    assert_eq!(service.get("app1", &new).await, session);
    assert!(service.set("app1", &new, r#"{"s":null}"#).await.contains(r#""r":2,"w":2,"#));
    assert_eq!(service.set("app1", &old, r#"{"s":1}"#).await, "{}");
    assert_eq!(service.kill("app1", &old).await, r#"{"kill":0}"#);
}

async fn a_renewal_merges_its_change(service: Service) {
    let token = service.create("/app1/create/u?ip=1", r#"{"a":1,"b":"x","c":true}"#).await;
    let token = service.renew("app1", &token, r#"{"b":null,"a":2,"z":1.50}"#).await.unwrap();
    let session = r#"{"id":"u","r":1,"w":1,"ttl":7200,"idle":0,"ip":"1","d":{"a":2,"c":true,"z":1.50}}"#;
    assert_eq!(service.get("app1", &token).await, session);
    let token = service.renew("app1", &token, r#"{"a":null,"c":null,"z":null}"#).await.unwrap();
    assert_eq!(service.get("app1", &token).await, r#"{"id":"u","r":1,"w":1,"ttl":7200,"idle":0,"ip":"1"}"#);
    let token = service.renew("app1", &token, r#"{"first":1}"#).await.unwrap();
    assert!(service.get("app1", &token).await.ends_with(r#""d":{"first":1}}"#));
}

async fn a_renewal_without_a_session_makes_none(service: Service) {
    assert_eq!(service.renew("app1", NO_TOKEN, r#"{"a":1}"#).await, None);
    let token = service.create("/app1/create/u?ip=1", "").await;
    assert_eq!(service.renew("app2", &token, "").await, None, "a session of another app");
    let new = service.renew("app1", &token, "").await.unwrap();
    for again in ["", "?others=1"] {
        assert_eq!(service.renew("app1", &format!("{token}{again}"), "").await, None, "it was renewed before");
    }
    assert_ne!(service.get("app1", &new).await, "{}");
    service.kill("app1", &new).await;
    assert_eq!(service.renew("app1", &new, "").await, None);
    for list in ["/app1/soid/u", "/app2/soid/u", "/app1/soapp?dt=60", "/app2/soapp?dt=60"] {
        assert_eq!(service.ok("GET", list).await, r#"{"sessions":[]}"#);
    }
}

async fn an_expired_session_is_not_renewed(service: Service) {
    let token = service.create("/app1/create/u?ip=1&ttl=10", "").await;
    let other = service.create("/app1/create/u?ip=1", "").await;
    service.advance(11);
    for query in ["", "?others=1"] {
        assert_eq!(service.renew("app1", &format!("{token}{query}"), "").await, None);
    }
    assert_ne!(service.get("app1", &other).await, "{}", "a session that has expired ends no others");
}

async fn a_renewed_session_lives_its_whole_ttl_from_its_renewal(service: Service) {
    let mut token = service.create("/app1/create/u?ip=1&ttl=10", "").await;
    for _ in 0..3 {
        service.advance(10);
        token = service.renew("app1", &token, "").await.unwrap();
    }
    service.advance(10);
    assert_eq!(service.store.sweep(service.now()).await, Ok(0));
    assert!(service.get("app1", &token).await.contains(r#""ttl":10,"idle":10,"#));
    service.advance(11);
    assert_eq!(service.get("app1", &token).await, "{}");
    assert_eq!(service.store.sweep(service.now()).await, Ok(1));
}

async fn others_ends_every_other_session_of_the_user_and_no_more(service: Service) {
    let token = service.create("/app1/create/u:1?ip=1", r#"{"a":1}"#).await;
    for _ in 0..1100 {
        service.create("/app1/create/u:1?ip=1", "").await;
    }
    let same_name = service.create("/app2/create/u:1?ip=1", "").await;
    let neighbours =
        [service.create("/app1/create/u?ip=1", "").await, service.create("/app1/create/u:10?ip=1", "").await];
    let kept = service.renew("app1", &token, "").await.unwrap();
    assert_eq!(service.ok("GET", "/app1/soid/u:1").await.matches(r#""id""#).count(), 1101, "without others they live");
    let kept = service.renew("app1", &format!("{kept}?others=1"), r#"{"b":2}"#).await.unwrap();
    let session = r#"{"id":"u:1","r":1,"w":1,"ttl":7200,"idle":0,"ip":"1","d":{"a":1,"b":2}}"#;
    assert_eq!(service.ok("GET", "/app1/soid/u:1").await, format!(r#"{{"sessions":[{session}]}}"#));
    assert_eq!(service.get("app1", &kept).await, session);
    assert_ne!(service.get("app2", &same_name).await, "{}");
    for neighbour in neighbours {
        assert_ne!(service.get("app1", &neighbour).await, "{}");
    }
    assert_eq!(service.ok("GET", "/app1/activity?dt=60").await, r#"{"activity":3}"#);
    // With no others there is nothing to end.
    assert!(service.renew("app1", &format!("{kept}?others=1"), "").await.is_some());
}

async fn invalid_renewals_are_refused_and_change_nothing(service: Service) {
    let token = service.create("/app1/create/u?ip=1", r#"{"a":1}"#).await;
    let other = service.create("/app1/create/u?ip=1", "").await;
    let uri = format!("/app1/renew/{token}");
    let forbidden = "d.a has a forbidden type. Only strings, numbers, boolean and null are allowed.";
    for (uri, body, name, message) in [
        ("/ab/renew/x", "", "invalidFormat", "Invalid app format"),
        ("/app1/renew/-", "", "invalidFormat", "Invalid token format"),
        (&format!("{uri}?others=0"), "", "invalidValue", "others must be 1"),
        (&format!("{uri}?others="), "", "invalidValue", "others must be 1"),
        (&format!("{uri}?others=1&others=1"), "", "invalidValue", "others must be 1"),
        (&format!("{uri}?others=true"), "", "invalidValue", "others must be 1"),
        (&uri, "[1]", "invalidValue", "d must be an object"),
        (&uri, r#"{"a":{}}"#, "invalidValue", forbidden),
        (&format!("{uri}?others=1"), r#"{"b":1,"a":[]}"#, "invalidValue", forbidden),
    ] {
        let reply = service.call_with("POST", uri, body).await;
        assert_eq!(reply.status, 500, "{uri} {body}");
        assert_eq!(reply.body, format!(r#"{{"name":"{name}","message":"{message}"}}"#), "{uri} {body}");
    }
    for (body, status) in
        [("{".to_owned(), 400), ("5".to_owned(), 400), (format!("{{\"a\":\"{}\"}}", "x".repeat(60_000)), 413)]
    {
        let reply = service.call_with("POST", &format!("{uri}?others=1"), body).await;
        assert_eq!(reply.status, status, "{reply:?}");
    }
    let compressed = Request::post(&uri).header("content-type", "application/json").header("content-encoding", "gzip");
    assert_eq!(service.send(compressed.body(Body::from("{\"a\":1}")).unwrap()).await.status, 415);
    for method in ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"] {
        assert_eq!(service.call(method, &uri).await.status, 404, "{method}");
    }
    for uri in ["/app1/renew".to_owned(), format!("{uri}/x")] {
        assert_eq!(service.call("POST", &uri).await.status, 404, "{uri}");
    }
    assert_eq!(service.get("app1", &token).await, r#"{"id":"u","r":1,"w":1,"ttl":7200,"idle":0,"ip":"1","d":{"a":1}}"#);
    assert_ne!(service.get("app1", &other).await, "{}");
    // As when a session is created.
    let text = Request::post(format!("/app1/RENEW/{token}/")).header("content-type", "text/plain");
    let reply = service.send(text.body(Body::from("{\"a\":")).unwrap()).await;
    assert!(service.get("app1", &reply.token().unwrap()).await.ends_with(r#""d":{"a":1}}"#));
}

async fn a_renewal_that_makes_a_session_too_large_changes_nothing(service: Service) {
    let token = service.create("/app1/create/u?ip=1", "").await;
    let part = |n: usize| format!(r#"{{"k{n}":"{}"}}"#, "x".repeat(50_000));
    for n in 0..5 {
        service.set("app1", &token, &part(n)).await;
    }
    let before = service.ok("GET", &format!("/app1/get/{token}?touch=0")).await;
    let reply = service.call_with("POST", &format!("/app1/renew/{token}"), part(5)).await;
    assert_eq!(reply.status, 413);
    assert!(reply.body.starts_with(r#"{"name":"sessionTooLarge","message":""#), "{reply:?}");
    assert!(service.ok("GET", &format!("/app1/get/{token}?touch=0")).await == before, "the session has changed");
    assert_eq!(service.ok("GET", "/app1/soid/u").await.matches(r#""id""#).count(), 1);
    // A key is replaced: the sum stays the same.
    let token = service.renew("app1", &token, &part(4)).await.unwrap();
    let token = service.renew("app1", &token, r#"{"k0":null,"small":1}"#).await.unwrap();
    assert!(service.get("app1", &token).await.ends_with(r#""small":1}}"#));
}

async fn a_renewed_session_is_killed_listed_and_swept_as_any_other(service: Service) {
    let mut tokens = Vec::new();
    for ttl in [100, 100, 10] {
        let token = service.create(&format!("/app1/create/u?ip=1&ttl={ttl}"), r#"{"a":1}"#).await;
        tokens.push(service.renew("app1", &token, "").await.unwrap());
    }
    let all = service.ok("GET", "/app1/soid/u").await;
    assert_eq!((all.matches(r#""id":"u""#).count(), all.matches(r#""d":{"a":1}"#).count()), (3, 3), "{all}");
    assert_eq!(service.ok("GET", "/app1/soapp?dt=60").await.matches(r#""id":"u""#).count(), 3);
    assert_eq!(service.ok("GET", "/app1/activity?dt=60").await, r#"{"activity":1}"#);
    assert_eq!(service.kill("app1", &tokens[0]).await, r#"{"kill":1}"#);
    service.advance(11);
    assert_eq!(service.store.sweep(service.now()).await, Ok(1));
    assert_eq!(service.ok("DELETE", "/app1/killsoid/u").await, r#"{"kill":1}"#);
    assert_eq!(service.ok("GET", "/app1/activity?dt=60").await, r#"{"activity":0}"#);
    assert_eq!(service.store.sweep(i64::MAX).await, Ok(0));
}
