//! Requirements: every condition on every field, with rest-sessions.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::envoy::Cluster;
use crate::harness::mesh::{Setup, plugin};
use crate::harness::sessions::{APP, RestSessions};
use crate::harness::stub::{CalloutResponse, Stub};
use test_support::http1::Request;
use test_support::token;

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970").as_secs()
}

/// A rule for each requirement, at `/0`, `/1`, …
fn rule_for_each(requirements: &[Value]) -> Value {
    let rule = |(number, requirement): (usize, &Value)| json!({"match": {"paths": [format!("/{number}")]}, "session": "required", "require": [requirement]});
    plugin(json!({"rules": requirements.iter().enumerate().map(rule).collect::<Vec<_>>()}))
}

#[test]
fn each_condition_allows_or_forbids_by_the_session_data() {
    let sessions = RestSessions::over_redis();
    let token = sessions.create(
        "user1",
        &json!({"role": "admin", "level": 3, "paid": true, "auth_time": now_s() - 60, "a.b": "x", "caf\u{e9}": "\u{fc}",
                "empty": "", "late": now_s() + 3600, "old": now_s() - 4000}),
    );
    let cases = [
        (json!({"field": "d.role", "one_of": ["owner", "admin"]}), true),
        (json!({"field": "d.role", "one_of": ["owner", "Admin"]}), false),
        (json!({"field": "d.role", "equals": "admin"}), true),
        (json!({"field": "d.role", "equals": "admin "}), false),
        (json!({"field": "d.level", "equals": 3.0}), true),
        (json!({"field": "d.level", "equals": "3"}), false),
        (json!({"field": "d.paid", "equals": true}), true),
        (json!({"field": "d.paid", "equals": "true"}), false),
        (json!({"field": "d.paid", "equals": 1}), false),
        (json!({"field": "d.empty", "present": true}), true),
        (json!({"field": "d.missing", "present": true}), false),
        (json!({"field": "d.missing", "present": false}), true),
        (json!({"field": "d.role", "present": false}), false),
        (json!({"field": "d.level", "at_least": 3}), true),
        (json!({"field": "d.level", "at_least": 3.5}), false),
        (json!({"field": "d.level", "at_most": 3}), true),
        (json!({"field": "d.level", "at_most": 2}), false),
        (json!({"field": "d.role", "at_most": 2}), false),
        (json!({"field": "d.missing", "at_most": 2}), false),
        (json!({"field": "d.auth_time", "within": "10m"}), true),
        (json!({"field": "d.auth_time", "within": "30s"}), false),
        (json!({"field": "d.old", "within": "1h"}), false),
        (json!({"field": "d.late", "within": "10m"}), false),
        (json!({"field": "d.role", "within": "10m"}), false),
        (json!({"field": "d.a.b", "equals": "x"}), true),
        (json!({"field": "d.caf\u{e9}", "equals": "\u{fc}"}), true),
        (json!({"field": "d", "present": true}), true),
        (json!({"field": "d", "present": false}), false),
        (json!({"field": "id", "one_of": ["user1"]}), true),
        (json!({"field": "id", "one_of": ["user2"]}), false),
        (json!({"field": "ip", "equals": "192.168.99.22"}), true),
        (json!({"field": "ip", "is_client": true}), false),
        (json!({"field": "ttl", "at_least": "1h"}), true),
        (json!({"field": "ttl", "at_least": "3h"}), false),
        (json!({"field": "age", "at_most": "1m"}), true),
        (json!({"field": "age", "at_least": "1h"}), false),
        (json!({"field": "status", "equals": "active"}), true),
    ];
    let requirements = cases.clone().map(|(requirement, _)| requirement);
    let mesh = Setup::new(rule_for_each(&requirements)).sessions(sessions.address()).start();
    let mut allowed = 0;
    for (number, (requirement, holds)) in cases.iter().enumerate() {
        println!("{requirement}");
        let request = Request::get(&format!("/{number}")).session(&token);
        if *holds {
            assert_eq!(mesh.passes(&request).header("x-session-user").as_deref(), Some("user1"));
            allowed += 1;
        } else {
            mesh.denies(&request, 403, "forbidden");
        }
    }
    mesh.expect_outcomes(&[("allowed_total", allowed), ("denied_forbidden_total", cases.len() as u64 - allowed)]);
}

#[test]
fn only_an_active_session_can_be_forbidden() {
    let invalid = Stub::start(|_| CalloutResponse::text(200, r#"{"id":"user1","ttl":7200,"d":{"role":["admin"]}}"#));
    let sessions = RestSessions::in_memory();
    let to = |name: &str, cluster: &str| {
        json!({"match": {"paths": [name]}, "session": "required", "rest_sessions": {"cluster": cluster},
               "require": [{"field": "d.role", "equals": "admin"}]})
    };
    let mesh = Setup::new(plugin(json!({
        "rules": [to("/healthy", "rest-sessions"), to("/refusing", "refusing"), to("/invalid", "invalid")],
    })))
    .sessions(sessions.address())
    .cluster(Cluster::refusing("refusing"))
    .cluster(Cluster::new("invalid", invalid.address()))
    .start();
    let member = sessions.create("user1", &json!({"role": "member"}));
    mesh.denies(&Request::get("/healthy").session(&member), 403, "forbidden");
    mesh.denies(&Request::get("/healthy").session(&token::fresh()), 401, "session_required");
    mesh.denies(&Request::get("/healthy"), 401, "session_required");
    mesh.denies(&Request::get("/refusing").session(&member), 503, "sessions_unavailable");
    mesh.denies(&Request::get("/invalid").session(&member), 503, "sessions_unavailable");
    mesh.expect_outcomes(&[
        ("denied_forbidden_total", 1),
        ("denied_no_session_total", 2),
        ("denied_unavailable_total", 2),
    ]);
}

#[test]
fn all_requirements_must_hold_for_each_request_of_a_cached_session() {
    let sessions = RestSessions::in_memory();
    let mesh = Setup::new(plugin(json!({
        "cache": {"ttl": "1h"},
        "rules": [
            {"match": {"paths": ["/admin/*"]}, "session": "required",
             "require": [{"field": "d.role", "equals": "admin"}, {"field": "d.banned", "present": false}]},
        ],
    })))
    .sessions(sessions.address())
    .start();
    let admin = sessions.create("user1", &json!({"role": "admin"}));
    let banned = sessions.create("user2", &json!({"role": "admin", "banned": true}));
    for token in [&admin, &banned] {
        mesh.passes(&Request::get("/").session(token));
    }
    mesh.passes(&Request::get("/admin/").session(&admin));
    mesh.denies(&Request::get("/admin/").session(&banned), 403, "forbidden");
    mesh.expect_counters(&[("calls_total", 2), ("cache_hits_total", 2), ("cache_misses_total", 2)]);
}

#[test]
fn on_forbidden_login_redirects_navigations_and_denies_other_requests() {
    let sessions = RestSessions::in_memory();
    let mesh = Setup::new(plugin(json!({
        "hosts": ["shop.example.com"],
        "login": {"url": "https://login.example.com/?next={url}"},
        "rules": [
            {"match": {"paths": ["/pay/*"]}, "session": "required", "max_staleness": "0s", "on_forbidden": "login",
             "require": [{"field": "d.auth_time", "within": "10m"}]},
            {"match": {"paths": ["/admin"]}, "session": "required", "require": [{"field": "d.role", "equals": "admin"}]},
        ],
    })))
    .sessions(sessions.address())
    .start();
    let stale = sessions.create("user1", &json!({"auth_time": now_s() - 3600}));
    let page = |path: &str| Request::get(path).session(&stale).header("sec-fetch-mode", "navigate");
    let response = mesh.send(&page("/pay/now?a=1"));
    let expected = "https://login.example.com/?next=http%3A%2F%2Fshop.example.com%2Fpay%2Fnow%3Fa%3D1";
    assert_eq!((response.status, response.header("location").as_deref()), (302, Some(expected)));
    mesh.denies(&Request::get("/pay/now").session(&stale), 403, "forbidden");
    mesh.denies(&Request::new("POST", "/pay/now").session(&stale), 403, "forbidden");
    mesh.denies(&page("/admin"), 403, "forbidden");
    let set = sessions.call("POST", &format!("/{APP}/set/{stale}"), &json!({"auth_time": now_s()}).to_string());
    assert_eq!(set.status, 200);
    mesh.passes(&page("/pay/now?a=1"));
    mesh.expect_outcomes(&[("redirected_total", 1), ("denied_forbidden_total", 3), ("allowed_total", 1)]);
}

#[test]
fn is_client_forbids_a_session_of_another_address() {
    let stub = Stub::start(|call| {
        let ip = ["127.0.0.1", "::ffff:127.0.0.1", "127.0.0.2", "127.0.0.1:80"]
            [usize::from(call.token().as_bytes()[0] - b'0')];
        CalloutResponse::json(200, &json!({"id": "user1", "ttl": 7200, "ip": ip}))
    });
    let mesh = Setup::new(plugin(json!({
        "default": {"session": "required", "require": [{"field": "ip", "is_client": true}]},
    })))
    .sessions(stub.address())
    .start();
    let from = |number: usize| {
        let token = token::fresh();
        Request::get("/").session(&format!("{number}{}", &token[1..]))
    };
    mesh.passes(&from(0));
    mesh.passes(&from(1));
    mesh.denies(&from(2), 403, "forbidden");
    mesh.denies(&from(3), 403, "forbidden");
}

#[test]
fn the_age_of_a_session_counts_from_the_creation_time_in_its_token() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({
        "default": {"session": "required", "require": [{"field": "age", "at_most": "1h"}]},
    })))
    .sessions(stub.address())
    .start();
    mesh.passes(&Request::get("/").session(&token::aged(Duration::from_secs(3_500))));
    mesh.denies(&Request::get("/").session(&token::aged(Duration::from_secs(3_700))), 403, "forbidden");
    // A token without a creation time has no age, so the condition fails.
    mesh.denies(&Request::get("/").session(&"a".repeat(64)), 403, "forbidden");
}
