//! Headers and trailers that only the filter may set: clients' own are removed on every route.

use super::emulator::{Request, Vm};
use super::{ROUTES, SESSION, config, pending_request, respond_to_all, three_routes, token, upload};
use serde_json::json;

#[test]
fn reserved_headers_are_removed_on_every_route_in_every_spelling() {
    let spellings = ["x-session-user", "X-Session-User", "x_session.user", "x-session_data", "x!session~status"];
    for path in ROUTES {
        let mut vm = Vm::with_config(three_routes());
        let mut request = Request::get(path).token(&token(1)).header("x-session", "kept");
        for name in spellings {
            request = request.header(name, "forged").header(name, b"\xff\xfe");
        }
        let stream = vm.request(request);
        respond_to_all(&mut vm);
        let headers = stream.upstream_headers();
        let forged = headers.iter().filter(|(_, value)| value == b"forged" || value == b"\xff\xfe");
        assert_eq!(forged.count(), 0, "{path}: {headers:?}");
        assert_eq!(stream.upstream_header("x-session").as_deref(), Some("kept"));
    }
}

#[test]
fn default_annotation_headers_are_removed_even_where_they_are_not_mapped() {
    let mut config = three_routes();
    config["annotate"]["headers"] = json!({"x-user": "id"});
    let mut vm = Vm::with_config(config);
    let stream = vm.request(Request::get("/off/a").header("x-session-user", "a").header("x-session-data", "b"));
    assert_eq!((stream.upstream_header("x-session-user"), stream.upstream_header("x-session-data")), (None, None));
}

#[test]
fn reserved_trailers_are_removed_on_every_route_held_or_not() {
    let trailers = [("x-session-user", "forged"), ("X_Session.Data", "forged"), ("x-checksum", "7")];
    for path in ROUTES {
        for held in [true, false] {
            let mut vm = Vm::with_config(three_routes());
            let stream = upload(&mut vm, path);
            stream.send_body(b"body", false);
            if !held {
                respond_to_all(&mut vm);
            }
            stream.send_trailers(trailers);
            respond_to_all(&mut vm);
            let received = stream.upstream_trailers().unwrap();
            assert_eq!(received, [(b"x-checksum".to_vec(), b"7".to_vec())], "{path}, held: {held}");
        }
    }
}

#[test]
fn a_request_is_denied_when_the_host_refuses_to_remove_a_reserved_header() {
    for path in ROUTES {
        let mut vm = Vm::with_config(three_routes());
        vm.refuse_header_changes();
        let stream = vm.request(Request::get(path).token(&token(1)).header("x-session-user", "forged"));
        respond_to_all(&mut vm);
        assert!(!stream.passed(), "{path}");
        assert_eq!(stream.local_reply().unwrap().status, 503, "{path}");

        let upload = vm.request_with_body(Request::new("POST", "/off/a"));
        assert!(upload.passed(), "a request without reserved headers passes");
        upload.send_trailers([("x-session-user", "forged")]);
        assert_eq!(upload.upstream_trailers(), None, "{path}");
        assert_eq!(upload.local_reply().unwrap().status, 503, "{path}");
    }
}

#[test]
fn a_request_is_denied_when_the_host_refuses_its_annotation() {
    let mut vm = Vm::with_config(three_routes());
    let (stream, call) = pending_request(&mut vm, "/");
    vm.refuse_header_changes();
    vm.respond(&call, 200, SESSION);
    assert!(!stream.passed());
    assert_eq!(stream.local_reply().unwrap().status, 503);
}

#[test]
fn reserved_headers_are_removed_from_preflights() {
    let mut config = three_routes();
    config["cors_preflight"] = json!("pass");
    let mut vm = Vm::with_config(config);
    let request = Request::new("OPTIONS", "/").header("origin", "https://a.example").header("x-session-user", "forged");
    let stream = vm.request(request.header("access-control-request-method", "POST"));
    assert_eq!(stream.upstream_header("x-session-user"), None);
    assert_eq!(vm.counter("preflight_total"), 1);
}

#[test]
fn headers_that_override_the_method_or_path_are_removed() {
    let mut vm = Vm::with_config(config(json!({"rules": [
        {"match": {"paths": ["/off/*"], "methods": ["POST"]}, "session": "off"},
    ]})));
    let names = ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "X_Rewrite_Url"];
    let request = names.iter().fold(Request::new("POST", "/off/a"), |request, name| request.header(name, "/admin"));
    let stream = vm.request(request);
    assert!(stream.upstream_headers().iter().all(|(_, value)| value != b"/admin"));
}

#[test]
fn session_values_cannot_inject_headers() {
    let mut vm = Vm::with_config(three_routes());
    let (stream, call) = pending_request(&mut vm, "/");
    let session = json!({"id": "a\r\nx-admin: 1\u{0}\t%,é", "ttl": 10, "d": {"k\r\n": "v\r\n\u{0}"}});
    vm.respond(&call, 200, session.to_string());
    assert_eq!(stream.upstream_header("x-session-user").as_deref(), Some("a%0D%0Ax-admin: 1%00%09%25,%C3%A9"));
    let data = stream.upstream_header("x-session-data").unwrap();
    assert!(data.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{data}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&data).unwrap(), session["d"]);
    assert_eq!(stream.upstream_header("x-admin"), None);
}
