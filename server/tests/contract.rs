//! The wire contract, held by both stores: what is asked, and the bytes that are answered.

mod support;

use axum::body::Body;
use axum::http::Request;
use support::Service;
use test_support::redis::RedisServer;

const NO_TOKEN: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

macro_rules! over_both_stores {
    ($($name:ident)*) => {
        mod over_memory {
            $(#[tokio::test] async fn $name() { super::$name(super::Service::memory()).await })*
        }
        mod over_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $name() {
                let server = super::RedisServer::start();
                super::$name(super::Service::redis(&server)).await
            })*
        }
    };
}

over_both_stores! {
    ping_answers_pong
    a_session_is_created_and_read_byte_for_byte
    a_session_without_data_has_no_d
    a_read_counts_slides_and_resets_idle
    a_use_within_a_second_does_not_reset_idle
    a_session_is_gone_once_idle_for_longer_than_its_ttl
    an_expired_session_is_neither_set_nor_killed
    a_set_merges_removes_and_counts_as_a_write
    a_set_slides_the_expiry
    d_disappears_with_its_last_key
    numbers_keep_their_text
    a_session_belongs_to_its_app
    kill_ends_one_session
    killsoid_ends_every_session_of_a_user
    killall_ends_every_session_of_an_app
    activity_counts_users_not_sessions
    the_last_kill_takes_the_user_out_of_the_activity
    soapp_lists_the_most_recently_active_first
    soid_lists_the_sessions_of_a_user
    ids_of_every_kind_work_throughout
    broken_rules_are_answered_as_the_original_answers_them
    bodies_are_bounded_and_checked
    a_body_of_another_content_type_counts_as_empty
    everything_else_is_not_found
    endpoints_are_found_in_any_case_and_with_a_slash_at_the_end
    a_sweep_removes_what_expired_and_nothing_else
    sets_at_once_lose_no_key
    reads_at_once_are_all_counted
    a_set_that_races_a_kill_leaves_nothing_behind
}

async fn ping_answers_pong(service: Service) {
    let reply = service.call("GET", "/ping").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "PONG"));
    assert_eq!(reply.content_type, "application/json; charset=utf-8");
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
    assert_eq!(u64::from_str_radix(time, 36).unwrap(), support::NOW * 1000);
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

async fn a_session_is_gone_once_idle_for_longer_than_its_ttl(service: Service) {
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

async fn d_disappears_with_its_last_key(service: Service) {
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

async fn the_last_kill_takes_the_user_out_of_the_activity(service: Service) {
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

async fn ids_of_every_kind_work_throughout(service: Service) {
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

async fn broken_rules_are_answered_as_the_original_answers_them(service: Service) {
    let get = format!("/app1/get/{}", "a".repeat(63));
    let id = format!("/app1/create/{}?ip=1", "x".repeat(129));
    let ip = format!("/app1/create/u?ip={}", "1".repeat(40));
    let set = format!("/app1/set/{NO_TOKEN}");
    let ttl = "ttl must be a positive integer >= 10";
    let forbidden = "d.a has a forbidden type. Only strings, numbers, boolean and null are allowed.";
    for (method, uri, body, name, message) in [
        ("GET", get.as_str(), "", "invalidFormat", "Invalid token format"),
        ("GET", "/ab/get/x", "", "invalidFormat", "Invalid app format"),
        ("GET", "/app%2F1/get/x", "", "invalidFormat", "Invalid app format"),
        ("POST", "/app1/set/-", r#"{"a":1}"#, "invalidFormat", "Invalid token format"),
        ("DELETE", "/app1/kill/-", "", "invalidFormat", "Invalid token format"),
        ("PUT", "/app1/create/u", "", "missingParameter", "No ip supplied"),
        ("PUT", "/app1/create/u?ip=", "", "missingParameter", "No ip supplied"),
        ("PUT", ip.as_str(), "", "invalidFormat", "Invalid ip format"),
        ("PUT", id.as_str(), "", "invalidFormat", "Invalid id format"),
        ("PUT", "/app1/create/u%0A?ip=1", "", "invalidFormat", "Invalid id format"),
        ("PUT", "/app1/create/u?ip=1&ttl=9", "", "invalidValue", ttl),
        ("PUT", "/app1/create/u?ip=1&ttl=soon", "", "invalidValue", ttl),
        ("PUT", "/app1/create/u?ip=1", "[1]", "invalidValue", "d must be an object"),
        ("PUT", "/app1/create/u?ip=1", r#"{"a":{}}"#, "invalidValue", forbidden),
        ("POST", set.as_str(), "", "invalidValue", "d must containt at least one key."),
        ("POST", set.as_str(), "{}", "invalidValue", "d must containt at least one key."),
        ("POST", set.as_str(), "[]", "invalidValue", "d must be an object"),
        ("POST", set.as_str(), r#"{"a":[]}"#, "invalidValue", forbidden),
        ("DELETE", "/ab/killall", "", "invalidFormat", "Invalid app format"),
        ("DELETE", "/ab/killsoid/u", "", "invalidFormat", "Invalid app format"),
        ("GET", "/app1/activity", "", "invalidValue", ttl),
        ("GET", "/app1/activity?dt=9", "", "invalidValue", ttl),
        ("GET", "/app1/soapp?dt=-600", "", "invalidValue", ttl),
        ("GET", "/ab/soid/u", "", "invalidFormat", "Invalid app format"),
    ] {
        let reply = service.call_with(method, uri, body).await;
        assert_eq!(reply.status, 500, "{method} {uri} {body}");
        assert_eq!(reply.body, format!(r#"{{"name":"{name}","message":"{message}"}}"#), "{method} {uri} {body}");
        assert_eq!(reply.content_type, "application/json; charset=utf-8");
    }
}

async fn bodies_are_bounded_and_checked(service: Service) {
    let token = service.create("/app1/create/u?ip=1", "").await;
    let uri = format!("/app1/set/{token}");
    let of_size = |size: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(size - 8));
    assert_eq!(service.call_with("POST", &uri, of_size(60_000)).await.status, 200);
    for size in [60_001, 3_000_000] {
        let reply = service.call_with("POST", &uri, of_size(size)).await;
        assert_eq!(reply.status, 413);
        assert!(reply.body.starts_with(r#"{"name":"PayloadTooLargeError","message":""#), "{reply:?}");
    }
    for bad in ["{", "nonsense", "5", "null", "\"a\"", "{\"a\":1}x", "{\"a\":01}", "{'a':1}", " "] {
        let reply = service.call_with("POST", &uri, bad).await;
        assert_eq!(reply.status, 400, "{bad}");
        assert!(reply.body.starts_with(r#"{"name":"SyntaxError","message":""#), "{reply:?}");
        assert_eq!(reply.content_type, "application/json; charset=utf-8");
    }
    assert_eq!(service.call_with("POST", &uri, &b"{\"a\":\"\xff\"}"[..]).await.status, 400);
    assert_eq!(service.call_with("POST", &uri, "[".repeat(50_000)).await.status, 400);
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(25_000), "]".repeat(25_000));
    assert_eq!(service.call_with("POST", &uri, deep).await.status, 500);
    let compressed = Request::post(&uri).header("content-type", "application/json").header("content-encoding", "gzip");
    assert_eq!(service.send(compressed.body(Body::from("{\"a\":1}")).unwrap()).await.status, 415);
}

async fn a_body_of_another_content_type_counts_as_empty(service: Service) {
    for content_type in ["text/plain", "application/jsonp", "application/x-www-form-urlencoded"] {
        let create = Request::put("/app1/create/u?ip=1").header("content-type", content_type);
        assert_eq!(service.send(create.body(Body::from("{\"a\":")).unwrap()).await.status, 200);
        let set = Request::post(format!("/app1/set/{NO_TOKEN}")).header("content-type", content_type);
        let reply = service.send(set.body(Body::from("{\"a\":1}")).unwrap()).await;
        assert_eq!(reply.body, r#"{"name":"invalidValue","message":"d must containt at least one key."}"#);
    }
    let token = service.create("/app1/create/u?ip=1", "").await;
    let set = Request::post(format!("/app1/set/{token}")).header("content-type", "Application/JSON; charset=UTF-8");
    assert!(service.send(set.body(Body::from("{\"a\":1}")).unwrap()).await.body.ends_with(r#""d":{"a":1}}"#));
}

async fn everything_else_is_not_found(service: Service) {
    for (method, uri) in [
        ("GET", "/"),
        ("GET", "/app1"),
        ("GET", "/app1/get"),
        ("GET", "/app1/get/a/b"),
        ("GET", "/app1/unknown/a"),
        ("GET", "//ping"),
        ("POST", "/ping"),
        ("POST", "/app1/get/a"),
        ("GET", "/app1/kill/a"),
        ("GET", "/app1/killall"),
        ("OPTIONS", "/app1/get/a"),
        ("BREW", "/ping"),
    ] {
        let reply = service.call(method, uri).await;
        assert_eq!(reply.status, 404, "{method} {uri}");
        assert_eq!(reply.body, r#"{"name":"notFound","message":"there is no such endpoint"}"#);
        assert_eq!(reply.content_type, "application/json; charset=utf-8");
    }
    for uri in ["/app1/soid/%ff", "/app1/soid/%zz", "/app1/soid/%"] {
        assert_eq!(service.call("GET", uri).await.status, 400, "{uri}");
    }
}

async fn endpoints_are_found_in_any_case_and_with_a_slash_at_the_end(service: Service) {
    assert_eq!(service.ok("GET", "/Ping/").await, "PONG");
    let token = service.create("/App1/CREATE/User?ip=1", "").await;
    assert!(service.ok("GET", &format!("/App1/Get/{token}/")).await.starts_with(r#"{"id":"User""#));
    assert_eq!(service.get("app1", &token).await, "{}");
}

async fn a_sweep_removes_what_expired_and_nothing_else(service: Service) {
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

async fn sets_at_once_lose_no_key(service: Service) {
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

async fn reads_at_once_are_all_counted(service: Service) {
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

async fn a_set_that_races_a_kill_leaves_nothing_behind(service: Service) {
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

#[tokio::test]
async fn memory_is_bounded_and_makes_room_among_the_expired_first() {
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
