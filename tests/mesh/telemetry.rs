//! Telemetry: counters, filter state, and logs without tokens.

use serde_json::json;

use crate::harness::envoy::{Cluster, Listener};
use crate::harness::mesh::{COUNTERS, Setup, plugin};
use crate::harness::stub::{CalloutResponse, Stub};
use test_support::http1::Request;
use test_support::outcomes::OUTCOMES;
use test_support::token;
use test_support::wait;

#[test]
fn every_metric_is_zero_before_the_first_request() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(plugin(json!({"cache": {"ttl": "5s"}}))).sessions(stub.address()).start();
    for name in OUTCOMES.iter().chain(&COUNTERS).chain(&["in_flight", "cache_bytes", "cache_entries", "pending_bytes"])
    {
        assert_eq!(mesh.counter(name), 0, "{name}");
    }
    assert!(mesh.envoy.has_stat("wasmcustom.rest_sessions.call_duration_ms"));
}

#[test]
fn each_request_raises_exactly_its_outcome_counter() {
    let stub = Stub::start(|call| match call.path.split('/').nth(1) {
        Some("large") => CalloutResponse::json(200, &json!({"id": "u".repeat(300), "ttl": 10})),
        Some("junk") => CalloutResponse::text(200, "junk"),
        _ => CalloutResponse::session(),
    });
    let to = |prefix: &str| json!({"cluster": "rest-sessions", "path_prefix": prefix});
    let mesh = Setup::new(plugin(json!({
        "hosts": ["shop.example.com"],
        "annotate": {"headers": {"x-session-user": "id"}, "max_bytes": 200},
        "rules": [
            {"match": {"paths": ["/off"]}, "session": "off"},
            {"match": {"paths": ["/optional"]}, "session": "optional"},
            {"match": {"paths": ["/origins"]}, "session": "required", "origins": ["https://app.example.com"]},
            {"match": {"paths": ["/open"]}, "session": "required", "failure_mode": "allow", "rest_sessions": {"cluster": "away"}},
            {"match": {"paths": ["/large"]}, "session": "required", "rest_sessions": to("/large")},
            {"match": {"paths": ["/junk"]}, "session": "required", "rest_sessions": to("/junk")},
        ],
    })))
    .sessions(stub.address())
    .cluster(Cluster::refusing("away"))
    .start();
    let token = token::fresh();
    let session = |target: &str| Request::get(target).session(&token);
    mesh.passes(&session("/"));
    mesh.passes(&session("/optional"));
    mesh.passes(&Request::get("/optional"));
    mesh.passes(&session("/off"));
    mesh.passes(
        &Request::new("OPTIONS", "/origins")
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", "PUT"),
    );
    mesh.denies(&Request::get("/"), 401, "session_required");
    mesh.denies(
        &Request::new("POST", "/origins").session(&token).header("origin", "https://evil.example.org"),
        403,
        "bad_origin",
    );
    mesh.denies(&session("/%2e%2e/"), 400, "ambiguous_path");
    mesh.denies(&session("/").host("shop..example.com"), 400, "bad_host");
    mesh.denies(&session("/").host("example.com"), 421, "unknown_host");
    mesh.passes(&session("/open"));
    mesh.denies(&session("/large"), 500, "session_too_large");
    mesh.denies(&session("/junk"), 503, "sessions_unavailable");
    mesh.expect_outcomes(&[
        ("allowed_total", 2),
        ("anonymous_total", 1),
        ("off_total", 1),
        ("preflight_total", 1),
        ("denied_no_session_total", 1),
        ("denied_origin_total", 1),
        ("denied_ambiguous_path_total", 1),
        ("denied_bad_host_total", 1),
        ("denied_unknown_host_total", 1),
        ("failed_open_total", 1),
        ("session_too_large_total", 1),
        ("denied_unavailable_total", 1),
    ]);
    mesh.expect_counters(&[("calls_total", 5), ("call_failures_connect_total", 1), ("call_failures_invalid_total", 1)]);
}

const STATE: &str = "%FILTER_STATE(wasm.rest_sessions.decision:PLAIN)% %FILTER_STATE(wasm.rest_sessions.reason:PLAIN)% \
    %FILTER_STATE(wasm.rest_sessions.rule:PLAIN)% %FILTER_STATE(wasm.rest_sessions.user:PLAIN)% \
    %FILTER_STATE(wasm.rest_sessions.source:PLAIN)%";

#[test]
fn filter_state_gives_the_access_log_the_decision_and_its_reason() {
    let stub = Stub::start(|call| match call.path.split('/').nth(1) {
        Some("none") => CalloutResponse::none(),
        Some("large") => CalloutResponse::json(200, &json!({"id": "u".repeat(300), "ttl": 10})),
        Some("odd") => CalloutResponse::json(200, &json!({"id": "a b%", "ttl": 10})),
        _ => CalloutResponse::session(),
    });
    let to = |prefix: &str| json!({"cluster": "rest-sessions", "path_prefix": prefix});
    let keys = plugin(json!({
        "hosts": ["shop.example.com"],
        "filter_state": true,
        "annotate": {"headers": {"x-session-user": "id"}, "max_bytes": 200},
        "token_from": [{"cookie": "session-cookie"}, {"header": "x-token"}, {"query": "token"}],
        "rules": [
            {"name": "assets", "match": {"paths": ["/off"]}, "session": "off"},
            {"match": {"paths": ["/optional"]}, "session": "optional"},
            {"name": "app", "match": {"paths": ["/app"]}, "session": "required", "origins": ["https://app.example.com"]},
            {"name": "open", "match": {"paths": ["/open"]}, "session": "required", "failure_mode": "allow", "rest_sessions": {"cluster": "away"}},
            {"name": "away", "match": {"paths": ["/away"]}, "session": "required", "rest_sessions": {"cluster": "away"}},
            {"name": "none", "match": {"paths": ["/none"]}, "session": "required", "rest_sessions": to("/none")},
            {"name": "large", "match": {"paths": ["/large"]}, "session": "required", "rest_sessions": to("/large")},
            {"name": "odd", "match": {"paths": ["/odd"]}, "session": "required", "rest_sessions": to("/odd")},
        ],
    }));
    let mesh = Setup::default()
        .listener(Listener { access_log: Some(STATE), ..Listener::new("main", keys) })
        .sessions(stub.address())
        .cluster(Cluster::refusing("away"))
        .start();
    let token = token::fresh();
    let session = |target: &str| Request::get(target).session(&token);
    let preflight = Request::new("OPTIONS", "/app")
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "PUT");
    let foreign = Request::new("POST", "/app").session(&token).header("origin", "https://evil.example.org");
    let cases = [
        (session("/"), "allow session default user123 cookie:session-cookie"),
        (Request::get("/app").header("x-token", token.clone()), "allow session app user123 header:x-token"),
        (Request::upgrade(&format!("/?token={token}")), "allow session default user123 query:token"),
        (session("/odd"), "allow session odd a b%25 cookie:session-cookie"),
        (Request::get("/optional"), "allow anonymous rules[1] - -"),
        (session("/off"), "allow off assets - -"),
        (preflight, "allow preflight app - -"),
        (Request::get("/app"), "deny no_session app - -"),
        (session("/none"), "deny no_session none - cookie:session-cookie"),
        (foreign, "deny bad_origin app - -"),
        (session("/%2e%2e/"), "deny ambiguous_path - - -"),
        (session("/").host("shop..example.com"), "deny bad_host - - -"),
        (session("/").host("example.com"), "deny unknown_host - - -"),
        (session("/away"), "deny unavailable away - cookie:session-cookie"),
        (session("/open"), "allow failed_open open - cookie:session-cookie"),
        (session("/large"), "deny session_too_large large - cookie:session-cookie"),
    ];
    for (number, (request, expected)) in cases.iter().enumerate() {
        mesh.send(request);
        let lines = wait::until("a line of the access log", || {
            let lines = mesh.envoy.access_log("main");
            (lines.len() > number).then_some(lines)
        });
        assert_eq!(lines[number], *expected, "{request}");
    }
}

#[test]
fn filter_state_is_empty_unless_configured() {
    let stub = Stub::with_active_session();
    let mesh = Setup::default()
        .listener(Listener { access_log: Some(STATE), ..Listener::new("main", plugin(json!({}))) })
        .sessions(stub.address())
        .start();
    mesh.passes(&Request::get("/").session(&token::fresh()));
    let lines = wait::until("a line of the access log", || {
        let lines = mesh.envoy.access_log("main");
        (!lines.is_empty()).then_some(lines)
    });
    assert_eq!(lines, ["- - - - -"]);
}

#[test]
fn failed_calls_are_logged_as_warnings_without_the_token() {
    let stub = Stub::start(|_| CalloutResponse::text(500, "{}"));
    let mesh = Setup::new(plugin(json!({}))).sessions(stub.address()).start();
    let token = token::fresh();
    for _ in 0..20 {
        mesh.denies(&Request::get("/").session(&token), 503, "sessions_unavailable");
    }
    let warnings = wait::until("a warning in Envoy's log", || {
        let log = mesh.envoy.log();
        let warnings: Vec<String> =
            log.lines().filter(|line| line.contains("[warning][wasm]")).map(ToOwned::to_owned).collect();
        (!warnings.is_empty()).then_some(warnings)
    });
    assert!(warnings.len() < 20, "20 failures within a second logged {} warnings", warnings.len());
    assert!(!mesh.envoy.log().contains(&token), "the log shows the token");
}
