//! Logging out: sessions end at rest-sessions, in the cache of every worker and in the browser, or nobody says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use test_support::http1::{Request, Response};
use test_support::token;
use test_support::wait;

use crate::harness::mesh::{Mesh, Setup, assert_denied, plugin};
use crate::harness::sessions::{APP, RestSessions};
use crate::harness::stub::{Answer, Call, Stub};

/// Enough connections that both of two workers serve some of them.
const CONNECTIONS: usize = 24;

const DELETION: &str = "session-cookie=; Max-Age=0; Path=/; Secure; SameSite=Lax";

fn shop(keys: Value) -> Value {
    let mut shop = plugin(json!({"logout": {"path": "/logout", "redirect": "/"}, "cache": {"ttl": "1h"}}));
    shop.as_object_mut().expect("a plugin is an object").extend(keys.as_object().expect("keys").clone());
    shop
}

fn start(sessions: &RestSessions, keys: Value) -> Mesh {
    Setup::new(shop(keys)).sessions(sessions.address()).start()
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
    Request::get(&format!("/{APP}/get/{token}")).send_to(sessions.address()).text() != "{}"
}

#[test]
fn who_logs_out_is_logged_out_at_the_store_in_the_cache_and_in_the_browser() {
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
    // The same user's other browser is still in.
    mesh.passes(&Request::get("/account").session(&another));
    mesh.expect_outcomes(&[("allowed_total", 3), ("logouts_total", 1), ("denied_no_session_total", 1)]);
    assert_eq!(mesh.counter("ends_total"), 1);
}

#[test]
fn every_worker_forgets_the_session_before_the_answer_is_out() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(shop(json!({}))).sessions(sessions.address()).workers(2).start();
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
fn logging_out_without_a_session_is_answered_like_success() {
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
    assert_eq!(mesh.counter("ends_total"), 0, "a kill of nothing known is no end");
    mesh.expect_outcomes(&[("logouts_total", 12)]);
}

#[test]
fn two_sessions_of_one_request_both_end() {
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
    assert_eq!(response.values("set-cookie"), [DELETION, "old-cookie=; Max-Age=0; Path=/; Secure; SameSite=Lax"]);
    for token in &tokens {
        assert!(!is_known(&sessions, token));
    }
}

#[test]
fn cookies_are_deleted_as_they_were_set_and_without_a_redirect_the_answer_is_empty() {
    let sessions = RestSessions::in_memory();
    let cookie = json!({"path": "/app", "secure": false, "same_site": "Strict", "domain": "example.com"});
    let mesh = start(&sessions, json!({"logout": {"path": "/logout", "methods": ["DELETE"], "cookie": cookie}}));
    let request = Request::new("DELETE", "/logout").session(&sessions.create("user1", &Value::Null));
    let response = mesh.send(&request);
    assert_eq!((response.status, response.text().as_str()), (204, ""), "{}", response.text());
    assert_eq!(response.header("location"), None);
    assert_eq!(
        response.values("set-cookie"),
        ["session-cookie=; Max-Age=0; Path=/app; Domain=example.com; SameSite=Strict"]
    );
    // Another method is a request like any other.
    mesh.denies(&logout(), 401, "session_required");
}

#[test]
fn no_foreign_page_logs_anybody_out() {
    let sessions = RestSessions::over_redis();
    let mesh = start(&sessions, json!({"logout": {"path": "/logout", "redirect": "/", "methods": ["POST", "GET"]}}));
    let token = sessions.create("user1", &Value::Null);
    let from = |method: &str, headers: &[(&str, &str)]| {
        let request = Request::new(method, "/logout").session(&token);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    for request in [
        // A form that posts itself, with and without Fetch Metadata.
        from("POST", &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example.org")]),
        from("POST", &[("origin", "https://evil.example.org")]),
        from("POST", &[("origin", "null")]),
        // An image, and a link, which bear no origin.
        from("GET", &[("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "image")]),
        from("GET", &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]),
        // A header more does not help.
        from("POST", &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")]),
        from("POST", &[("origin", "http://shop.example.com"), ("origin", "https://evil.example.org")]),
    ] {
        let response = mesh.denies(&request, 403, "bad_origin");
        assert_eq!(response.values("set-cookie"), Vec::<String>::new(), "{request}");
    }
    assert!(is_known(&sessions, &token), "a foreign page has ended a session");
    for request in [
        from("POST", &[("sec-fetch-site", "same-origin"), ("origin", "http://shop.example.com")]),
        from("GET", &[("sec-fetch-site", "none")]),
    ] {
        assert_logged_out(&request, &mesh.send(&request));
    }
    assert!(!is_known(&sessions, &token));
}

#[test]
fn listed_page_of_another_site_logs_out_and_may_read_the_answer() {
    let sessions = RestSessions::over_redis();
    let mesh = start(&sessions, json!({"default": {"session": "required", "origins": ["https://app.example.org"]}}));
    let token = sessions.create("user1", &Value::Null);
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

/// A store that ends sessions on the way to it and fails on the way back, or is away at all.
fn away(fails: &Arc<AtomicBool>) -> Stub {
    let fails = Arc::clone(fails);
    Stub::start(move |call: &Call| {
        if fails.load(Ordering::Relaxed) {
            Answer::text(503, "{}")
        } else if call.method == "DELETE" {
            Answer::json(200, &json!({"kill": 1}))
        } else {
            Answer::session()
        }
    })
}

#[test]
fn while_rest_sessions_is_away_nobody_is_told_to_be_logged_out_and_no_cache_serves_the_session() {
    let fails = Arc::new(AtomicBool::new(false));
    let stub = away(&fails);
    let keys = shop(json!({"cache": {"ttl": "1h", "stale_if_error": "1h"}}));
    let mesh = Setup::new(keys).sessions(stub.address()).workers(2).start();
    let token = token::fresh();
    let page = Request::get("/account").session(&token);
    for _ in 0..CONNECTIONS {
        mesh.passes(&page);
    }
    fails.store(true, Ordering::Relaxed);
    let response = mesh.denies(&logout().session(&token), 503, "sessions_unavailable");
    assert_eq!(response.header("retry-after").as_deref(), Some("1"));
    assert_eq!(response.values("set-cookie"), Vec::<String>::new(), "the session may live, and so must its cookie");
    for _ in 0..CONNECTIONS {
        mesh.denies(&page, 503, "sessions_unavailable");
    }
    fails.store(false, Ordering::Relaxed);
    let again = logout().session(&token);
    wait::until("rest-sessions to be asked again", || {
        let response = mesh.send(&again);
        (response.status == 303).then(|| assert_logged_out(&again, &response))
    });
    assert_eq!(mesh.outcomes()["logouts_total"], 1);
}

#[test]
fn a_kill_is_not_repeated_and_what_it_came_with_is_not_passed_on() {
    let fails = Arc::new(AtomicBool::new(false));
    let stub = away(&fails);
    let mesh = Setup::new(shop(json!({}))).sessions(stub.address()).start();
    let token = token::fresh();
    mesh.send(&logout().session(&token).header("x-request-id", "abc-1").body("a form"));
    let call = stub.only_call_for(&token);
    assert_eq!((call.method.as_str(), call.path.as_str()), ("DELETE", format!("/{APP}/kill/{token}").as_str()));
    assert_eq!(call.values("cookie"), Vec::<String>::new());
    let stubborn = Stub::start(|_| Answer::ResetBeforeHeaders);
    let mesh = Setup::new(shop(json!({}))).sessions(stubborn.address()).start();
    mesh.denies(&logout().session(&token), 503, "sessions_unavailable");
    assert_eq!(stubborn.calls().len(), 1, "a kill may have been done before its connection was reset");
}

#[test]
fn a_client_that_leaves_is_logged_out_all_the_same() {
    let sessions = RestSessions::over_redis();
    let mesh = start(&sessions, json!({}));
    let token = sessions.create("user1", &Value::Null);
    mesh.passes(&Request::get("/account").session(&token));
    drop(mesh.begin(&logout().session(&token)));
    wait::until("the session to end", || (!is_known(&sessions, &token)).then_some(()));
    mesh.denies(&Request::get("/account").session(&token), 401, "session_required");
}

#[test]
fn the_rule_that_matches_says_whose_session_ends() {
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
    assert_eq!(response.values("set-cookie"), ["admin-cookie=; Max-Age=0; Path=/; Secure; SameSite=Lax"]);
    assert!(is_known(&sessions, &member));
    mesh.denies(&Request::get("/").host("admin.example.com").header("cookie", both.clone()), 401, "session_required");
    // Under a rule that is off as well.
    let at_shop = logout().header("cookie", both);
    assert_logged_out(&at_shop, &mesh.send(&at_shop));
    assert!(!is_known(&sessions, &member));
}

#[test]
fn path_that_only_some_servers_read_as_the_logout_is_refused() {
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
