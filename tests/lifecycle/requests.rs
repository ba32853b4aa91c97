//! What clients send: hosts, origins, preflights, token sources, bytes that are no text; and what goes on of it.

use super::emulator::{Request, Vm};
use super::{NONE, SESSION, assert_counters, config, three_routes, token, waiting};
use serde_json::json;

const ORIGIN: &str = "https://app.example.com";

fn preflight(path: &str, origin: &str) -> Request {
    Request::new("OPTIONS", path).header("origin", origin).header("access-control-request-method", "POST")
}

fn with_origins() -> serde_json::Value {
    config(json!({"default": {"session": "required", "origins": [ORIGIN]}}))
}

#[test]
fn a_host_that_is_not_served_is_421_and_one_that_is_none_is_400() {
    let mut vm = Vm::with_config(config(json!({"hosts": ["shop.example.com", "*.apps.example.com"]})));
    for (host, refusal) in [
        (&b"evil.example.com"[..], (421, "unknown_host")),
        (b"apps.example.com", (421, "unknown_host")),
        (b"shop.example.com@evil.example.com", (400, "bad_host")),
        (b"shop.example.com:port", (400, "bad_host")),
        (b"shop.example.com,evil.example.com", (400, "bad_host")),
        (b"shop\xff.example.com", (400, "bad_host")),
        (b"", (400, "bad_host")),
        (b"SHOP.example.com.:8443", (401, "session_required")),
        (b"a.b.apps.example.com", (401, "session_required")),
    ] {
        let stream = vm.request(Request::get("/").host(host));
        let (status, error) = stream.denial().unwrap();
        assert_eq!((status, error.as_str()), refusal, "{}", String::from_utf8_lossy(host));
    }
    assert_counters(
        &vm,
        &[("denied_unknown_host_total", 2), ("denied_bad_host_total", 5), ("denied_no_session_total", 2)],
    );
}

#[test]
fn a_path_that_reads_in_two_ways_is_refused_where_rules_name_paths() {
    let mut vm = Vm::with_config(three_routes());
    for path in ["/off/../admin", "/off/%2e%2e/admin", "//off/a", "/off/..;/admin", "/a%00b", "/a%", "/off/%u002e"] {
        assert_eq!(vm.request(Request::get(path)).denial(), Some((400, "ambiguous_path".to_owned())), "{path}");
    }
    assert_counters(&vm, &[("denied_ambiguous_path_total", 7)]);
    let mut vm = Vm::with_config(config(json!({"default": {"session": "off"}})));
    assert!(vm.request(Request::get("/off/../admin")).passed());
}

#[test]
fn a_request_without_the_usual_pseudo_headers_harms_nobody() {
    let mut vm = Vm::with_config(three_routes());
    for missing in [":authority", ":path", ":method", ":scheme"] {
        let stream = vm.request(Request::get("/").without(missing));
        assert!(stream.local_reply().is_some_and(|reply| reply.status >= 400), "without {missing}");
    }
    let mut hosts = Vm::with_config(config(json!({"hosts": ["shop.example.com"]})));
    assert_eq!(hosts.request(Request::get("/").without(":authority")).denial_status(), Some(400));
}

#[test]
fn connect_and_options_of_the_whole_server_match_only_rules_without_paths() {
    let mut config = three_routes();
    config["rules"][1]["match"]["paths"] = json!(["/*"]);
    let mut vm = Vm::with_config(config);
    assert!(vm.request(Request::get("/a")).passed());
    assert_eq!(vm.request(Request::new("OPTIONS", "*")).denial_status(), Some(401));
    assert_eq!(vm.request(Request::new("CONNECT", "/").without(":path")).denial_status(), Some(401));
}

#[test]
fn a_change_from_a_strange_origin_is_refused_before_any_call() {
    let mut vm = Vm::with_config(with_origins());
    let post = |origin: &str| Request::new("POST", "/").token(&token(1)).header("origin", origin);
    for strange in ["https://evil.example.com", "null", "http://app.example.com", "https://app.example.com.evil"] {
        let stream = vm.request(post(strange));
        assert_eq!(stream.denial(), Some((403, "bad_origin".to_owned())), "{strange}");
        assert_eq!(stream.local_reply().unwrap().header("access-control-allow-origin"), None);
    }
    let upgrade = Request::get("/").token(&token(1)).header("origin", "https://evil.example.com");
    let stream = vm.request(upgrade.header("connection", "Upgrade").header("upgrade", "websocket"));
    assert_eq!(stream.denial(), Some((403, "bad_origin".to_owned())));
    assert_eq!(vm.dispatched(), 0);

    for fine in
        [post(ORIGIN), post("https://shop.example.com"), Request::get("/").token(&token(1)).header("origin", "x")]
    {
        let stream = vm.request(fine);
        let call = vm.call();
        vm.respond(&call, 200, SESSION);
        assert!(stream.passed());
    }
    assert_counters(&vm, &[("denied_origin_total", 5), ("allowed_total", 3)]);
}

#[test]
fn a_script_of_a_listed_origin_can_read_why_it_was_denied() {
    let mut vm = Vm::with_config(with_origins());
    let reply = vm.request(Request::get("/").header("origin", ORIGIN)).local_reply().unwrap();
    assert_eq!(reply.header("access-control-allow-origin").as_deref(), Some(ORIGIN));
    assert_eq!(reply.header("access-control-allow-credentials").as_deref(), Some("true"));
    assert_eq!(reply.header("vary").as_deref(), Some("origin"));

    let stream = vm.request(Request::get("/").token(&token(1)).header("origin", ORIGIN));
    let call = vm.call();
    vm.time_out(&call);
    let late = stream.local_reply().unwrap();
    assert_eq!(late.status, 503);
    assert_eq!(late.header("access-control-allow-origin").as_deref(), Some(ORIGIN));

    let stranger = vm.request(Request::get("/").header("origin", "https://evil.example.com")).local_reply().unwrap();
    assert_eq!(stranger.header("access-control-allow-origin"), None);
}

#[test]
fn a_genuine_preflight_of_a_listed_origin_passes_without_a_session() {
    let mut vm = Vm::with_config(with_origins());
    let stream = vm.request(preflight("/", ORIGIN));
    assert!(stream.passed());
    assert_eq!(stream.upstream_header("x-session-user"), None);
    assert_eq!(vm.dispatched(), 0);
    for other in [
        preflight("/", "https://evil.example.com"),
        preflight("/", ORIGIN).header("origin", ORIGIN),
        preflight("/", ORIGIN).header("access-control-request-method", "PUT"),
        preflight("/", ORIGIN).without("access-control-request-method"),
        preflight("/", ORIGIN).without("origin"),
    ] {
        assert_eq!(vm.request(other).denial_status(), Some(401));
    }
    let with_body = vm.request_with_body(preflight("/", ORIGIN));
    assert_eq!(with_body.denial_status(), Some(401));
    assert_counters(&vm, &[("preflight_total", 1), ("denied_no_session_total", 6)]);
}

#[test]
fn a_preflight_with_a_token_is_a_request_like_any_other() {
    let mut vm = Vm::with_config(with_origins());
    let stream = vm.request(preflight("/", ORIGIN).token(&token(1)));
    assert!(stream.is_paused());
    let call = vm.call();
    vm.respond(&call, 200, NONE);
    assert_eq!(stream.denial_status(), Some(401));
}

#[test]
fn bytes_that_are_no_text_harm_nobody() {
    let mut vm = Vm::with_config(three_routes());
    let cookie = [b"\xff=\xfe; session-cookie=".to_vec(), token(1).into_bytes(), b"; x=\x80".to_vec()].concat();
    let request = Request::get("/")
        .header("cookie", &cookie)
        .header("x-bytes", b"\xff\xfe")
        .header(b"x-\xff", "value")
        .header("origin", b"\xff")
        .header("x-request-id", b"\xff")
        .header("authorization", b"Bearer \xff");
    let stream = vm.request(request);
    let call = vm.call();
    assert_eq!(call.path(), format!("/myapp/get/{}", token(1)));
    vm.respond(&call, 200, SESSION);
    let headers = stream.upstream_headers();
    for (name, value) in [(&b"cookie"[..], &cookie[..]), (b"x-bytes", b"\xff\xfe"), (b"x-\xff", b"value")] {
        assert!(headers.contains(&(name.to_vec(), value.to_vec())), "{headers:?}");
    }

    let junk = vm.request(Request::get("/").header("cookie", b"session-cookie=\xff\xfe"));
    assert_eq!(junk.denial_status(), Some(401));
    let path = vm.request(Request::get("/").without(":path").header(":path", b"/\xff\xfe"));
    assert!(path.local_reply().is_some_and(|reply| reply.status >= 400));
    let method = vm.request(Request::get("/off/a").without(":method").header(":method", b"\xff"));
    assert!(method.passed() || method.local_reply().is_some());
}

#[test]
fn a_token_is_found_in_every_source_and_the_first_source_with_one_decides() {
    let config = config(json!({"token_from": [
        {"cookie": "sid"}, {"header": "authorization", "prefix": "Bearer "}, {"query": "token"},
    ]}));
    let mut vm = Vm::with_config(config);
    let cookie = |n: u32| format!("a=b; sid={}", token(n));
    for (request, expected) in [
        (Request::get("/").header("cookie", cookie(1)).header("authorization", format!("Bearer {}", token(2))), 1),
        (Request::get("/").header("cookie", "a=b").header("cookie", cookie(3)), 3),
        (Request::get("/").header("cookie", format!("sid=\"{}\"", token(4))), 4),
        (Request::get("/").header("cookie", "sid=junk").header("authorization", format!("bearer {}", token(5))), 5),
        (Request::get("/").header("cookie", cookie(6)).header("cookie", cookie(6)), 6),
        (
            Request::get(&format!("/ws?a=b&token={}", token(7)))
                .header("upgrade", "websocket")
                .header("connection", "keep-alive, Upgrade"),
            7,
        ),
    ] {
        let stream = vm.request(request);
        let call = vm.call();
        assert_eq!(call.path(), format!("/myapp/get/{}", token(expected)));
        vm.respond(&call, 200, SESSION);
        assert!(stream.passed());
    }
    let query = vm.request(Request::get(&format!("/?token={}", token(8))));
    assert_eq!(query.denial_status(), Some(401), "a query is a source for WebSockets alone");
    let conflict = Request::get("/").header("cookie", cookie(1)).header("cookie", cookie(2));
    let conflict = vm.request(conflict.header("authorization", format!("Bearer {}", token(3))));
    assert_eq!(conflict.denial_status(), Some(401), "a conflict ends the search");
    assert_eq!(vm.counter("conflicts_total"), 1);
}

#[test]
fn without_forward_token_its_sources_are_taken_out_and_nothing_else() {
    let mut config = three_routes();
    config["forward_token"] = json!(false);
    config["token_from"] = json!([{"cookie": "sid"}, {"header": "authorization", "prefix": "Bearer "}]);
    let mut vm = Vm::with_config(config);
    for path in ["/", "/optional/a", "/off/a"] {
        let stream = vm.request(
            Request::get(path)
                .header("cookie", format!("theme=dark; sid={}; sid=junk; lang=en", token(1)))
                .header("cookie", "sid=other")
                .header("authorization", "Basic dTpw")
                .header("authorization", format!("Bearer {}", token(2))),
        );
        for call in vm.calls() {
            vm.respond(&call, 200, SESSION);
        }
        let cookies = stream.upstream_header_values("cookie").join("; ");
        assert!(cookies.contains("theme=dark") && cookies.contains("lang=en"), "{path}: {cookies}");
        assert!(!cookies.contains("sid="), "{path}: {cookies}");
        assert_eq!(stream.upstream_header_values("authorization"), ["Basic dTpw"], "{path}");
    }
}

#[test]
fn a_token_goes_on_to_the_upstream_unless_it_is_told_not_to() {
    let mut vm = Vm::with_config(three_routes());
    let (stream, call) = waiting(&mut vm, "/");
    vm.respond(&call, 200, SESSION);
    assert_eq!(stream.upstream_header("cookie"), Some(format!("session-cookie={}", token(1))));
}

#[test]
fn headers_that_would_change_what_the_rule_decided_are_taken_out() {
    let mut vm = Vm::with_config(config(json!({"rules": [
        {"match": {"paths": ["/off/*"], "methods": ["POST"]}, "session": "off"},
    ]})));
    let names = ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "X_Rewrite_Url"];
    let request = names.iter().fold(Request::new("POST", "/off/a"), |request, name| request.header(name, "/admin"));
    let stream = vm.request(request);
    assert!(stream.upstream_headers().iter().all(|(_, value)| value != b"/admin"));
}

#[test]
fn a_grpc_client_is_answered_in_grpc_terms() {
    let grpc = |path: &str| Request::new("POST", path).header("content-type", "application/grpc");
    let mut vm = Vm::with_config(three_routes());
    let none = vm.request(grpc("/pkg.Service/Method"));
    assert_eq!((none.local_reply().unwrap().status, none.local_reply().unwrap().grpc_status), (401, 16));
    assert!(none.client_headers().contains(&(b"grpc-status".to_vec(), b"16".to_vec())));
    let outage = vm.request(grpc("/pkg.Service/Method").token(&token(1)));
    let call = vm.call();
    vm.time_out(&call);
    assert_eq!(outage.local_reply().unwrap().grpc_status, 14);
    assert_eq!(vm.request(grpc("/off/../a")).local_reply().unwrap().grpc_status, -1, "Envoy's own mapping");
    let mut vm = Vm::with_config(with_origins());
    let stranger = vm.request(grpc("/pkg.Service/Method").header("origin", "https://evil.example.com"));
    assert_eq!(stranger.local_reply().unwrap().grpc_status, 7);
}

#[test]
fn a_head_request_gets_the_headers_of_a_denial_without_its_body() {
    let mut vm = Vm::with_config(three_routes());
    let stream = vm.request(Request::new("HEAD", "/"));
    assert_eq!(stream.local_reply().unwrap().status, 401);
    assert!(stream.client_body().is_empty());
}

#[test]
fn filter_state_tells_access_logs_what_was_decided_and_why() {
    let mut config = three_routes();
    config["filter_state"] = json!(true);
    config["rules"][1]["name"] = json!(null);
    config["rules"][1].as_object_mut().unwrap().remove("name");
    let mut vm = Vm::with_config(config);
    let state = |stream: super::Stream| {
        ["decision", "reason", "rule", "user", "source"]
            .map(|key| stream.filter_state(&format!("wasm.rest_sessions.{key}")).unwrap_or_default())
    };
    let none = vm.request(Request::get("/"));
    assert_eq!(state(none)[..3], ["deny", "no_session", "default"]);
    assert_eq!(state(vm.request(Request::get("/optional/a")))[..3], ["allow", "anonymous", "open"]);
    assert_eq!(state(vm.request(Request::get("/off/a")))[..3], ["allow", "off", "rules[1]"]);
    assert_eq!(state(vm.request(Request::get("/off/../a")))[..2], ["deny", "ambiguous_path"]);
    let (active, call) = waiting(&mut vm, "/");
    vm.respond(&call, 200, super::session_of("Zoë 1"));
    assert_eq!(state(active), ["allow", "session", "default", "Zo%C3%AB 1", "cookie:session-cookie"]);
    let (outage, call) = waiting(&mut vm, "/");
    vm.time_out(&call);
    assert_eq!(state(outage)[..3], ["deny", "unavailable", "default"]);
}

#[test]
fn filter_state_is_left_alone_unless_it_is_asked_for() {
    let mut vm = Vm::with_config(three_routes());
    let stream = vm.request(Request::get("/off/a"));
    assert_eq!(stream.filter_state("wasm.rest_sessions.decision"), None);
}

#[test]
fn what_a_session_holds_cannot_break_out_of_its_header() {
    let mut vm = Vm::with_config(three_routes());
    let (stream, call) = waiting(&mut vm, "/");
    let session = json!({"id": "a\r\nx-admin: 1\u{0}\t%,é", "ttl": 10, "d": {"k\r\n": "v\r\n\u{0}"}});
    vm.respond(&call, 200, session.to_string());
    assert_eq!(stream.upstream_header("x-session-user").as_deref(), Some("a%0D%0Ax-admin: 1%00%09%25,%C3%A9"));
    let data = stream.upstream_header("x-session-data").unwrap();
    assert!(data.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{data}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&data).unwrap(), session["d"]);
    assert_eq!(stream.upstream_header("x-admin"), None);
}
