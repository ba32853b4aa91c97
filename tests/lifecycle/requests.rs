//! The request line and headers: hosts, paths, pseudo-headers, bytes outside UTF-8; and the replies to gRPC and HEAD.

use super::emulator::{Request, Vm};
use super::{SESSION, assert_counters, config, three_routes, token};
use serde_json::json;

#[test]
fn an_unserved_host_gets_421_and_an_invalid_host_400() {
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
fn an_ambiguous_path_is_denied_where_rules_match_paths() {
    let mut vm = Vm::with_config(three_routes());
    for path in
        ["/off/../admin", "/off/%2e%2e/admin", "//off/a", "/off/..;/admin", "/a%00b", "/a%", "/off/%u002e", "/off%ff"]
    {
        assert_eq!(vm.request(Request::get(path)).denial(), Some((400, "ambiguous_path".to_owned())), "{path}");
    }
    assert_counters(&vm, &[("denied_ambiguous_path_total", 8)]);
    let mut vm = Vm::with_config(config(json!({"default": {"session": "off"}})));
    assert!(vm.request(Request::get("/off/../admin")).passed());
}

#[test]
fn a_method_that_servers_read_differently_is_denied_where_rules_match_methods() {
    let mut methods = three_routes();
    methods["rules"][1]["match"]["methods"] = json!(["GET"]);
    let mut vm = Vm::with_config(methods);
    for (method, path) in
        [("get", "/off/a"), ("delete", "/a"), ("GET", "/off/a?_method=delete"), ("POST", "/off/a?_method=GET")]
    {
        let stream = vm.request(Request::new(method, path));
        assert_eq!(stream.denial(), Some((400, "bad_method".to_owned())), "{method} {path}");
    }
    assert!(vm.request(Request::get("/off/a?_method=HEAD")).passed());
    assert_counters(&vm, &[("denied_bad_method_total", 4), ("off_total", 1)]);
    let mut vm = Vm::with_config(three_routes());
    assert!(vm.request(Request::new("delete", "/off/a?_method=GET")).passed());
}

#[test]
fn a_request_without_a_pseudo_header_is_denied() {
    let mut vm = Vm::with_config(three_routes());
    for missing in [":authority", ":path", ":method", ":scheme"] {
        let stream = vm.request(Request::get("/").without(missing));
        assert!(stream.local_reply().is_some_and(|reply| reply.status >= 400), "without {missing}");
    }
    let mut hosts = Vm::with_config(config(json!({"hosts": ["shop.example.com"]})));
    assert_eq!(hosts.request(Request::get("/").without(":authority")).local_reply_status(), Some(400));
}

#[test]
fn connect_and_options_asterisk_match_only_rules_without_paths() {
    let mut config = three_routes();
    config["rules"][1]["match"]["paths"] = json!(["/*"]);
    let mut vm = Vm::with_config(config);
    assert!(vm.request(Request::get("/a")).passed());
    assert_eq!(vm.request(Request::new("OPTIONS", "*")).local_reply_status(), Some(401));
    assert_eq!(vm.request(Request::new("CONNECT", "/").without(":path")).local_reply_status(), Some(401));
}

#[test]
fn non_utf8_bytes_pass_unchanged_and_never_break_the_filter() {
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
    assert_eq!(junk.local_reply_status(), Some(401));
    let path = vm.request(Request::get("/").without(":path").header(":path", b"/\xff\xfe"));
    assert!(path.local_reply().is_some_and(|reply| reply.status >= 400));
    let method = vm.request(Request::get("/off/a").without(":method").header(":method", b"\xff"));
    assert!(method.passed() || method.local_reply().is_some());
}

#[test]
fn a_denied_grpc_request_gets_a_grpc_status() {
    let grpc = |path: &str| Request::new("POST", path).header("content-type", "application/grpc");
    let mut vm = Vm::with_config(three_routes());
    let none = vm.request(grpc("/pkg.Service/Method"));
    assert_eq!((none.local_reply().unwrap().status, none.local_reply().unwrap().grpc_status), (401, 16));
    assert!(none.client_headers().contains(&(b"grpc-status".to_vec(), b"16".to_vec())));
    let outage = vm.request(grpc("/pkg.Service/Method").token(&token(1)));
    let call = vm.call();
    vm.time_out(&call);
    assert_eq!(outage.local_reply().unwrap().grpc_status, 14);
    assert_eq!(vm.request(grpc("/off/../a")).local_reply().unwrap().grpc_status, -1, "Envoy maps the status itself");
    let mut vm =
        Vm::with_config(config(json!({"default": {"session": "required", "origins": ["https://app.example.com"]}})));
    let foreign = vm.request(grpc("/pkg.Service/Method").header("origin", "https://evil.example.com"));
    assert_eq!(foreign.local_reply().unwrap().grpc_status, 7);
}

#[test]
fn a_denied_head_request_gets_no_body() {
    let mut vm = Vm::with_config(three_routes());
    let stream = vm.request(Request::new("HEAD", "/"));
    assert_eq!(stream.local_reply().unwrap().status, 401);
    assert!(stream.client_body().is_empty());
}
