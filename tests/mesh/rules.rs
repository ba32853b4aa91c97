//! Rule selection by host, method and path.

use serde_json::{Value, json};

use crate::harness::envoy::Cluster;
use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::stub::Stub;
use test_support::http1::Request;
use test_support::token;

pub fn start(stub: &Stub, keys: Value) -> Mesh {
    Setup::new(plugin(keys)).sessions(stub.address()).start()
}

/// Asserts that the rule that requires a session applies. These requests have no token.
#[track_caller]
fn assert_session_required(mesh: &Mesh, request: &Request) {
    mesh.denies(request, 401, "session_required");
}

#[test]
fn hosts_match_exactly_or_by_wildcard_ignoring_case_port_and_trailing_dot() {
    let stub = Stub::with_active_session();
    let mesh = start(
        &stub,
        json!({
            "rules": [{"match": {"hosts": ["admin.example.com", "*.wild.example.com", "[::1]", "192.0.2.7"]}, "session": "required"}],
            "default": {"session": "off"},
        }),
    );
    for host in [
        "admin.example.com",
        "ADMIN.Example.COM",
        "admin.example.com:8443",
        "admin.example.com.",
        "admin.EXAMPLE.com.:80",
        "a.wild.example.com",
        "a.b.wild.example.com",
        "A.WILD.example.com.:1",
        "[::1]",
        "[::1]:8080",
        "192.0.2.7:80",
    ] {
        assert_session_required(&mesh, &Request::get("/").host(host));
    }
    // The host of an absolute-form target takes precedence over the Host header.
    assert_session_required(&mesh, &Request::get("http://admin.example.com/").host("shop.example.com"));
    for host in [
        "example.com",
        "wild.example.com",
        "xwild.example.com",
        "admin.example.com.evil.org",
        "xadmin.example.com",
        "shop.example.com:443",
        "192.0.2.70",
        "[::2]",
    ] {
        mesh.passes(&Request::get("/").host(host));
    }
}

#[test]
fn an_unserved_host_gets_421() {
    let stub = Stub::with_active_session();
    let mesh =
        start(&stub, json!({"hosts": ["shop.example.com", "*.shops.example.com"], "default": {"session": "off"}}));
    for host in ["shop.example.com", "SHOP.example.com:80", "shop.example.com.", "a.b.shops.example.com"] {
        mesh.passes(&Request::get("/").host(host));
    }
    for host in ["example.com", "shops.example.com", "127.0.0.1", "[::1]:80", "shop.example.com.evil.org"] {
        mesh.denies(&Request::get("/").host(host), 421, "unknown_host");
    }
    mesh.expect_outcomes(&[("off_total", 4), ("denied_unknown_host_total", 5)]);
}

#[test]
fn an_invalid_authority_is_denied_where_hosts_are_configured() {
    let stub = Stub::with_active_session();
    let bad = [
        "u@shop.example.com",
        "shop.example.com:abc",
        "shop.example.com..",
        "shop..example.com",
        ".shop.example.com",
        "shop.example.com:80:80",
        "shop.example.com,admin.example.com",
        "%73hop.example.com",
        "[::1",
        "[::zz]",
        "[shop.example.com]",
    ];
    for (named_by, keys) in [
        (
            "a rule",
            json!({"rules": [{"match": {"hosts": ["shop.example.com"]}, "session": "off"}], "default": {"session": "off"}}),
        ),
        ("the configuration", json!({"hosts": ["shop.example.com"], "default": {"session": "off"}})),
    ] {
        println!("hosts are named by {named_by}");
        let mesh = start(&stub, keys);
        for host in bad {
            mesh.denies(&Request::get("/").host(host), 400, "bad_host");
        }
        let two_hosts =
            Request::get("/").without_host().header("host", "shop.example.com").header("host", "admin.example.com");
        mesh.denies(&two_hosts, 400, "bad_host");
        mesh.expect_outcomes(&[("denied_bad_host_total", bad.len() as u64 + 1)]);
    }
}

#[test]
fn an_invalid_authority_passes_where_no_hosts_are_configured() {
    let stub = Stub::with_active_session();
    let mesh = start(&stub, json!({"default": {"session": "off"}}));
    for host in ["u@shop.example.com", "shop.example.com:abc", "shop.example.com.."] {
        assert_eq!(mesh.passes(&Request::get("/").host(host)).header("host").as_deref(), Some(host));
    }
}

#[test]
fn methods_match_exactly_and_get_includes_head() {
    let stub = Stub::with_active_session();
    let mesh = start(
        &stub,
        json!({
            "rules": [
                {"match": {"methods": ["GET"]}, "session": "off"},
                {"match": {"methods": ["POST", "HEAD"]}, "session": "optional"},
            ],
        }),
    );
    assert_eq!(mesh.passes(&Request::get("/")).method, "GET");
    assert_eq!(mesh.passes(&Request::new("HEAD", "/")).method, "HEAD");
    assert_eq!(mesh.passes(&Request::new("POST", "/").body("x")).method, "POST");
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
        let response = mesh.send(&Request::new(method, "/"));
        assert_eq!(response.status, 401, "{method}");
    }
    mesh.expect_outcomes(&[("off_total", 2), ("anonymous_total", 1), ("denied_no_session_total", 4)]);
}

#[test]
fn paths_match_exactly_or_by_prefix_ignoring_query_and_case() {
    let stub = Stub::with_active_session();
    let mesh = start(
        &stub,
        json!({
            "rules": [{"match": {"paths": ["/exact", "/prefix/*", "/a/b/*"]}, "session": "required"}],
            "default": {"session": "off"},
        }),
    );
    for target in [
        "/exact",
        "/exact/",
        "/EXACT",
        "/exact?x=/y",
        "/prefix",
        "/prefix/",
        "/prefix/x",
        "/Prefix/x/y/",
        "/prefix?a=../b",
        "/a/b",
        "/a/b/c",
    ] {
        assert_session_required(&mesh, &Request::get(target));
    }
    for target in ["/", "/exact/x", "/exactly", "/exac", "/prefixed", "/x/prefix/y", "/a", "/a/bc", "/?x=/exact"] {
        assert_eq!(mesh.passes(&Request::get(target)).target, target);
    }
}

#[test]
fn path_case_exact_matches_paths_case_sensitively() {
    let stub = Stub::with_active_session();
    let mesh = start(
        &stub,
        json!({
            "path_case": "exact",
            "rules": [{"match": {"paths": ["/Admin/*"]}, "session": "required"}],
            "default": {"session": "off"},
        }),
    );
    assert_session_required(&mesh, &Request::get("/Admin/x"));
    mesh.passes(&Request::get("/admin/x"));
}

#[test]
fn the_first_rule_that_matches_in_every_part_decides() {
    let stub = Stub::with_active_session();
    let mesh = start(
        &stub,
        json!({
            "rules": [
                {"match": {"hosts": ["a.example.com"], "methods": ["GET"], "paths": ["/x/*"]}, "session": "off"},
                {"match": {"hosts": ["a.example.com"], "paths": ["/x/*"]}, "session": "required"},
                {"match": {"paths": ["/x/*", "/y/*"]}, "session": "off"},
            ],
        }),
    );
    mesh.passes(&Request::get("/x/1").host("a.example.com"));
    assert_session_required(&mesh, &Request::new("POST", "/x/1").host("a.example.com"));
    mesh.passes(&Request::new("POST", "/x/1").host("b.example.com"));
    mesh.passes(&Request::get("/y/1").host("a.example.com"));
    assert_session_required(&mesh, &Request::get("/z").host("a.example.com"));
}

#[test]
fn connect_matches_only_rules_without_paths() {
    let stub = Stub::with_active_session();
    let connect = Request::new("CONNECT", "shop.example.com:443").host("shop.example.com:443");
    let with_paths = json!({"rules": [{"match": {"paths": ["/*"]}, "session": "off"}]});
    let mesh = start(&stub, with_paths);
    assert_session_required(&mesh, &connect);
    let without = json!({
        "rules": [
            {"match": {"paths": ["/*"]}, "session": "required"},
            {"match": {"methods": ["CONNECT"]}, "session": "off"},
        ],
    });
    let mesh = start(&stub, without);
    assert_eq!(mesh.begin(&connect).read_head().status, 200);
    mesh.expect_outcomes(&[("off_total", 1)]);
}

#[test]
fn a_rule_replaces_app_service_sources_annotation_and_failure_mode_entirely() {
    let (stub, other) = (Stub::with_active_session(), Stub::with_active_session());
    let mesh = Setup::new(plugin(json!({
        "token_from": [{"cookie": "session-cookie"}],
        "failure_mode": "allow",
        "rules": [
            {"match": {"paths": ["/app"]}, "session": "required", "app": "backoffice"},
            {"match": {"paths": ["/service"]}, "session": "required", "rest_sessions": {"cluster": "other", "path_prefix": "/sessions"}},
            {"match": {"paths": ["/source"]}, "session": "required", "token_from": [{"header": "x-token"}]},
            {"match": {"paths": ["/annotate"]}, "session": "required", "annotate": {"headers": {"x-name": "d.name"}}},
            {"match": {"paths": ["/deny"]}, "session": "required", "failure_mode": "deny", "rest_sessions": {"cluster": "nowhere"}},
            {"match": {"paths": ["/allow"]}, "session": "required", "rest_sessions": {"cluster": "nowhere"}},
        ],
    })))
    .sessions(stub.address())
    .cluster(Cluster::new("other", other.address()))
    .start();
    let token = token::fresh();

    mesh.passes(&Request::get("/app").session(&token));
    assert_eq!(stub.only_call_for(&token).path, format!("/backoffice/get/{token}"));
    let denied = mesh.denies(&Request::get("/app"), 401, "session_required");
    assert_eq!(denied.header("www-authenticate").as_deref(), Some(r#"Session realm="backoffice""#));

    mesh.passes(&Request::get("/service").session(&token));
    assert_eq!(other.only_call_for(&token).path, format!("/sessions/mywebapp/get/{token}"));
    assert_eq!(other.only_call_for(&token).values("host"), ["other"]);

    assert_session_required(&mesh, &Request::get("/source").session(&token));
    mesh.passes(&Request::get("/source").header("x-token", token.clone()));

    let received = mesh.passes(&Request::get("/annotate").session(&token));
    assert_eq!(received.header("x-name").as_deref(), Some("Peter"));
    assert_eq!(received.session_headers(), [""; 0]);

    mesh.denies(&Request::get("/deny").session(&token), 503, "sessions_unavailable");
    mesh.passes(&Request::get("/allow").session(&token));
}
