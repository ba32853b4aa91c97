//! Local replies, as browsers and gRPC clients receive them.

use serde_json::json;

use crate::harness::envoy::Cluster;
use crate::harness::mesh::{Setup, assert_denied, plugin};
use crate::harness::sessions::RestSessions;
use crate::harness::stub::Stub;
use test_support::http1::{Request, Response};
use test_support::token;

#[test]
fn every_denial_is_byte_identical_regardless_of_the_problem_with_the_token() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(plugin(json!({}))).sessions(sessions.address()).start();
    let expired = sessions.create("user1", &json!(null));
    sessions.expire(&expired);
    let active = ["user1", "user2"].map(|user| sessions.create(user, &json!(null)));
    let cases = [
        ("missing", Request::get("/")),
        ("malformed", Request::get("/").session("junk")),
        ("conflicting", active.iter().fold(Request::get("/"), |request, token| request.session(token))),
        ("too many", (0..5).fold(Request::get("/"), |request, _| request.session(&token::fresh()))),
        ("several that are unknown", Request::get("/").session(&token::fresh()).session(&token::fresh())),
        ("unknown", Request::get("/").session(&token::fresh())),
        ("expired", Request::get("/").session(&expired)),
    ];
    let visible = |response: Response| (response.status, response.lasting_headers(), response.text());
    let expected = visible(mesh.denies(&cases[0].1, 401, "session_required"));
    for (case, request) in cases {
        assert_eq!(visible(mesh.send(&request)), expected, "{case}");
    }
    mesh.expect_outcomes(&[("denied_no_session_total", 8)]);
}

#[test]
fn a_denied_head_request_gets_the_same_headers_without_a_body() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({}))).sessions(stub.address()).start();
    let get = mesh.denies(&Request::get("/"), 401, "session_required");
    let head = mesh.send(&Request::new("HEAD", "/"));
    assert_eq!(head.status, 401);
    let without_length = |response: &Response| {
        let mut headers = response.lasting_headers();
        headers.retain(|(name, _)| name != "content-length");
        headers
    };
    assert_eq!(without_length(&head), without_length(&get));
    let over_h2 = mesh.send_h2(&Request::new("HEAD", "/"));
    assert_eq!((over_h2.status, over_h2.body.len()), (401, 0));
}

#[test]
fn a_denied_grpc_request_gets_a_grpc_status_in_a_headers_only_response() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({
        "rules": [
            {"match": {"paths": ["/shop.Cart/Origin"]}, "session": "required", "origins": []},
            {"match": {"paths": ["/shop.Cart/Outage"]}, "session": "required", "rest_sessions": {"cluster": "refusing"}},
        ],
    })))
    .sessions(stub.address())
    .cluster(Cluster::refusing("refusing"))
    .start();
    let token = token::fresh();
    let call = |target: &str| {
        Request::new("POST", target)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(vec![0; 5])
    };
    for (case, request, status) in [
        ("no session", call("/shop.Cart/Get"), "16"),
        ("foreign origin", call("/shop.Cart/Origin").session(&token).header("origin", "https://evil.example.org"), "7"),
        ("outage", call("/shop.Cart/Outage").session(&token), "14"),
        ("ambiguous path", call("/shop.Cart/%2e%2e/Get"), "13"),
    ] {
        let response = mesh.send_h2(&request);
        assert_eq!(response.status, 200, "{case}: {response:?}");
        assert_eq!(response.header("content-type").as_deref(), Some("application/grpc"), "{case}");
        assert_eq!(response.header("grpc-status").as_deref(), Some(status), "{case}: {response:?}");
        assert!(response.header("grpc-message").is_some_and(|message| !message.is_empty()), "{case}: {response:?}");
        assert!(response.body.is_empty() && response.trailers.is_empty(), "{case}: {response:?}");
    }
    let request = call("/shop.Cart/Get").session(&token);
    assert_eq!(mesh.upstream_request(&request, &mesh.send_h2(&request)).body.len(), 5);
    mesh.expect_outcomes(&[
        ("denied_no_session_total", 1),
        ("denied_origin_total", 1),
        ("denied_unavailable_total", 1),
        ("denied_ambiguous_path_total", 1),
        ("allowed_total", 1),
    ]);
}

#[test]
fn a_denial_over_http_2_has_the_same_body() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({}))).sessions(stub.address()).start();
    let request = Request::new("POST", "/").body("unread");
    let (h1, h2) = (mesh.send(&request), mesh.send_h2(&request));
    assert_denied(&request, &h2, 401, "session_required");
    assert_eq!(h2.body, h1.body);
}
