//! Logging out ends every session whose token the request has. Pages of other sites cannot log clients out.

use super::*;

fn shop() -> Site {
    site(json!({
        "logout": {"path": "/logout", "redirect": "/"},
        "token_from": [{"cookie": "sid"}, {"cookie": "old"}, {"header": "authorization", "prefix": "Bearer "}],
        "rules": [{"match": {"paths": ["/logout"], "hosts": ["partner.example"]}, "session": "off",
                   "origins": ["https://partner.example"], "token_from": [{"cookie": "f"}]}]
    }))
}

fn post(headers: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [&[(":method", "POST"), (":path", "/logout")], headers].concat()
}

/// A request after these responses to its kills.
fn ended(mut handled: Handled, responses: &[Response]) -> Handled {
    for response in responses {
        assert_eq!((handled.outcomes(), handled.reply()), (vec![], None), "{response:?}");
        handled = handled.after(response);
    }
    assert!(handled.reply().is_some(), "all kills are over");
    handled
}

/// The reply of `shop` to a logout.
fn logged_out() -> Verdict {
    Verdict::Redirect(303, "/".to_owned())
}

fn cookies(tokens: &[(&str, u64)]) -> String {
    let cookies: Vec<_> = tokens.iter().map(|(name, age)| format!("{name}={}", token_made_at(NOW_MS - age))).collect();
    cookies.join("; ")
}

#[test]
fn every_session_of_the_request_is_ended_also_if_its_tokens_conflict() {
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
            let expected = match (kills + more).min(8) {
                0 => logged_out(),
                kills => Verdict::AwaitsKills(kills),
            };
            assert_eq!(site.verdict(&headers), expected, "{cookie}");
        }
    }
}

#[test]
fn a_logout_redirects_and_deletes_the_cookies_of_the_rule() {
    let site = shop();
    let handled = ended(site.begin(&post(&[])), &[]);
    assert_eq!(handled.verdict(), logged_out());
    assert_eq!(handled.outcomes(), [Outcome::Logout]);
    assert_eq!(
        handled.reply_header("set-cookie"),
        [
            "sid=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax",
            "old=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"
        ]
    );
    assert_eq!(handled.reply_header("cache-control"), ["no-store"]);
    assert_eq!(handled.filter_state(FilterState::Decision), Some("allow"));
    assert_eq!(handled.filter_state(FilterState::Reason), Some("logout"));
}

#[test]
fn without_a_redirect_the_reply_is_empty_and_cookies_are_deleted_with_their_configured_attributes() {
    let cookie = json!({"path": "/app", "domain": "shop.example", "secure": false, "same_site": "Strict"});
    let site = site(json!({"logout": {"path": "/logout"}, "cookie": cookie}));
    let handled = ended(site.begin(&post(&[])), &[]);
    assert_eq!(handled.verdict(), reply(204, ""));
    let deleted = "session-cookie=; Max-Age=0; Path=/app; Domain=shop.example; HttpOnly; SameSite=Strict";
    assert_eq!(handled.reply_header("set-cookie"), [deleted]);
}

#[test]
fn a_logout_succeeds_only_if_every_kill_is_confirmed() {
    let site = shop();
    let cookie = cookies(&[("sid", 0), ("old", 1)]);
    let headers = [(":method", "POST"), (":path", "/logout"), ("cookie", cookie.as_str())];
    for existed in [[true, true], [false, true], [false, false]] {
        let handled = ended(site.begin(&headers), &existed.map(killed));
        assert_eq!(handled.outcomes(), [Outcome::Logout]);
        assert_eq!(handled.verdict(), logged_out());
    }
    let is_denied = |handled: &Handled, error: &str, retry: bool| {
        assert_eq!(handled.verdict(), reply(503, error));
        assert_eq!(handled.outcomes(), [Outcome::LogoutFailure]);
        assert_eq!(handled.reply_header("set-cookie"), [""; 0], "the session may exist, so its cookie stays");
        assert_eq!(!handled.reply_header("retry-after").is_empty(), retry);
    };
    for (failure, retry) in [(Response::Timeout, true), (Response::Reset, true), (Response::Status(404), false)] {
        for responses in [[failure.clone(), killed(true)], [killed(true), failure]] {
            is_denied(&ended(site.begin(&headers), &responses), "sessions_unavailable", retry);
        }
    }
    // The second kill is not admitted, and fails before the response to the first one.
    let mut shell = site.shell();
    exhaust_kills_in_flight(&mut shell, "sid", 1);
    let stream = shell.request(&headers);
    is_denied(&ended(Handled { shell, stream }, &[killed(true)]), "sessions_busy", true);
    let mut shell = site.shell();
    exhaust_kills_in_flight(&mut shell, "sid", 0);
    let stream = shell.request(&headers);
    is_denied(&ended(Handled { shell, stream }, &[]), "sessions_busy", true);
    let mut shell = site.shell();
    shell.refuses_dispatches = true;
    let stream = shell.request(&headers);
    is_denied(&ended(Handled { shell, stream }, &[]), "sessions_unavailable", true);
}

#[test]
fn only_the_configured_path_and_methods_log_out() {
    let site = site(json!({"logout": {"path": "/logout", "methods": ["POST", "GET"]}, "default": {"session": "off"},
                           "rules": [{"match": {"paths": ["/x"]}, "session": "off"}]}));
    let verdict = |method: &str, path: &str| site.verdict(&[(":method", method), (":path", path)]);
    for (method, path) in [
        ("POST", "/logout"),
        ("GET", "/logout?x=1"),
        ("HEAD", "/logout/"),
        ("POST", "/LogOut"),
        ("POST", "/%6cogout"),
        ("POST", "/logout;x=1"),
    ] {
        let verdict = verdict(method, path);
        assert!(verdict == reply(204, "") || verdict == reply(400, "ambiguous_path"), "{method} {path} {verdict:?}");
    }
    for (method, path) in [("PUT", "/logout"), ("POST", "/logout/x"), ("POST", "/logouts"), ("OPTIONS", "*")] {
        assert_eq!(verdict(method, path), unchanged(), "{method} {path}");
    }
    assert_eq!(verdict("POST", "/x%2flogout"), unchanged());
}

#[test]
fn a_path_that_is_the_logout_in_one_reading_only_is_refused() {
    let site = site(json!({"logout": {"path": "/a/logout"}, "default": {"session": "off"}}));
    let post = |path: &str| site.verdict(&[(":method", "POST"), (":path", path)]);
    assert_eq!(post("/a%2flogout"), reply(400, "ambiguous_path"));
    assert_eq!(post("/a//logout"), reply(400, "ambiguous_path"));
    // Nothing else depends on the path here.
    assert_eq!(post("/a/../b"), unchanged());
    assert_eq!(site.path("/a%2flogout"), unchanged());
}

#[test]
fn a_page_of_another_site_cannot_log_a_client_out() {
    let site = shop();
    let own = ("origin", "https://shop.example");
    let evil = ("origin", "https://evil.example");
    let null = ("origin", "null");
    for (what, headers, allowed) in [
        ("no browser", vec![], true),
        ("the site's own form", vec![("sec-fetch-site", "same-origin"), own], true),
        (
            "the site's own form, under Referrer-Policy: no-referrer",
            vec![("sec-fetch-site", "same-origin"), null],
            true,
        ),
        ("a URL typed by hand", vec![("sec-fetch-site", "none")], true),
        (
            "a page of another subdomain",
            vec![("sec-fetch-site", "same-site"), ("origin", "https://x.shop.example")],
            true,
        ),
        ("a form of another site", vec![("sec-fetch-site", "cross-site"), evil], false),
        ("a page of another site without an origin", vec![("sec-fetch-site", "cross-site")], false),
        ("a sandboxed page of another site", vec![("sec-fetch-site", "cross-site"), null], false),
        ("a request with two values", vec![("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], false),
        ("two equal values", vec![("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")], false),
        ("a value that no browser sends", vec![("sec-fetch-site", "Same-Origin")], false),
        ("a page of another site with this origin", vec![("sec-fetch-site", "cross-site"), own], false),
        ("no Fetch Metadata, this origin", vec![own], true),
        ("no Fetch Metadata, another origin", vec![evil], false),
        ("no Fetch Metadata, a sandbox", vec![null], false),
        ("no Fetch Metadata, TLS ended before Envoy", vec![own, (":scheme", "http")], true),
        ("no Fetch Metadata, a plain page", vec![("origin", "http://shop.example")], false),
    ] {
        let verdict = site.verdict(&post(&headers));
        assert_eq!(verdict, if allowed { logged_out() } else { reply(403, "bad_origin") }, "{what}");
    }
}

#[test]
fn the_rule_says_which_tokens_end_and_which_origins_may_log_out() {
    let site = shop();
    let partner = ("origin", "https://partner.example");
    let authority = (":authority", "partner.example");
    let cookie = cookies(&[("sid", 0), ("f", 1)]);
    let with_cookie = |headers: &[(&'static str, &'static str)]| {
        let mut all: Vec<(&str, &str)> = post(headers);
        all.push(("cookie", &cookie));
        site.begin(&all)
    };
    let handled = with_cookie(&[authority, partner, ("sec-fetch-site", "cross-site")]);
    assert_eq!(handled.verdict(), Verdict::AwaitsKills(1));
    let handled = ended(handled, &[killed(true)]);
    assert_eq!(handled.reply_header("set-cookie"), ["f=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"]);
    assert_eq!(handled.reply_header("access-control-allow-origin"), ["https://partner.example"]);
    let refused = with_cookie(&[authority, ("origin", "https://evil.example"), ("sec-fetch-site", "same-site")]);
    assert_eq!(refused.verdict(), reply(403, "bad_origin"));
    assert_eq!(refused.outcomes(), [Outcome::DeniedOrigin]);
    assert_eq!(with_cookie(&[partner]).verdict(), reply(403, "bad_origin"), "the other rule lists no origin");
}

#[test]
fn a_rule_with_origins_checks_a_logout_by_any_method() {
    let site = site(json!({"logout": {"path": "/logout", "methods": ["GET", "POST"]},
                           "default": {"session": "required", "origins": []}}));
    let get = |headers: &[(&str, &str)]| site.verdict(&[&[(":path", "/logout")], headers].concat());
    for site in ["same-origin", "none"] {
        assert_eq!(get(&[("sec-fetch-site", site)]), reply(204, ""), "{site}");
    }
    for site in ["same-site", "cross-site", "other"] {
        assert_eq!(get(&[("sec-fetch-site", site)]), reply(403, "bad_origin"), "{site}");
    }
    assert_eq!(get(&[]), reply(204, ""));
}

#[test]
fn a_prefetch_of_the_logout_ends_no_session_and_keeps_the_cookie() {
    let site = site(json!({"logout": {"path": "/logout", "methods": ["GET"]}, "default": {"session": "off"}}));
    let cookie = cookie(0);
    let get = |name: &str, value: &str, path: &str| {
        site.begin(&[(":path", path), ("cookie", &cookie), ("sec-fetch-site", "same-origin"), (name, value)])
    };
    for (name, value) in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
        ("x-moz", "prefetch"),
    ] {
        let handled = get(name, value, "/logout");
        assert_eq!(handled.verdict(), reply(403, "prefetch"), "{name}: {value}");
        assert_eq!(handled.shell.dispatches, 0, "no session ends");
        assert_eq!(handled.reply_header("set-cookie"), [""; 0]);
        assert_eq!(handled.reply_header("cache-control"), ["no-store"]);
        assert_eq!(handled.outcomes(), [Outcome::DeniedForbidden]);
        assert_eq!(get(name, value, "/").verdict(), unchanged(), "another page may be prefetched");
    }
    assert_eq!(get("sec-purpose", "", "/logout").verdict(), Verdict::AwaitsKills(1));
}

const PREFLIGHT: [(&str, &str); 4] = [
    (":method", "OPTIONS"),
    (":path", "/logout"),
    ("origin", "https://friend.example"),
    ("access-control-request-method", "POST"),
];

#[test]
fn a_preflight_of_the_logout_from_a_listed_origin_is_answered_without_the_upstream() {
    for session in ["required", "optional", "off"] {
        let site = site(json!({"logout": {"path": "/logout"},
                               "default": {"session": session, "origins": ["https://friend.example"]}}));
        let asked = [("access-control-request-headers", "content-type,x-csrf_token")];
        for (headers, names) in [(&asked[..], &["content-type,x-csrf_token"][..]), (&[], &[])] {
            let handled = site.begin(&[&PREFLIGHT, headers].concat());
            assert_eq!(handled.verdict(), reply(204, ""), "{session}");
            assert_eq!(handled.reply_header("access-control-allow-origin"), ["https://friend.example"]);
            assert_eq!(handled.reply_header("access-control-allow-credentials"), ["true"]);
            assert_eq!(handled.reply_header("access-control-allow-methods"), ["POST"]);
            assert_eq!(handled.reply_header("access-control-allow-headers"), names);
            assert_eq!(handled.reply_header("vary"), ["origin"]);
            assert_eq!(handled.reply_header("set-cookie"), [""; 0]);
            assert_eq!(handled.outcomes(), [Outcome::Preflight]);
            assert_eq!(handled.filter_state(FilterState::Decision), Some("allow"));
            assert_eq!(handled.shell.dispatches, 0);
        }
    }
}

#[test]
fn a_preflight_that_is_not_the_logouts_own_is_a_request_like_any_other() {
    let site = site(json!({
        "logout": {"path": "/logout", "methods": ["POST", "GET"]},
        "default": {"session": "required", "origins": ["https://friend.example"]}
    }));
    let with = |name: &'static str, value: &'static str| {
        let others = PREFLIGHT.into_iter().filter(|(other, _)| *other != name);
        site.verdict(&others.chain([(name, value)]).collect::<Vec<_>>())
    };
    let method = "access-control-request-method";
    for own in ["POST", "GET", "HEAD"] {
        assert_eq!(with(method, own), reply(204, ""), "{own}");
    }
    assert_eq!(with(":path", "/logout/"), reply(204, ""));
    assert_eq!(with(method, "DELETE"), unchanged(), "a preflight of a listed origin passes");
    assert_eq!(with(method, "post"), unchanged(), "methods are compared with case");
    assert_eq!(with(":path", "/logout/x"), unchanged());
    for origin in ["https://evil.example", "https://shop.example", "null"] {
        assert_eq!(with("origin", origin), denied(), "{origin}");
    }
    let more = |headers: &[(&str, &str)]| site.verdict(&[&PREFLIGHT, headers].concat());
    assert_eq!(more(&[("origin", "https://friend.example")]), denied());
    assert_eq!(more(&[(method, "POST")]), denied());
    assert_eq!(more(&[("cookie", &cookie(0))]), Verdict::AwaitsLookup);
    // A name that is no header's is not repeated in the answer.
    let handled = site.begin(&[&PREFLIGHT[..], &[("access-control-request-headers", "x\"y")]].concat());
    assert_eq!((handled.verdict(), handled.reply_header("access-control-allow-headers")), (reply(204, ""), vec![]));
}

#[test]
fn the_rule_of_the_logout_says_whose_preflights_are_answered() {
    let site = site(json!({
        "logout": {"path": "/logout"},
        "rules": [{"match": {"paths": ["/logout"], "methods": ["POST"]}, "session": "off",
                   "origins": ["https://friend.example"]}]
    }));
    let handled = site.begin(&PREFLIGHT);
    assert_eq!((handled.verdict(), handled.filter_state(FilterState::Rule)), (reply(204, ""), Some("default")));
}

#[test]
fn in_shadow_a_preflight_of_the_logout_goes_on() {
    let listed = json!(["https://friend.example"]);
    for (logout, rest) in [(true, false), (false, true)] {
        let site = site(json!({
            "logout": {"path": "/logout"},
            "rules": [{"match": {"methods": ["POST"]}, "session": "off", "origins": listed, "shadow": logout}],
            "default": {"session": "required", "origins": listed, "shadow": rest}
        }));
        let handled = site.begin(&PREFLIGHT);
        assert_eq!((handled.verdict(), handled.outcomes()), (unchanged(), vec![Outcome::ShadowAllowed]));
    }
}
