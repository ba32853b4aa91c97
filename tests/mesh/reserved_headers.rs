//! Reserved headers, which only the filter may set: those that clients send are removed.

use serde_json::{Value, json};

use crate::harness::envoy::Listener;
use crate::harness::http2;
use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::stub::Stub;
use test_support::http1::Request;
use test_support::token;

const SPELLINGS: [&str; 15] = [
    "x-session-user",
    "X-Session-User",
    "X-SESSION-USER",
    "x_session_user",
    "x-session_user",
    "x.session.user",
    "x_session.USER",
    "x~session!user",
    "x-session-data",
    "X_Session_Data",
    "x-session-status",
    "x.session-status",
    "x-session-set",
    "x_session_kill",
    "X-Session-Kill",
];

/// Adds every spelling, twice each.
fn spoof(request: Request) -> Request {
    SPELLINGS.iter().chain(&SPELLINGS).fold(request, |request, name| request.header(*name, "admin"))
}

fn every_kind_of_route() -> Value {
    plugin(json!({
        "rules": [
            {"match": {"paths": ["/required"]}, "session": "required", "origins": ["https://app.example.com"]},
            {"match": {"paths": ["/optional"]}, "session": "optional"},
            {"match": {"paths": ["/off"]}, "session": "off"},
        ],
        "annotate": {"headers": {"x-session-user": "id", "x-session-data": "d", "x-session-status": "status"}},
    }))
}

fn start(stub: &Stub) -> Mesh {
    let over_h2 = Listener { route_to: "upstream-h2", ..Listener::new("h2", every_kind_of_route()) };
    Setup::new(every_kind_of_route()).listener(over_h2).sessions(stub.address()).start()
}

fn preflight() -> Request {
    Request::new("OPTIONS", "/required")
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST")
}

#[test]
fn reserved_headers_from_clients_are_removed_on_every_route_in_every_spelling() {
    let stub = Stub::with_active_session();
    let mesh = start(&stub);
    let token = token::fresh();
    let routes = [
        (
            "required",
            Request::get("/required").session(&token),
            vec!["x-session-data", "x-session-status", "x-session-user"],
        ),
        (
            "optional with a session",
            Request::get("/optional").session(&token),
            vec!["x-session-data", "x-session-status", "x-session-user"],
        ),
        ("optional without a session", Request::get("/optional"), vec!["x-session-status"]),
        ("off", Request::get("/off"), vec![]),
        ("off with a token", Request::get("/off").session(&token), vec![]),
        ("preflight", preflight(), vec![]),
    ];
    for (route, request, expected) in routes {
        println!("{route}");
        let request = spoof(request);
        for received in [mesh.passes(&request), mesh.upstream_request(&request, &mesh.send_h2(&lowercase(&request)))] {
            let mut found = received.session_headers();
            found.sort_unstable();
            assert_eq!(found, expected, "{route}");
            assert!(!received.mentions("admin"), "{route}: {received:?}");
        }
    }
}

/// Names in lower case, as HTTP/2 requires.
fn lowercase(request: &Request) -> Request {
    let mut request = request.clone();
    for (name, _) in &mut request.headers {
        name.make_ascii_lowercase();
    }
    request
}

#[test]
fn reserved_headers_are_removed_from_request_trailers() {
    let stub = Stub::with_active_session();
    let mesh = start(&stub);
    let token = token::fresh();
    let routes = [
        Request::new("POST", "/required").session(&token),
        Request::new("POST", "/optional"),
        Request::new("POST", "/off"),
        preflight(),
    ];
    for request in routes {
        let request = request.body("a body").trailer("x-checksum", b"\xff\xfe".to_vec());
        let request =
            SPELLINGS.iter().fold(request, |request, name| request.trailer(name.to_ascii_lowercase(), "admin"));
        // A preflight with a body is an ordinary request, which needs its session.
        let request = if request.method == "OPTIONS" { request.session(&token) } else { request };
        for listener in ["main", "h2"] {
            let over_h1 = mesh.passes_at(listener, &request);
            mesh.count_one();
            let over_h2 = mesh.upstream_request(&request, &http2::send(mesh.envoy.address(listener), &request));
            for received in [over_h1, over_h2] {
                assert_eq!(received.body, b"a body");
                assert_eq!(
                    received.trailers,
                    [("x-checksum".to_owned(), b"\xff\xfe".to_vec())],
                    "through {listener}\n{request}"
                );
            }
        }
    }
}

#[test]
fn default_names_and_the_names_of_every_rule_are_reserved_on_every_route() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({
        "annotate": {"headers": {"x-user": "id"}},
        "rules": [
            {"match": {"paths": ["/named"]}, "session": "optional", "annotate": {"headers": {"x-name": "d.name"}}},
            {"match": {"paths": ["/off"]}, "session": "off"},
        ],
    })))
    .sessions(stub.address())
    .start();
    let token = token::fresh();
    let spoof = |request: Request| {
        let names = [
            "x-user",
            "X_USER",
            "x-name",
            "x.name",
            "x-session-user",
            "x_session_data",
            "x-session-set",
            "x-session-kill",
        ];
        names.iter().fold(request, |request, name| request.header(*name, "forged")).header("x-users", "kept")
    };
    for (target, expected) in
        [("/", [Some("user123"), None]), ("/named", [None, Some("Peter")]), ("/off", [None, None])]
    {
        let received = mesh.passes(&spoof(Request::get(target).session(&token)));
        assert_eq!([received.header("x-user").as_deref(), received.header("x-name").as_deref()], expected, "{target}");
        assert_eq!(received.header("x-users").as_deref(), Some("kept"));
        assert!(!received.mentions("forged"), "{received:?}");
    }
    assert!(!mesh.passes(&spoof(Request::get("/named"))).mentions("forged"));
}

#[test]
fn override_headers_are_removed_where_rules_match_what_they_override() {
    let stub = Stub::with_active_session();
    let rule = |matches: Value| {
        plugin(json!({"rules": [{"match": matches, "session": "off"}], "default": {"session": "off"}}))
    };
    let mut served = plugin(json!({"default": {"session": "off"}}));
    served["hosts"] = json!(["shop.example.com"]);
    let mut listed = rule(json!({"paths": ["/x"], "methods": ["GET"], "hosts": ["shop.example.com"]}));
    listed["remove_headers"] = json!(["x-debug"]);
    let mesh = Setup::default()
        .listener(Listener::new("methods", rule(json!({"methods": ["GET"]}))))
        .listener(Listener::new("paths", rule(json!({"paths": ["/x"]}))))
        .listener(Listener::new("hosts", rule(json!({"hosts": ["shop.example.com"]}))))
        .listener(Listener::new("served", served))
        .listener(Listener::new("listed", listed))
        .sessions(stub.address())
        .start();
    let all = [
        ("X-HTTP-METHOD-OVERRIDE", &["methods"][..]),
        ("x_http.method", &["methods"]),
        ("x-original-url", &["paths"]),
        ("X_ORIGINAL_URL", &["paths"]),
        ("SCRIPT_NAME", &["paths"]),
        ("PATH_INFO", &["paths"]),
        ("Daphne-Root-Path", &["paths"]),
        ("x-forwarded-prefix", &["paths"]),
        ("X-Forwarded-Host", &["hosts", "served"]),
        ("x_forwarded_host", &["hosts", "served"]),
        ("Forwarded", &["hosts", "served"]),
        ("x-debug", &["listed"]),
    ];
    let request =
        all.iter().fold(Request::get("/x").host("shop.example.com"), |request, (name, _)| request.header(*name, "1"));
    for listener in ["methods", "paths", "hosts", "served", "listed"] {
        let received = mesh.passes_at(listener, &request);
        for (name, removed_at) in all {
            let expected = if removed_at.contains(&listener) { None } else { Some("1") };
            assert_eq!(received.header(&name.to_ascii_lowercase()).as_deref(), expected, "{name} at {listener}");
        }
    }
}

#[test]
fn a_connection_header_cannot_take_the_filters_headers_from_the_upstream() {
    let stub = Stub::with_active_session();
    let mesh = start(&stub);
    // A hop-by-hop header names headers that the next hop removes (RFC 9110, section 7.6.1).
    let request = Request::get("/required").session(&token::fresh()).header("connection", "close, x-session-user");
    let received = mesh.passes(&request);
    assert_eq!(received.header("x-session-user").as_deref(), Some("user123"));
    assert!(!received.values("connection").concat().contains("x-session-user"), "{received:?}");
}

#[test]
fn a_host_header_beside_the_authority_names_no_other_host() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({
        "rules": [{"match": {"hosts": ["public.example.com"]}, "session": "off"}],
    })))
    .sessions(stub.address())
    .start();
    let request = Request::get("/").host("public.example.com");
    assert_eq!(
        mesh.upstream_request(&request, &mesh.send_h2(&request)).header("host").as_deref(),
        Some("public.example.com")
    );
    let two = request.header("host", "private.example.com");
    let received = mesh.upstream_request(&two, &mesh.send_h2(&two));
    assert_eq!(received.values("host"), ["public.example.com"], "{received:?}");
}
