//! Shadow mode: requests pass unchanged, and their outcomes are counted.

use serde_json::{Value, json};

use crate::harness::envoy::{Cluster, Listener};
use crate::harness::mesh::{Setup, plugin};
use crate::harness::sessions::{APP, RestSessions};
use crate::harness::stub::{CalloutResponse, Stub};
use crate::setup::{extended, held_service, long_timeout};
use test_support::http1::Request;
use test_support::token;
use test_support::wait;

const STATE: &str = "%FILTER_STATE(wasm.rest_sessions.decision:PLAIN)% %FILTER_STATE(wasm.rest_sessions.reason:PLAIN)% \
    %FILTER_STATE(wasm.rest_sessions.rule:PLAIN)% %FILTER_STATE(wasm.rest_sessions.user:PLAIN)%";

fn shadow(keys: Value) -> Value {
    extended(plugin(json!({"shadow": true})), keys)
}

/// A configuration that would deny, redirect or change requests in every way.
fn full_configuration() -> Value {
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
fn a_shadow_request_passes_unchanged_and_is_counted_by_its_shadow_outcome() {
    let sessions = RestSessions::over_redis();
    let listener = Listener {
        access_log: Some(STATE),
        ..Listener::new("main", {
            let mut keys = shadow(full_configuration());
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
        let received = mesh.passes(request);
        assert_eq!(received.header("cookie").is_some(), request.to_string().contains("cookie:"), "{request}");
        assert_eq!(received.session_headers(), Vec::<&str>::new(), "{request}");
        assert_eq!(received.header("x-status"), None, "{request}");
        let lines = wait::until("a line of the access log", || {
            let lines = mesh.envoy.access_log("main");
            (lines.len() > number).then_some(lines)
        });
        // The lookup may complete after the request.
        let late = *looked_up && lines[number] == "- - - -";
        assert!(late || lines[number] == *expected, "found {}, expected {expected}\n{request}", lines[number]);
    }
    let known = sessions.call("GET", &format!("/{APP}/get/{member}"), "");
    assert_eq!(known.status, 200);
    assert_ne!(known.text(), "{}", "a request in shadow has ended the session");
    mesh.expect_outcomes(&[("shadow_allowed_total", 4), ("shadow_denied_total", 9)]);
}

#[test]
fn reserved_headers_are_removed_in_shadow() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(shadow(json!({}))).sessions(stub.address()).start();
    let request = Request::get("/").header("x-session-user", "root").header("X_Session.Data", "{}");
    assert_eq!(mesh.passes(&request).session_headers(), Vec::<&str>::new());
}

#[test]
fn shadow_requests_do_not_wait_for_their_lookup_and_are_counted_on_its_response() {
    const REQUESTS: u64 = 20;
    let (latch, stub) = held_service(|_| CalloutResponse::none());
    let mesh = Setup::new(long_timeout(json!({"shadow": true}))).sessions(stub.address()).start();
    for _ in 0..REQUESTS {
        mesh.passes(&Request::get("/").session(&token::fresh()));
    }
    stub.wait_for_calls(REQUESTS as usize);
    mesh.expect_outcomes(&[]);
    latch.open();
    mesh.expect_outcomes(&[("shadow_denied_total", REQUESTS)]);
}

#[test]
fn timeouts_and_disconnects_in_shadow_are_counted_once() {
    let stub = Stub::start(|_| CalloutResponse::Silence);
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
fn one_rule_in_shadow_leaves_the_others_in_force() {
    let stub = Stub::start(|_| CalloutResponse::none());
    let mesh = Setup::new(plugin(json!({
        "rules": [{"match": {"paths": ["/new/*"]}, "session": "required", "shadow": true}],
    })))
    .sessions(stub.address())
    .start();
    mesh.passes(&Request::get("/new/page").session(&token::fresh()));
    mesh.denies(&Request::get("/page").session(&token::fresh()), 401, "session_required");
    // A path that reads as one of a rule in shadow does not bypass the rules in force.
    mesh.denies(&Request::get("/new/..%2fpage"), 400, "ambiguous_path");
    mesh.denies(&Request::get("/new%2fpage"), 400, "ambiguous_path");
    mesh.expect_outcomes(&[
        ("shadow_denied_total", 1),
        ("denied_no_session_total", 1),
        ("denied_ambiguous_path_total", 2),
    ]);
}

#[test]
fn a_lookup_in_shadow_counts_as_a_use_of_the_session() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(shadow(json!({}))).sessions(sessions.address()).start();
    let token = sessions.create("user1", &json!(null));
    mesh.passes(&Request::get("/").session(&token));
    mesh.expect_outcomes(&[("shadow_allowed_total", 1)]);
    let mut redis = sessions.redis.as_ref().expect("this service uses Redis").connection();
    let reads: i64 = redis::cmd("HGET").arg(format!("rs:{APP}:{token}")).arg("r").query(&mut redis).unwrap();
    assert_eq!(reads, 2, "the lookup counts as a read of the session");
}
