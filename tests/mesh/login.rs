//! People who are sent to log in and come back to where they were; everybody else gets the refusal.

use serde_json::{Value, json};
use test_support::http1::{Request, Response};
use test_support::token;

use crate::harness::envoy::{Listener, validate};
use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::sessions::RestSessions;
use crate::harness::stub::Stub;

const LOGIN: &str = "https://login.example.com/?next={url}";

/// A site of two hosts whose people log in on a third.
fn site(keys: Value) -> (Stub, Mesh) {
    let stub = Stub::with_active_session();
    let mut plugin = plugin(json!({"hosts": ["shop.example.com", "*.shops.example.com"], "login": {"url": LOGIN}}));
    plugin.as_object_mut().expect("a plugin is an object").extend(keys.as_object().expect("keys").clone());
    let mesh = Setup::new(plugin).sessions(stub.address()).start();
    (stub, mesh)
}

fn navigation(target: &str) -> Request {
    Request::get(target).header("sec-fetch-mode", "navigate").header("accept", "text/html,*/*;q=0.8")
}

/// Where the person is sent; the answer must be one that no cache keeps for others.
#[track_caller]
fn sent_to(request: &Request, response: &Response) -> String {
    assert_eq!(response.status, 302, "{}\n{request}", response.text());
    assert_eq!(response.header("cache-control").as_deref(), Some("no-store"), "{request}");
    assert_eq!(response.header("vary").as_deref(), Some("accept, sec-fetch-mode"), "{request}");
    assert_eq!(response.text(), "", "{request}");
    response.header("location").expect("a redirect has a location")
}

/// What the login service finds in its parameter `next`.
#[track_caller]
fn next_of(location: &str) -> String {
    let value = location.strip_prefix("https://login.example.com/?next=").unwrap_or_else(|| panic!("{location}"));
    let unescaped = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte));
    assert!(unescaped, "one value of a query, whatever was asked for: {value}");
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
    String::from_utf8(decoded).expect("what was asked for is text here")
}

#[test]
fn a_persons_way_to_a_page_leads_to_log_in_and_nothing_else_does() {
    let (_stub, mesh) = site(json!({}));
    let get = || Request::get("/account?tab=orders");
    let html = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let people = [
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
    for (who, request) in &people {
        println!("{who}");
        let next = next_of(&sent_to(request, &mesh.send(request)));
        assert_eq!(next, "http://shop.example.com/account?tab=orders");
        let response = mesh.send_h2(request);
        assert_eq!(next_of(&sent_to(request, &response)), "http://shop.example.com/account?tab=orders", "HTTP/2");
    }
    for (who, request) in &others {
        println!("{who}");
        mesh.denies(request, 401, "session_required");
    }
    mesh.expect_outcomes(&[
        ("redirected_total", 2 * people.len() as u64),
        ("denied_no_session_total", others.len() as u64),
    ]);
}

#[test]
fn head_of_a_page_is_sent_to_log_in_without_a_body() {
    let (_stub, mesh) = site(json!({}));
    let request = Request::new("HEAD", "/account").header("sec-fetch-mode", "navigate");
    assert_eq!(next_of(&sent_to(&request, &mesh.send(&request))), "http://shop.example.com/account");
}

#[test]
fn grpc_client_is_told_in_its_own_way_that_it_needs_a_session() {
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
fn the_way_back_is_the_very_url_that_was_asked_for_whatever_stands_in_it() {
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
        let next = next_of(&sent_to(&request, &mesh.send(&request)));
        assert_eq!(next, format!("http://shop.example.com{target}"));
    }
}

#[test]
fn the_way_back_leads_to_the_host_as_it_was_asked_for_and_to_no_host_that_is_not_served() {
    let (_stub, mesh) = site(json!({}));
    for (host, back) in [
        ("shop.example.com:8443", "http://shop.example.com:8443/a"),
        ("SHOP.example.com", "http://shop.example.com/a"),
        ("eu.shops.example.com", "http://eu.shops.example.com/a"),
        ("a.b.shops.example.com:80", "http://a.b.shops.example.com:80/a"),
    ] {
        let request = navigation("/a").host(host);
        assert_eq!(next_of(&sent_to(&request, &mesh.send(&request))), back, "{host}");
    }
    mesh.denies(&navigation("/a").host("evil.example.org"), 421, "unknown_host");
    mesh.denies(&navigation("/a").host("shop.example.com.evil.org"), 421, "unknown_host");
    mesh.denies(&navigation("/a").host("shop.example.com@evil.org"), 400, "bad_host");
    mesh.denies(&navigation("/a").host("shop.example.com:80:80"), 400, "bad_host");
}

#[test]
fn host_that_only_some_rules_name_is_known_and_another_one_gets_its_401() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({
        "login": {"url": LOGIN},
        "rules": [{"match": {"hosts": ["admin.example.com"]}, "session": "required"}],
    })))
    .sessions(stub.address())
    .start();
    let known = navigation("/a").host("admin.example.com");
    assert_eq!(next_of(&sent_to(&known, &mesh.send(&known))), "http://admin.example.com/a");
    mesh.denies(&navigation("/a").host("evil.example.org"), 401, "session_required");
}

#[test]
fn target_in_absolute_form_leads_back_to_the_host_that_it_names() {
    let (_stub, mesh) = site(json!({}));
    let request = navigation("http://eu.shops.example.com/a?x=1").host("shop.example.com");
    assert_eq!(next_of(&sent_to(&request, &mesh.send(&request))), "http://eu.shops.example.com/a?x=1");
    mesh.denies(&navigation("http://evil.example.org/a"), 421, "unknown_host");
}

#[test]
fn scheme_of_the_way_back_is_http_or_https_and_nothing_that_a_client_makes_up() {
    let (_stub, mesh) = site(json!({}));
    let secure = navigation("/a").header("x-forwarded-proto", "https");
    assert_eq!(next_of(&sent_to(&secure, &mesh.send(&secure))), "https://shop.example.com/a");
    for made_up in ["javascript", "https://evil.example.org/", "ftp", "https, http"] {
        mesh.denies(&navigation("/a").header("x-forwarded-proto", made_up), 401, "session_required");
    }
}

#[test]
fn no_token_stands_in_the_way_back() {
    let (_stub, mesh) = site(json!({
        "token_from": [{"cookie": "session-cookie"}, {"query": "token", "any": true}, {"query": "ticket"}],
        "rules": [{"match": {"paths": ["/admin"]}, "session": "required", "require": [{"field": "d.role", "equals": "admin"}],
                   "on_forbidden": "login"}],
    }));
    let token = token::fresh();
    let forbidden = navigation(&format!("/admin?a=1&token={token}&b=2"));
    let next = next_of(&sent_to(&forbidden, &mesh.send(&forbidden)));
    assert_eq!(next, "http://shop.example.com/admin?a=1&b=2");
    let unread = navigation(&format!("/account?ticket={token}&to%6ben={token}x&%74oken=junk&a=1"));
    let location = sent_to(&unread, &mesh.send(&unread));
    assert!(!location.contains(&token), "{location}");
    assert_eq!(next_of(&location), "http://shop.example.com/account?a=1");
}

#[test]
fn page_that_is_too_long_to_come_back_to_is_come_back_to_in_part() {
    let (_stub, mesh) = site(json!({}));
    let request = navigation(&format!("/a?{}", "%20".repeat(3_000)));
    assert_eq!(next_of(&sent_to(&request, &mesh.send(&request))), "http://shop.example.com/a");
}

#[test]
fn a_person_logs_in_and_lands_on_the_page_with_its_query() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(plugin(json!({
        "hosts": ["shop.example.com"],
        "login": {"url": "/login?next={url}"},
        "rules": [{"match": {"paths": ["/login"]}, "session": "off"}],
    })))
    .sessions(sessions.address())
    .start();
    let page = navigation("/account?tab=orders");
    let location = sent_to(&page, &mesh.send(&page));
    assert_eq!(location, "/login?next=http%3A%2F%2Fshop.example.com%2Faccount%3Ftab%3Dorders");
    // No loop: the login page needs no session.
    let login = navigation(&location);
    assert_eq!(mesh.passes(&login).target, location);
    let token = sessions.create("user1", &json!({"name": "Ada"}));
    let seen = mesh.passes(&page.session(&token));
    assert_eq!(seen.target, "/account?tab=orders");
    assert_eq!(seen.header("x-session-user").as_deref(), Some("user1"));
    mesh.expect_outcomes(&[("redirected_total", 1), ("off_total", 1), ("allowed_total", 1)]);
}

#[test]
fn outage_and_foreign_pages_are_no_reason_to_log_in() {
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
fn login_that_needs_a_session_is_refused_before_anybody_is_sent_round_in_circles() {
    let refused = |keys: Value| {
        let output = validate(&Listener::new("main", plugin(keys)), &[]);
        assert!(!output.status.success(), "Envoy accepts it");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let said = refused(json!({"login": {"url": "/login"}}));
    assert!(said.contains(r#"login: the login page needs a session itself, under the rule "default""#), "{said}");
    let said = refused(json!({
        "hosts": ["shop.example.com", "login.example.com"],
        "login": {"url": "https://login.example.com/in?next={url}"},
        "rules": [{"name": "in", "match": {"hosts": ["login.example.com"]}, "session": "required"}],
    }));
    assert!(said.contains(r#"login: the login page needs a session itself, under the rule "in""#), "{said}");
}
