//! Paths that servers read differently: such a path is denied if two readings select different rules.

use serde_json::json;

use crate::harness::stub::Stub;
use crate::rules::start;
use test_support::http1::Request;

/// The decision for a path that some server reads as one below `/admin`.
#[derive(Clone, Copy)]
enum Expected {
    /// 400: readings differ, or the path is malformed.
    Ambiguous,
    /// 401: the rule for `/admin/*` decides.
    SessionRequired,
}

#[test]
fn no_spelling_of_a_path_bypasses_a_rule_under_any_servers_reading() {
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
    let nested_too_deep = format!("/public/%{}41", "25".repeat(3));
    let long = format!("/public/{}%41", "a".repeat(8 * 1024));
    let attacks: Vec<(&str, &str, Expected)> = vec![
        ("Node's URL", "/api//%2e%2e/admin/x", Expected::Ambiguous),
        ("Node's URL", "//x/admin", Expected::Ambiguous),
        ("Node's URL", "/api/..\\admin/x", Expected::Ambiguous),
        ("Tomcat", "/public/..;%2fpublic/admin", Expected::Ambiguous),
        ("Tomcat", "/public/..;/admin/x", Expected::Ambiguous),
        ("Tomcat", "/public/..;a=b/admin/x", Expected::Ambiguous),
        ("Tomcat", "/public/.;/../admin/x", Expected::Ambiguous),
        ("Tomcat", "/admin;a=b/x", Expected::Ambiguous),
        ("Tomcat", "/;a/admin/x", Expected::Ambiguous),
        ("Tomcat", "/admin%3ba=b/x", Expected::Ambiguous),
        ("Jetty", "/public/%u002e%u002e/admin", Expected::Ambiguous),
        ("Jetty", "/%u0061dmin/x", Expected::Ambiguous),
        ("Jetty", "/public/%2e%2e;x/admin", Expected::Ambiguous),
        ("Express", "/ADMIN", Expected::SessionRequired),
        ("Express", "/Admin/X", Expected::SessionRequired),
        ("Express", "/admin/", Expected::SessionRequired),
        ("nginx", "/public/../admin/x", Expected::Ambiguous),
        ("nginx", "/public/%2e%2e/admin/x", Expected::Ambiguous),
        ("nginx", "/public/..%2fadmin/x", Expected::Ambiguous),
        ("nginx", "/public/%2E%2E%2Fadmin%2Fx", Expected::Ambiguous),
        ("nginx", "/./admin/x", Expected::Ambiguous),
        ("nginx", "/admin//x", Expected::SessionRequired),
        ("nginx", "/x//admin", Expected::Ambiguous),
        ("any server that decodes", "/%61dmin/x", Expected::Ambiguous),
        ("any server that decodes", "/admin%2fx", Expected::Ambiguous),
        ("any server that decodes", "/x%2fadmin", Expected::Ambiguous),
        ("any server that decodes", "/%2fadmin/x", Expected::Ambiguous),
        ("a proxy and a server that both decode", "/%2561dmin/x", Expected::Ambiguous),
        ("a proxy and a server that both decode", "/public/%252e%252e/admin/x", Expected::Ambiguous),
        ("three that decode", "/public/%25252e%25252e/admin/x", Expected::Ambiguous),
        ("IIS", "/admin\\x", Expected::Ambiguous),
        ("IIS", "/admin%5cx", Expected::Ambiguous),
        ("IIS", "/public\\..\\admin\\x", Expected::Ambiguous),
        ("IIS", "/public/..%5cadmin/x", Expected::Ambiguous),
        ("IIS", "/public/%c0%ae%c0%ae/admin/x", Expected::Ambiguous),
        ("servers of C strings", "/admin%00.png", Expected::Ambiguous),
        ("servers of C strings", "/public/x%00", Expected::Ambiguous),
        ("servers of lines", "/public/%0d%0aadmin", Expected::Ambiguous),
        ("servers of lines, decoding twice", "/public/%250a", Expected::Ambiguous),
        ("servers that cut late", "/admin%3fx", Expected::Ambiguous),
        ("servers that cut late", "/admin%23x", Expected::Ambiguous),
        ("lenient decoders", "/public/%zz", Expected::Ambiguous),
        ("lenient decoders", "/public/100%", Expected::Ambiguous),
        ("lenient decoders", "/public/%2", Expected::Ambiguous),
        ("decoders of UTF-8 without its rules", "/public/%e0%80%af", Expected::Ambiguous),
        ("PHP's path information", "/admin/x.php/y.ico", Expected::SessionRequired),
        ("decoders without a depth limit", &nested_too_deep, Expected::Ambiguous),
        ("any server, after more work than a plain path takes", &long, Expected::Ambiguous),
        ("Bottle", "/ad%ffmin/x", Expected::Ambiguous),
        ("Bottle", "/admin%e9", Expected::Ambiguous),
        ("Fastify 4", "/admin;/x", Expected::Ambiguous),
        ("Fastify 4", "/x/admin;/y", Expected::Ambiguous),
        ("Fastify 4", "/admin;x", Expected::Ambiguous),
        ("Python's (?i)", "/adm%C4%B1n/x", Expected::Ambiguous),
        ("Go's ToLower", "/adm%C4%B0n/x", Expected::Ambiguous),
    ];
    for (server, target, expected) in attacks {
        println!("{server}: {target}");
        let request = Request::get(target);
        match expected {
            Expected::Ambiguous => mesh.denies(&request, 400, "ambiguous_path"),
            Expected::SessionRequired => mesh.denies(&request, 401, "session_required"),
        };
    }
    assert_eq!(mesh.upstream.count(), 0);
    assert!(stub.calls().is_empty());
}

#[test]
fn an_unusual_path_passes_unchanged_where_every_reading_selects_the_same_rule() {
    let stub = Stub::with_active_session();
    let mesh = start(
        &stub,
        json!({"rules": [{"match": {"paths": ["/api/*"]}, "session": "off"}, {"match": {"paths": ["/x/admin"]}, "session": "required"}]}),
    );
    for target in [
        "/api/a%2Fb",
        "/api/caf%C3%A9",
        "/api/caf%E9",
        "/api/Stra%C3%9Fe",
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
    // The raw path matches no rule, the decoded one does.
    mesh.denies(&Request::get("/%61pi/x"), 400, "ambiguous_path");
}

#[test]
fn an_ambiguous_path_passes_where_no_rule_matches_paths() {
    let stub = Stub::with_active_session();
    let mesh = start(&stub, json!({"rules": [{"match": {"methods": ["GET"]}, "session": "off"}]}));
    for target in ["/a/../b", "//x", "/%zz", "/%00", "/a%2fb;c\\d"] {
        assert_eq!(mesh.passes(&Request::get(target)).target, target);
    }
}
