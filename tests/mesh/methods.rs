//! Methods that servers read differently: such a request is denied if another rule could be meant.

use serde_json::json;

use crate::harness::mesh::assert_denied;
use crate::harness::stub::Stub;
use crate::rules::start;
use test_support::http1::Request;

#[test]
fn a_method_in_lower_case_does_not_bypass_a_rule_over_any_protocol() {
    let stub = Stub::with_active_session();
    let mesh = start(
        &stub,
        json!({"rules": [{"match": {"methods": ["DELETE"]}, "session": "required"}], "default": {"session": "off"}}),
    );
    for method in ["delete", "Delete", "get"] {
        let request = Request::new(method, "/a");
        assert_denied(&request, &mesh.send_h2(&request), 400, "bad_method");
    }
    mesh.expect_outcomes(&[("denied_bad_method_total", 3)]);
    // Some parsers of HTTP/1 refuse such methods themselves.
    let over_http_1 = Request::new("delete", "/a").send_to(mesh.address());
    assert_eq!(over_http_1.status, 400);
    mesh.denies(&Request::new("DELETE", "/a"), 401, "session_required");
    assert_eq!(mesh.upstream.count(), 0);
}

#[test]
fn a_method_in_the_query_does_not_bypass_a_rule() {
    let stub = Stub::with_active_session();
    let mesh = start(
        &stub,
        json!({"rules": [{"match": {"methods": ["DELETE"]}, "session": "required"}], "default": {"session": "off"}}),
    );
    for target in
        ["/a?_method=DELETE", "/a?x=1;%5fmethod=delete", "/a?_method[]=DELETE", "/a?_method=PUT&_method=DELETE"]
    {
        mesh.denies(&Request::new("POST", target), 400, "bad_method");
    }
    assert_eq!(mesh.upstream.count(), 0);
    assert_eq!(mesh.passes(&Request::new("POST", "/a?_method=PUT")).target, "/a?_method=PUT");
}

#[test]
fn a_preflight_that_names_another_method_needs_a_session() {
    let stub = Stub::with_active_session();
    let mesh = start(&stub, json!({"cors_preflight": "pass"}));
    let preflight = |target: &str| {
        Request::new("OPTIONS", target)
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", "PUT")
    };
    mesh.passes(&preflight("/a"));
    for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
        mesh.denies(&preflight("/a").header(name, "DELETE"), 401, "session_required");
    }
    mesh.denies(&preflight("/a?_method=DELETE"), 401, "session_required");
    mesh.expect_outcomes(&[("preflight_total", 1), ("denied_no_session_total", 4)]);
}
