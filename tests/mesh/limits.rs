//! Limits on the age and idle time of sessions: a session beyond one is killed, even if rest-sessions would keep it.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::mesh::{Setup, plugin};
use crate::harness::sessions::{APP, RestSessions};
use crate::harness::stub::{Call, CalloutResponse, Stub};
use crate::setup::{CONNECTIONS, extended};
use test_support::http1::Request;
use test_support::token;
use test_support::wait;

const HOUR: Duration = Duration::from_secs(3_600);

/// A session service that knows every token until it is killed.
fn killable_service() -> Stub {
    let killed = Mutex::new(HashSet::new());
    Stub::start(move |call: &Call| {
        let mut killed = killed.lock().unwrap();
        match call.method.as_str() {
            "DELETE" => CalloutResponse::json(200, &json!({"kill": u8::from(killed.insert(call.token().to_owned()))})),
            _ if killed.contains(call.token()) => CalloutResponse::none(),
            _ => CalloutResponse::session(),
        }
    })
}

fn limited(limits: Value, keys: Value) -> Value {
    extended(plugin(json!({"limits": limits})), keys)
}

/// Waits for a kill call of the session. Several requests may each cause one.
#[track_caller]
fn expect_kill(stub: &Stub, token: &str) {
    let kill = format!("/{APP}/kill/{token}");
    wait::until("a kill", || {
        stub.calls_for(token).into_iter().find(|call| (call.method.as_str(), &call.path) == ("DELETE", &kill))
    });
}

#[test]
fn a_session_beyond_its_maximum_age_is_killed_and_denied() {
    let stub = killable_service();
    let mesh = Setup::new(limited(json!({"age": "12h"}), json!({}))).sessions(stub.address()).start();
    let (old, young) = (token::aged(13 * HOUR), token::aged(11 * HOUR));
    let denied = mesh.denies(&Request::get("/").session(&old), 401, "session_required");
    assert_eq!(denied.lasting_headers(), mesh.denies(&Request::get("/"), 401, "session_required").lasting_headers());
    mesh.passes(&Request::get("/").session(&young));
    expect_kill(&stub, &old);
    assert_eq!(stub.calls_for(&young).len(), 1);
    assert_eq!(mesh.counter("ends_total"), 1);
}

#[test]
fn a_session_beyond_its_maximum_idle_time_is_killed_in_the_store() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(limited(json!({"idle": "30m"}), json!({"cache": {"ttl": "1s"}})))
        .sessions(sessions.address())
        .start();
    let (idle, used) = (sessions.create("user1", &json!(null)), sessions.create("user2", &json!(null)));
    let last_used = |token: &str, ago: Duration| {
        let then = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") - ago;
        sessions.set_last_activity(token, then.as_secs());
    };
    last_used(&idle, Duration::from_secs(31 * 60));
    last_used(&used, Duration::from_secs(29 * 60));
    mesh.passes(&Request::get("/").session(&used));
    mesh.denies(&Request::get("/").session(&idle), 401, "session_required");
    wait::until("the session to be gone", || {
        let response = sessions.call("GET", &format!("/{APP}/get/{idle}"), "");
        (response.text() == "{}").then_some(())
    });
    mesh.denies(&Request::get("/").session(&idle), 401, "session_required");
}

#[test]
fn a_cached_session_is_denied_at_its_maximum_age_by_every_worker() {
    let stub = killable_service();
    let keys = limited(json!({"age": "1h"}), json!({"cache": {"ttl": "1h", "stale_if_error": "1h"}}));
    let mesh = Setup::new(keys).sessions(stub.address()).workers(2).start();
    let token = token::aged(HOUR - Duration::from_secs(3));
    let request = Request::get("/").session(&token);
    for _ in 0..CONNECTIONS {
        mesh.passes(&request);
    }
    wait::until("the session to reach its maximum age", || (mesh.send(&request).status == 401).then_some(()));
    for _ in 0..CONNECTIONS {
        mesh.denies(&request, 401, "session_required");
    }
    expect_kill(&stub, &token);
}

#[test]
fn a_session_beyond_a_limit_passes_optional_routes_and_redirects_navigations_to_login() {
    let stub = killable_service();
    let keys = limited(
        json!({"age": "12h"}),
        json!({
            "hosts": ["shop.example.com"],
            "login": {"url": "/login"},
            "rules": [{"match": {"paths": ["/login"]}, "session": "off"}, {"match": {"paths": ["/"]}, "session": "optional"}],
        }),
    );
    let mesh = Setup::new(keys).sessions(stub.address()).start();
    let old = token::aged(13 * HOUR);
    assert_eq!(mesh.passes(&Request::get("/").session(&old)).session_headers(), Vec::<&str>::new());
    let page = Request::get("/account").session(&old).header("sec-fetch-mode", "navigate");
    let response = mesh.send(&page);
    assert_eq!((response.status, response.header("location").as_deref()), (302, Some("/login")));
}

#[test]
fn a_session_beyond_a_limit_is_not_killed_in_shadow() {
    let stub = killable_service();
    let keys = limited(json!({"age": "12h"}), json!({"shadow": true}));
    let mesh = Setup::new(keys).sessions(stub.address()).start();
    let old = token::aged(13 * HOUR);
    mesh.passes(&Request::get("/").session(&old));
    mesh.expect_outcomes(&[("shadow_denied_total", 1)]);
    assert_eq!(stub.only_call_for(&old).method, "GET");
}

#[test]
fn a_failed_kill_of_a_session_beyond_a_limit_is_repeated_with_the_next_request() {
    let stub = Stub::start(|call: &Call| match call.method.as_str() {
        "DELETE" => CalloutResponse::text(500, "{}"),
        _ => CalloutResponse::session(),
    });
    let mesh = Setup::new(limited(json!({"age": "12h"}), json!({"cache": {"ttl": "1h", "negative_ttl": "0s"}})))
        .sessions(stub.address())
        .start();
    let old = token::aged(13 * HOUR);
    let kills = || stub.calls_for(&old).iter().filter(|call| call.method == "DELETE").count();
    for count in 1..=2 {
        mesh.denies(&Request::get("/").session(&old), 401, "session_required");
        wait::until_equal("a kill", &count, kills);
    }
}
