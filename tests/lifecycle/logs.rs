//! Log lines: few, at the right level, and never with a token. (The last is checked at the end of every test.)

use super::emulator::{ClusterState, Level, Request, Vm};
use super::{NONE, SESSION, three_routes, token, waiting};
use serde_json::Value;
use std::time::Duration;

/// Nobody is kept from asking, however often it fails.
fn without_a_breaker() -> Value {
    let mut configuration = three_routes();
    configuration["rest_sessions"]["breaker"] = "off".into();
    configuration
}

fn time_out(vm: &mut Vm) {
    let (_, call) = waiting(vm, "/");
    let before = vm.now();
    vm.time_out(&call);
    assert_eq!(vm.now() - before, Duration::from_millis(500));
}

#[test]
fn trouble_with_rest_sessions_is_a_warning_once_a_second_for_each_cause() {
    let mut vm = Vm::with_config(without_a_breaker());
    for _ in 0..20 {
        let (_, call) = waiting(&mut vm, "/");
        vm.refuse_connection(&call);
        vm.advance(Duration::from_millis(40));
    }
    assert_eq!(vm.log_at(Level::Warn).len(), 1, "{:#?}", vm.log_at(Level::Warn));

    let (_, call) = waiting(&mut vm, "/");
    vm.respond(&call, 200, "junk");
    assert_eq!(vm.log_at(Level::Warn).len(), 2, "another cause is told by itself");

    vm.advance(Duration::from_secs(1));
    let (_, call) = waiting(&mut vm, "/");
    vm.refuse_connection(&call);
    assert_eq!(vm.log_at(Level::Warn).len(), 3);
    assert_eq!(vm.counter("call_failures_connect_total"), 21);
}

#[test]
fn a_refused_call_is_a_warning_too() {
    let mut vm = Vm::with_config(three_routes());
    vm.set_cluster("rest-sessions", Some(ClusterState::NoEndpoints));
    for n in 0..5 {
        vm.request(Request::get("/").token(&token(n)));
    }
    assert_eq!(vm.log_at(Level::Warn).len(), 1, "{:#?}", vm.log_at(Level::Warn));
}

#[test]
fn timeouts_half_a_second_apart_are_told_every_second() {
    let mut vm = Vm::with_config(without_a_breaker());
    for _ in 0..6 {
        time_out(&mut vm);
    }
    let lines = vm.log_at(Level::Warn).len();
    assert_eq!(lines, 3, "{:#?}", vm.log_at(Level::Warn));
}

#[test]
fn what_a_client_can_cause_at_will_is_told_at_debug_alone() {
    let mut vm = Vm::with_config(three_routes());
    vm.request(Request::get("/"));
    vm.request(Request::get("/off/../a"));
    vm.request(Request::get("/").header("cookie", b"session-cookie=\xff"));
    vm.request(Request::get("/").token(&token(1)).token(&token(2)));
    let (_, call) = waiting(&mut vm, "/");
    vm.respond(&call, 200, NONE);
    let (gone, call) = waiting(&mut vm, "/");
    gone.disconnect();
    vm.respond(&call, 200, SESSION);
    for level in [Level::Info, Level::Warn, Level::Error, Level::Critical] {
        assert_eq!(vm.log_at(level), [""; 0], "{level:?}");
    }
}

#[test]
fn lines_that_a_client_can_cause_are_not_written_for_a_host_that_does_not_show_them() {
    for (level, written) in [(Level::Debug, true), (Level::Info, false), (Level::Error, false)] {
        let mut vm = Vm::with_config(three_routes());
        vm.set_log_level(level);
        vm.request(Request::get("/"));
        let (_, call) = waiting(&mut vm, "/");
        vm.respond(&call, 200, NONE);
        assert_eq!(!vm.log_at(Level::Debug).is_empty(), written, "{level:?}: {:#?}", vm.log());
    }
}

#[test]
fn a_line_is_one_line_whatever_the_request_says() {
    let mut vm = Vm::with_config(three_routes());
    let nasty = b"a\r\nlevel=error b=\"\x00\xff";
    vm.request(Request::get("/").host(nasty).header("origin", nasty).header("x-request-id", nasty));
    vm.request(Request::get("/").without(":path").header(":path", nasty));
    let (_, call) = waiting(&mut vm, "/");
    vm.respond(&call, 200, nasty);
    for (_, line) in vm.log() {
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
    }
}
