//! `touch: false`: lookups that are no use of the session. Their results serve requests of such rules alone.

use super::emulator::{Call, Request, Stream, Vm};
use super::{NONE, SESSION, client_status, config, token};
use serde_json::{Value, json};
use std::time::Duration;

/// `/poll` is no use of the session.
fn polled(keys: &Value) -> Value {
    let mut all = json!({"rules": [{"match": {"paths": ["/poll"]}, "session": "required", "touch": false}]});
    for (key, value) in keys.as_object().expect("keys are an object") {
        all[key] = value.clone();
    }
    config(all)
}

fn request(vm: &mut Vm, path: &str) -> Stream {
    vm.request(Request::get(path).token(&token(1)))
}

/// A request that needs a call of its own.
#[track_caller]
fn called(vm: &mut Vm, path: &str) -> (Stream, Call) {
    let stream = request(vm, path);
    assert!(stream.is_paused(), "{path} was served without a call");
    (stream, vm.call())
}

#[track_caller]
fn served(vm: &mut Vm, path: &str) {
    let stream = request(vm, path);
    assert_eq!(stream.upstream_header("x-session-user").as_deref(), Some("user123"), "{path}");
}

#[test]
fn such_a_lookup_says_so_and_its_result_is_kept_for_such_requests_alone() {
    let mut vm = Vm::with_config(polled(&json!({"cache": {"ttl": "5s"}})));
    let (_, poll) = called(&mut vm, "/poll");
    assert!(poll.path().ends_with(&format!("/get/{}?touch=0", token(1))), "{}", poll.path());
    vm.respond(&poll, 200, SESSION);
    served(&mut vm, "/poll");
    let (_, page) = called(&mut vm, "/page");
    assert!(page.path().ends_with(&format!("/get/{}", token(1))), "{}", page.path());
    vm.respond(&page, 200, SESSION);
    served(&mut vm, "/page");
    served(&mut vm, "/poll");
    assert_eq!(vm.counter("calls_total"), 2);
}

#[test]
fn a_request_that_is_a_use_does_not_join_a_lookup_that_is_none() {
    let mut vm = Vm::with_config(polled(&json!({})));
    let (_first, poll) = called(&mut vm, "/poll");
    let _second = request(&mut vm, "/page");
    let joined = request(&mut vm, "/poll");
    let [_, page] = <[Call; 2]>::try_from(vm.calls()).expect("each has a call of its own");
    vm.respond(&poll, 200, SESSION);
    assert_eq!(joined.upstream_header("x-session-user").as_deref(), Some("user123"));
    vm.respond(&page, 200, SESSION);
    assert_eq!((vm.counter("calls_total"), vm.counter("coalesced_total")), (2, 1));
}

#[test]
fn the_end_of_the_session_ends_what_both_have_cached() {
    for finds_the_end in ["/page", "/poll"] {
        let mut vm =
            Vm::with_config(polled(&json!({"cache": {"ttl": "5s", "negative_ttl": "0s"}, "logout": {"path": "/out"}})));
        for path in ["/poll", "/page"] {
            let (_, call) = called(&mut vm, path);
            vm.respond(&call, 200, SESSION);
        }
        let out = vm.request(Request::new("POST", "/out").token(&token(1)));
        let kill = vm.call();
        vm.respond(&kill, 200, r#"{"kill":1}"#);
        assert_eq!(client_status(out), 204);
        let (denied, call) = called(&mut vm, finds_the_end);
        vm.respond(&call, 200, NONE);
        assert_eq!(client_status(denied), 401);
    }
}

#[test]
fn a_polled_session_is_cached_no_longer_than_it_lives() {
    // It ends in 2 s, since the lookup does not prolong it.
    let session = SESSION.replace("\"idle\":3", "\"idle\":7198");
    let mut vm = Vm::with_config(polled(&json!({"cache": {"ttl": "5s"}})));
    let (_, poll) = called(&mut vm, "/poll");
    vm.respond(&poll, 200, &session);
    vm.advance(Duration::from_millis(1_999));
    served(&mut vm, "/poll");
    vm.advance(Duration::from_millis(1));
    let (_, next) = called(&mut vm, "/poll");
    vm.respond(&next, 200, NONE);
}

#[test]
fn under_an_idle_limit_a_polled_session_is_cached_no_longer_than_the_limit() {
    let limited = json!({"cache": {"ttl": "5s"}, "limits": {"idle": "10s"}});
    let mut vm = Vm::with_config(polled(&limited));
    let (_, poll) = called(&mut vm, "/poll");
    assert!(poll.path().ends_with("?max_idle=10&touch=0"), "{}", poll.path());
    vm.respond(&poll, 200, SESSION.replace("\"idle\":3", "\"idle\":7"));
    vm.advance(Duration::from_millis(2_999));
    served(&mut vm, "/poll");
    vm.advance(Duration::from_millis(1));
    let (_, next) = called(&mut vm, "/poll");
    vm.respond(&next, 200, NONE);
}
