//! Logout: the session ends in rest-sessions, in the cache of every worker and in the browser, or the reply is an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::harness::mesh::{Mesh, Setup, assert_denied, plugin};
use crate::harness::sessions::{APP, RestSessions};
use crate::harness::stub::{Call, CalloutResponse, Stub};
use crate::setup::{CONNECTIONS, extended};
use test_support::http1::{Request, Response};
use test_support::token;
use test_support::wait;

const DELETION: &str = "session-cookie=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax";

fn logout_config(keys: Value) -> Value {
    let logout = json!({"path": "/logout", "redirect": "/"});
    extended(plugin(json!({"logout": logout, "cache": {"ttl": "1h"}})), keys)
}

fn start(sessions: &RestSessions, keys: Value) -> Mesh {
    Setup::new(logout_config(keys)).sessions(sessions.address()).start()
}

fn logout() -> Request {
    Request::new("POST", "/logout")
}

#[track_caller]
fn assert_logged_out(request: &Request, response: &Response) {
    assert_eq!((response.status, response.text().as_str()), (303, ""), "{}\n{request}", response.text());
    assert_eq!(response.header("location").as_deref(), Some("/"), "{request}");
    assert_eq!(response.header("cache-control").as_deref(), Some("no-store"), "{request}");
    assert_eq!(response.values("set-cookie"), [DELETION], "{request}");
}

fn is_known(sessions: &RestSessions, token: &str) -> bool {
    sessions.call("GET", &format!("/{APP}/get/{token}"), "").text() != "{}"
}

#[test]
fn logout_ends_the_session_in_the_store_and_the_cache_and_deletes_the_cookie() {
    let sessions = RestSessions::over_redis();
    let mesh = start(&sessions, json!({}));
    let token = sessions.create("user1", &json!({"name": "Ada"}));
    let another = sessions.create("user1", &json!({"name": "Ada"}));
    for token in [&token, &another] {
        mesh.passes(&Request::get("/account").session(token));
    }
    let request = logout().session(&token);
    assert_logged_out(&request, &mesh.send(&request));
    assert!(!is_known(&sessions, &token));
    mesh.denies(&Request::get("/account").session(&token), 401, "session_required");
    // Another session of the same user stays active.
    mesh.passes(&Request::get("/account").session(&another));
    mesh.expect_outcomes(&[("allowed_total", 3), ("logouts_total", 1), ("denied_no_session_total", 1)]);
    assert_eq!(mesh.counter("ends_total"), 1);
}

#[test]
fn every_worker_drops_the_session_before_the_logout_reply() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(logout_config(json!({}))).sessions(sessions.address()).workers(2).start();
    for round in 0..20 {
        let token = sessions.create(&format!("user{round}"), &Value::Null);
        let page = Request::get("/account").session(&token);
        for _ in 0..CONNECTIONS {
            mesh.passes(&page);
        }
        let request = logout().session(&token);
        assert_logged_out(&request, &mesh.send(&request));
        for _ in 0..CONNECTIONS {
            mesh.denies(&page, 401, "session_required");
        }
    }
}

#[test]
fn logout_without_a_session_gets_the_same_reply_as_with_one() {
    let sessions = RestSessions::over_redis();
    let mesh = start(&sessions, json!({}));
    let killed = sessions.create("user1", &Value::Null);
    sessions.kill(&killed);
    for request in [
        logout(),
        logout().session("no-token-at-all"),
        logout().session(&token::fresh()),
        logout().session(&killed),
        Request::new("POST", "/LOGOUT/"),
        Request::new("POST", "/logout?from=menu"),
    ] {
        assert_logged_out(&request, &mesh.send(&request));
        assert_logged_out(&request, &mesh.send_h2(&request));
    }
    assert_eq!(mesh.counter("ends_total"), 0, "a kill of an unknown token does not count as an end");
    mesh.expect_outcomes(&[("logouts_total", 12)]);
}

#[test]
fn every_session_of_a_logout_request_ends() {
    let sessions = RestSessions::over_redis();
    let mesh = start(
        &sessions,
        json!({"token_from": [{"cookie": "session-cookie"}, {"cookie": "old-cookie"}, {"header": "x-token"}]}),
    );
    let tokens: Vec<String> = (0..4).map(|user| sessions.create(&format!("user{user}"), &Value::Null)).collect();
    let request = logout()
        .header("cookie", format!("session-cookie={}; session-cookie=\"{}\"", tokens[0], tokens[1]))
        .header("cookie", format!("old-cookie={}", tokens[2]))
        .header("x-token", tokens[3].clone());
    let response = mesh.send(&request);
    assert_eq!(response.status, 303, "{}", response.text());
    assert_eq!(
        response.values("set-cookie"),
        [DELETION, "old-cookie=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"]
    );
    for token in &tokens {
        assert!(!is_known(&sessions, token));
    }
}

#[test]
fn cookies_are_deleted_with_their_attributes_and_logout_without_redirect_replies_204() {
    let sessions = RestSessions::in_memory();
    let cookie = json!({"path": "/app", "secure": false, "same_site": "Strict", "domain": "example.com"});
    let mesh = start(&sessions, json!({"logout": {"path": "/logout", "methods": ["DELETE"]}, "cookie": cookie}));
    let request = Request::new("DELETE", "/logout").session(&sessions.create("user1", &Value::Null));
    let response = mesh.send(&request);
    assert_eq!((response.status, response.text().as_str()), (204, ""), "{}", response.text());
    assert_eq!(response.header("location"), None);
    assert_eq!(
        response.values("set-cookie"),
        ["session-cookie=; Max-Age=0; Path=/app; Domain=example.com; HttpOnly; SameSite=Strict"]
    );
    // With another method it is an ordinary request.
    mesh.denies(&logout(), 401, "session_required");
    // A page that other sites embed has a cookie for each of them.
    let partitioned = json!({"same_site": "None", "partitioned": true});
    let mesh = start(&sessions, json!({"logout": {"path": "/logout"}, "cookie": partitioned}));
    let response = mesh.send(&logout().session(&sessions.create("user1", &Value::Null)));
    assert_eq!(
        response.values("set-cookie"),
        ["session-cookie=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=None; Partitioned"]
    );
}

#[test]
fn logout_requests_from_foreign_origins_are_denied() {
    let sessions = RestSessions::over_redis();
    let mesh = start(&sessions, json!({"logout": {"path": "/logout", "redirect": "/", "methods": ["POST", "GET"]}}));
    let token = sessions.create("user1", &Value::Null);
    let from = |method: &str, headers: &[(&str, &str)]| {
        let request = Request::new(method, "/logout").session(&token);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    for request in [
        // A cross-site form, with and without Fetch Metadata.
        from("POST", &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example.org")]),
        from("POST", &[("origin", "https://evil.example.org")]),
        from("POST", &[("origin", "null")]),
        // An image and a link, which send no origin.
        from("GET", &[("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "image")]),
        from("GET", &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]),
        // A repeated header is treated as cross-site.
        from("POST", &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")]),
        from("POST", &[("origin", "http://shop.example.com"), ("origin", "https://evil.example.org")]),
    ] {
        let response = mesh.denies(&request, 403, "bad_origin");
        assert_eq!(response.values("set-cookie"), Vec::<String>::new(), "{request}");
    }
    assert!(is_known(&sessions, &token), "a request from a foreign origin has ended the session");
    for request in [
        from("POST", &[("sec-fetch-site", "same-origin"), ("origin", "http://shop.example.com")]),
        from("GET", &[("sec-fetch-site", "none")]),
    ] {
        assert_logged_out(&request, &mesh.send(&request));
    }
    assert!(!is_known(&sessions, &token));
}

#[test]
fn a_listed_origin_can_log_out_and_read_the_reply() {
    let sessions = RestSessions::over_redis();
    let mesh = start(&sessions, json!({"default": {"session": "required", "origins": ["https://app.example.org"]}}));
    let token = sessions.create("user1", &Value::Null);
    let preflight = |origin: &str| {
        Request::new("OPTIONS", "/logout")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "x-csrf-token")
    };
    let asked = preflight("https://app.example.org");
    for response in [mesh.send(&asked), mesh.send_h2(&asked)] {
        assert_eq!((response.status, response.text().as_str()), (204, ""));
        for (name, value) in [
            ("access-control-allow-origin", "https://app.example.org"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "POST"),
            ("access-control-allow-headers", "x-csrf-token"),
            ("cache-control", "no-store"),
            ("vary", "origin"),
        ] {
            assert_eq!(response.header(name).as_deref(), Some(value), "{name}");
        }
    }
    let foreign = mesh.denies(&preflight("https://evil.example.org"), 401, "session_required");
    assert_eq!(foreign.header("access-control-allow-origin"), None);
    assert_eq!(mesh.upstream.count(), 0, "no upstream knows the logout");
    let request = logout().session(&token).header("sec-fetch-site", "cross-site");
    let foreign = request.clone().header("origin", "https://evil.example.org");
    mesh.denies(&foreign, 403, "bad_origin");
    mesh.denies(&request, 403, "bad_origin");
    assert!(is_known(&sessions, &token));
    let listed = request.header("origin", "https://app.example.org");
    let response = mesh.send(&listed);
    assert_logged_out(&listed, &response);
    assert_eq!(response.header("access-control-allow-origin").as_deref(), Some("https://app.example.org"));
    assert_eq!(response.header("access-control-allow-credentials").as_deref(), Some("true"));
    assert!(!is_known(&sessions, &token));
}

#[test]
fn a_prefetched_logout_ends_nothing() {
    let sessions = RestSessions::in_memory();
    let mesh = start(&sessions, json!({"logout": {"path": "/logout", "redirect": "/", "methods": ["GET"]}}));
    let token = sessions.create("user1", &Value::Null);
    let get = || Request::get("/logout").session(&token).header("sec-fetch-site", "same-origin");
    for (name, value) in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
        ("x-moz", "prefetch"),
    ] {
        let response = mesh.denies(&get().header(name, value), 403, "prefetch");
        assert_eq!(response.values("set-cookie"), Vec::<String>::new());
    }
    assert!(is_known(&sessions, &token));
    assert_logged_out(&get(), &mesh.send(&get()));
    assert!(!is_known(&sessions, &token));
    mesh.expect_outcomes(&[("denied_forbidden_total", 4), ("logouts_total", 1)]);
}

/// A session service that responds with 503 while `fails` is set.
fn failing_service(fails: &Arc<AtomicBool>) -> Stub {
    let fails = Arc::clone(fails);
    Stub::start(move |call: &Call| {
        if fails.load(Ordering::Relaxed) {
            CalloutResponse::text(503, "{}")
        } else if call.method == "DELETE" {
            CalloutResponse::json(200, &json!({"kill": 1}))
        } else {
            CalloutResponse::session()
        }
    })
}

#[test]
fn a_failed_logout_replies_503_keeps_the_cookie_and_drops_the_cached_session() {
    let fails = Arc::new(AtomicBool::new(false));
    let stub = failing_service(&fails);
    let keys = logout_config(json!({"cache": {"ttl": "1h", "stale_if_error": "1h"}}));
    let mesh = Setup::new(keys).sessions(stub.address()).workers(2).start();
    let token = token::fresh();
    let page = Request::get("/account").session(&token);
    for _ in 0..CONNECTIONS {
        mesh.passes(&page);
    }
    fails.store(true, Ordering::Relaxed);
    let response = mesh.denies(&logout().session(&token), 503, "sessions_unavailable");
    assert_eq!(response.header("retry-after").as_deref(), Some("1"));
    assert_eq!(
        response.values("set-cookie"),
        Vec::<String>::new(),
        "the session may be active, so its cookie must stay"
    );
    for _ in 0..CONNECTIONS {
        mesh.denies(&page, 503, "sessions_unavailable");
    }
    fails.store(false, Ordering::Relaxed);
    let again = logout().session(&token);
    wait::until("the logout to succeed", || {
        let response = mesh.send(&again);
        (response.status == 303).then(|| assert_logged_out(&again, &response))
    });
    assert_eq!(mesh.outcomes()["logouts_total"], 1);
}

#[test]
fn a_kill_is_not_retried_and_carries_nothing_of_the_request() {
    let fails = Arc::new(AtomicBool::new(false));
    let stub = failing_service(&fails);
    let mesh = Setup::new(logout_config(json!({}))).sessions(stub.address()).start();
    let token = token::fresh();
    mesh.send(&logout().session(&token).header("x-request-id", "abc-1").body("a form"));
    let call = stub.only_call_for(&token);
    assert_eq!((call.method.as_str(), call.path.as_str()), ("DELETE", format!("/{APP}/kill/{token}").as_str()));
    assert_eq!(call.values("cookie"), Vec::<String>::new());
    let resetting = Stub::start(|_| CalloutResponse::ResetBeforeHeaders);
    let mesh = Setup::new(logout_config(json!({}))).sessions(resetting.address()).start();
    mesh.denies(&logout().session(&token), 503, "sessions_unavailable");
    assert_eq!(resetting.calls().len(), 1, "a kill is not retried, since it may have been executed before the reset");
}

#[test]
fn a_logout_completes_after_the_client_disconnects() {
    let sessions = RestSessions::over_redis();
    let mesh = start(&sessions, json!({}));
    let token = sessions.create("user1", &Value::Null);
    mesh.passes(&Request::get("/account").session(&token));
    drop(mesh.begin(&logout().session(&token)));
    wait::until("the session to end", || (!is_known(&sessions, &token)).then_some(()));
    mesh.denies(&Request::get("/account").session(&token), 401, "session_required");
}

#[test]
fn logout_ends_the_session_of_the_matching_rule() {
    let sessions = RestSessions::over_redis();
    let mesh = start(
        &sessions,
        json!({"rules": [
            {"match": {"hosts": ["admin.example.com"]}, "session": "required", "app": "backoffice",
             "token_from": [{"cookie": "admin-cookie"}]},
            {"match": {"paths": ["/logout"]}, "session": "off"},
        ]}),
    );
    let member = sessions.create("user1", &Value::Null);
    let admin = sessions.create_for("backoffice", "admin1", &Value::Null);
    let both = format!("session-cookie={member}; admin-cookie={admin}");
    let at_admin = logout().host("admin.example.com").header("cookie", both.clone());
    let response = mesh.send(&at_admin);
    assert_eq!(response.values("set-cookie"), ["admin-cookie=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"]);
    assert!(is_known(&sessions, &member));
    mesh.denies(&Request::get("/").host("admin.example.com").header("cookie", both.clone()), 401, "session_required");
    // The same under a rule with `session: off`.
    let at_shop = logout().header("cookie", both);
    assert_logged_out(&at_shop, &mesh.send(&at_shop));
    assert!(!is_known(&sessions, &member));
}

#[test]
fn a_path_that_only_some_servers_read_as_the_logout_path_is_denied() {
    let sessions = RestSessions::in_memory();
    let mesh = start(&sessions, json!({"rules": [{"match": {"paths": ["/static/*"]}, "session": "off"}]}));
    let token = sessions.create("user1", &Value::Null);
    for target in ["/logout%2f", "/logout;x", "/x/..%2flogout", "/%2e/logout"] {
        let request = Request::new("POST", target).session(&token);
        let response = mesh.send(&request);
        assert_denied(&request, &response, 400, "ambiguous_path");
    }
    assert!(is_known(&sessions, &token));
}
