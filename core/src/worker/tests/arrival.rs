//! What the headers of a request decide alone.

use super::*;
use crate::http::headers::Headers;
use crate::worker::Event;

#[test]
fn a_route_that_is_off_looks_no_session_up_even_with_a_token() {
    let cookie = format!("session-cookie={}", token_made_at(NOW_MS));
    let off = site(json!({"default": {"session": "off"}, "annotate": {"headers": {"x-status": "status"}}}));
    let handled = off.begin(&[("cookie", &cookie)]);
    assert_eq!((handled.verdict(), handled.shell.dispatches), (unchanged(), 0));
}

#[test]
fn spoofed_headers_are_removed_in_every_session_mode() {
    for mode in ["optional", "off"] {
        let verdict = site(json!({"default": {"session": mode}})).verdict(&[
            ("x-session-user", "root"),
            ("X_Session.User", "root"),
            ("x-session-data", "{}"),
            ("x-session-set", "{}"),
            ("x_session_kill", "1"),
            ("x-other", "kept"),
        ]);
        let removed = ["x-session-user", "X_Session.User", "x-session-data", "x-session-set", "x_session_kill"];
        assert_eq!(verdict, Verdict::Forward(removed.map(str::to_owned).to_vec(), vec![]), "{mode}");
    }
}

#[test]
fn spoofed_headers_are_removed_before_the_request_is_decided() {
    let handled = site(json!({"hosts": ["other.example"]})).begin(&[("x-session-user", "root")]);
    assert_eq!(handled.verdict(), reply(421, "unknown_host"));
    let removal = HeaderChange::Remove("x-session-user".into());
    assert!(matches!(
        handled.actions().next(),
        Some(Action::ChangeHeader(HeaderMap::RequestHeaders, change)) if *change == removal
    ));
}

#[test]
fn spoofed_headers_are_removed_from_trailers() {
    let mut handled = site(json!({"default": {"session": "off"}})).begin(&[]);
    let before = handled.shell.carried_out.len();
    let trailers = Headers::from_pairs(&[("x-session-user", "root"), ("grpc-status", "0")]);
    handled.shell.handle(Event::RequestTrailers(trailers), Some(handled.stream));
    let actions: Vec<_> = handled.shell.carried_out.drain(before..).map(|(_, action)| action).collect();
    let [Action::ChangeHeader(HeaderMap::RequestTrailers, change), Action::ContinueRequest] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(*change, HeaderChange::Remove("x-session-user".into()));
}

#[test]
fn a_forwarded_header_that_moves_the_path_is_removed_where_rules_name_paths() {
    let moving = [
        ("x-forwarded-proto", "http://shop/admin?"),
        ("x-forwarded-port", "80/admin?"),
        ("x-forwarded-host", "shop:80/admin?"),
    ];
    let usual = [("x-forwarded-host", "shop.example:80"), ("x-forwarded-port", "80"), ("x-forwarded-proto", "https")];
    let removed = Verdict::Forward(moving.map(|(name, _)| name.to_owned()).to_vec(), vec![]);
    let rules = json!([{"match": {"paths": ["/admin/*"]}, "session": "required"}]);
    let named = site(json!({"rules": rules, "default": {"session": "off"}}));
    assert_eq!((named.verdict(&moving), named.verdict(&usual)), (removed, unchanged()));
    let other = site(json!({"default": {"session": "off"}}));
    assert_eq!(other.verdict(&moving), unchanged());
    let own = site(json!({"rules": rules, "default": {"session": "off"}, "remove_headers": []}));
    assert_eq!(own.verdict(&moving), unchanged());
}

#[test]
fn a_link_that_names_an_unsafe_method_is_checked_for_its_origin() {
    let site = site(json!({"default": {"session": "optional", "origins": []}}));
    let from = |page: &str, target: &str| site.verdict(&[(":path", target), ("sec-fetch-site", page)]);
    for target in ["/cart?_method=DELETE", "/cart?x&_METHOD=post", "/cart?_method=GET&_method=PUT"] {
        assert_eq!(from("cross-site", target), reply(403, "bad_origin"), "{target}");
        assert_eq!(from("same-origin", target), unchanged(), "{target}");
    }
    for target in ["/cart?_method=GET", "/cart?method=DELETE", "/cart"] {
        assert_eq!(from("cross-site", target), unchanged(), "{target}");
    }
}

#[test]
fn the_host_is_checked_first() {
    let site = site(json!({"hosts": ["shop.example", "*.shop.example"], "default": {"session": "off"}}));
    let host = |host: &str| site.verdict(&[(":authority", host)]);
    for right in ["shop.example", "SHOP.example:8443", "shop.example.", "a.b.shop.example"] {
        assert_eq!(host(right), unchanged(), "{right}");
    }
    for unknown in ["example", "shop.example.evil", "evilshop.example", "127.0.0.1", "[::1]:80"] {
        assert_eq!(host(unknown), reply(421, "unknown_host"), "{unknown}");
    }
    for bad in ["", "u@shop.example", "shop.example:abc", "shop.example..", "shop.example,evil.example", "a b", "[::1"]
    {
        assert_eq!(host(bad), reply(400, "bad_host"), "{bad}");
    }
}

#[test]
fn any_authority_passes_if_no_rule_names_hosts() {
    assert_eq!(site(json!({"default": {"session": "off"}})).verdict(&[(":authority", "a,b")]), unchanged());
}

fn deletion_required() -> Site {
    site(json!({"rules": [{"match": {"methods": ["DELETE", "PUT"]}, "session": "required"}],
                "default": {"session": "off"}}))
}

#[test]
fn a_method_that_a_server_could_read_as_one_of_another_rule_does_not_pass() {
    let site = deletion_required();
    let method = |method: &str| site.verdict(&[(":method", method)]);
    for bad in ["delete", "Delete", "DELETE ", "", "DEL\u{c9}TE", "get", "GET,DELETE"] {
        assert_eq!(method(bad), reply(400, "bad_method"), "{bad}");
    }
    assert_eq!(method("DELETE"), denied());
    for other in ["GET", "M-SEARCH", "X_1"] {
        assert_eq!(method(other), unchanged(), "{other}");
    }
}

#[test]
fn a_method_in_the_query_that_selects_another_rule_is_refused() {
    let site = deletion_required();
    let sent = |method: &str, path: &str| site.verdict(&[(":method", method), (":path", path)]);
    for method in ["POST", "GET"] {
        for query in
            ["_method=DELETE", "_method=delete", "x=1&%5fmethod=put", "_method=PATCH&_method=DELETE", "_method=x,y"]
        {
            assert_eq!(sent(method, &format!("/a?{query}")), reply(400, "bad_method"), "{method} {query}");
        }
        assert_eq!(sent(method, "/a;_method=DELETE"), reply(400, "bad_method"));
        assert_eq!(sent(method, "/a?_method=PATCH&method=DELETE"), unchanged());
    }
    assert_eq!(sent("DELETE", "/a?_method=PUT"), denied());
    assert_eq!(sent("DELETE", "/a?_method=POST"), reply(400, "bad_method"));
}

#[test]
fn a_method_is_checked_where_the_logout_names_methods() {
    let site = site(json!({"logout": {"path": "/logout"}, "default": {"session": "off"}}));
    let sent = |method: &str, path: &str| site.verdict(&[(":method", method), (":path", path)]);
    for (method, path) in [
        ("post", "/logout"),
        ("get", "/"),
        ("GET", "/logout?_method=POST"),
        ("POST", "/logout?_method=PUT"),
        ("GET", "/log%6fut?_method=POST"),
    ] {
        let verdict = sent(method, path);
        let ambiguous = verdict == reply(400, "ambiguous_path");
        assert!(ambiguous || verdict == reply(400, "bad_method"), "{method} {path} {verdict:?}");
    }
    assert_eq!(sent("GET", "/a?_method=POST"), unchanged());
}

#[test]
fn any_method_passes_if_neither_a_rule_nor_the_logout_names_methods() {
    let site =
        site(json!({"rules": [{"match": {"paths": ["/x"]}, "session": "required"}], "default": {"session": "off"}}));
    assert_eq!(site.verdict(&[(":method", "delete"), (":path", "/a?_method=PUT&_method=DELETE")]), unchanged());
}

/// Each path is refused, or matched as the server reads it that is named beside it.
#[test]
fn a_path_that_a_server_could_read_as_one_of_another_rule_does_not_pass() {
    let site = site(json!({"rules": [
        {"match": {"paths": ["/admin/*"]}, "session": "required"},
        {"match": {"paths": ["/public/*", "/api/*"]}, "session": "off"}
    ], "default": {"session": "off"}}));
    for (server, path) in [
        ("Node's URL", "/api//%2e%2e/admin/x"),
        ("Node's URL", "//x/admin"),
        ("Node's URL", "/api/..\\admin"),
        ("Tomcat", "/public/..;%2fpublic/admin"),
        ("Tomcat", "/public/..;/admin"),
        ("Jetty", "/public/%u002e%u002e/admin"),
        ("Jetty", "/public/%2e%2e;x/admin"),
        ("a server that decodes twice", "/public/%252e%252e/admin"),
        ("a server that takes overlong UTF-8", "/public/%c0%ae%c0%ae/admin"),
        ("a server that ends paths at NUL", "/public/x%00/../admin"),
        ("IIS", "/public\\..\\admin"),
        ("a server that decodes slashes", "/%61dmin%2fx/../../public/y"),
        ("a server that merges slashes", "/x/..//admin"),
        ("Bottle", "/ad%ffmin/x"),
        ("Bottle", "/admin%e9"),
        ("Fastify 4", "/admin;/x"),
        ("Fastify 4", "/admin;x/y"),
        ("Go's ToLower", "/adm%C4%B0n/x"),
        ("Java's equalsIgnoreCase", "/adm%C4%B1n"),
        ("a server that decodes four times", "/public/%25252561"),
    ] {
        assert_eq!(site.path(path), reply(400, "ambiguous_path"), "{server}: {path}");
    }
    for (server, path) in
        [("Express", "/ADMIN"), ("Express", "/admin/"), ("any server", "/%61dmin"), ("Tomcat", "/admin;x=1/y")]
    {
        let verdict = site.path(path);
        assert!(verdict == denied() || verdict == reply(400, "ambiguous_path"), "{server}: {path} {verdict:?}");
    }
    assert_eq!(site.path("/ADMIN"), denied());
    assert_eq!(site.path("/admin/"), denied());
    assert_eq!(site.path("/api/a%2Fb"), unchanged());
    assert_eq!(site.path("/public/100%25?q=/../admin"), unchanged());
    assert_eq!(site.path("/x%2fadmin"), unchanged());
}

#[test]
fn letters_that_fold_into_ascii_are_folded_unless_case_is_exact() {
    let site = |case: &str| {
        site(json!({"path_case": case, "rules": [{"match": {"paths": ["/keys/*"]}, "session": "required"}],
                    "default": {"session": "off"}}))
    };
    for path in ["/%E2%84%AAeys/1", "/key%C5%BF/1", "/KEY%c5%bf", "/%25E2%2584%25AAeys/1"] {
        assert_eq!(site("ignore").path(path), reply(400, "ambiguous_path"), "{path}");
        assert_eq!(site("exact").path(path), unchanged(), "{path}");
    }
    assert_eq!(site("ignore").path("/x/%E2%84%AA"), unchanged());
}

#[test]
fn a_path_whose_readings_select_different_rules_is_refused() {
    let site = site(json!({"rules": [{"match": {"paths": ["/x/admin"]}, "session": "required"}],
                           "default": {"session": "off"}}));
    assert_eq!(site.path("/x%2fadmin"), reply(400, "ambiguous_path"));
}

#[test]
fn any_path_passes_if_no_rule_names_paths() {
    assert_eq!(site(json!({"default": {"session": "off"}})).path("/a/../%2e%2e//b"), unchanged());
}

#[test]
fn requests_without_a_path_match_only_rules_without_paths() {
    let site = site(json!({"rules": [{"match": {"paths": ["/*"]}, "session": "off"}]}));
    assert_eq!(site.verdict(&[(":method", "OPTIONS"), (":path", "*")]), denied());
    assert_eq!(site.verdict(&[(":method", "CONNECT"), (":path", "/x")]), denied());
    assert_eq!(site.verdict(&[(":path", "*")]), reply(400, "ambiguous_path"));
    assert_eq!(site.path(""), reply(400, "ambiguous_path"));
    assert_eq!(site.path("/x"), unchanged());
}

#[test]
fn a_page_of_another_origin_may_not_write() {
    let site = site(json!({"default": {"session": "off", "origins": ["https://friend.example"]}}));
    let post = |headers: &[(&str, &str)]| site.verdict(&[&[(":method", "POST")], headers].concat());
    assert_eq!(post(&[]), unchanged());
    assert_eq!(post(&[("origin", "https://shop.example")]), unchanged());
    assert_eq!(post(&[("origin", "https://friend.example")]), unchanged());
    assert_eq!(post(&[("origin", "https://evil.example")]), reply(403, "bad_origin"));
    assert_eq!(post(&[("origin", "null")]), reply(403, "bad_origin"));
    assert_eq!(post(&[("origin", "http://shop.example")]), reply(403, "bad_origin"));
    assert_eq!(post(&[("origin", "http://shop.example"), ("x-forwarded-proto", "http")]), unchanged());
    assert_eq!(post(&[("origin", "null"), ("sec-fetch-site", "same-origin")]), unchanged());
    assert_eq!(post(&[("origin", "null"), ("sec-fetch-site", "cross-site")]), reply(403, "bad_origin"));
    let sibling = ("origin", "https://x.shop.example");
    assert_eq!(post(&[sibling, ("sec-fetch-site", "same-site")]), reply(403, "bad_origin"));
    assert_eq!(post(&[("origin", "https://friend.example"), ("sec-fetch-site", "cross-site")]), unchanged());
    assert_eq!(post(&[("origin", "https://shop.example"), (":scheme", "http")]), unchanged());
    assert_eq!(site.verdict(&[("origin", "https://evil.example")]), unchanged());
    assert_eq!(site.verdict(&[("sec-fetch-site", "cross-site")]), unchanged());
    let upgrade = [("origin", "https://evil.example"), ("connection", "upgrade"), ("upgrade", "h2c, WebSocket")];
    assert_eq!(site.verdict(&upgrade), reply(403, "bad_origin"));
}

#[test]
fn without_a_list_of_origins_no_origin_is_checked() {
    let site = site(json!({"default": {"session": "off"}}));
    assert_eq!(site.verdict(&[(":method", "POST"), ("origin", "https://evil.example")]), unchanged());
}

#[test]
fn scripts_of_a_listed_origin_may_read_a_denial() {
    let site = site(json!({"default": {"session": "required", "origins": ["https://friend.example"]}}));
    let allowed = |origin: &str| {
        let handled = site.begin(&[("origin", origin)]);
        handled.reply_header("access-control-allow-origin").first().map(|value| (*value).to_owned())
    };
    assert_eq!(allowed("https://friend.example").as_deref(), Some("https://friend.example"));
    assert_eq!(allowed("https://shop.example"), None);
    assert_eq!(allowed("https://evil.example"), None);
}

#[test]
fn genuine_preflights_pass_where_the_rule_lists_their_origin() {
    let preflight =
        [(":method", "OPTIONS"), ("origin", "https://friend.example"), ("access-control-request-method", "PUT")];
    let listed = site(json!({"default": {"session": "required", "origins": ["https://friend.example"]}}));
    let handled = listed.begin(&preflight);
    assert_eq!(handled.verdict(), unchanged());
    let [Action::Count(_), Action::FilterState(..), Action::FilterState(..), Action::FilterState(..), last] =
        handled.actions().collect::<Vec<_>>()[..]
    else {
        panic!("{:?}", handled.shell.carried_out);
    };
    assert!(matches!(last, Action::ContinueRequest));
    assert_eq!(site(json!({})).verdict(&preflight), denied());
    assert_eq!(site(json!({"cors_preflight": "pass"})).verdict(&preflight), unchanged());
    let pass = site(json!({"cors_preflight": "pass"}));
    let token = format!("session-cookie={}", token_made_at(NOW_MS));
    let other = format!("session-cookie={}", token_made_at(NOW_MS - 1));
    for (what, more) in [
        ("a token", vec![("cookie", token.as_str())]),
        ("two origins", vec![("origin", "https://friend.example")]),
        ("two methods", vec![("access-control-request-method", "PUT")]),
    ] {
        let verdict = pass.verdict(&[&preflight[..], &more].concat());
        assert_ne!(verdict, unchanged(), "{what}");
    }
    // It passes without a session, so it must not become another request upstream.
    for name in ["x-http-method-override", "x_http_method_override", "x-http-method", "x-method-override"] {
        let renamed = [&preflight[..], &[(name, "DELETE")]].concat();
        assert_eq!(pass.verdict(&renamed), denied(), "{name}");
    }
    for path in ["/a?_method=DELETE", "/a?x&%5Fmethod=x,y", "/a;_method=DELETE"] {
        assert_eq!(pass.verdict(&[&preflight[..], &[(":path", path)]].concat()), denied(), "{path}");
    }
    let joined = [(":method", "OPTIONS"), preflight[1], ("access-control-request-method", "PUT,PUT")];
    assert_eq!(pass.verdict(&joined), denied());
    let two_tokens = [&preflight[..], &[("cookie", &token), ("cookie", &other)]].concat();
    assert_eq!(pass.verdict(&two_tokens), Verdict::AwaitsLookup);
    assert_eq!(pass.verdict(&preflight[..2]), denied());
}

#[test]
fn the_token_is_removed_from_the_request_if_it_is_not_forwarded() {
    let site = site(json!({"forward_token": false, "default": {"session": "required"}}));
    let cookie = format!("a=1; session-cookie={}", token_made_at(NOW_MS));
    let handled = site.begin(&[("cookie", &cookie)]);
    let changes: Vec<_> = handled.changes(HeaderMap::RequestHeaders).collect();
    assert_eq!(changes, [&HeaderChange::Remove("cookie".into()), &HeaderChange::Add("cookie".into(), "a=1".into())]);
    assert_eq!(handled.verdict(), Verdict::AwaitsLookup);
}

#[test]
fn the_clock_is_read_once_if_there_is_a_token_and_else_not_at_all() {
    let clock_reads = |session: &str, cookie: &str| {
        let mut shell = site(json!({"default": {"session": session}})).shell();
        let before = shell.environment.clock_reads.get();
        let stream = shell.worker.admit(1);
        let headers = [(":method", "GET"), (":path", "/"), (":authority", "shop.example"), ("cookie", cookie)];
        let headers = Headers::from_pairs(&headers);
        let event = Event::RequestHeaders { stream, headers, end_of_stream: true };
        shell.worker.handle(event, &shell.environment, &mut Vec::new());
        shell.environment.clock_reads.get() - before
    };
    let token = format!("session-cookie={}", token_made_at(NOW_MS));
    assert_eq!(clock_reads("off", &token), 0);
    assert_eq!(clock_reads("required", "theme=dark"), 0);
    assert_eq!(clock_reads("required", &token), 1);
}
