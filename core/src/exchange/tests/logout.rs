//! Logging out ends every session that the request bears, and no foreign page can do it.

use super::*;
use crate::session::lookup::{BadResponse, Failure, Outage};

fn shop() -> Site {
    site(json!({
        "logout": {"path": "/logout", "redirect": "/"},
        "token_from": [{"cookie": "sid"}, {"cookie": "old"}, {"header": "authorization", "prefix": "Bearer "}],
        "rules": [{"match": {"paths": ["/logout"], "hosts": ["friends.example"]}, "session": "off",
                   "origins": ["https://friend.example"], "token_from": [{"cookie": "f"}]}]
    }))
}

fn post(headers: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [&[(":method", "POST"), (":path", "/logout")], headers].concat()
}

/// What a request comes to whose sessions end so.
fn ended(site: &Site, asked: Told, outcomes: &[Result<bool, Failure>]) -> Told {
    let mut ends = asked.ends.unwrap();
    for (index, outcome) in outcomes.iter().enumerate() {
        assert!(!ends.is_over(), "{index}");
        ends.killed(*outcome);
    }
    assert!(ends.is_over());
    let step = ends.conclude(site.around(), &asked.headers);
    Told::by(asked.headers, step)
}

fn cookies(tokens: &[(&str, u64)]) -> String {
    let cookies: Vec<_> = tokens.iter().map(|(name, age)| format!("{name}={}", token_made_at(NOW_MS - age))).collect();
    cookies.join("; ")
}

#[test]
fn every_session_of_the_request_is_ended_conflicts_included() {
    let site = shop();
    for (cookie, kills) in [
        (cookies(&[("sid", 0)]), 1),
        (cookies(&[("sid", 0), ("sid", 1)]), 2),
        (cookies(&[("sid", 0), ("old", 1), ("sid", 0)]), 2),
        (cookies(&[("sid", 0), ("other", 1)]), 1),
        (String::from("sid=short; old="), 0),
        (
            cookies(&[
                ("sid", 1),
                ("sid", 2),
                ("sid", 3),
                ("sid", 4),
                ("sid", 5),
                ("old", 6),
                ("old", 7),
                ("old", 8),
                ("old", 9),
            ]),
            8,
        ),
    ] {
        let bearer = format!("Bearer {}", token_made_at(NOW_MS - 1_000));
        for (authorization, more) in [("", 0), (bearer.as_str(), 1)] {
            let headers = [
                ("cookie", cookie.as_str()),
                ("authorization", authorization),
                (":method", "POST"),
                (":path", "/logout"),
            ];
            assert_eq!(site.judge(&headers), Went::Kills((kills + more).min(8)), "{cookie}");
        }
    }
}

#[test]
fn who_logs_out_is_sent_on_and_their_cookies_are_deleted() {
    let site = shop();
    let told = ended(&site, site.begin(&post(&[])), &[]);
    assert_eq!(told.went, Went::Redirect(303, "/".to_owned()));
    assert_eq!(told.outcomes(), [Outcome::Logout]);
    assert_eq!(
        told.answer("set-cookie"),
        ["sid=; Max-Age=0; Path=/; Secure; SameSite=Lax", "old=; Max-Age=0; Path=/; Secure; SameSite=Lax"]
    );
    assert_eq!(told.answer("cache-control"), ["no-store"]);
    assert_eq!(told.filter_state(FilterState::Decision), Some("allow"));
    assert_eq!(told.filter_state(FilterState::Reason), Some("logout"));
}

#[test]
fn without_a_redirect_the_answer_is_empty_and_cookies_are_deleted_as_they_were_set() {
    let site = site(json!({"logout": {"path": "/logout", "cookie":
        {"path": "/app", "domain": "shop.example", "secure": false, "same_site": "Strict"}}}));
    let told = ended(&site, site.begin(&post(&[])), &[]);
    assert_eq!(told.went, Went::Reply(204, ""));
    let deleted = "session-cookie=; Max-Age=0; Path=/app; Domain=shop.example; SameSite=Strict";
    assert_eq!(told.answer("set-cookie"), [deleted]);
}

#[test]
fn whether_there_was_a_session_makes_no_difference_and_whether_it_is_gone_does() {
    let site = shop();
    let two = cookies(&[("sid", 0), ("old", 1)]);
    let ended = |outcomes: &[Result<bool, Failure>]| {
        let headers = [(":method", "POST"), (":path", "/logout"), ("cookie", two.as_str())];
        ended(&site, site.begin(&headers), outcomes)
    };
    for fine in [[Ok(true), Ok(true)], [Ok(false), Ok(true)], [Ok(false), Ok(false)]] {
        let told = ended(&fine);
        assert_eq!(told.outcomes(), [Outcome::Logout]);
        assert_eq!(told.went, Went::Redirect(303, "/".to_owned()));
    }
    let away = || Failure::Outage(Outage::Timeout);
    for (failure, error, retry) in [
        (away(), "sessions_unavailable", true),
        (Failure::Bad(BadResponse::Status(404)), "sessions_unavailable", false),
        (Failure::Busy, "sessions_busy", true),
    ] {
        for outcomes in [[Err(failure), Ok(true)], [Ok(true), Err(failure)]] {
            let told = ended(&outcomes);
            assert_eq!(told.went, Went::Reply(503, error));
            assert_eq!(told.outcomes(), [Outcome::LogoutFailure]);
            assert_eq!(told.answer("set-cookie"), [""; 0], "the session may live, so its cookie stays");
            assert_eq!(!told.answer("retry-after").is_empty(), retry);
        }
    }
}

#[test]
fn only_its_path_and_methods_log_out() {
    let site = site(json!({"logout": {"path": "/logout", "methods": ["POST", "GET"]}, "default": {"session": "off"},
                           "rules": [{"match": {"paths": ["/x"]}, "session": "off"}]}));
    let went = |method: &str, path: &str| site.judge(&[(":method", method), (":path", path)]);
    for (method, path) in [
        ("POST", "/logout"),
        ("GET", "/logout?x=1"),
        ("HEAD", "/logout/"),
        ("POST", "/LogOut"),
        ("POST", "/%6cogout"),
        ("POST", "/logout;x=1"),
    ] {
        let went = went(method, path);
        assert!(went == Went::Kills(0) || went == Went::Reply(400, "ambiguous_path"), "{method} {path} {went:?}");
    }
    for (method, path) in [("PUT", "/logout"), ("POST", "/logout/x"), ("POST", "/logouts"), ("OPTIONS", "*")] {
        assert_eq!(went(method, path), forward(PASS), "{method} {path}");
    }
    assert_eq!(went("POST", "/x%2flogout"), forward(PASS));
}

#[test]
fn a_path_that_may_be_the_logout_and_may_not_is_refused() {
    let site = site(json!({"logout": {"path": "/a/logout"}, "default": {"session": "off"}}));
    let post = |path: &str| site.judge(&[(":method", "POST"), (":path", path)]);
    assert_eq!(post("/a%2flogout"), Went::Reply(400, "ambiguous_path"));
    assert_eq!(post("/a//logout"), Went::Reply(400, "ambiguous_path"));
    // Nothing else depends on the path here.
    assert_eq!(post("/a/../b"), forward(PASS));
    assert_eq!(site.path("/a%2flogout"), forward(PASS));
}

#[test]
fn no_foreign_page_can_log_people_out() {
    let site = shop();
    let own = ("origin", "https://shop.example");
    let evil = ("origin", "https://evil.example");
    for (what, headers, allowed) in [
        ("a script without a browser", vec![], true),
        ("the site's own form", vec![("sec-fetch-site", "same-origin"), own], true),
        ("a person who typed it", vec![("sec-fetch-site", "none")], true),
        (
            "a page of a sister domain",
            vec![("sec-fetch-site", "same-site"), ("origin", "https://x.shop.example")],
            true,
        ),
        ("a form of a foreign page", vec![("sec-fetch-site", "cross-site"), evil], false),
        ("a foreign page without an origin", vec![("sec-fetch-site", "cross-site")], false),
        ("a foreign page in a sandbox", vec![("sec-fetch-site", "cross-site"), ("origin", "null")], false),
        (
            "a foreign page that would like to be two",
            vec![("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
            false,
        ),
        ("a foreign page that claims the own origin", vec![("sec-fetch-site", "cross-site"), own], false),
        ("an old browser on the own page", vec![own], true),
        ("an old browser on a foreign page", vec![evil], false),
        ("an old browser in a sandbox", vec![("origin", "null")], false),
    ] {
        let went = site.judge(&post(&headers));
        assert_eq!(went, if allowed { Went::Kills(0) } else { Went::Reply(403, "bad_origin") }, "{what}");
    }
}

#[test]
fn the_rule_says_whose_sessions_end_and_which_pages_may_ask() {
    let site = shop();
    let friend = ("origin", "https://friend.example");
    let there = (":authority", "friends.example");
    let cookie = cookies(&[("sid", 0), ("f", 1)]);
    let with_cookie = |headers: &[(&'static str, &'static str)]| {
        let mut all: Vec<(&str, &str)> = post(headers);
        all.push(("cookie", &cookie));
        site.begin(&all)
    };
    let asked = with_cookie(&[there, friend, ("sec-fetch-site", "cross-site")]);
    assert_eq!(asked.went, Went::Kills(1));
    let told = ended(&site, asked, &[Ok(true)]);
    assert_eq!(told.answer("set-cookie"), ["f=; Max-Age=0; Path=/; Secure; SameSite=Lax"]);
    assert_eq!(told.answer("access-control-allow-origin"), ["https://friend.example"]);
    let refused = with_cookie(&[there, ("origin", "https://evil.example"), ("sec-fetch-site", "same-site")]);
    assert_eq!(refused.went, Went::Reply(403, "bad_origin"));
    assert_eq!(refused.outcomes(), [Outcome::DeniedOrigin]);
    assert_eq!(with_cookie(&[friend]).went, Went::Reply(403, "bad_origin"), "the other rule lists nobody");
}
