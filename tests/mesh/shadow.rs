//! The filter beside a running site: nothing that a client or an upstream could notice, and everything counted.

use serde_json::{Value, json};
use test_support::http1::Request;
use test_support::token;
use test_support::wait;

use crate::harness::envoy::{Cluster, Listener};
use crate::harness::mesh::{Setup, plugin};
use crate::harness::sessions::{APP, RestSessions};
use crate::harness::stub::{Answer, Latch, Stub};

const STATE: &str = "%FILTER_STATE(wasm.rest_sessions.decision:PLAIN)% %FILTER_STATE(wasm.rest_sessions.reason:PLAIN)% \
    %FILTER_STATE(wasm.rest_sessions.rule:PLAIN)% %FILTER_STATE(wasm.rest_sessions.user:PLAIN)%";

fn shadow(keys: Value) -> Value {
    let mut shadow = plugin(json!({"shadow": true}));
    shadow.as_object_mut().expect("a plugin is an object").extend(keys.as_object().expect("keys").clone());
    shadow
}

/// A policy with all that could turn a request away, send it elsewhere, or change it.
fn whole_policy() -> Value {
    json!({
        "hosts": ["shop.example.com"],
        "forward_token": false,
        "annotate": {"headers": {"x-session-user": "id", "x-status": "status"}},
        "login": {"url": "https://login.example.com/?next={url}"},
        "logout": {"path": "/logout", "redirect": "/"},
        "limits": {"age": "12h"},
        "rules": [
            {"name": "off", "match": {"paths": ["/off"]}, "session": "off"},
            {"name": "optional", "match": {"paths": ["/optional"]}, "session": "optional"},
            {"name": "admin", "match": {"paths": ["/admin"]}, "session": "required",
             "require": [{"field": "d.role", "equals": "admin"}]},
            {"name": "origins", "match": {"paths": ["/origins"]}, "session": "required", "origins": []},
            {"name": "away", "match": {"paths": ["/away"]}, "session": "required", "rest_sessions": {"cluster": "away"}},
        ],
    })
}

#[test]
fn every_request_reaches_the_upstream_as_it_came_and_counts_as_what_it_would_have_been() {
    let sessions = RestSessions::over_redis();
    let listener = Listener {
        access_log: Some(STATE),
        ..Listener::new("main", {
            let mut keys = shadow(whole_policy());
            keys["filter_state"] = true.into();
            keys
        })
    };
    let mesh =
        Setup::default().listener(listener).sessions(sessions.address()).cluster(Cluster::refusing("away")).start();
    let member = sessions.create("user1", &json!({"role": "member"}));
    let session = |target: &str| Request::get(target).session(&member);
    let cases = [
        (session("/"), "allow session default user1", true),
        (Request::get("/"), "deny no_session default -", false),
        (Request::get("/").header("sec-fetch-mode", "navigate"), "deny redirected default -", false),
        (Request::get("/").session(&token::fresh()), "deny no_session default -", true),
        (session("/off"), "allow off off -", false),
        (Request::get("/optional"), "allow anonymous optional -", false),
        (session("/admin"), "deny forbidden admin -", true),
        (
            Request::new("POST", "/origins").session(&member).header("origin", "https://evil.org"),
            "deny bad_origin origins -",
            false,
        ),
        (session("/away"), "deny unavailable away -", true),
        (Request::new("POST", "/logout").session(&member), "allow logout default -", false),
        (session("/").host("evil.example.org"), "deny unknown_host - -", false),
        (session("/").host("a..b"), "deny bad_host - -", false),
        (session("/a/%00/b"), "deny ambiguous_path - -", false),
    ];
    for (number, (request, expected, looked_up)) in cases.iter().enumerate() {
        let seen = mesh.passes(request);
        assert_eq!(seen.header("cookie").is_some(), request.to_string().contains("cookie:"), "{request}");
        assert_eq!(seen.session_headers(), Vec::<&str>::new(), "{request}");
        assert_eq!(seen.header("x-status"), None, "{request}");
        let lines = wait::until("a line of the access log", || {
            let lines = mesh.envoy.access_log("main");
            (lines.len() > number).then_some(lines)
        });
        // What a lookup says may come when the request is over already.
        let late = *looked_up && lines[number] == "- - - -";
        assert!(late || lines[number] == *expected, "{}, not {expected}\n{request}", lines[number]);
    }
    let known = Request::get(&format!("/{APP}/get/{member}")).send_to(sessions.address());
    assert_ne!(known.text(), "{}", "shadow has ended a session");
    mesh.expect_outcomes(&[("shadow_allowed_total", 4), ("shadow_denied_total", 9)]);
}

#[test]
fn forged_headers_go_all_the_same() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(shadow(json!({}))).sessions(stub.address()).start();
    let request = Request::get("/").header("x-session-user", "root").header("X_Session.Data", "{}");
    assert_eq!(mesh.passes(&request).session_headers(), Vec::<&str>::new());
}

#[test]
fn no_request_waits_for_rest_sessions_and_each_is_counted_once_it_has_answered() {
    const REQUESTS: u64 = 20;
    let latch = Latch::default();
    let held = latch.clone();
    let stub = Stub::start(move |_| Answer::After(held.clone(), Box::new(Answer::none())));
    let mut keys = shadow(json!({}));
    keys["rest_sessions"]["timeout"] = "15s".into();
    let mesh = Setup::new(keys).sessions(stub.address()).start();
    for _ in 0..REQUESTS {
        mesh.passes(&Request::get("/").session(&token::fresh()));
    }
    stub.wait_for_calls(REQUESTS as usize);
    mesh.expect_outcomes(&[]);
    latch.open();
    mesh.expect_outcomes(&[("shadow_denied_total", REQUESTS)]);
}

#[test]
fn a_clients_own_trouble_is_counted_once_too() {
    let stub = Stub::start(|_| Answer::Silence);
    let mut keys = shadow(json!({}));
    keys["rest_sessions"]["timeout"] = "300ms".into();
    let mesh = Setup::new(keys).sessions(stub.address()).start();
    for _ in 0..5 {
        mesh.passes(&Request::get("/").session(&token::fresh()));
    }
    drop(mesh.begin(&Request::new("POST", "/").session(&token::fresh()).header("content-length", "100")));
    mesh.expect_outcomes(&[("shadow_denied_total", 6)]);
}

#[test]
fn one_rule_is_tried_while_the_others_are_in_force() {
    let stub = Stub::start(|_| Answer::none());
    let mesh = Setup::new(plugin(json!({
        "rules": [{"match": {"paths": ["/new/*"]}, "session": "required", "shadow": true}],
    })))
    .sessions(stub.address())
    .start();
    mesh.passes(&Request::get("/new/page").session(&token::fresh()));
    mesh.denies(&Request::get("/page").session(&token::fresh()), 401, "session_required");
    // No way round the rules in force through one in shadow.
    mesh.denies(&Request::get("/new/..%2fpage"), 400, "ambiguous_path");
    mesh.denies(&Request::get("/new%2fpage"), 400, "ambiguous_path");
    mesh.expect_outcomes(&[
        ("shadow_denied_total", 1),
        ("denied_no_session_total", 1),
        ("denied_ambiguous_path_total", 2),
    ]);
}

#[test]
fn a_session_seen_in_shadow_is_used_as_any_other() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(shadow(json!({}))).sessions(sessions.address()).start();
    let token = sessions.create("user1", &json!(null));
    mesh.passes(&Request::get("/").session(&token));
    mesh.expect_outcomes(&[("shadow_allowed_total", 1)]);
    let mut redis = sessions.redis.as_ref().expect("the store of this service is Redis").connection();
    let reads: i64 = redis::cmd("HGET").arg(format!("rs:{APP}:{token}")).arg("r").query(&mut redis).unwrap();
    assert_eq!(reads, 2, "the lookup counts as a read of the session");
}
