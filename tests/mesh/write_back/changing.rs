//! What a response says is done, and the next request sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json};
use test_support::http1::Request;
use test_support::wait;

use super::{CONNECTIONS, DELETION, KILL, SET, cached, setting, stored, writing};
use crate::harness::mesh::{Mesh, Setup};
use crate::harness::sessions::RestSessions;
use crate::harness::upstream::Reply;

fn data(mesh: &Mesh, request: &Request) -> Value {
    let seen = mesh.passes(request).header("x-session-data").expect("the session's data");
    serde_json::from_str(&seen).expect("JSON")
}

#[test]
fn the_next_request_sees_the_change_on_whichever_worker_it_comes() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(cached()).sessions(sessions.address()).workers(2).start();
    let token = sessions.create("user1", &json!({"name": "Ada"}));
    let request = Request::get("/").session(&token);
    for round in 1..=20 {
        mesh.upstream.answers(move |_| setting(&json!({"cart": round})));
        let response = mesh.send(&request);
        assert_eq!((response.status, response.text().as_str()), (200, "from the upstream\n"));
        mesh.upstream.answers(|_| Reply::default());
        for _ in 0..CONNECTIONS {
            assert_eq!(data(&mesh, &request), json!({"name": "Ada", "cart": round}));
        }
        assert_eq!(stored(&sessions, &token), json!({"name": "Ada", "cart": round}));
    }
    assert_eq!(mesh.counter("write_backs_total"), 20);
    // What the change was answered with serves from then on, so that nobody had to ask.
    assert_eq!(mesh.counter("calls_total"), 21);
}

#[test]
fn values_merge_in_their_order_into_one_call_and_arrive_as_they_were_written() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(cached()).sessions(sessions.address()).start();
    let token = sessions.create("user1", &json!({"keep": 1, "gone": 2}));
    mesh.upstream.answers(|seen| match seen.target.as_str() {
        "/several" => Reply::default()
            .header(SET, r#"{"a":1,"gone":null}"#)
            .header(SET, r#"{"a":2,"b":"x"}"#)
            .header(SET, r#"{"c":true}"#),
        "/joined" => Reply::default().header(SET, r#"{"a":1}, {"a":3}"#),
        "/numbers" => Reply::default().header(SET, r#"{"n":9007199254740993,"f":0.1,"e":1e2,"z":-0}"#),
        "/text" => {
            Reply::default().header(SET, "{\"t\":\"Zo\u{eb} \\u20ac \u{1F600} \\\"q\\\" \\\\\",\"k\u{e9}y\":\"\"}")
        }
        "/emptied" => Reply::default().header(SET, r#"{"keep":null,"a":null}"#),
        _ => Reply::default(),
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
fn sixty_thousand_bytes_are_set_and_one_more_is_not() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(writing(json!({"annotate": {"headers": {"x-session-user": "id"}}})))
        .sessions(sessions.address())
        .start();
    let token = sessions.create("user1", &Value::Null);
    let length = |target: &str| target.trim_start_matches('/').parse::<usize>().unwrap_or(0);
    mesh.upstream.answers(move |seen| setting(&json!({"a": "x".repeat(length(&seen.target) - 8)})));
    mesh.passes(&Request::get("/60000").session(&token));
    assert_eq!(stored(&sessions, &token)["a"].as_str().map(str::len), Some(59_992));
    mesh.passes(&Request::get("/60001").session(&token));
    assert_eq!(stored(&sessions, &token)["a"].as_str().map(str::len), Some(59_992));
    assert_eq!((mesh.counter("write_backs_total"), mesh.counter("write_back_dropped_total")), (1, 1));
}

#[test]
fn responses_of_one_session_at_once_each_change_their_own_keys_and_lose_nothing_of_the_others() {
    const WRITERS: u64 = 40;
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(cached()).sessions(sessions.address()).workers(2).start();
    let token = sessions.create("user1", &json!({"first": true}));
    mesh.upstream.answers(|seen| match seen.target.strip_prefix("/set/") {
        Some(key) => setting(&json!({key: key})),
        None => Reply::default(),
    });
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (mesh, token) = (&mesh, &token);
            scope.spawn(move || {
                mesh.passes(&Request::get(&format!("/set/k{writer}")).session(token));
                // Each sees its own change at once, whatever the others do.
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
fn a_session_that_its_service_ends_is_ended_everywhere_and_its_cookie_deleted() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(cached()).sessions(sessions.address()).workers(2).start();
    let token = sessions.create("user1", &json!({"a": 1}));
    let request = Request::get("/").session(&token);
    for _ in 0..CONNECTIONS {
        mesh.passes(&request);
    }
    // Ending wins over setting.
    mesh.upstream.answers(|_| setting(&json!({"a": 2})).header(KILL, "1").header("set-cookie", "theme=dark"));
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
fn who_renews_a_session_keeps_the_cookie_of_the_new_one() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(cached()).sessions(sessions.address()).start();
    let (old, new) = (sessions.create("user1", &Value::Null), sessions.create("user1", &Value::Null));
    let cookie = format!("session-cookie={new}; Path=/; Secure; HttpOnly");
    let set = cookie.clone();
    mesh.upstream.answers(move |_| Reply::default().header(KILL, "1").header("set-cookie", set.clone()));
    let response = mesh.send(&Request::get("/").session(&old));
    assert_eq!(response.values("set-cookie"), [cookie]);
    assert_eq!(stored(&sessions, &old), Value::Null);
}

#[test]
fn the_deleting_cookie_has_the_attributes_of_logout() {
    let sessions = RestSessions::over_redis();
    let logout = json!({"path": "/logout", "cookie": {"path": "/app", "same_site": "Strict", "domain": "example.com"}});
    let mesh = Setup::new(writing(json!({"logout": logout}))).sessions(sessions.address()).start();
    mesh.upstream.answers(|_| Reply::default().header(KILL, "1"));
    let response = mesh.send(&Request::get("/").session(&sessions.create("user1", &Value::Null)));
    assert_eq!(
        response.values("set-cookie"),
        ["session-cookie=; Max-Age=0; Path=/app; Domain=example.com; Secure; SameSite=Strict"]
    );
}

#[test]
fn a_change_of_a_session_that_has_ended_meanwhile_ends_it_in_every_cache() {
    let sessions = Arc::new(RestSessions::over_redis());
    let mesh = Setup::new(cached()).sessions(sessions.address()).workers(2).start();
    let token = sessions.create("user1", &json!({"a": 1}));
    let request = Request::get("/").session(&token);
    for _ in 0..CONNECTIONS {
        mesh.passes(&request);
    }
    let (store, ended) = (Arc::clone(&sessions), token.clone());
    mesh.upstream.answers(move |_| {
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
fn only_what_keys_allow_is_set_and_never_what_a_requirement_reads() {
    let sessions = RestSessions::over_redis();
    let rules = json!([{"match": {"paths": ["/admin"]}, "session": "required",
                        "require": [{"field": "d.role", "equals": "admin"}]}]);
    let attack = |write_back: Value, body: &'static str| {
        let mesh =
            Setup::new(writing(json!({"rules": rules, "write_back": write_back}))).sessions(sessions.address()).start();
        let token = sessions.create("user1", &json!({"role": "member"}));
        mesh.upstream.answers(move |_| Reply::default().header(SET, body));
        mesh.passes(&Request::get("/").session(&token));
        (mesh.send(&Request::get("/admin").session(&token)).status, stored(&sessions, &token))
    };
    let untouched = json!({"role": "member"});
    for body in [r#"{"role":"admin"}"#, r#"{"r\u006fle":"admin"}"#, r#"{"a":1,"role":"admin"}"#] {
        assert_eq!(attack(json!({}), body), (403, untouched.clone()), "{body}");
        assert_eq!(attack(json!({"keys": ["a"]}), body), (403, untouched.clone()), "{body}");
    }
    assert_eq!(attack(json!({"keys": []}), r#"{"a":1}"#), (403, untouched));
    assert_eq!(attack(json!({"keys": ["role"]}), r#"{"role":"admin"}"#), (200, json!({"role": "admin"})));
}

#[test]
fn each_tenants_services_change_the_sessions_of_their_own_app() {
    let sessions = RestSessions::over_redis();
    let rules = json!([{"match": {"hosts": ["admin.example.com"]}, "session": "required", "app": "backoffice",
                        "token_from": [{"cookie": "admin-cookie"}]}]);
    let mesh = Setup::new(writing(json!({"rules": rules}))).sessions(sessions.address()).start();
    let member = sessions.create("user1", &Value::Null);
    let admin = sessions.create_for("backoffice", "admin1", &Value::Null);
    mesh.upstream.answers(|_| Reply::default().header(KILL, "1"));
    let both = format!("session-cookie={member}; admin-cookie={admin}");
    let response = mesh.send(&Request::get("/").host("admin.example.com").header("cookie", both));
    assert_eq!(response.values("set-cookie"), ["admin-cookie=; Max-Age=0; Path=/; Secure; SameSite=Lax"]);
    assert_eq!(stored(&sessions, &member), json!({}));
    let gone = Request::get(&format!("/backoffice/get/{admin}")).send_to(sessions.address());
    assert_eq!(gone.text(), "{}");
}

#[test]
fn a_client_that_leaves_while_the_change_is_under_way_does_not_undo_it() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(cached()).sessions(sessions.address()).start();
    let token = sessions.create("user1", &Value::Null);
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    mesh.upstream.answers(move |_| {
        let round = counted.fetch_add(1, Ordering::Relaxed);
        setting(&json!({"round": round}))
    });
    for round in 0..10_u64 {
        let connection = mesh.begin(&Request::get("/").session(&token));
        wait::until_equal("the upstream to answer", &(round + 1), || asked.load(Ordering::Relaxed));
        drop(connection);
    }
    // Whatever was made of each: the caches and the store agree.
    mesh.upstream.answers(|_| Reply::default());
    wait::until("the last of them to be over", || (mesh.counter("in_flight") == 0).then_some(()));
    let shown = data(&mesh, &Request::get("/").session(&token));
    assert_eq!(shown, stored(&sessions, &token));
}
