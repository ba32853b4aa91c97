//! Origins and CORS: which pages may send what, which preflights pass, and which denials scripts can read.

use serde_json::json;

use crate::harness::envoy::Cluster;
use crate::harness::mesh::{Mesh, Setup, assert_denied, plugin};
use crate::harness::stub::Stub;
use test_support::http1::{Request, Response};
use test_support::token;

const APP: &str = "https://app.example.com";
const FOREIGN: &str = "https://evil.example.org";

/// A rule for each kind of `origins`: listed, own only, listed on an off route, and listed with an unreachable service.
fn origins(stub: &Stub) -> Mesh {
    Setup::new(plugin(json!({
        "rules": [
            {"match": {"paths": ["/listed"]}, "session": "required", "origins": [APP]},
            {"match": {"paths": ["/own"]}, "session": "required", "origins": []},
            {"match": {"paths": ["/off"]}, "session": "off", "origins": [APP]},
            {"match": {"paths": ["/refusing"]}, "session": "required", "origins": [APP], "rest_sessions": {"cluster": "refusing"}},
        ],
    })))
    .sessions(stub.address())
    .cluster(Cluster::refusing("refusing"))
    .start()
}

fn cors_headers(response: &Response) -> [Option<String>; 3] {
    ["access-control-allow-origin", "access-control-allow-credentials", "vary"].map(|name| response.header(name))
}

#[test]
fn a_denial_is_readable_only_for_scripts_of_a_listed_origin() {
    let stub = Stub::with_active_session();
    let mesh = origins(&stub);
    let readable = [Some(APP.to_owned()), Some("true".to_owned()), Some("origin".to_owned())];
    let token = token::fresh();

    let denied = mesh.denies(&Request::get("/listed").header("origin", APP), 401, "session_required");
    assert_eq!(cors_headers(&denied).map(|value| value.map(|value| value.to_ascii_lowercase())), readable);
    let denied =
        mesh.denies(&Request::get("/refusing").header("origin", APP).session(&token), 503, "sessions_unavailable");
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
fn unsafe_requests_and_websockets_of_a_foreign_origin_are_denied_where_origins_are_checked() {
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
    // A rule without `origins` does not check them.
    mesh.passes(&Request::new("POST", "/").session(&token).header("origin", FOREIGN));
}

/// Helmet sets this policy by default. Browsers then send `Origin: null`, also from the site's own pages.
#[test]
fn forms_of_a_site_with_referrer_policy_no_referrer_pass_and_sandboxed_pages_of_others_do_not() {
    let stub = Stub::with_active_session();
    let mesh = origins(&stub);
    let token = token::fresh();
    let post = || Request::new("POST", "/own").session(&token).header("origin", "null");
    let own = post().header("sec-fetch-site", "same-origin");
    mesh.passes(&own);
    mesh.upstream_request(&own, &mesh.send_h2(&own));
    for foreign in [
        post(),
        post().header("sec-fetch-site", "none"),
        post().header("sec-fetch-site", "same-site"),
        post().header("sec-fetch-site", "cross-site"),
        post().header("sec-fetch-site", "SAME-ORIGIN"),
        post().header("sec-fetch-site", "same-origin").header("sec-fetch-site", "cross-site"),
    ] {
        mesh.denies(&foreign, 403, "bad_origin");
        assert_denied(&foreign, &mesh.send_h2(&foreign), 403, "bad_origin");
    }
}

#[test]
fn fetch_metadata_decides_whatever_a_proxy_made_of_the_host() {
    let stub = Stub::with_active_session();
    let mesh = origins(&stub);
    let token = token::fresh();
    let behind_a_proxy = |site: &str| {
        let request = Request::new("POST", "/listed").session(&token).host("internal.example:8080");
        request.header("origin", "https://shop.example.com").header("sec-fetch-site", site)
    };
    mesh.passes(&behind_a_proxy("same-origin"));
    mesh.denies(&behind_a_proxy("same-site"), 403, "bad_origin");
    mesh.denies(&behind_a_proxy("cross-site"), 403, "bad_origin");
    let sibling = Request::new("POST", "/listed").session(&token).header("sec-fetch-site", "same-site");
    mesh.passes(&sibling.clone().header("origin", APP));
    mesh.denies(&sibling.header("origin", "https://x.shop.example.com"), 403, "bad_origin");
}

#[test]
fn a_page_over_https_is_own_where_tls_ended_before_envoy() {
    let stub = Stub::with_active_session();
    let mesh = origins(&stub);
    let token = token::fresh();
    let post = |origin: &str| Request::new("POST", "/own").session(&token).header("origin", origin);
    let upgrade = |origin: &str| Request::upgrade("/own").session(&token).header("origin", origin);
    let (secure, plain) = ("https://shop.example.com", "http://shop.example.com");
    // Without the header, Envoy sets `x-forwarded-proto: http`.
    for request in [post(secure), upgrade(secure), post(plain), post("https://shop.example.com:443")] {
        mesh.passes(&request);
    }
    mesh.denies(&post("https://shop.example.com:8443"), 403, "bad_origin");
    mesh.passes(&post("https://shop.example.com:8443").host("shop.example.com:8443"));
    for forwarded in ["https", "HTTPS", "wss", "https,http", "https, http"] {
        println!("x-forwarded-proto: {forwarded}");
        let with = |request: Request| request.header("x-forwarded-proto", forwarded);
        mesh.passes(&with(post(secure)));
        mesh.passes(&with(upgrade(secure)));
        mesh.denies(&with(post(plain)), 403, "bad_origin");
        mesh.denies(&with(upgrade(plain)), 403, "bad_origin");
    }
    let two_lines = |origin| post(origin).header("x-forwarded-proto", "https").header("x-forwarded-proto", "http");
    mesh.passes(&two_lines(secure));
    mesh.denies(&two_lines(plain), 403, "bad_origin");
    mesh.passes(&upgrade(plain).header("x-forwarded-proto", "ws"));
    mesh.denies(&post(secure).header("x-forwarded-proto", "ftp"), 403, "bad_origin");
}

fn preflight(target: &str, origin: &str) -> Request {
    Request::new("OPTIONS", target).header("origin", origin).header("access-control-request-method", "PUT")
}

#[test]
fn only_a_valid_preflight_of_a_listed_origin_passes_without_a_session() {
    let stub = Stub::with_active_session();
    let mesh = origins(&stub);
    let received = mesh.passes(&preflight("/listed", APP));
    assert_eq!(received.session_headers(), [""; 0]);
    mesh.expect_outcomes(&[("preflight_total", 1)]);

    let invalid = [
        ("of a foreign origin", preflight("/listed", FOREIGN)),
        ("where no origin is listed", preflight("/own", APP)),
        ("where origins are not checked", preflight("/", APP)),
        ("without a method to ask for", Request::new("OPTIONS", "/listed").header("origin", APP)),
        ("with two methods to ask for", preflight("/listed", APP).header("access-control-request-method", "PUT")),
        ("without an origin", Request::new("OPTIONS", "/listed").header("access-control-request-method", "PUT")),
        ("with two origins", preflight("/listed", APP).header("origin", APP)),
        ("with a body", preflight("/listed", APP).body("x")),
    ];
    for (case, request) in &invalid {
        println!("a preflight {case}");
        mesh.denies(request, 401, "session_required");
    }
    // A preflight with a token is an ordinary request, whose session is looked up.
    let token = token::fresh();
    mesh.passes(&preflight("/listed", APP).session(&token));
    assert_eq!(stub.calls_for(&token).len(), 1);
    mesh.expect_outcomes(&[
        ("preflight_total", 1),
        ("denied_no_session_total", invalid.len() as u64),
        ("allowed_total", 1),
    ]);
}

#[test]
fn cors_preflight_pass_passes_every_valid_preflight() {
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
