//! Tokens: their sources, the order of these, several tokens, malformed tokens, and forwarding to the upstream.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::stub::{CalloutResponse, Stub};
use test_support::http1::Request;
use test_support::token;
use test_support::wait;

/// A session service whose sessions have the token as user id, so that the upstream sees which token decided.
fn service() -> Stub {
    service_without(Vec::new())
}

/// The same, where these tokens have no session.
fn service_without(dead: Vec<String>) -> Stub {
    Stub::start(move |call| match dead.iter().any(|token| token == call.token()) {
        true => CalloutResponse::none(),
        false => CalloutResponse::json(200, &json!({"id": call.token(), "ttl": 7200})),
    })
}

fn start(stub: &Stub, token_from: Value) -> Mesh {
    Setup::new(plugin(json!({"token_from": token_from}))).sessions(stub.address()).start()
}

#[track_caller]
fn assert_decided_by(mesh: &Mesh, token: &str, request: &Request) {
    assert_eq!(mesh.passes(request).header("x-session-user").as_deref(), Some(token), "{request}");
}

#[track_caller]
fn assert_no_token(mesh: &Mesh, request: &Request) {
    mesh.denies(request, 401, "session_required");
}

#[test]
fn the_token_is_read_from_a_cookie_in_any_position_quoted_or_not() {
    let stub = service();
    let mesh = start(&stub, json!([{"cookie": "session-cookie"}]));
    let token = token::fresh();
    for cookies in [
        format!("session-cookie={token}"),
        format!("a=1; session-cookie={token}; b=2"),
        format!("session-cookie={token};"),
        format!("a=1;session-cookie={token};b"),
        format!("session-cookie=\"{token}\""),
        format!("session-cookie=; session-cookie={token}"),
        format!("session-cookie={token}; session-cookie={token}"),
        format!("Session-Cookie=other; session-cookie={token}"),
    ] {
        assert_decided_by(&mesh, &token, &Request::get("/").header("Cookie", cookies));
    }
    for cookies in [
        format!("session-cooki={token}"),
        format!("session-cookie2={token}"),
        format!("xsession-cookie={token}"),
        format!("Session-Cookie={token}"),
        format!("a=session-cookie={token}"),
        format!("session-cookie=\"{token}"),
    ] {
        assert_no_token(&mesh, &Request::get("/").header("cookie", cookies));
    }
    assert_no_token(&mesh, &Request::get("/").header("x-cookie", format!("session-cookie={token}")));
    assert_no_token(&mesh, &Request::get("/").header("authorization", format!("Bearer {token}")));
}

#[test]
fn every_cookie_header_is_read_over_http_1_and_http_2() {
    let stub = service();
    let mesh = start(&stub, json!([{"cookie": "session-cookie"}]));
    let token = token::fresh();
    let in_the_second = Request::get("/").header("cookie", "a=1; b=2").session(&token).header("cookie", "c=3");
    let same_twice = Request::get("/").session(&token).session(&token);
    let conflict = Request::get("/").session(&token).header("cookie", "a=1").session(&token::fresh());
    for request in [in_the_second, same_twice] {
        assert_decided_by(&mesh, &token, &request);
        let response = mesh.send_h2(&request);
        assert_eq!(mesh.upstream_request(&request, &response).header("x-session-user"), Some(token.clone()));
    }
    assert_eq!(mesh.send(&conflict).status, 401);
    assert_eq!(mesh.send_h2(&conflict).status, 401);
    mesh.expect_counters(&[("calls_total", 8), ("conflicts_total", 2)]);
}

#[test]
fn the_token_is_read_from_a_header_with_its_prefix_in_any_case() {
    let stub = service();
    let mesh = start(&stub, json!([{"header": "authorization", "prefix": "Bearer "}]));
    let token = token::fresh();
    for value in [format!("Bearer {token}"), format!("bearer {token}"), format!("BEARER {token}")] {
        assert_decided_by(&mesh, &token, &Request::get("/").header("Authorization", value));
    }
    let beside_another =
        Request::get("/").header("authorization", "Basic dTpw").header("authorization", format!("Bearer {token}"));
    assert_decided_by(&mesh, &token, &beside_another);
    for value in [token.clone(), format!("Basic {token}"), format!("Bearer{token}"), format!("xBearer {token}")] {
        assert_no_token(&mesh, &Request::get("/").header("authorization", value));
    }
    assert_no_token(&mesh, &Request::get("/").session(&token));
}

#[test]
fn a_header_source_without_prefix_holds_the_bare_token() {
    let stub = service();
    let mesh = start(&stub, json!([{"header": "X-My-Token"}]));
    let token = token::fresh();
    assert_decided_by(&mesh, &token, &Request::get("/").header("x-my-token", token.clone()));
    assert_no_token(&mesh, &Request::get("/").header("x-my-token", format!("Bearer {token}")));
    let conflict = Request::get("/").header("x-my-token", token).header("x-my-token", token::fresh());
    assert_no_token(&mesh, &conflict);
    mesh.expect_counters(&[("calls_total", 3), ("conflicts_total", 1)]);
}

#[test]
fn a_query_source_applies_to_websocket_upgrades_only() {
    let stub = service();
    let mesh = start(&stub, json!([{"query": "token"}]));
    let token = token::fresh();
    for target in
        [format!("/ws?token={token}"), format!("/ws?a=1&token={token}&b=2"), format!("/ws?token=&token={token}")]
    {
        assert_decided_by(&mesh, &token, &Request::upgrade(&target));
        assert_no_token(&mesh, &Request::get(&target));
    }
    // An Upgrade header alone makes no upgrade.
    let incomplete = Request::get(&format!("/ws?token={token}")).header("upgrade", "websocket");
    assert_no_token(&mesh, &incomplete);
    for target in [format!("/ws?Token={token}"), format!("/ws?xtoken={token}"), format!("/ws/token={token}")] {
        assert_no_token(&mesh, &Request::upgrade(&target));
    }
}

#[test]
fn a_query_source_with_any_applies_to_every_request() {
    let stub = service();
    let mesh = start(&stub, json!([{"query": "token", "any": true}]));
    let token = token::fresh();
    assert_decided_by(&mesh, &token, &Request::get(&format!("/?token={token}")));
    assert_decided_by(&mesh, &token, &Request::upgrade(&format!("/?token={token}")));
    assert_no_token(&mesh, &Request::get(&format!("/?token={token}&token={}", token::fresh())));
}

#[test]
fn the_first_source_with_a_token_decides_even_if_its_tokens_conflict() {
    let stub = service();
    let mesh = start(
        &stub,
        json!([{"cookie": "session-cookie"}, {"header": "authorization", "prefix": "Bearer "}, {"query": "token", "any": true}]),
    );
    let (first, second, third) = (token::fresh(), token::fresh(), token::fresh());
    let bearer = |request: Request, token: &str| request.header("authorization", format!("Bearer {token}"));
    let query = format!("/?token={third}");
    assert_decided_by(&mesh, &first, &bearer(Request::get(&query), &second).session(&first));
    assert_decided_by(&mesh, &second, &bearer(Request::get(&query), &second).session("junk"));
    assert_decided_by(&mesh, &third, &bearer(Request::get(&query), "junk"));
    assert_no_token(&mesh, &bearer(Request::get(&query), &second).session(&first).session(&third));
    assert_no_token(&mesh, &bearer(bearer(Request::get(&query), &first), &second));
    mesh.expect_counters(&[("calls_total", 7), ("conflicts_total", 2)]);
}

#[test]
fn malformed_tokens_are_skipped_and_never_looked_up() {
    let stub = service();
    let mesh = start(&stub, json!([{"cookie": "session-cookie"}]));
    let token = token::fresh();
    let junk: [(&str, Vec<u8>); 9] = [
        ("empty", Vec::new()),
        ("one character short", token[1..].into()),
        ("one character long", format!("{token}a").into()),
        ("an invalid character", format!("{}-", &token[1..]).into()),
        ("an escape", format!("%41{}", &token[3..]).into()),
        ("a path", format!("../{}", &token[3..]).into()),
        ("a byte above ASCII", [&token.as_bytes()[1..], b"\xff"].concat()),
        ("made two days ahead", token::ahead_by(Duration::from_secs(2 * 86_400)).into()),
        ("made a minute more than a day ahead", token::ahead_by(Duration::from_secs(86_400 + 60)).into()),
    ];
    for (case, junk) in junk {
        println!("{case}");
        let cookie = [b"session-cookie=", &junk[..]].concat();
        assert_no_token(&mesh, &Request::get("/").header("cookie", cookie.clone()));
        let beside_a_token = [&cookie[..], b"; session-cookie=", token.as_bytes()].concat();
        assert_decided_by(&mesh, &token, &Request::get("/").header("cookie", beside_a_token));
    }
    assert!(stub.calls().iter().all(|call| call.token() == token));
}

#[test]
fn a_new_session_is_accepted_though_the_clock_of_its_server_is_ahead_and_the_log_says_so() {
    let stub = service();
    let mesh = start(&stub, json!([{"cookie": "session-cookie"}]));
    for ahead_s in [20, 90, 23 * 3600] {
        let ahead = token::ahead_by(Duration::from_secs(ahead_s));
        assert_decided_by(&mesh, &ahead, &Request::get("/").session(&ahead));
    }
    wait::until("the line about the clock", || {
        mesh.envoy.log().contains("event=clock_ahead cluster=\"rest-sessions\" seconds=").then_some(())
    });
}

#[test]
fn an_old_cookie_of_another_path_keeps_nobody_out() {
    let (old, new) = (token::fresh(), token::fresh());
    let stub = service_without(vec![old.clone()]);
    let mesh = start(&stub, json!([{"cookie": "session-cookie"}]));
    for (first, second) in [(&old, &new), (&new, &old)] {
        for request in [
            Request::get("/").header("cookie", format!("session-cookie={first}; a=1; session-cookie=\"{second}\"")),
            Request::get("/").session(first).session(second).session(first),
        ] {
            assert_decided_by(&mesh, &new, &request);
            let response = mesh.send_h2(&request);
            assert_eq!(mesh.upstream_request(&request, &response).header("x-session-user"), Some(new.clone()));
        }
    }
    mesh.expect_counters(&[("calls_total", 16)]);
    assert_no_token(&mesh, &Request::get("/").session(&old).session(&old));
}

#[test]
fn up_to_four_tokens_are_looked_up_and_more_are_not() {
    let tokens: Vec<_> = (0..5).map(|_| token::fresh()).collect();
    let stub = service_without([&tokens[..3], &tokens[4..]].concat());
    let mesh = start(&stub, json!([{"cookie": "session-cookie"}]));
    let with = |tokens: &[String]| tokens.iter().fold(Request::get("/"), |request, token| request.session(token));
    assert_decided_by(&mesh, &tokens[3], &with(&tokens[..4]));
    mesh.expect_counters(&[("calls_total", 4)]);
    assert_no_token(&mesh, &with(&tokens));
    mesh.expect_counters(&[("calls_total", 4), ("conflicts_total", 1)]);
}

#[test]
fn an_outage_of_one_of_several_lookups_is_an_outage_of_the_request() {
    let lost = token::fresh();
    let stub = {
        let lost = lost.clone();
        Stub::start(move |call| match call.token() == lost {
            true => CalloutResponse::text(503, "away"),
            false => CalloutResponse::session(),
        })
    };
    let mesh = start(&stub, json!([{"cookie": "session-cookie"}]));
    let live = token::fresh();
    for (first, second) in [(&lost, &live), (&live, &lost)] {
        mesh.denies(&Request::get("/").session(first).session(second), 503, "sessions_unavailable");
    }
    assert_eq!(mesh.passes(&Request::get("/").session(&live)).header("x-session-user").as_deref(), Some("user123"));
}

#[test]
fn forward_token_false_removes_the_token_from_every_source_on_every_route() {
    let stub = service();
    let mesh = Setup::new(plugin(json!({
        "token_from": [
            {"cookie": "session-cookie"},
            {"header": "authorization", "prefix": "Bearer "},
            {"header": "x-token"},
            {"query": "token", "any": true},
        ],
        "forward_token": false,
        "rules": [
            {"match": {"paths": ["/off"]}, "session": "off"},
            {"match": {"paths": ["/optional"]}, "session": "optional"},
        ],
    })))
    .sessions(stub.address())
    .start();
    let (token, another) = (token::fresh(), token::fresh());
    for path in ["/required", "/optional", "/off"] {
        let request = Request::get(&format!("{path}?x=1&token={another}&y=%20&token=junk&tokens=2"))
            .header("cookie", format!("a=1; session-cookie={token}; b=\"2\""))
            .header("cookie", format!("session-cookie={token}"))
            .header("cookie", "session-cookie=; session-cookies=3")
            .header("authorization", "Basic dTpw")
            .header("authorization", format!("bearer {another}"))
            .header("x-token", another.clone())
            .header("x-other", "kept");
        let received = mesh.passes(&request);
        assert_eq!(received.target, format!("{path}?x=1&y=%20&tokens=2"));
        assert_eq!(received.values("cookie").join("; "), "a=1; b=\"2\"; session-cookies=3");
        assert_eq!(received.values("authorization"), ["Basic dTpw"]);
        assert_eq!(received.values("x-token"), [""; 0]);
        assert_eq!(received.values("x-other"), ["kept"]);
        assert!(!received.mentions(&another), "{received:?}");
    }
    assert_eq!(mesh.passes(&Request::get(&format!("/off?token={token}"))).target, "/off");
    let upgrade = mesh.passes(&Request::upgrade(&format!("/ws?token={token}")));
    assert_eq!(upgrade.target, "/ws");
}

#[test]
fn the_token_reaches_the_upstream_unchanged_by_default() {
    let stub = service();
    let mesh = start(&stub, json!([{"cookie": "session-cookie"}, {"query": "token", "any": true}]));
    let token = token::fresh();
    let cookies = format!("a=1;  session-cookie=\"{token}\" ;b");
    let target = format!("/x?token={token}&b");
    let received = mesh.passes(&Request::get(&target).header("cookie", cookies.clone()).header("cookie", "z"));
    assert_eq!(received.values("cookie"), [cookies, "z".to_owned()]);
    assert_eq!(received.target, target);
}

#[test]
fn non_utf8_bytes_pass_unchanged_and_never_break_the_filter() {
    let stub = service();
    let mesh = start(&stub, json!([{"cookie": "session-cookie"}, {"header": "authorization", "prefix": "Bearer "}]));
    let token = token::fresh();
    let cookie = [b"x=\xff\xfe; \xc3\x28=1; session-cookie=", token.as_bytes()].concat();
    let request = Request::get("/")
        .header("x", b"\xff\xfe".to_vec())
        .header("authorization", b"\x80\x81".to_vec())
        .header("user-agent", b"caf\xe9".to_vec())
        .header("cookie", cookie.clone());
    for received in [mesh.passes(&request), mesh.upstream_request(&request, &mesh.send_h2(&request))] {
        assert_eq!(received.header("x-session-user"), Some(token.clone()));
        for (name, value) in
            [("x", b"\xff\xfe".to_vec()), ("user-agent", b"caf\xe9".to_vec()), ("cookie", cookie.clone())]
        {
            assert!(received.headers.contains(&(name.to_owned(), value)), "{name} in {received:?}");
        }
    }
    assert_no_token(&mesh, &Request::get("/").header("x", b"\xff\xfe".to_vec()).header("cookie", b"\xff".to_vec()));
}

/// A page of `evil.example.com` may set a cookie for all of `example.com`, which the browser then sends along. Its token
/// has an active session: one of the attacker.
#[test]
fn a_planted_cookie_with_a_session_of_the_attacker_is_a_conflict_and_never_selects_a_session() {
    let stub = service();
    let mesh = start(&stub, json!([{"cookie": "session-cookie"}, {"cookie": "old-cookie"}]));
    let (own, planted) = (token::fresh(), token::fresh());
    for (first, second) in [(&own, &planted), (&planted, &own)] {
        for request in [
            Request::get("/").header("cookie", format!("session-cookie={first}; session-cookie={second}")),
            Request::get("/").session(first).session(second),
            // A later source does not resolve the conflict.
            Request::get("/").session(first).session(second).header("cookie", format!("old-cookie={own}")),
        ] {
            assert_no_token(&mesh, &request);
            assert_eq!(mesh.send_h2(&request).status, 401, "{request}");
        }
    }
    assert_eq!(mesh.counter("conflicts_total"), 12);
}

#[test]
fn a_planted_cookie_without_a_session_has_no_effect() {
    let (own, planted) = (token::fresh(), token::fresh());
    let stub = service_without(vec![planted.clone()]);
    let mesh = start(&stub, json!([{"cookie": "session-cookie"}]));
    for planted in ["planted", &planted] {
        assert_decided_by(&mesh, &own, &Request::get("/").session(planted).session(&own));
    }
}

#[test]
fn a_host_prefixed_cookie_is_distinct_from_similar_names() {
    let stub = service();
    let mesh = start(&stub, json!([{"cookie": "__Host-session"}]));
    let (own, planted) = (token::fresh(), token::fresh());
    // Browsers accept a __Host- cookie only from the host itself, so a sibling domain can plant only other names.
    let cookies =
        format!("session={planted}; __host-session={planted}; __Host-session={own}; __Host-session2={planted}");
    assert_decided_by(&mesh, &own, &Request::get("/").header("cookie", cookies));
}
