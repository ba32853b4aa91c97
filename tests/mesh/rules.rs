//! Which rule decides: by host, method and path, and what cannot be told for certain is refused.

use serde_json::{Value, json};
use test_support::http1::Request;

use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::stub::Stub;

fn start(stub: &Stub, keys: Value) -> Mesh {
    Setup::new(plugin(keys)).sessions(stub.address()).start()
}

/// Asserts that the rule that requires a session applies: these requests bear none.
#[track_caller]
fn assert_guarded(mesh: &Mesh, request: &Request) {
    mesh.denies(request, 401, "session_required");
}

#[test]
fn hosts_match_exactly_or_by_wildcard_whatever_their_case_port_and_trailing_dot() {
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
        assert_guarded(&mesh, &Request::get("/").host(host));
    }
    // The host of an absolute URL is the request's, whatever the Host line says.
    assert_guarded(&mesh, &Request::get("http://admin.example.com/").host("shop.example.com"));
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
fn host_that_the_configuration_does_not_serve_is_answered_421() {
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
fn authority_that_is_no_host_is_refused_where_hosts_decide() {
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
fn authority_is_not_judged_where_no_rule_asks_for_it() {
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
fn paths_match_exactly_or_by_prefix_without_the_query_and_whatever_their_case() {
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
        assert_guarded(&mesh, &Request::get(target));
    }
    for target in ["/", "/exact/x", "/exactly", "/exac", "/prefixed", "/x/prefix/y", "/a", "/a/bc", "/?x=/exact"] {
        assert_eq!(mesh.passes(&Request::get(target)).target, target);
    }
}

#[test]
fn paths_match_case_by_case_where_the_configuration_says_so() {
    let stub = Stub::with_active_session();
    let mesh = start(
        &stub,
        json!({
            "path_case": "exact",
            "rules": [{"match": {"paths": ["/Admin/*"]}, "session": "required"}],
            "default": {"session": "off"},
        }),
    );
    assert_guarded(&mesh, &Request::get("/Admin/x"));
    mesh.passes(&Request::get("/admin/x"));
}

#[test]
fn first_rule_of_which_every_part_matches_decides() {
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
    assert_guarded(&mesh, &Request::new("POST", "/x/1").host("a.example.com"));
    mesh.passes(&Request::new("POST", "/x/1").host("b.example.com"));
    mesh.passes(&Request::get("/y/1").host("a.example.com"));
    assert_guarded(&mesh, &Request::get("/z").host("a.example.com"));
}

#[test]
fn connect_has_no_path_and_matches_only_rules_without_paths() {
    let stub = Stub::with_active_session();
    let connect = Request::new("CONNECT", "shop.example.com:443").host("shop.example.com:443");
    let with_paths = json!({"rules": [{"match": {"paths": ["/*"]}, "session": "off"}]});
    let mesh = start(&stub, with_paths);
    assert_guarded(&mesh, &connect);
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

/// What must become of a path that some server reads as one below `/admin`.
#[derive(Clone, Copy)]
enum Fate {
    /// 400, since readings differ or the path is malformed.
    Refused,
    /// The rule for `/admin/*` decides.
    Guarded,
}

#[test]
fn no_spelling_of_a_path_gets_round_the_rule_that_some_server_would_read_it_under() {
    let stub = Stub::with_active_session();
    let mesh = start(
        &stub,
        json!({
            "rules": [
                {"match": {"paths": ["/admin/*"]}, "session": "required"},
                {"match": {"paths": ["/x/admin"]}, "session": "required"},
            ],
            "default": {"session": "off"},
        }),
    );
    let nested_too_deep = format!("/public/%{}41", "25".repeat(40));
    let attacks: Vec<(&str, &str, Fate)> = vec![
        ("Node's URL", "/api//%2e%2e/admin/x", Fate::Refused),
        ("Node's URL", "//x/admin", Fate::Refused),
        ("Node's URL", "/api/..\\admin/x", Fate::Refused),
        ("Tomcat", "/public/..;%2fpublic/admin", Fate::Refused),
        ("Tomcat", "/public/..;/admin/x", Fate::Refused),
        ("Tomcat", "/public/..;a=b/admin/x", Fate::Refused),
        ("Tomcat", "/public/.;/../admin/x", Fate::Refused),
        ("Tomcat", "/admin;a=b/x", Fate::Refused),
        ("Tomcat", "/;a/admin/x", Fate::Refused),
        ("Tomcat", "/admin%3ba=b/x", Fate::Refused),
        ("Jetty", "/public/%u002e%u002e/admin", Fate::Refused),
        ("Jetty", "/%u0061dmin/x", Fate::Refused),
        ("Jetty", "/public/%2e%2e;x/admin", Fate::Refused),
        ("Express", "/ADMIN", Fate::Guarded),
        ("Express", "/Admin/X", Fate::Guarded),
        ("Express", "/admin/", Fate::Guarded),
        ("nginx", "/public/../admin/x", Fate::Refused),
        ("nginx", "/public/%2e%2e/admin/x", Fate::Refused),
        ("nginx", "/public/..%2fadmin/x", Fate::Refused),
        ("nginx", "/public/%2E%2E%2Fadmin%2Fx", Fate::Refused),
        ("nginx", "/./admin/x", Fate::Refused),
        ("nginx", "/admin//x", Fate::Guarded),
        ("nginx", "/x//admin", Fate::Refused),
        ("any server that decodes", "/%61dmin/x", Fate::Refused),
        ("any server that decodes", "/admin%2fx", Fate::Refused),
        ("any server that decodes", "/x%2fadmin", Fate::Refused),
        ("any server that decodes", "/%2fadmin/x", Fate::Refused),
        ("a proxy and a server that both decode", "/%2561dmin/x", Fate::Refused),
        ("a proxy and a server that both decode", "/public/%252e%252e/admin/x", Fate::Refused),
        ("three that decode", "/public/%25252e%25252e/admin/x", Fate::Refused),
        ("IIS", "/admin\\x", Fate::Refused),
        ("IIS", "/admin%5cx", Fate::Refused),
        ("IIS", "/public\\..\\admin\\x", Fate::Refused),
        ("IIS", "/public/..%5cadmin/x", Fate::Refused),
        ("IIS", "/public/%c0%ae%c0%ae/admin/x", Fate::Refused),
        ("servers of C strings", "/admin%00.png", Fate::Refused),
        ("servers of C strings", "/public/x%00", Fate::Refused),
        ("servers of lines", "/public/%0d%0aadmin", Fate::Refused),
        ("servers of lines, decoding twice", "/public/%250a", Fate::Refused),
        ("servers that cut late", "/admin%3fx", Fate::Refused),
        ("servers that cut late", "/admin%23x", Fate::Refused),
        ("lenient decoders", "/public/%zz", Fate::Refused),
        ("lenient decoders", "/public/100%", Fate::Refused),
        ("lenient decoders", "/public/%2", Fate::Refused),
        ("decoders of UTF-8 without its rules", "/public/%e0%80%af", Fate::Refused),
        ("PHP's path information", "/admin/x.php/y.ico", Fate::Guarded),
        ("whoever decodes without end", &nested_too_deep, Fate::Refused),
    ];
    for (server, target, fate) in attacks {
        println!("{server}: {target}");
        let request = Request::get(target);
        match fate {
            Fate::Refused => mesh.denies(&request, 400, "ambiguous_path"),
            Fate::Guarded => mesh.denies(&request, 401, "session_required"),
        };
    }
    assert_eq!(mesh.upstream.count(), 0);
    assert!(stub.calls().is_empty());
}

#[test]
fn strange_path_passes_unchanged_where_every_reading_selects_the_same_rule() {
    let stub = Stub::with_active_session();
    let mesh = start(
        &stub,
        json!({"rules": [{"match": {"paths": ["/api/*"]}, "session": "off"}, {"match": {"paths": ["/x/admin"]}, "session": "required"}]}),
    );
    for target in [
        "/api/a%2Fb",
        "/api/caf%C3%A9",
        "/api/a%20b",
        "/api/a;v=1/b",
        "/api//b",
        "/api/a\\b",
        "/api/a%3fb",
        "/api/what%23",
        "/api/...",
        "/api/.well-known/..x",
        "/api/~me/a+b,c=(d)'e'*!$&:@",
        "/api/a?next=/../%zz//x",
    ] {
        assert_eq!(mesh.passes(&Request::get(target)).target, target);
    }
    // Read as it stands it is under no rule's path, decoded it is under one.
    mesh.denies(&Request::get("/%61pi/x"), 400, "ambiguous_path");
}

#[test]
fn no_path_is_refused_where_no_rule_names_paths() {
    let stub = Stub::with_active_session();
    let mesh = start(&stub, json!({"rules": [{"match": {"methods": ["GET"]}, "session": "off"}]}));
    for target in ["/a/../b", "//x", "/%zz", "/%00", "/a%2fb;c\\d"] {
        assert_eq!(mesh.passes(&Request::get(target)).target, target);
    }
}

#[test]
fn rule_replaces_app_service_sources_annotation_and_failure_mode_wholly() {
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
    .cluster(crate::harness::envoy::Cluster::new("other", other.address()))
    .start();
    let token = test_support::token::fresh();

    mesh.passes(&Request::get("/app").session(&token));
    assert_eq!(stub.only_call_for(&token).path, format!("/backoffice/get/{token}"));
    let denied = mesh.denies(&Request::get("/app"), 401, "session_required");
    assert_eq!(denied.header("www-authenticate").as_deref(), Some(r#"Session realm="backoffice""#));

    mesh.passes(&Request::get("/service").session(&token));
    assert_eq!(other.only_call_for(&token).path, format!("/sessions/mywebapp/get/{token}"));
    assert_eq!(other.only_call_for(&token).values("host"), ["other"]);

    assert_guarded(&mesh, &Request::get("/source").session(&token));
    mesh.passes(&Request::get("/source").header("x-token", token.clone()));

    let seen = mesh.passes(&Request::get("/annotate").session(&token));
    assert_eq!(seen.header("x-name").as_deref(), Some("Peter"));
    assert_eq!(seen.session_headers(), [""; 0]);

    mesh.denies(&Request::get("/deny").session(&token), 503, "sessions_unavailable");
    mesh.passes(&Request::get("/allow").session(&token));
}
