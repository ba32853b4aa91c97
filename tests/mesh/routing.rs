//! Envoy's route and the filter's rule: what selects the one after the other has been decided.
//!
//! Each change of a request header makes Envoy select the route again. These tests show by which headers it does.

use serde_json::{Value, json};

use crate::harness::envoy::Listener;
use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::stub::Stub;
use test_support::http1::Request;
use test_support::token;

/// A route that tells the upstream its name.
fn route(name: &str, matches: Value) -> Value {
    json!({
        "match": matches,
        "route": {"cluster": "upstream"},
        "request_headers_to_add": [{"header": {"key": "x-route", "value": name}}],
    })
}

fn route_by_header(name: &str, header: &str, value: &str) -> Value {
    route(name, json!({"prefix": "/", "headers": [{"name": header, "string_match": {"exact": value}}]}))
}

fn start(stub: &Stub, keys: Value, routes: Vec<Value>, earlier: Vec<Value>) -> Mesh {
    let listener = Listener { routes, filters_before: earlier, ..Listener::new("main", plugin(keys)) };
    Setup::default().listener(listener).sessions(stub.address()).start()
}

/// The route that a request took, which must reach the upstream.
#[track_caller]
fn route_of(mesh: &Mesh, request: &Request) -> Option<String> {
    mesh.passes(request).header("x-route")
}

#[test]
fn a_route_by_a_reserved_header_follows_the_filters_value_and_never_the_clients() {
    let stub = Stub::with_active_session();
    let mesh = start(
        &stub,
        json!({"default": {"session": "optional"}, "rules": [{"match": {"paths": ["/off"]}, "session": "off"}]}),
        vec![
            route_by_header("ours", "x-session-user", "user123"),
            route_by_header("spoofed", "x-session-user", "admin"),
            route_by_header("moved", "x-original-url", "/admin"),
        ],
        vec![],
    );
    for target in ["/", "/off"] {
        let spoofed = Request::get(target).header("x-session-user", "admin").header("x-original-url", "/admin");
        assert_eq!(route_of(&mesh, &spoofed), None, "{target}");
    }
    let session = Request::get("/").session(&token::fresh());
    assert_eq!(route_of(&mesh, &session).as_deref(), Some("ours"));
    assert_eq!(route_of(&mesh, &session.header("x-session-user", "admin")).as_deref(), Some("ours"));
}

#[test]
fn a_request_is_routed_by_the_path_host_and_method_that_its_rule_was_selected_by() {
    let stub = Stub::with_active_session();
    let mesh = start(
        &stub,
        json!({
            "forward_token": false,
            "token_from": [{"cookie": "session-cookie"}, {"query": "token", "any": true}],
            "rules": [{"match": {"paths": ["/public/*"]}, "session": "off"}],
        }),
        vec![
            route("public", json!({"prefix": "/public/"})),
            route("private", json!({"prefix": "/private/"})),
            route(
                "post",
                json!({"prefix": "/", "headers": [
                    {"name": ":method", "string_match": {"exact": "POST"}},
                    {"name": ":authority", "string_match": {"exact": "shop.example.com"}},
                ]}),
            ),
        ],
        vec![],
    );
    let token = token::fresh();
    // Headers are set and removed in all of them, and the query changes.
    for (target, expected) in [("/public/a", "public"), ("/private/a", "private"), ("/", "post")] {
        let request = Request::new("POST", &format!("{target}?token={token}&a=1")).host("shop.example.com");
        let received = mesh.passes(&request.header("x-session-user", "admin").header("script_name", "/private"));
        assert_eq!(received.header("x-route").as_deref(), Some(expected));
        assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", format!("{target}?a=1").as_str()));
        assert_eq!(received.header("host").as_deref(), Some("shop.example.com"));
    }
    mesh.denies(&Request::get("/private/a").header("script_name", "/private"), 401, "session_required");
}

/// A filter in Lua that replaces the path of each request.
fn moving_to(path: &str) -> Value {
    let code = format!("function envoy_on_request(handle) handle:headers():replace(':path', '{path}') end");
    json!({
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": code},
        },
    })
}

#[test]
fn a_path_that_an_earlier_filter_replaced_is_the_one_that_is_judged() {
    let stub = Stub::with_active_session();
    let mesh = start(
        &stub,
        json!({"rules": [{"match": {"paths": ["/public/*"]}, "session": "off"}]}),
        vec![],
        vec![moving_to("/private/a")],
    );
    mesh.denies(&Request::get("/public/a"), 401, "session_required");
    let received = mesh.passes(&Request::get("/public/a").session(&token::fresh()));
    assert_eq!(received.target, "/private/a");
}
