//! Health checks by address: what they need where `hosts` names the hosts that are served.

use serde_json::json;

use crate::harness::envoy::Listener;
use crate::harness::mesh::{Setup, plugin};
use crate::harness::stub::Stub;
use test_support::http1::Request;

/// The kubelet and load balancers send the address that they connect to as `Host`.
const ADDRESS: &str = "10.244.1.7:8080";

#[test]
fn a_probe_by_address_needs_a_served_host_and_a_rule_without_a_session() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({
        "hosts": ["shop.example.com"],
        "rules": [{"match": {"paths": ["/healthz"], "methods": ["GET"]}, "session": "off"}],
    })))
    .sessions(stub.address())
    .start();
    mesh.denies(&Request::get("/healthz").host(ADDRESS), 421, "unknown_host");
    mesh.passes(&Request::get("/healthz").host("shop.example.com"));
    mesh.denies(&Request::get("/").host("shop.example.com"), 401, "session_required");
}

#[test]
fn envoys_health_check_filter_before_this_one_answers_a_probe_with_any_host() {
    let stub = Stub::with_active_session();
    let health_check = json!({"name": "envoy.filters.http.health_check", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck",
        "pass_through_mode": false,
        "headers": [{"name": ":path", "string_match": {"exact": "/healthz"}}],
    }});
    let listener = Listener {
        filters_before: vec![health_check],
        ..Listener::new("main", plugin(json!({"hosts": ["shop.example.com"]})))
    };
    let mesh = Setup::default().listener(listener).sessions(stub.address()).start();
    // The filter does not see this request, so that it is not counted.
    let response = Request::get("/healthz").host(ADDRESS).send_to(mesh.address());
    assert_eq!((response.status, mesh.upstream.count()), (200, 0), "{}", response.text());
    mesh.denies(&Request::get("/").host(ADDRESS), 421, "unknown_host");
}
