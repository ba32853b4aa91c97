//! Session changes: an upstream response changes or ends the session, and the next request sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::{DELETION, KILL, SET, cached, setting, stored, write_back};
use crate::harness::mesh::{Mesh, Setup};
use crate::harness::sessions::RestSessions;
use crate::harness::upstream::UpstreamResponse;
use crate::setup::CONNECTIONS;
use test_support::http1::Request;
use test_support::wait;

/// The session data that a request is annotated with.
fn data(mesh: &Mesh, request: &Request) -> Value {
    let received = mesh.passes(request).header("x-session-data").expect("the session's data");
    serde_json::from_str(&received).expect("JSON")
}

#[test]
fn the_next_request_at_any_worker_sees_the_change() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(cached()).sessions(sessions.address()).workers(2).start();
    let token = sessions.create("user1", &json!({"name": "Ada"}));
    let request = Request::get("/").session(&token);
    for round in 1..=20 {
        mesh.upstream.respond_with(move |_| setting(&json!({"cart": round})));
        let response = mesh.send(&request);
        assert_eq!((response.status, response.text().as_str()), (200, "from the upstream\n"));
        mesh.upstream.respond_with(|_| UpstreamResponse::default());
        for _ in 0..CONNECTIONS {
            assert_eq!(data(&mesh, &request), json!({"name": "Ada", "cart": round}));
        }
        assert_eq!(stored(&sessions, &token), json!({"name": "Ada", "cart": round}));
    }
    assert_eq!(mesh.counter("write_backs_total"), 20);
    // The response to each change is cached, so that only the first request made a lookup.
    assert_eq!(mesh.counter("calls_total"), 21);
}

#[test]
fn repeated_changes_merge_in_order_into_one_call_with_exact_values() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(cached()).sessions(sessions.address()).start();
    let token = sessions.create("user1", &json!({"keep": 1, "gone": 2}));
    mesh.upstream.respond_with(|request| match request.target.as_str() {
        "/several" => UpstreamResponse::default()
            .header(SET, r#"{"a":1,"gone":null}"#)
            .header(SET, r#"{"a":2,"b":"x"}"#)
            .header(SET, r#"{"c":true}"#),
        "/joined" => UpstreamResponse::default().header(SET, r#"{"a":1}, {"a":3}"#),
        "/numbers" => UpstreamResponse::default().header(SET, r#"{"n":9007199254740993,"f":0.1,"e":1e2,"z":-0}"#),
        "/text" => UpstreamResponse::default()
            .header(SET, "{\"t\":\"Zo\u{eb} \\u20ac \u{1F600} \\\"q\\\" \\\\\",\"k\u{e9}y\":\"\"}"),
        "/emptied" => UpstreamResponse::default().header(SET, r#"{"keep":null,"a":null}"#),
        _ => UpstreamResponse::default(),
    });
    let at = |target: &str| Request::get(target).session(&token);
    let after = |target: &str| {
        assert_eq!(mesh.send(&at(target)).status, 200);
        let shown = data(&mesh, &at("/"));
        assert_eq!(stored(&sessions, &token), shown, "{target}");
        shown
    };
    assert_eq!(after("/several"), json!({"keep": 1, "a": 2, "b": "x", "c": true}));
    assert_eq!(after("/joined")["a"], json!(3));
    mesh.passes(&at("/numbers"));
    let shown = mesh.passes(&at("/")).header("x-session-data").expect("data");
    assert!(shown.contains(r#""n":9007199254740993"#) && shown.contains(r#""f":0.1"#), "{shown}");
    let shown = after("/text");
    assert_eq!((&shown["t"], &shown["k\u{e9}y"]), (&json!("Zo\u{eb} \u{20ac} \u{1F600} \"q\" \\"), &json!("")));
    let shown = after("/emptied");
    assert!(shown.get("keep").is_none() && shown.get("a").is_none() && shown.get("b").is_some(), "{shown}");
    assert_eq!(mesh.counter("write_backs_total"), 5);
}

#[test]
fn a_change_of_60000_bytes_is_made_and_a_larger_one_ignored() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(write_back(json!({"annotate": {"headers": {"x-session-user": "id"}}})))
        .sessions(sessions.address())
        .start();
    let token = sessions.create("user1", &Value::Null);
    let length = |target: &str| target.trim_start_matches('/').parse::<usize>().unwrap_or(0);
    mesh.upstream.respond_with(move |request| setting(&json!({"a": "x".repeat(length(&request.target) - 8)})));
    mesh.passes(&Request::get("/60000").session(&token));
    assert_eq!(stored(&sessions, &token)["a"].as_str().map(str::len), Some(59_992));
    mesh.passes(&Request::get("/60001").session(&token));
    assert_eq!(stored(&sessions, &token)["a"].as_str().map(str::len), Some(59_992));
    assert_eq!((mesh.counter("write_backs_total"), mesh.counter("write_back_dropped_total")), (1, 1));
}

#[test]
fn concurrent_changes_of_different_keys_of_one_session_are_all_kept() {
    const WRITERS: u64 = 40;
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(cached()).sessions(sessions.address()).workers(2).start();
    let token = sessions.create("user1", &json!({"first": true}));
    mesh.upstream.respond_with(|request| match request.target.strip_prefix("/set/") {
        Some(key) => setting(&json!({key: key})),
        None => UpstreamResponse::default(),
    });
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (mesh, token) = (&mesh, &token);
            scope.spawn(move || {
                mesh.passes(&Request::get(&format!("/set/k{writer}")).session(token));
                // Each sees its own change at once, despite the others.
                let own = data(mesh, &Request::get("/").session(token));
                assert_eq!(own[format!("k{writer}")], json!(format!("k{writer}")));
            });
        }
    });
    let all = stored(&sessions, &token);
    assert_eq!(all.as_object().map(serde_json::Map::len), Some(41), "{all}");
    for _ in 0..CONNECTIONS {
        assert_eq!(data(&mesh, &Request::get("/").session(&token)), all);
    }
    assert_eq!(mesh.counter("write_backs_total"), WRITERS);
}

#[test]
fn a_session_ended_by_the_upstream_ends_in_store_and_caches_and_its_cookie_is_deleted() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(cached()).sessions(sessions.address()).workers(2).start();
    let token = sessions.create("user1", &json!({"a": 1}));
    let request = Request::get("/").session(&token);
    for _ in 0..CONNECTIONS {
        mesh.passes(&request);
    }
    // Ending takes precedence over setting.
    mesh.upstream.respond_with(|_| setting(&json!({"a": 2})).header(KILL, "1").header("set-cookie", "theme=dark"));
    let response = mesh.send(&request);
    assert_eq!((response.status, response.text().as_str()), (200, "from the upstream\n"));
    assert_eq!(response.values("set-cookie"), ["theme=dark", DELETION]);
    assert_eq!(stored(&sessions, &token), Value::Null);
    for _ in 0..CONNECTIONS {
        mesh.denies(&request, 401, "session_required");
    }
    assert_eq!(mesh.counter("ends_total"), 1);
}

#[test]
fn a_renewed_sessions_cookie_is_not_deleted_with_the_old_session() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(cached()).sessions(sessions.address()).start();
    let (old, new) = (sessions.create("user1", &Value::Null), sessions.create("user1", &Value::Null));
    let cookie = format!("session-cookie={new}; Path=/; Secure; HttpOnly");
    let set = cookie.clone();
    mesh.upstream
        .respond_with(move |_| UpstreamResponse::default().header(KILL, "1").header("set-cookie", set.clone()));
    let response = mesh.send(&Request::get("/").session(&old));
    assert_eq!(response.values("set-cookie"), [cookie]);
    assert_eq!(stored(&sessions, &old), Value::Null);
}

#[test]
fn the_deleted_cookie_has_the_configured_attributes() {
    let sessions = RestSessions::over_redis();
    let cookie = json!({"path": "/app", "same_site": "Strict", "domain": "example.com"});
    let mesh = Setup::new(write_back(json!({"cookie": cookie}))).sessions(sessions.address()).start();
    mesh.upstream.respond_with(|_| UpstreamResponse::default().header(KILL, "1"));
    let response = mesh.send(&Request::get("/").session(&sessions.create("user1", &Value::Null)));
    assert_eq!(
        response.values("set-cookie"),
        ["session-cookie=; Max-Age=0; Path=/app; Domain=example.com; Secure; HttpOnly; SameSite=Strict"]
    );
}

#[test]
fn a_change_to_an_ended_session_ends_it_in_every_cache() {
    let sessions = Arc::new(RestSessions::over_redis());
    let mesh = Setup::new(cached()).sessions(sessions.address()).workers(2).start();
    let token = sessions.create("user1", &json!({"a": 1}));
    let request = Request::get("/").session(&token);
    for _ in 0..CONNECTIONS {
        mesh.passes(&request);
    }
    let (store, ended) = (Arc::clone(&sessions), token.clone());
    mesh.upstream.respond_with(move |_| {
        store.kill(&ended);
        setting(&json!({"a": 2}))
    });
    let response = mesh.send(&request);
    assert_eq!((response.status, response.text().as_str()), (200, "from the upstream\n"));
    assert_eq!(response.values("set-cookie"), Vec::<String>::new());
    for _ in 0..CONNECTIONS {
        mesh.denies(&request, 401, "session_required");
    }
}

#[test]
fn only_allowed_keys_are_set_and_required_fields_only_if_listed() {
    let sessions = RestSessions::over_redis();
    let rules = json!([{"match": {"paths": ["/admin"]}, "session": "required",
                        "require": [{"field": "d.role", "equals": "admin"}]}]);
    let change = |settings: Value, body: &'static str| {
        let mesh = Setup::new(write_back(json!({"rules": rules, "write_back": settings})))
            .sessions(sessions.address())
            .start();
        let token = sessions.create("user1", &json!({"role": "member"}));
        mesh.upstream.respond_with(move |_| UpstreamResponse::default().header(SET, body));
        mesh.passes(&Request::get("/").session(&token));
        (mesh.send(&Request::get("/admin").session(&token)).status, stored(&sessions, &token))
    };
    let untouched = json!({"role": "member"});
    for body in [r#"{"role":"admin"}"#, r#"{"r\u006fle":"admin"}"#, r#"{"a":1,"role":"admin"}"#] {
        assert_eq!(change(json!({}), body), (403, untouched.clone()), "{body}");
        assert_eq!(change(json!({"keys": ["a"]}), body), (403, untouched.clone()), "{body}");
    }
    assert_eq!(change(json!({"keys": []}), r#"{"a":1}"#), (403, untouched));
    assert_eq!(change(json!({"keys": ["role"]}), r#"{"role":"admin"}"#), (200, json!({"role": "admin"})));
}

#[test]
fn an_upstream_changes_only_sessions_of_the_matching_rules_app() {
    let sessions = RestSessions::over_redis();
    let rules = json!([{"match": {"hosts": ["admin.example.com"]}, "session": "required", "app": "backoffice",
                        "token_from": [{"cookie": "admin-cookie"}]}]);
    let mesh = Setup::new(write_back(json!({"rules": rules}))).sessions(sessions.address()).start();
    let member = sessions.create("user1", &Value::Null);
    let admin = sessions.create_for("backoffice", "admin1", &Value::Null);
    mesh.upstream.respond_with(|_| UpstreamResponse::default().header(KILL, "1"));
    let both = format!("session-cookie={member}; admin-cookie={admin}");
    let response = mesh.send(&Request::get("/").host("admin.example.com").header("cookie", both));
    assert_eq!(response.values("set-cookie"), ["admin-cookie=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"]);
    assert_eq!(stored(&sessions, &member), json!({}));
    let gone = sessions.call("GET", &format!("/backoffice/get/{admin}"), "");
    assert_eq!(gone.text(), "{}");
}

#[test]
fn a_change_completes_after_the_client_disconnects() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(cached()).sessions(sessions.address()).start();
    let token = sessions.create("user1", &Value::Null);
    let requests = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&requests);
    mesh.upstream.respond_with(move |_| {
        let round = counted.fetch_add(1, Ordering::Relaxed);
        setting(&json!({"round": round}))
    });
    for round in 0..10_u64 {
        let connection = mesh.begin(&Request::get("/").session(&token));
        wait::until_equal("the upstream to respond", &(round + 1), || requests.load(Ordering::Relaxed));
        drop(connection);
    }
    // Each change was made or not; the cache and the store are consistent.
    mesh.upstream.respond_with(|_| UpstreamResponse::default());
    wait::until("the calls in flight to end", || (mesh.counter("in_flight") == 0).then_some(()));
    let shown = data(&mesh, &Request::get("/").session(&token));
    assert_eq!(shown, stored(&sessions, &token));
}
