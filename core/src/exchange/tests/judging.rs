//! What the headers of a request decide by themselves.

use super::*;

#[test]
fn an_off_route_asks_nobody_even_with_a_token() {
    let cookie = format!("session-cookie={}", token_made_at(NOW_MS));
    let off = site(json!({"default": {"session": "off"}, "annotate": {"headers": {"x-status": "status"}}}));
    assert_eq!(off.judge(&[("cookie", &cookie)]), forward(PASS));
}

#[test]
fn forged_headers_go_on_every_kind_of_route() {
    for mode in ["optional", "off"] {
        let went = site(json!({"default": {"session": mode}})).judge(&[
            ("x-session-user", "root"),
            ("X_Session.User", "root"),
            ("x-session-data", "{}"),
            ("x-session-set", "{}"),
            ("x_session_kill", "1"),
            ("x-other", "stays"),
        ]);
        let removed = ["x-session-user", "X_Session.User", "x-session-data", "x-session-set", "x_session_kill"];
        assert_eq!(went, Went::Forward(removed.map(str::to_owned).to_vec(), vec![]), "{mode}");
    }
}

#[test]
fn forged_headers_are_gone_before_anything_is_decided() {
    let told = site(json!({"hosts": ["other.example"]})).begin(&[("x-session-user", "root")]);
    assert_eq!(told.went, Went::Reply(421, "unknown_host"));
    assert_eq!(told.effects.first(), Some(&Effect::RequestHeader(HeaderChange::Remove("x-session-user".into()))));
}

#[test]
fn forged_trailers_go_too() {
    let site = site(json!({"default": {"session": "off"}}));
    let trailers = Headers::from_pairs(&[("x-session-user", "root"), ("grpc-status", "0")]);
    let effects = request_trailers(&site.config, &trailers);
    assert_eq!(effects, [Effect::RequestTrailer(HeaderChange::Remove("x-session-user".into()))]);
}

#[test]
fn hosts_decide_first() {
    let site = site(json!({"hosts": ["shop.example", "*.shop.example"], "default": {"session": "off"}}));
    let host = |host: &str| site.judge(&[(":authority", host)]);
    for right in ["shop.example", "SHOP.example:8443", "shop.example.", "a.b.shop.example"] {
        assert_eq!(host(right), forward(PASS), "{right}");
    }
    for unknown in ["example", "shop.example.evil", "evilshop.example", "127.0.0.1", "[::1]:80"] {
        assert_eq!(host(unknown), Went::Reply(421, "unknown_host"), "{unknown}");
    }
    for bad in ["", "u@shop.example", "shop.example:abc", "shop.example..", "shop.example,evil.example", "a b", "[::1"]
    {
        assert_eq!(host(bad), Went::Reply(400, "bad_host"), "{bad}");
    }
}

#[test]
fn where_no_rule_names_hosts_any_authority_will_do() {
    assert_eq!(site(json!({"default": {"session": "off"}})).judge(&[(":authority", "a,b")]), forward(PASS));
}

/// What servers make of these paths is why each is refused, or is held against the rule of what it is read as.
#[test]
fn paths_that_a_server_would_read_as_another_rules_do_not_pass() {
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
    ] {
        assert_eq!(site.path(path), Went::Reply(400, "ambiguous_path"), "{server}: {path}");
    }
    for (server, path) in
        [("Express", "/ADMIN"), ("Express", "/admin/"), ("any server", "/%61dmin"), ("Tomcat", "/admin;x=1/y")]
    {
        let went = site.path(path);
        assert!(went == REQUIRED || went == Went::Reply(400, "ambiguous_path"), "{server}: {path} {went:?}");
    }
    assert_eq!(site.path("/ADMIN"), REQUIRED);
    assert_eq!(site.path("/admin/"), REQUIRED);
    assert_eq!(site.path("/api/a%2Fb"), forward(PASS));
    assert_eq!(site.path("/public/100%25?q=/../admin"), forward(PASS));
    assert_eq!(site.path("/x%2fadmin"), forward(PASS));
}

#[test]
fn a_path_whose_readings_select_different_rules_is_refused() {
    let site = site(json!({"rules": [{"match": {"paths": ["/x/admin"]}, "session": "required"}],
                           "default": {"session": "off"}}));
    assert_eq!(site.path("/x%2fadmin"), Went::Reply(400, "ambiguous_path"));
}

#[test]
fn where_no_rule_names_paths_any_path_will_do() {
    assert_eq!(site(json!({"default": {"session": "off"}})).path("/a/../%2e%2e//b"), forward(PASS));
}

#[test]
fn requests_without_a_path_match_only_rules_without_paths() {
    let site = site(json!({"rules": [{"match": {"paths": ["/*"]}, "session": "off"}]}));
    assert_eq!(site.judge(&[(":method", "OPTIONS"), (":path", "*")]), REQUIRED);
    assert_eq!(site.judge(&[(":method", "CONNECT"), (":path", "/x")]), REQUIRED);
    assert_eq!(site.judge(&[(":path", "*")]), Went::Reply(400, "ambiguous_path"));
    assert_eq!(site.path(""), Went::Reply(400, "ambiguous_path"));
    assert_eq!(site.path("/x"), forward(PASS));
}

#[test]
fn foreign_pages_may_not_write() {
    let site = site(json!({"default": {"session": "off", "origins": ["https://friend.example"]}}));
    let post = |headers: &[(&str, &str)]| site.judge(&[&[(":method", "POST")], headers].concat());
    assert_eq!(post(&[]), forward(PASS));
    assert_eq!(post(&[("origin", "https://shop.example")]), forward(PASS));
    assert_eq!(post(&[("origin", "https://friend.example")]), forward(PASS));
    assert_eq!(post(&[("origin", "https://evil.example")]), Went::Reply(403, "bad_origin"));
    assert_eq!(post(&[("origin", "null")]), Went::Reply(403, "bad_origin"));
    assert_eq!(post(&[("origin", "http://shop.example")]), Went::Reply(403, "bad_origin"));
    assert_eq!(post(&[("origin", "http://shop.example"), ("x-forwarded-proto", "http")]), forward(PASS));
    assert_eq!(site.judge(&[("origin", "https://evil.example")]), forward(PASS));
    let upgrade = [("origin", "https://evil.example"), ("connection", "upgrade"), ("upgrade", "h2c, WebSocket")];
    assert_eq!(site.judge(&upgrade), Went::Reply(403, "bad_origin"));
}

#[test]
fn without_a_list_of_origins_nobody_asks() {
    let site = site(json!({"default": {"session": "off"}}));
    assert_eq!(site.judge(&[(":method", "POST"), ("origin", "https://evil.example")]), forward(PASS));
}

#[test]
fn scripts_of_a_listed_origin_may_read_a_refusal() {
    let site = site(json!({"default": {"session": "required", "origins": ["https://friend.example"]}}));
    let allowed = |origin: &str| {
        let reply = site.begin(&[("origin", origin)]).reply.unwrap();
        reply.headers.into_iter().find(|(name, _)| *name == "access-control-allow-origin").map(|(_, value)| value)
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
    let told = listed.begin(&preflight);
    assert_eq!((told.went, told.effects.len()), (forward(PASS), 4));
    assert_eq!(site(json!({})).judge(&preflight), REQUIRED);
    assert_eq!(site(json!({"cors_preflight": "pass"})).judge(&preflight), forward(PASS));
    let pass = site(json!({"cors_preflight": "pass"}));
    let token = format!("session-cookie={}", token_made_at(NOW_MS));
    let other = format!("session-cookie={}", token_made_at(NOW_MS - 1));
    for (what, more) in [
        ("a token", vec![("cookie", token.as_str())]),
        ("two origins", vec![("origin", "https://friend.example")]),
        ("two methods", vec![("access-control-request-method", "PUT")]),
    ] {
        let went = pass.judge(&[&preflight[..], &more].concat());
        assert_ne!(went, forward(PASS), "{what}");
    }
    let joined = [(":method", "OPTIONS"), preflight[1], ("access-control-request-method", "PUT,PUT")];
    assert_eq!(pass.judge(&joined), REQUIRED);
    let conflict = [&preflight[..], &[("cookie", &token), ("cookie", &other)]].concat();
    assert_eq!(pass.judge(&conflict), REQUIRED);
    assert_eq!(pass.judge(&preflight[..2]), REQUIRED);
}

#[test]
fn a_conflict_of_tokens_is_no_token_and_is_counted() {
    let lines = [token_made_at(NOW_MS), token_made_at(NOW_MS - 1)].map(|token| format!("session-cookie={token}"));
    let told = site(json!({})).begin(&[("cookie", &lines[0]), ("cookie", &lines[1])]);
    assert_eq!(told.went, REQUIRED);
    assert!(told.effects.contains(&Effect::Count(Counter::Conflicts)));
    assert_eq!(told.outcomes(), [Outcome::DeniedNoSession]);
}

#[test]
fn upstreams_do_not_see_the_token_where_they_may_not() {
    let site = site(json!({"forward_token": false, "default": {"session": "required"}}));
    let cookie = format!("a=1; session-cookie={}", token_made_at(NOW_MS));
    let told = site.begin(&[("cookie", &cookie)]);
    let changes: Vec<_> = told.effects.iter().filter(|effect| matches!(effect, Effect::RequestHeader(_))).collect();
    assert_eq!(
        changes,
        [
            &Effect::RequestHeader(HeaderChange::Remove("cookie".into())),
            &Effect::RequestHeader(HeaderChange::Add("cookie".into(), "a=1".into())),
        ]
    );
}

#[test]
fn the_time_is_asked_for_where_a_token_tells_when_it_was_made_and_nowhere_else() {
    let asked = |session: &str, cookie: &str| {
        let site = site(json!({"default": {"session": session}}));
        let times = std::cell::Cell::new(0);
        let now_ms = || {
            times.set(times.get() + 1);
            NOW_MS
        };
        let around = Surroundings { now_ms: &now_ms, ..site.around() };
        let headers = [(":method", "GET"), (":path", "/"), (":authority", "shop.example"), ("cookie", cookie)];
        let _ = request_headers(around, &Headers::from_pairs(&headers), true);
        times.get()
    };
    let token = format!("session-cookie={}", token_made_at(NOW_MS));
    assert_eq!(asked("off", &token), 0);
    assert_eq!(asked("required", "theme=dark"), 0);
    assert_eq!(asked("required", &token), 1);
}
