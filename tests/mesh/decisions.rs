//! The decision table, row by row, with rest-sessions and Redis.

use serde_json::{Value, json};

use crate::harness::envoy::Cluster;
use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::sessions::RestSessions;
use crate::harness::stub::{CalloutResponse, Stub};
use test_support::http1::Request;
use test_support::token;
use test_support::wait;

/// Routes of every kind for three services: a healthy one, one that refuses connections, and one with invalid responses.
fn every_row() -> Value {
    let mut rules = Vec::new();
    for (name, cluster) in [("healthy", "rest-sessions"), ("refusing", "refusing"), ("invalid", "invalid")] {
        for session in ["required", "optional", "off"] {
            rules.push(json!({
                "name": format!("{name}-{session}"),
                "match": {"paths": [format!("/{name}/{session}")]},
                "session": session,
                "rest_sessions": {"cluster": cluster},
            }));
        }
        rules.push(json!({
            "name": format!("{name}-allow"),
            "match": {"paths": [format!("/{name}/allow")]},
            "session": "required",
            "failure_mode": "allow",
            "rest_sessions": {"cluster": cluster},
        }));
    }
    plugin(json!({
        "rules": rules,
        "annotate": {"headers": {"x-session-user": "id", "x-session-data": "d", "x-session-status": "status"}},
    }))
}

fn start(sessions: &RestSessions, invalid: &Stub) -> Mesh {
    Setup::new(every_row())
        .sessions(sessions.address())
        .cluster(Cluster::refusing("refusing"))
        .cluster(Cluster::new("invalid", invalid.address()))
        .start()
}

fn invalid_service() -> Stub {
    Stub::start(|_| CalloutResponse::text(200, "<html>It works!</html>"))
}

#[track_caller]
fn assert_annotated(mesh: &Mesh, request: &Request, expected: &[(&str, &str)]) {
    let received = mesh.passes(request);
    let mut found = received.session_headers();
    found.sort_unstable();
    let mut names: Vec<_> = expected.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(found, names, "{request}");
    for (name, value) in expected {
        assert_eq!(received.header(name).as_deref(), Some(*value), "{name}\n{request}");
    }
}

#[test]
fn an_active_session_is_annotated_on_required_and_optional_routes_but_not_on_off_routes() {
    let (sessions, invalid) = (RestSessions::over_redis(), invalid_service());
    let mesh = start(&sessions, &invalid);
    let token = sessions.create("user123", &json!({"name": "Peter Smith", "unread_msgs": 12}));
    let annotated = [
        ("x-session-user", "user123"),
        ("x-session-data", r#"{"name":"Peter Smith","unread_msgs":12}"#),
        ("x-session-status", "active"),
    ];
    for route in ["required", "optional", "allow"] {
        assert_annotated(&mesh, &Request::get(&format!("/healthy/{route}")).session(&token), &annotated);
    }
    assert_annotated(&mesh, &Request::get("/healthy/off").session(&token), &[]);
    mesh.expect_outcomes(&[("allowed_total", 3), ("off_total", 1)]);
    mesh.expect_counters(&[("calls_total", 3)]);
}

#[test]
fn a_request_without_a_session_is_denied_only_where_one_is_required() {
    let (sessions, invalid) = (RestSessions::over_redis(), invalid_service());
    let mesh = start(&sessions, &invalid);
    let killed = sessions.create("user1", &Value::Null);
    sessions.kill(&killed);
    let expired = sessions.create("user2", &Value::Null);
    sessions.expire(&expired);
    let of_another_app = sessions.create_for("otherapp", "user3", &Value::Null);
    let without: Vec<(&str, Option<String>)> = vec![
        ("no token", None),
        ("a malformed token", Some("short".to_owned())),
        ("an unknown token", Some(token::fresh())),
        ("a killed session", Some(killed)),
        ("an expired session", Some(expired)),
        ("a session of another app", Some(of_another_app)),
    ];
    for (case, token) in &without {
        println!("{case}");
        let request = |route: &str| {
            let request = Request::get(&format!("/healthy/{route}"));
            token.iter().fold(request, |request, token| request.session(token))
        };
        let denied = mesh.denies(&request("required"), 401, "session_required");
        assert_eq!(denied.header("www-authenticate").as_deref(), Some(r#"Session realm="mywebapp""#));
        mesh.denies(&request("allow"), 401, "session_required");
        assert_annotated(&mesh, &request("optional"), &[("x-session-status", "none")]);
        assert_annotated(&mesh, &request("off"), &[]);
    }
    let cases = without.len() as u64;
    mesh.expect_outcomes(&[("denied_no_session_total", 2 * cases), ("anonymous_total", cases), ("off_total", cases)]);
}

#[test]
fn an_outage_denies_only_where_a_session_is_required_and_failure_mode_is_deny() {
    let (sessions, invalid) = (RestSessions::over_redis(), invalid_service());
    let mesh = start(&sessions, &invalid);
    let token = token::fresh();
    let refusing = |route: &str| Request::get(&format!("/refusing/{route}")).session(&token);

    let denied = mesh.denies(&refusing("required"), 503, "sessions_unavailable");
    assert_eq!(denied.header("retry-after").as_deref(), Some("1"));
    assert_annotated(&mesh, &refusing("allow"), &[("x-session-status", "unavailable")]);
    assert_annotated(&mesh, &refusing("optional"), &[("x-session-status", "unavailable")]);
    assert_annotated(&mesh, &refusing("off"), &[]);
    mesh.denies(&Request::get("/refusing/required"), 401, "session_required");
    mesh.denies(&Request::get("/refusing/allow"), 401, "session_required");
    mesh.expect_outcomes(&[
        ("denied_unavailable_total", 1),
        ("failed_open_total", 1),
        ("anonymous_total", 1),
        ("off_total", 1),
        ("denied_no_session_total", 2),
    ]);
}

#[test]
fn an_invalid_response_denies_where_a_session_is_required_under_any_failure_mode() {
    let (sessions, invalid) = (RestSessions::over_redis(), invalid_service());
    let mesh = start(&sessions, &invalid);
    let token = token::fresh();
    let invalid_route = |route: &str| Request::get(&format!("/invalid/{route}")).session(&token);

    for route in ["required", "allow"] {
        let denied = mesh.denies(&invalid_route(route), 503, "sessions_unavailable");
        assert_eq!(denied.header("retry-after"), None, "an invalid response has no retry-after");
    }
    assert_annotated(&mesh, &invalid_route("optional"), &[("x-session-status", "unavailable")]);
    assert_annotated(&mesh, &invalid_route("off"), &[]);
    mesh.expect_outcomes(&[("denied_unavailable_total", 2), ("anonymous_total", 1), ("off_total", 1)]);
    mesh.expect_counters(&[("calls_total", 3), ("call_failures_invalid_total", 3)]);
}

#[test]
fn sessions_are_denied_with_retry_after_while_redis_is_stopped_and_pass_after_a_restart() {
    let mut sessions = RestSessions::over_redis();
    let mesh = Setup::new(plugin(json!({}))).sessions(sessions.address()).start();
    let token = sessions.create("user1", &Value::Null);
    mesh.passes(&Request::get("/").session(&token));

    let redis = sessions.redis.as_mut().expect("this service uses Redis");
    redis.stop();
    let denied = mesh.denies(&Request::get("/").session(&token), 503, "sessions_unavailable");
    assert_eq!(denied.header("retry-after").as_deref(), Some("1"));

    redis.restart();
    let unknown = token::fresh();
    wait::until("rest-sessions to find Redis again", || {
        let response = sessions.call("GET", &format!("/mywebapp/get/{unknown}"), "");
        (response.status == 200).then_some(())
    });
    let token = sessions.create("user1", &Value::Null);
    assert_eq!(mesh.passes(&Request::get("/").session(&token)).header("x-session-user").as_deref(), Some("user1"));
    mesh.expect_outcomes(&[("allowed_total", 2), ("denied_unavailable_total", 1)]);
}

#[test]
fn a_session_in_memory_passes_until_it_is_killed() {
    let sessions = RestSessions::in_memory();
    let mesh = Setup::new(plugin(json!({}))).sessions(sessions.address()).start();
    let token = sessions.create("user1", &json!({"cart": 3}));
    let received = mesh.passes(&Request::get("/").session(&token));
    assert_eq!(received.header("x-session-data").as_deref(), Some(r#"{"cart":3}"#));
    sessions.kill(&token);
    mesh.denies(&Request::get("/").session(&token), 401, "session_required");
}
