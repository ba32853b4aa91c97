//! Origins and CORS: which pages may send what, and which preflights pass.

use super::emulator::{Request, Vm};
use super::{NONE, SESSION, assert_counters, config, token};
use serde_json::{Value, json};

const ORIGIN: &str = "https://app.example.com";

fn preflight(path: &str, origin: &str) -> Request {
    Request::new("OPTIONS", path).header("origin", origin).header("access-control-request-method", "POST")
}

fn with_origins() -> Value {
    config(json!({"default": {"session": "required", "origins": [ORIGIN]}}))
}

#[test]
fn an_unsafe_request_from_a_foreign_origin_is_denied_before_any_call() {
    let mut vm = Vm::with_config(with_origins());
    let post = |origin: &str| Request::new("POST", "/").token(&token(1)).header("origin", origin);
    for foreign in ["https://evil.example.com", "null", "http://app.example.com", "https://app.example.com.evil"] {
        let stream = vm.request(post(foreign));
        assert_eq!(stream.denial(), Some((403, "bad_origin".to_owned())), "{foreign}");
        assert_eq!(stream.local_reply().unwrap().header("access-control-allow-origin"), None);
    }
    let upgrade = Request::get("/").token(&token(1)).header("origin", "https://evil.example.com");
    let stream = vm.request(upgrade.header("connection", "Upgrade").header("upgrade", "websocket"));
    assert_eq!(stream.denial(), Some((403, "bad_origin".to_owned())));
    assert_eq!(vm.dispatched(), 0);

    for allowed in
        [post(ORIGIN), post("https://shop.example.com"), Request::get("/").token(&token(1)).header("origin", "x")]
    {
        let stream = vm.request(allowed);
        let call = vm.call();
        vm.respond(&call, 200, SESSION);
        assert!(stream.passed());
    }
    assert_counters(&vm, &[("denied_origin_total", 5), ("allowed_total", 3)]);
}

#[test]
fn a_denial_is_readable_for_scripts_of_a_listed_origin() {
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

    let foreign = vm.request(Request::get("/").header("origin", "https://evil.example.com")).local_reply().unwrap();
    assert_eq!(foreign.header("access-control-allow-origin"), None);
}

#[test]
fn only_a_valid_preflight_of_a_listed_origin_passes_without_a_session() {
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
        assert_eq!(vm.request(other).local_reply_status(), Some(401));
    }
    let with_body = vm.request_with_body(preflight("/", ORIGIN));
    assert_eq!(with_body.local_reply_status(), Some(401));
    assert_counters(&vm, &[("preflight_total", 1), ("denied_no_session_total", 6)]);
}

#[test]
fn a_preflight_with_a_token_needs_its_session() {
    let mut vm = Vm::with_config(with_origins());
    let stream = vm.request(preflight("/", ORIGIN).token(&token(1)));
    assert!(stream.is_paused());
    let call = vm.call();
    vm.respond(&call, 200, NONE);
    assert_eq!(stream.local_reply_status(), Some(401));
}

#[test]
fn a_preflight_of_the_logout_is_answered_for_a_listed_origin_and_decided_like_any_request_for_another() {
    let mut vm = Vm::with_config(config(json!({
        "default": {"session": "required", "origins": [ORIGIN]}, "logout": {"path": "/logout"}
    })));
    let reply = vm.request(preflight("/logout", ORIGIN)).local_reply().unwrap();
    assert_eq!(reply.status, 204);
    assert_eq!(reply.header("access-control-allow-origin").as_deref(), Some(ORIGIN));
    assert_eq!(reply.header("access-control-allow-methods").as_deref(), Some("POST"));
    let foreign = vm.request(preflight("/logout", "https://evil.example.com"));
    assert_eq!(foreign.denial(), Some((401, "session_required".to_owned())));
    assert_eq!(vm.dispatched(), 0);
    assert_counters(&vm, &[("preflight_total", 1), ("denied_no_session_total", 1)]);
}

#[test]
fn a_page_of_the_own_site_may_write_with_a_null_origin_and_a_page_of_another_may_not() {
    let mut vm = Vm::with_config(with_origins());
    let post = |site: &str| Request::new("POST", "/").header("origin", "null").header("sec-fetch-site", site);
    assert_eq!(vm.request(post("same-origin")).denial(), Some((401, "session_required".to_owned())));
    for site in ["none", "same-site", "cross-site"] {
        assert_eq!(vm.request(post(site)).denial(), Some((403, "bad_origin".to_owned())), "{site}");
    }
}
