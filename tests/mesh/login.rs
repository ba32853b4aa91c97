//! Login: navigations are redirected to the login page with a return URL; other requests are denied.

use serde_json::{Value, json};

use crate::harness::envoy::{Listener, validate};
use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::sessions::RestSessions;
use crate::harness::stub::Stub;
use crate::setup::extended;
use test_support::http1::{Request, Response};
use test_support::token;

const LOGIN: &str = "https://login.example.com/?next={url}";

/// A site of two hosts, with its login page on a third.
fn site(keys: Value) -> (Stub, Mesh) {
    let stub = Stub::with_active_session();
    let site = plugin(json!({"hosts": ["shop.example.com", "*.shops.example.com"], "login": {"url": LOGIN}}));
    let mesh = Setup::new(extended(site, keys)).sessions(stub.address()).start();
    (stub, mesh)
}

fn navigation(target: &str) -> Request {
    Request::get(target).header("sec-fetch-mode", "navigate").header("accept", "text/html,*/*;q=0.8")
}

/// The location of a redirect, which must not be cacheable.
#[track_caller]
fn redirect_location(request: &Request, response: &Response) -> String {
    assert_eq!(response.status, 302, "{}\n{request}", response.text());
    assert_eq!(response.header("cache-control").as_deref(), Some("no-store"), "{request}");
    assert_eq!(response.header("vary").as_deref(), Some("accept, sec-fetch-mode"), "{request}");
    assert_eq!(response.text(), "", "{request}");
    response.header("location").expect("a redirect has a location")
}

/// The return URL in the parameter `next` of a login URL.
#[track_caller]
fn return_url(location: &str) -> String {
    let value = location.strip_prefix("https://login.example.com/?next=").unwrap_or_else(|| panic!("{location}"));
    let unescaped = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte));
    assert!(unescaped, "the parameter has characters that are not percent-encoded: {value}");
    let mut bytes = value.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().expect("two digits"), bytes.next().expect("two digits")];
            let digits = std::str::from_utf8(&digits).expect("digits");
            decoded.push(u8::from_str_radix(digits, 16).expect("hex digits"));
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).expect("the requested URL is UTF-8")
}

#[test]
fn only_navigations_are_redirected_to_login() {
    let (_stub, mesh) = site(json!({}));
    let get = || Request::get("/account?tab=orders");
    let html = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let navigations = [
        ("a browser", get().header("sec-fetch-mode", "navigate").header(html.0, html.1)),
        ("a frame of a page", get().header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "iframe")),
        ("a browser without Fetch Metadata", get().header(html.0, html.1)),
        ("an expired session", get().header(html.0, html.1).session("expired")),
    ];
    let others = [
        ("fetch of the same page", get().header("sec-fetch-mode", "cors").header(html.0, html.1)),
        ("an image", get().header("sec-fetch-mode", "no-cors").header("accept", "image/avif,image/*,*/*;q=0.8")),
        ("an old script", get().header(html.0, html.1).header("x-requested-with", "XMLHttpRequest")),
        ("a client of an API", get().header("accept", "application/json")),
        ("curl", get().header("accept", "*/*").header("user-agent", "curl/8.5.0")),
        ("a client that says nothing", get()),
        ("a form", Request::new("POST", "/account").header("sec-fetch-mode", "navigate").header(html.0, html.1)),
        ("a WebSocket", Request::upgrade("/ws").header("sec-fetch-mode", "websocket").header(html.0, html.1)),
        ("two modes", get().header("sec-fetch-mode", "navigate").header("sec-fetch-mode", "navigate")),
    ];
    for (case, request) in &navigations {
        println!("{case}");
        let next = return_url(&redirect_location(request, &mesh.send(request)));
        assert_eq!(next, "http://shop.example.com/account?tab=orders");
        let response = mesh.send_h2(request);
        assert_eq!(
            return_url(&redirect_location(request, &response)),
            "http://shop.example.com/account?tab=orders",
            "HTTP/2"
        );
    }
    for (case, request) in &others {
        println!("{case}");
        mesh.denies(request, 401, "session_required");
    }
    mesh.expect_outcomes(&[
        ("redirected_total", 2 * navigations.len() as u64),
        ("denied_no_session_total", others.len() as u64),
    ]);
}

#[test]
fn a_head_navigation_is_redirected_without_a_body() {
    let (_stub, mesh) = site(json!({}));
    let request = Request::new("HEAD", "/account").header("sec-fetch-mode", "navigate");
    assert_eq!(return_url(&redirect_location(&request, &mesh.send(&request))), "http://shop.example.com/account");
}

#[test]
fn a_grpc_request_gets_a_grpc_status_instead_of_a_redirect() {
    let (_stub, mesh) = site(json!({}));
    let call = Request::new("POST", "/shop.Orders/List")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("accept", "text/html");
    let response = mesh.send_h2(&call);
    assert_eq!((response.status, response.header("grpc-status").as_deref()), (200, Some("16")), "{response:?}");
    assert_eq!(response.header("location"), None);
    mesh.expect_outcomes(&[("denied_no_session_total", 1)]);
}

#[test]
fn the_return_url_is_the_exact_requested_url() {
    let (_stub, mesh) = site(json!({}));
    for target in [
        "/",
        "/a/b.html",
        "/a?x=1&y=2",
        "/?next=https://evil.example.org/",
        "/?a=%26b%3Dc&d=%25",
        "/caf%C3%A9?q=%E2%82%AC",
        "/a;v=1,2/b:c@d!$'()*+",
        "/?a=b?c/d",
        "/?{url}",
        "/?\"<>^`|\\'",
        "/a%20b?c+d=e+f",
        "/?",
        "/?&&=&",
    ] {
        let request = navigation(target);
        let next = return_url(&redirect_location(&request, &mesh.send(&request)));
        assert_eq!(next, format!("http://shop.example.com{target}"));
    }
}

#[test]
fn the_return_url_keeps_the_requested_host_and_never_names_an_unserved_host() {
    let (_stub, mesh) = site(json!({}));
    for (host, expected) in [
        ("shop.example.com:8443", "http://shop.example.com:8443/a"),
        ("SHOP.example.com", "http://shop.example.com/a"),
        ("eu.shops.example.com", "http://eu.shops.example.com/a"),
        ("a.b.shops.example.com:80", "http://a.b.shops.example.com:80/a"),
    ] {
        let request = navigation("/a").host(host);
        assert_eq!(return_url(&redirect_location(&request, &mesh.send(&request))), expected, "{host}");
    }
    mesh.denies(&navigation("/a").host("evil.example.org"), 421, "unknown_host");
    mesh.denies(&navigation("/a").host("shop.example.com.evil.org"), 421, "unknown_host");
    mesh.denies(&navigation("/a").host("shop.example.com@evil.org"), 400, "bad_host");
    mesh.denies(&navigation("/a").host("shop.example.com:80:80"), 400, "bad_host");
}

#[test]
fn only_hosts_that_the_configuration_names_are_redirected_to_login() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({
        "login": {"url": LOGIN},
        "rules": [{"match": {"hosts": ["admin.example.com"]}, "session": "required"}],
    })))
    .sessions(stub.address())
    .start();
    let known = navigation("/a").host("admin.example.com");
    assert_eq!(return_url(&redirect_location(&known, &mesh.send(&known))), "http://admin.example.com/a");
    mesh.denies(&navigation("/a").host("evil.example.org"), 401, "session_required");
}

#[test]
fn the_return_url_of_an_absolute_form_target_has_its_host() {
    let (_stub, mesh) = site(json!({}));
    let request = navigation("http://eu.shops.example.com/a?x=1").host("shop.example.com");
    assert_eq!(return_url(&redirect_location(&request, &mesh.send(&request))), "http://eu.shops.example.com/a?x=1");
    mesh.denies(&navigation("http://evil.example.org/a"), 421, "unknown_host");
}

#[test]
fn the_return_url_has_the_scheme_http_or_https_only() {
    let (_stub, mesh) = site(json!({}));
    for forwarded in ["https", "HTTPS", "https, http"] {
        let secure = navigation("/a").header("x-forwarded-proto", forwarded);
        assert_eq!(return_url(&redirect_location(&secure, &mesh.send(&secure))), "https://shop.example.com/a");
    }
    for made_up in ["javascript", "https://evil.example.org/", "ftp", "ftp, https"] {
        mesh.denies(&navigation("/a").header("x-forwarded-proto", made_up), 401, "session_required");
    }
}

#[test]
fn the_return_url_contains_no_token() {
    let (_stub, mesh) = site(json!({
        "token_from": [{"cookie": "session-cookie"}, {"query": "token", "any": true}, {"query": "ticket"}],
        "rules": [{"match": {"paths": ["/admin"]}, "session": "required", "require": [{"field": "d.role", "equals": "admin"}],
                   "on_forbidden": "login"}],
    }));
    let token = token::fresh();
    let forbidden = navigation(&format!("/admin?a=1&token={token}&b=2"));
    let next = return_url(&redirect_location(&forbidden, &mesh.send(&forbidden)));
    assert_eq!(next, "http://shop.example.com/admin?a=1&b=2");
    let unread = navigation(&format!("/account?ticket={token}&to%6ben={token}x&%74oken=junk&a=1"));
    let location = redirect_location(&unread, &mesh.send(&unread));
    assert!(!location.contains(&token), "{location}");
    assert_eq!(return_url(&location), "http://shop.example.com/account?a=1");
}

#[test]
fn an_overlong_return_url_is_cut_to_its_path() {
    let (_stub, mesh) = site(json!({}));
    let request = navigation(&format!("/a?{}", "%20".repeat(3_000)));
    assert_eq!(return_url(&redirect_location(&request, &mesh.send(&request))), "http://shop.example.com/a");
}

#[test]
fn login_leads_back_to_the_requested_page_and_query() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(plugin(json!({
        "hosts": ["shop.example.com"],
        "login": {"url": "/login?next={url}"},
        "rules": [{"match": {"paths": ["/login"]}, "session": "off"}],
    })))
    .sessions(sessions.address())
    .start();
    let page = navigation("/account?tab=orders");
    let location = redirect_location(&page, &mesh.send(&page));
    assert_eq!(location, "/login?next=http%3A%2F%2Fshop.example.com%2Faccount%3Ftab%3Dorders");
    // The login page itself needs no session.
    let login = navigation(&location);
    assert_eq!(mesh.passes(&login).target, location);
    let token = sessions.create("user1", &json!({"name": "Ada"}));
    let received = mesh.passes(&page.session(&token));
    assert_eq!(received.target, "/account?tab=orders");
    assert_eq!(received.header("x-session-user").as_deref(), Some("user1"));
    mesh.expect_outcomes(&[("redirected_total", 1), ("off_total", 1), ("allowed_total", 1)]);
}

#[test]
fn outages_and_foreign_origins_are_denied_instead_of_redirected() {
    let (_stub, mesh) = site(json!({
        "rest_sessions": {"cluster": "nowhere"},
        "default": {"session": "required", "origins": []},
    }));
    mesh.denies(&navigation("/a").session(&token::fresh()), 503, "sessions_unavailable");
    mesh.denies(&navigation("/%2e%2e/a").session(&token::fresh()), 503, "sessions_unavailable");
    let foreign = Request::new("POST", "/a").header("sec-fetch-mode", "navigate").header("origin", "https://evil.org");
    mesh.denies(&foreign, 403, "bad_origin");
}

#[test]
fn a_login_page_that_requires_a_session_is_refused_as_a_redirect_loop() {
    let refused = |keys: Value| {
        let output = validate(&Listener::new("main", plugin(keys)), &[]);
        assert!(!output.status.success(), "Envoy accepts it");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let errors = refused(json!({"login": {"url": "/login"}}));
    assert!(errors.contains(r#"login: the login page needs a session itself, under the rule "default""#), "{errors}");
    let errors = refused(json!({
        "hosts": ["shop.example.com", "login.example.com"],
        "login": {"url": "https://login.example.com/in?next={url}"},
        "rules": [{"name": "in", "match": {"hosts": ["login.example.com"]}, "session": "required"}],
    }));
    assert!(errors.contains(r#"login: the login page needs a session itself, under the rule "in""#), "{errors}");
}
