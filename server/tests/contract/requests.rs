//! Requests: paths, parameters and bodies, and the errors for invalid ones.

use axum::body::Body;
use axum::http::Request;

use crate::NO_TOKEN;
use crate::support::Service;

over_both_stores! {
    ping_answers_pong
    invalid_parameters_are_answered_as_by_the_original
    bodies_are_bounded_and_checked
    a_body_of_another_content_type_counts_as_empty
    unknown_endpoints_are_answered_404
    endpoints_match_in_any_case_and_with_a_trailing_slash
}

async fn ping_answers_pong(service: Service) {
    let reply = service.call("GET", "/ping").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "PONG"));
    assert_eq!(reply.content_type, "application/json; charset=utf-8");
}

async fn invalid_parameters_are_answered_as_by_the_original(service: Service) {
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

async fn unknown_endpoints_are_answered_404(service: Service) {
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

async fn endpoints_match_in_any_case_and_with_a_trailing_slash(service: Service) {
    assert_eq!(service.ok("GET", "/Ping/").await, "PONG");
    let token = service.create("/App1/CREATE/User?ip=1", "").await;
    assert!(service.ok("GET", &format!("/App1/Get/{token}/")).await.starts_with(r#"{"id":"User""#));
    assert_eq!(service.get("app1", &token).await, "{}");
}
