//! People are sent to log in and come back to where they were; scripts get their 401.

use super::*;
use crate::session::lookup::{BadResponse, Failure, Outage};

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

fn to_login(next: &str) -> Went {
    Went::Redirect(302, format!("https://login.example/?next={next}"))
}

#[test]
fn a_navigation_goes_to_log_in_and_everything_else_gets_its_401() {
    let site = shop();
    let to_login = || to_login("https%3A%2F%2Fshop.example%2F");
    let html = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    for (who, headers, went) in [
        ("a browser of today", NAVIGATION.to_vec(), to_login()),
        ("a browser of yesterday", vec![html], to_login()),
        ("a HEAD of a page", vec![html, (":method", "HEAD")], to_login()),
        ("a navigation in a frame", vec![("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")], to_login()),
        ("fetch", vec![("sec-fetch-mode", "cors"), html], REQUIRED),
        ("fetch of the same origin", vec![("sec-fetch-mode", "same-origin"), ("accept", "*/*")], REQUIRED),
        ("an image", vec![("sec-fetch-mode", "no-cors"), ("accept", "image/*")], REQUIRED),
        ("an old XHR", vec![html, ("x-requested-with", "XMLHttpRequest")], REQUIRED),
        ("curl", vec![("accept", "*/*")], REQUIRED),
        ("a client without a wish", vec![], REQUIRED),
        ("a JSON client", vec![("accept", "application/json")], REQUIRED),
        ("a form", [&[(":method", "POST")], &NAVIGATION[..]].concat(), REQUIRED),
        ("a WebSocket", vec![("sec-fetch-mode", "websocket"), ("upgrade", "websocket")], REQUIRED),
        ("two modes", vec![("sec-fetch-mode", "cors"), ("sec-fetch-mode", "navigate"), html], REQUIRED),
        ("gRPC", vec![(":method", "POST"), ("content-type", "application/grpc")], REQUIRED),
    ] {
        let told = site.begin(&headers);
        assert_eq!(told.went, went, "{who}");
        let outcome = if went == REQUIRED { Outcome::DeniedNoSession } else { Outcome::Redirected };
        assert_eq!(told.outcomes(), [outcome], "{who}");
    }
}

#[test]
fn a_redirect_is_not_kept_by_caches_and_says_what_it_depends_on() {
    let told = shop().begin(&NAVIGATION);
    assert_eq!(told.answer("cache-control"), ["no-store"]);
    assert_eq!(told.answer("vary"), ["accept, sec-fetch-mode"]);
    assert_eq!(told.filter_state(FilterState::Reason), Some("redirected"));
    assert_eq!(told.filter_state(FilterState::Decision), Some("deny"));
}

#[test]
fn whatever_is_in_a_url_comes_back_as_it_was() {
    let site = shop();
    for (path, next) in [
        ("/a?b=c&d=%26", "%2Fa%3Fb%3Dc%26d%3D%2526"),
        ("/a?next=https://evil.example/#x", "%2Fa%3Fnext%3Dhttps%3A%2F%2Fevil.example%2F%23x"),
        ("/%C3%BC/\u{fc}", "%2F%25C3%25BC%2F%C3%BC"),
        ("/a?", "%2Fa%3F"),
        ("/a?x=%0d%0aset-cookie:%20a=b", "%2Fa%3Fx%3D%250d%250aset-cookie%3A%2520a%3Db"),
        ("/a?x=1'\"<>", "%2Fa%3Fx%3D1%27%22%3C%3E"),
    ] {
        let went = site.judge(&[&[(":path", path)], &NAVIGATION[..]].concat());
        assert_eq!(went, to_login(&format!("https%3A%2F%2Fshop.example{next}")), "{path}");
    }
}

#[test]
fn people_come_back_to_the_host_that_they_asked_for_if_it_is_served_here() {
    let site = shop();
    let host = |host: &str| site.judge(&[&[(":authority", host)], &NAVIGATION[..]].concat());
    for (asked, next) in [
        ("shop.example", "shop.example"),
        ("SHOP.example:8443", "shop.example%3A8443"),
        ("shop.example.", "shop.example"),
        ("a.b.shop.example", "a.b.shop.example"),
        ("[::1]:80", "%5B%3A%3A1%5D%3A80"),
    ] {
        assert_eq!(host(asked), to_login(&format!("https%3A%2F%2F{next}%2F")), "{asked}");
    }
    assert_eq!(host("evil.example"), Went::Reply(421, "unknown_host"));
}

#[test]
fn from_a_host_that_nobody_named_it_stays_401() {
    let site = site(json!({
        "rules": [{"match": {"hosts": ["shop.example"]}, "session": "required"}],
        "login": {"url": "https://login.example/?next={url}"}
    }));
    let host = |host: &str| site.judge(&[&[(":authority", host)], &NAVIGATION[..]].concat());
    assert_eq!(host("shop.example"), to_login("https%3A%2F%2Fshop.example%2F"));
    for other in ["evil.example", "shop.example.evil.example", "127.0.0.1"] {
        assert_eq!(host(other), REQUIRED, "{other}");
    }
}

#[test]
fn the_scheme_is_the_one_that_the_client_used() {
    let site = shop();
    let scheme = |headers: &[(&str, &str)]| site.judge(&[headers, &NAVIGATION[..]].concat());
    let at = |scheme: &str| to_login(&format!("{scheme}%3A%2F%2Fshop.example%2F"));
    assert_eq!(scheme(&[(":scheme", "http")]), at("http"));
    assert_eq!(scheme(&[(":scheme", "http"), ("x-forwarded-proto", "https")]), at("https"));
    for wrong in ["javascript", "https, http", "", "HTTPS "] {
        assert_eq!(scheme(&[("x-forwarded-proto", wrong)]), REQUIRED, "{wrong:?}");
    }
}

#[test]
fn no_token_goes_to_the_login_page() {
    let site = site(json!({
        "hosts": ["shop.example"],
        "token_from": [{"query": "token", "any": true}, {"query": "t"}],
        "login": {"url": "https://login.example/?next={url}"}
    }));
    let token = token_made_at(NOW_MS);
    let went = |query: &str| {
        let asked = site.begin(&[&[(":path", format!("/a?{query}").as_str())], &NAVIGATION[..]].concat());
        match asked.went {
            Went::Call => site.told(asked, &Lookup::None).went,
            went => went,
        }
    };
    let back = |rest: &str| to_login(&format!("https%3A%2F%2Fshop.example%2Fa{rest}"));
    assert_eq!(went(&format!("x=1&token={token}&y=2")), back("%3Fx%3D1%26y%3D2"));
    assert_eq!(went(&format!("token={token}")), back(""));
    assert_eq!(went(&format!("t={token}&tok%65n={token}&x")), back("%3Fx"));
    assert_eq!(went("token=&token=short&x=1"), back("%3Fx%3D1"));
}

#[test]
fn a_rule_has_a_login_page_of_its_own_or_none() {
    let site = shop();
    let path = |path: &str| site.judge(&[&[(":path", path)], &NAVIGATION[..]].concat());
    assert_eq!(path("/away/x"), REQUIRED);
    assert_eq!(path("/here/x"), Went::Redirect(302, "/login?to=https%3A%2F%2Fshop.example%2Fhere%2Fx".to_owned()));
    assert_eq!(path("/plain/x"), Went::Redirect(302, "/login".to_owned()));
}

#[test]
fn a_session_that_is_gone_goes_to_log_in_and_one_that_nobody_can_check_does_not() {
    let site = shop();
    let went = |lookup: &Lookup| site.settle_with(&NAVIGATION, lookup).went;
    assert_eq!(went(&Lookup::None), to_login("https%3A%2F%2Fshop.example%2Fsomewhere"));
    for failure in [Failure::Outage(Outage::Timeout), Failure::Bad(BadResponse::Status(404))] {
        assert_eq!(went(&Lookup::Failed(failure)), Went::Reply(503, "sessions_unavailable"));
    }
    assert_eq!(went(&Lookup::Failed(Failure::Busy)), Went::Reply(503, "sessions_busy"));
}

#[test]
fn a_bad_origin_is_no_reason_to_log_in() {
    let site = site(json!({
        "hosts": ["shop.example"], "login": {"url": "/login"},
        "rules": [{"match": {"paths": ["/login"]}, "session": "off"}],
        "default": {"session": "required", "origins": []}
    }));
    let upgrade = [("upgrade", "websocket"), ("origin", "https://evil.example")];
    assert_eq!(site.judge(&[&upgrade, &NAVIGATION[..]].concat()), Went::Reply(403, "bad_origin"));
}
