//! Envoy's internal redirects: Envoy follows the upstream's redirect itself, as a new request through all filters.

use serde_json::{Value, json};

use crate::harness::envoy::Listener;
use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::sessions::RestSessions;
use crate::harness::upstream::UpstreamResponse;
use crate::setup::extended;
use test_support::http1::Request;

/// Envoy follows 303 itself where `follows`; `/form` redirects to `/done` and asks for a change of the session.
fn start(sessions: &RestSessions, follows: bool, keys: Value) -> Mesh {
    let mut listener = Listener::new("main", extended(plugin(json!({"write_back": {}})), keys));
    if follows {
        listener.route_action = json!({"internal_redirect_policy": {
            "redirect_response_codes": [303], "response_headers_to_copy": ["x-session-user"],
        }});
    }
    let mesh = Setup::default().listener(listener).sessions(sessions.address()).start();
    mesh.upstream.respond_with(|request| match request.target.as_str() {
        "/form" => UpstreamResponse::default()
            .status(303)
            .header("location", "http://shop.example.com/done")
            .header("x-session-set", r#"{"step":2}"#)
            .header("x-session-user", "admin"),
        _ => UpstreamResponse::default(),
    });
    mesh
}

#[test]
fn a_change_in_a_response_that_envoy_redirects_itself_is_lost() {
    for (follows, change) in [(false, json!({"step": 2})), (true, json!({}))] {
        let sessions = RestSessions::in_memory();
        let mesh = start(&sessions, follows, json!({}));
        let token = sessions.create("user1", &json!(null));
        let request = Request::get("/form").session(&token);
        let response = mesh.send(&request);
        assert_eq!(response.status, if follows { 200 } else { 303 });
        if follows {
            // The second request passes the filter too, and is counted there.
            mesh.count_one();
        }
        let data =
            mesh.passes(&Request::get("/").session(&token)).header("x-session-data").expect("the session's data");
        assert_eq!(serde_json::from_str::<Value>(&data).expect("JSON"), change);
        mesh.expect_counters(if follows {
            &[("calls_total", 3)]
        } else {
            &[("calls_total", 3), ("ends_total", 1), ("write_backs_total", 1)]
        });
    }
}

#[test]
fn the_request_that_envoy_makes_of_a_redirect_is_decided_by_the_rule_of_its_own_path() {
    let sessions = RestSessions::in_memory();
    let done =
        |rule: Value| json!({"rules": [extended(json!({"match": {"paths": ["/done"]}, "session": "required"}), rule)]});
    let token = sessions.create("user1", &json!(null));
    let form = Request::get("/form").session(&token);

    let mesh = start(&sessions, true, json!({}));
    mesh.count_one();
    let received = mesh.passes(&form);
    assert_eq!(received.target, "/done");
    // Neither the annotation of the first request nor a header that Envoy copies from the response is believed.
    assert_eq!(received.values("x-session-user"), ["user1"]);

    let mesh = start(&sessions, true, done(json!({"require": [{"field": "d.role", "equals": "admin"}]})));
    mesh.count_one();
    mesh.denies(&form, 403, "forbidden");
    mesh.expect_outcomes(&[("allowed_total", 1), ("denied_forbidden_total", 1)]);
}

#[test]
fn without_forward_token_the_request_that_envoy_makes_of_a_redirect_has_no_token() {
    let sessions = RestSessions::in_memory();
    let mesh = start(&sessions, true, json!({"forward_token": false}));
    mesh.count_one();
    mesh.denies(&Request::get("/form").session(&sessions.create("user1", &json!(null))), 401, "session_required");
    mesh.expect_outcomes(&[("allowed_total", 1), ("denied_no_session_total", 1)]);
}
