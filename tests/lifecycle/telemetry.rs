//! Log lines and filter state. That neither shows a token is checked at the end of every test.

use super::emulator::{ClusterState, Level, Request, Stream, Vm};
use super::{NONE, SESSION, pending_request, resolved_request, respond_to_all, session_of, three_routes, token};
use serde_json::{Value, json};
use std::time::Duration;

/// A configuration whose breaker never opens.
fn without_a_breaker() -> Value {
    let mut configuration = three_routes();
    configuration["rest_sessions"]["breaker"] = "off".into();
    configuration
}

fn time_out(vm: &mut Vm) {
    let (_, call) = pending_request(vm, "/");
    let before = vm.now();
    vm.time_out(&call);
    assert_eq!(vm.now() - before, Duration::from_millis(500));
}

#[test]
fn a_vm_defines_each_metric_once_since_the_host_keeps_every_definition() {
    let mut vm = Vm::with_config(three_routes());
    assert_eq!(vm.metric_definitions(), vm.metric_names().len());
    for _ in 0..3 {
        vm.configure(three_routes()).expect("the configuration is valid");
    }
    resolved_request(&mut vm, "/", SESSION);
    assert_eq!((vm.metric_definitions(), vm.counter("allowed_total")), (vm.metric_names().len(), 1));
}

#[test]
fn failed_calls_log_one_warning_per_second_and_cause() {
    let mut vm = Vm::with_config(without_a_breaker());
    for _ in 0..20 {
        let (_, call) = pending_request(&mut vm, "/");
        vm.refuse_connection(&call);
        vm.advance(Duration::from_millis(40));
    }
    assert_eq!(vm.log_at(Level::Warn).len(), 1, "{:#?}", vm.log_at(Level::Warn));

    resolved_request(&mut vm, "/", "junk");
    assert_eq!(vm.log_at(Level::Warn).len(), 2, "another cause is logged separately");

    vm.advance(Duration::from_secs(1));
    let (_, call) = pending_request(&mut vm, "/");
    vm.refuse_connection(&call);
    assert_eq!(vm.log_at(Level::Warn).len(), 3);
    assert_eq!(vm.counter("call_failures_connect_total"), 21);
}

#[test]
fn a_call_refused_at_dispatch_logs_a_warning() {
    let mut vm = Vm::with_config(three_routes());
    vm.set_cluster("rest-sessions", Some(ClusterState::NoEndpoints));
    for n in 0..5 {
        vm.request(Request::get("/").token(&token(n)));
    }
    assert_eq!(vm.log_at(Level::Warn).len(), 1, "{:#?}", vm.log_at(Level::Warn));
}

#[test]
fn timeouts_half_a_second_apart_log_one_warning_per_second() {
    let mut vm = Vm::with_config(without_a_breaker());
    for _ in 0..6 {
        time_out(&mut vm);
    }
    assert_eq!(vm.log_at(Level::Warn).len(), 3, "{:#?}", vm.log_at(Level::Warn));
}

#[test]
fn events_that_clients_can_cause_are_logged_at_debug_only() {
    let mut vm = Vm::with_config(three_routes());
    vm.request(Request::get("/"));
    vm.request(Request::get("/off/../a"));
    vm.request(Request::get("/").header("cookie", b"session-cookie=\xff"));
    vm.request(Request::get("/").token(&token(1)).token(&token(2)));
    respond_to_all(&mut vm);
    resolved_request(&mut vm, "/", NONE);
    let (gone, call) = pending_request(&mut vm, "/");
    gone.disconnect();
    vm.respond(&call, 200, SESSION);
    for level in [Level::Info, Level::Warn, Level::Error, Level::Critical] {
        assert_eq!(vm.log_at(level), [""; 0], "{level:?}");
    }
}

#[test]
fn debug_lines_are_written_only_at_the_hosts_debug_level() {
    for (level, written) in [(Level::Debug, true), (Level::Info, false), (Level::Error, false)] {
        let mut vm = Vm::with_config(three_routes());
        vm.set_log_level(level);
        vm.request(Request::get("/"));
        resolved_request(&mut vm, "/", NONE);
        assert_eq!(!vm.log_at(Level::Debug).is_empty(), written, "{level:?}: {:#?}", vm.log());
    }
}

#[test]
fn log_lines_contain_no_line_breaks_from_requests_or_call_responses() {
    let mut vm = Vm::with_config(three_routes());
    let control_bytes = b"a\r\nlevel=error b=\"\x00\xff";
    vm.request(
        Request::get("/").host(control_bytes).header("origin", control_bytes).header("x-request-id", control_bytes),
    );
    vm.request(Request::get("/").without(":path").header(":path", control_bytes));
    resolved_request(&mut vm, "/", control_bytes);
    for (_, line) in vm.log() {
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
    }
}

#[test]
fn filter_state_holds_the_decision_and_its_reason() {
    let mut config = three_routes();
    config["filter_state"] = json!(true);
    config["rules"][1]["name"] = json!(null);
    config["rules"][1].as_object_mut().unwrap().remove("name");
    let mut vm = Vm::with_config(config);
    let state = |stream: Stream| {
        ["decision", "reason", "rule", "user", "source"]
            .map(|key| stream.filter_state(&format!("wasm.rest_sessions.{key}")).unwrap_or_default())
    };
    let none = vm.request(Request::get("/"));
    assert_eq!(state(none)[..3], ["deny", "no_session", "default"]);
    assert_eq!(state(vm.request(Request::get("/optional/a")))[..3], ["allow", "anonymous", "open"]);
    assert_eq!(state(vm.request(Request::get("/off/a")))[..3], ["allow", "off", "rules[1]"]);
    assert_eq!(state(vm.request(Request::get("/off/../a")))[..2], ["deny", "ambiguous_path"]);
    let active = resolved_request(&mut vm, "/", session_of("Zoë 1"));
    assert_eq!(state(active), ["allow", "session", "default", "Zo%C3%AB 1", "cookie:session-cookie"]);
    let (outage, call) = pending_request(&mut vm, "/");
    vm.time_out(&call);
    assert_eq!(state(outage)[..3], ["deny", "unavailable", "default"]);
}

#[test]
fn filter_state_is_empty_unless_configured() {
    let mut vm = Vm::with_config(three_routes());
    let stream = vm.request(Request::get("/off/a"));
    assert_eq!(stream.filter_state("wasm.rest_sessions.decision"), None);
}
