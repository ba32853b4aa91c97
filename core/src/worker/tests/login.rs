//! Navigations are redirected to log in, with the URL to return to. Other requests get 401.

use super::*;

fn shop() -> Site {
    site(json!({
        "hosts": ["shop.example", "*.shop.example", "[::1]"],
        "login": {"url": "https://login.example/?next={url}"},
        "rules": [{"name": "away", "match": {"paths": ["/away/*"]}, "session": "required", "login": "off"},
                  {"name": "here", "match": {"paths": ["/here/*"]}, "session": "required",
                   "login": {"url": "/login?to={url}"}},
                  {"name": "plain", "match": {"paths": ["/plain/*"]}, "session": "required",
                   "login": {"url": "/login"}},
                  {"name": "login", "match": {"paths": ["/login"]}, "session": "off"}]
    }))
}

fn to_login(next: &str) -> Verdict {
    Verdict::Redirect(302, format!("https://login.example/?next={next}"))
}

#[test]
fn a_navigation_is_redirected_to_log_in_and_any_other_request_gets_401() {
    let site = shop();
    let to_login = || to_login("https%3A%2F%2Fshop.example%2F");
    let html = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    for (client, headers, verdict) in [
        ("a browser with Fetch Metadata", NAVIGATION.to_vec(), to_login()),
        ("a browser without Fetch Metadata", vec![html], to_login()),
        ("a HEAD of a page", vec![html, (":method", "HEAD")], to_login()),
        ("a navigation in a frame", vec![("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")], to_login()),
        ("fetch", vec![("sec-fetch-mode", "cors"), html], denied()),
        ("fetch of the same origin", vec![("sec-fetch-mode", "same-origin"), ("accept", "*/*")], denied()),
        ("an image", vec![("sec-fetch-mode", "no-cors"), ("accept", "image/*")], denied()),
        ("an old XHR", vec![html, ("x-requested-with", "XMLHttpRequest")], denied()),
        ("an Android WebView", vec![html, ("x-requested-with", "com.example.app")], to_login()),
        ("a client that refuses HTML", vec![("accept", "application/json, text/html;q=0")], denied()),
        ("curl", vec![("accept", "*/*")], denied()),
        ("a client without accept", vec![], denied()),
        ("a JSON client", vec![("accept", "application/json")], denied()),
        ("a form", [&[(":method", "POST")], &NAVIGATION[..]].concat(), denied()),
        ("a WebSocket", vec![("sec-fetch-mode", "websocket"), ("upgrade", "websocket")], denied()),
        ("two modes", vec![("sec-fetch-mode", "cors"), ("sec-fetch-mode", "navigate"), html], denied()),
        ("gRPC", vec![(":method", "POST"), ("content-type", "application/grpc")], denied()),
    ] {
        let handled = site.begin(&headers);
        assert_eq!(handled.verdict(), verdict, "{client}");
        let outcome = if verdict == denied() { Outcome::DeniedNoSession } else { Outcome::Redirected };
        assert_eq!(handled.outcomes(), [outcome], "{client}");
    }
}

#[test]
fn a_redirect_is_not_cached_and_varies_by_kind_of_request() {
    let handled = shop().begin(&NAVIGATION);
    assert_eq!(handled.reply_header("cache-control"), ["no-store"]);
    assert_eq!(handled.reply_header("vary"), ["accept, sec-fetch-mode"]);
    assert_eq!(handled.filter_state(FilterState::Reason), Some("redirected"));
    assert_eq!(handled.filter_state(FilterState::Decision), Some("deny"));
}

#[test]
fn a_url_with_any_characters_is_passed_on_percent_encoded() {
    let site = shop();
    for (path, next) in [
        ("/a?b=c&d=%26", "%2Fa%3Fb%3Dc%26d%3D%2526"),
        ("/a?next=https://evil.example/#x", "%2Fa%3Fnext%3Dhttps%3A%2F%2Fevil.example%2F%23x"),
        ("/%C3%BC/\u{fc}", "%2F%25C3%25BC%2F%C3%BC"),
        ("/a?", "%2Fa%3F"),
        ("/a?x=%0d%0aset-cookie:%20a=b", "%2Fa%3Fx%3D%250d%250aset-cookie%3A%2520a%3Db"),
        ("/a?x=1'\"<>", "%2Fa%3Fx%3D1%27%22%3C%3E"),
    ] {
        let verdict = site.verdict(&[&[(":path", path)], &NAVIGATION[..]].concat());
        assert_eq!(verdict, to_login(&format!("https%3A%2F%2Fshop.example{next}")), "{path}");
    }
}

#[test]
fn the_url_to_return_to_has_the_requests_host_if_it_is_served_here() {
    let site = shop();
    let host = |host: &str| site.verdict(&[&[(":authority", host)], &NAVIGATION[..]].concat());
    for (asked, next) in [
        ("shop.example", "shop.example"),
        ("SHOP.example:8443", "shop.example%3A8443"),
        ("shop.example.", "shop.example"),
        ("a.b.shop.example", "a.b.shop.example"),
        ("[::1]:80", "%5B%3A%3A1%5D%3A80"),
    ] {
        assert_eq!(host(asked), to_login(&format!("https%3A%2F%2F{next}%2F")), "{asked}");
    }
    assert_eq!(host("evil.example"), reply(421, "unknown_host"));
}

#[test]
fn a_request_for_a_host_that_no_rule_names_gets_401_and_no_redirect() {
    let site = site(json!({
        "rules": [{"match": {"hosts": ["shop.example"]}, "session": "required"}],
        "login": {"url": "https://login.example/?next={url}"}
    }));
    let host = |host: &str| site.verdict(&[&[(":authority", host)], &NAVIGATION[..]].concat());
    assert_eq!(host("shop.example"), to_login("https%3A%2F%2Fshop.example%2F"));
    for other in ["evil.example", "shop.example.evil.example", "127.0.0.1"] {
        assert_eq!(host(other), denied(), "{other}");
    }
}

#[test]
fn the_url_to_return_to_has_the_scheme_that_the_client_used() {
    let site = shop();
    let scheme = |headers: &[(&str, &str)]| site.verdict(&[headers, &NAVIGATION[..]].concat());
    let at = |scheme: &str| to_login(&format!("{scheme}%3A%2F%2Fshop.example%2F"));
    assert_eq!(scheme(&[(":scheme", "http")]), at("http"));
    assert_eq!(scheme(&[(":scheme", "http"), ("x-forwarded-proto", "https")]), at("https"));
    for (forwarded, used) in [("https, http", "https"), ("HTTPS", "https"), ("http,https", "http")] {
        assert_eq!(scheme(&[("x-forwarded-proto", forwarded)]), at(used), "{forwarded}");
    }
    for wrong in ["javascript", "", "ftp, https"] {
        assert_eq!(scheme(&[("x-forwarded-proto", wrong)]), denied(), "{wrong:?}");
    }
}

#[test]
fn tokens_are_removed_from_the_url_to_return_to() {
    let site = site(json!({
        "hosts": ["shop.example"],
        "token_from": [{"query": "token", "any": true}, {"query": "t"}],
        "login": {"url": "https://login.example/?next={url}"}
    }));
    let token = token_made_at(NOW_MS);
    let verdict = |query: &str| {
        let handled = site.begin(&[&[(":path", format!("/a?{query}").as_str())], &NAVIGATION[..]].concat());
        match handled.verdict() {
            Verdict::AwaitsLookup => handled.after(&none()).verdict(),
            verdict => verdict,
        }
    };
    let back = |rest: &str| to_login(&format!("https%3A%2F%2Fshop.example%2Fa{rest}"));
    assert_eq!(verdict(&format!("x=1&token={token}&y=2")), back("%3Fx%3D1%26y%3D2"));
    assert_eq!(verdict(&format!("token={token}")), back(""));
    assert_eq!(verdict(&format!("t={token}&tok%65n={token}&x")), back("%3Fx"));
    assert_eq!(verdict("token=&token=short&x=1"), back("%3Fx%3D1"));
}

#[test]
fn a_rule_may_have_a_login_page_of_its_own_or_none() {
    let site = shop();
    let path = |path: &str| site.verdict(&[&[(":path", path)], &NAVIGATION[..]].concat());
    assert_eq!(path("/away/x"), denied());
    assert_eq!(path("/here/x"), Verdict::Redirect(302, "/login?to=https%3A%2F%2Fshop.example%2Fhere%2Fx".to_owned()));
    assert_eq!(path("/plain/x"), Verdict::Redirect(302, "/login".to_owned()));
}

#[test]
fn a_request_whose_session_has_ended_is_redirected_to_log_in_and_one_whose_lookup_failed_is_not() {
    let site = shop();
    let verdict = |response: Response| site.settle_with(&NAVIGATION, &response).verdict();
    assert_eq!(verdict(none()), to_login("https%3A%2F%2Fshop.example%2Fsomewhere"));
    for failure in [Response::Timeout, Response::Status(404)] {
        assert_eq!(verdict(failure), reply(503, "sessions_unavailable"));
    }
    assert_eq!(verdict(Response::Busy), reply(503, "sessions_busy"));
}

#[test]
fn a_request_of_a_bad_origin_is_not_redirected_to_log_in() {
    let site = site(json!({
        "hosts": ["shop.example"], "login": {"url": "/login"},
        "rules": [{"match": {"paths": ["/login"]}, "session": "off"}],
        "default": {"session": "required", "origins": []}
    }));
    let upgrade = [("upgrade", "websocket"), ("origin", "https://evil.example")];
    assert_eq!(site.verdict(&[&upgrade, &NAVIGATION[..]].concat()), reply(403, "bad_origin"));
}
