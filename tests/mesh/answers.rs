//! The filter's own answers, as browsers, scripts and gRPC clients see them, and who may ask from where.

use serde_json::json;
use test_support::http1::{Request, Response};
use test_support::token;

use crate::harness::envoy::Cluster;
use crate::harness::mesh::{Mesh, Setup, assert_denied, plugin};
use crate::harness::sessions::RestSessions;
use crate::harness::stub::Stub;

const APP: &str = "https://app.example.com";
const FOREIGN: &str = "https://evil.example.org";

#[test]
fn denial_is_byte_for_byte_the_same_whatever_is_wrong_with_the_token() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(plugin(json!({}))).sessions(sessions.address()).start();
    let expired = sessions.create("user1", &json!(null));
    sessions.expire(&expired);
    let cases = [
        ("missing", Request::get("/")),
        ("malformed", Request::get("/").session("junk")),
        ("conflicting", Request::get("/").session(&token::fresh()).session(&token::fresh())),
        ("unknown", Request::get("/").session(&token::fresh())),
        ("expired", Request::get("/").session(&expired)),
    ];
    let answer = |response: Response| (response.status, response.lasting_headers(), response.text());
    let expected = answer(mesh.denies(&cases[0].1, 401, "session_required"));
    for (case, request) in cases {
        assert_eq!(answer(mesh.send(&request)), expected, "{case}");
    }
    mesh.expect_outcomes(&[("denied_no_session_total", 6)]);
}

#[test]
fn head_is_denied_with_the_same_headers_and_no_body() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({}))).sessions(stub.address()).start();
    let get = mesh.denies(&Request::get("/"), 401, "session_required");
    let head = mesh.send(&Request::new("HEAD", "/"));
    assert_eq!(head.status, 401);
    let but_for_the_length = |response: &Response| {
        let mut headers = response.lasting_headers();
        headers.retain(|(name, _)| name != "content-length");
        headers
    };
    assert_eq!(but_for_the_length(&head), but_for_the_length(&get));
    let over_h2 = mesh.send_h2(&Request::new("HEAD", "/"));
    assert_eq!((over_h2.status, over_h2.body.len()), (401, 0));
}

#[test]
fn grpc_client_gets_a_grpc_status_and_nothing_but_headers() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({
        "rules": [
            {"match": {"paths": ["/shop.Cart/Origin"]}, "session": "required", "origins": []},
            {"match": {"paths": ["/shop.Cart/Outage"]}, "session": "required", "rest_sessions": {"cluster": "away"}},
        ],
    })))
    .sessions(stub.address())
    .cluster(Cluster::refusing("away"))
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
        ("foreign origin", call("/shop.Cart/Origin").session(&token).header("origin", FOREIGN), "7"),
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
    assert_eq!(mesh.seen_for(&request, &mesh.send_h2(&request)).body.len(), 5);
    mesh.expect_outcomes(&[
        ("denied_no_session_total", 1),
        ("denied_origin_total", 1),
        ("denied_unavailable_total", 1),
        ("denied_ambiguous_path_total", 1),
        ("allowed_total", 1),
    ]);
}

/// One rule for each attitude towards origins.
fn origins(stub: &Stub) -> Mesh {
    Setup::new(plugin(json!({
        "rules": [
            {"match": {"paths": ["/listed"]}, "session": "required", "origins": [APP]},
            {"match": {"paths": ["/own"]}, "session": "required", "origins": []},
            {"match": {"paths": ["/off"]}, "session": "off", "origins": [APP]},
            {"match": {"paths": ["/away"]}, "session": "required", "origins": [APP], "rest_sessions": {"cluster": "away"}},
        ],
    })))
    .sessions(stub.address())
    .cluster(Cluster::refusing("away"))
    .start()
}

fn cors_headers(response: &Response) -> [Option<String>; 3] {
    ["access-control-allow-origin", "access-control-allow-credentials", "vary"].map(|name| response.header(name))
}

#[test]
fn script_of_a_listed_origin_can_read_a_denial_and_no_other_can() {
    let stub = Stub::with_active_session();
    let mesh = origins(&stub);
    let readable = [Some(APP.to_owned()), Some("true".to_owned()), Some("origin".to_owned())];
    let token = token::fresh();

    let denied = mesh.denies(&Request::get("/listed").header("origin", APP), 401, "session_required");
    assert_eq!(cors_headers(&denied).map(|value| value.map(|value| value.to_ascii_lowercase())), readable);
    let denied = mesh.denies(&Request::get("/away").header("origin", APP).session(&token), 503, "sessions_unavailable");
    assert_eq!(cors_headers(&denied).map(|value| value.map(|value| value.to_ascii_lowercase())), readable);

    let allowed_origin = |response: &Response| response.header("access-control-allow-origin");
    let denied = mesh.denies(&Request::get("/listed").header("origin", FOREIGN), 401, "session_required");
    assert_eq!(allowed_origin(&denied), None);
    let denied = mesh.denies(&Request::get("/own").header("origin", APP), 401, "session_required");
    assert_eq!(allowed_origin(&denied), None);
    let denied = mesh.denies(&Request::get("/").header("origin", APP), 401, "session_required");
    assert_eq!(allowed_origin(&denied), None);
}

#[test]
fn change_and_websocket_of_a_foreign_origin_are_refused_where_origins_are_checked() {
    let stub = Stub::with_active_session();
    let mesh = origins(&stub);
    let token = token::fresh();
    let own = "http://shop.example.com";
    for target in ["/listed", "/own", "/off"] {
        for origin in [FOREIGN, "null", "https://app.example.com.evil.org", "https://app.example.com:8443", ""] {
            for method in ["POST", "PUT", "DELETE", "PATCH"] {
                let request = Request::new(method, target).session(&token).header("origin", origin);
                mesh.denies(&request, 403, "bad_origin");
            }
            mesh.denies(&Request::upgrade(target).session(&token).header("origin", origin), 403, "bad_origin");
            mesh.passes(&Request::get(target).session(&token).header("origin", origin));
        }
        mesh.passes(&Request::new("POST", target).session(&token).header("origin", own));
        mesh.passes(&Request::upgrade(target).session(&token).header("origin", own));
        mesh.passes(&Request::new("POST", target).session(&token));
        let two_origins = Request::new("POST", target).session(&token).header("origin", own).header("origin", FOREIGN);
        mesh.denies(&two_origins, 403, "bad_origin");
    }
    mesh.passes(&Request::new("POST", "/listed").session(&token).header("origin", APP));
    mesh.passes(&Request::upgrade("/listed").session(&token).header("origin", APP));
    mesh.denies(&Request::new("POST", "/own").session(&token).header("origin", APP), 403, "bad_origin");
    // Behind a listener that ends TLS, the request's own origin is the one that the client saw.
    let over_tls = |origin: &str| {
        Request::new("POST", "/own").session(&token).header("x-forwarded-proto", "https").header("origin", origin)
    };
    mesh.passes(&over_tls("https://shop.example.com"));
    mesh.denies(&over_tls(own), 403, "bad_origin");
    // A rule without `origins` checks none.
    mesh.passes(&Request::new("POST", "/").session(&token).header("origin", FOREIGN));
}

fn preflight(target: &str, origin: &str) -> Request {
    Request::new("OPTIONS", target).header("origin", origin).header("access-control-request-method", "PUT")
}

#[test]
fn preflight_needs_no_session_where_its_origin_is_listed() {
    let stub = Stub::with_active_session();
    let mesh = origins(&stub);
    let seen = mesh.passes(&preflight("/listed", APP));
    assert_eq!(seen.session_headers(), [""; 0]);
    mesh.expect_outcomes(&[("preflight_total", 1)]);

    let none = [
        ("of a foreign origin", preflight("/listed", FOREIGN)),
        ("where no origin is listed", preflight("/own", APP)),
        ("where origins are not checked", preflight("/", APP)),
        ("without a method to ask for", Request::new("OPTIONS", "/listed").header("origin", APP)),
        ("with two methods to ask for", preflight("/listed", APP).header("access-control-request-method", "PUT")),
        ("without an origin", Request::new("OPTIONS", "/listed").header("access-control-request-method", "PUT")),
        ("with two origins", preflight("/listed", APP).header("origin", APP)),
        ("with a body", preflight("/listed", APP).body("x")),
    ];
    for (case, request) in &none {
        println!("a preflight {case}");
        mesh.denies(request, 401, "session_required");
    }
    // With a token it is a request like any other, and its session is asked for.
    let token = token::fresh();
    mesh.passes(&preflight("/listed", APP).session(&token));
    assert_eq!(stub.calls_for(&token).len(), 1);
    mesh.expect_outcomes(&[
        ("preflight_total", 1),
        ("denied_no_session_total", none.len() as u64),
        ("allowed_total", 1),
    ]);
}

#[test]
fn preflight_passes_everywhere_where_the_configuration_says_so() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({
        "cors_preflight": "pass",
        "rules": [{"match": {"paths": ["/listed"]}, "session": "required", "origins": [APP]}],
    })))
    .sessions(stub.address())
    .start();
    for request in [preflight("/", FOREIGN), preflight("/listed", APP), preflight("/listed", FOREIGN)] {
        mesh.passes(&request);
    }
    mesh.denies(&preflight("/", APP).body("x"), 401, "session_required");
    mesh.expect_outcomes(&[("preflight_total", 3), ("denied_no_session_total", 1)]);
}

#[test]
fn denial_over_http_2_is_the_same_json() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({}))).sessions(stub.address()).start();
    let request = Request::new("POST", "/").body("unread");
    let (h1, h2) = (mesh.send(&request), mesh.send_h2(&request));
    assert_denied(&request, &h2, 401, "session_required");
    assert_eq!(h2.body, h1.body);
}
