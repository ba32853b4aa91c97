//! Requests that end sessions: their calls, their answers, and clients that leave meanwhile.

use super::emulator::{Call, ClusterState, Request, Stream, Vm};
use super::{NONE, SESSION, assert_counters, config, token, waiting};
use serde_json::{Value, json};
use std::time::Duration;

const KILLED: &str = r#"{"kill":1}"#;
const NOTHING_TO_KILL: &str = r#"{"kill":0}"#;

fn shop() -> Value {
    config(json!({"logout": {"path": "/logout"}, "cache": {"ttl": "1h", "stale_if_error": "1h"}}))
}

fn logout(numbers: &[u32]) -> Request {
    numbers.iter().fold(Request::new("POST", "/logout"), |request, number| request.token(&token(*number)))
}

/// A request that logs out, and the calls that it waits for.
fn ending(vm: &mut Vm, numbers: &[u32]) -> (Stream, Vec<Call>) {
    let stream = vm.request(logout(numbers));
    assert!(stream.is_paused(), "{:?}", stream.local_reply());
    let calls = vm.calls();
    assert!(calls.iter().all(|call| call.path().contains("/kill/")));
    (stream, calls)
}

/// A session that the cache holds.
fn cached(vm: &mut Vm) {
    let (stream, call) = waiting(vm, "/");
    vm.respond(&call, 200, SESSION);
    assert!(stream.passed());
    assert!(vm.request(Request::get("/").token(&token(1))).passed(), "the cache does not hold the session");
}

#[test]
fn the_answer_waits_for_every_kill() {
    let mut vm = Vm::with_config(shop());
    let (stream, calls) = ending(&mut vm, &[1, 2]);
    assert_eq!(calls.len(), 2);
    vm.respond(&calls[1], 200, KILLED);
    assert!(stream.is_paused());
    vm.respond(&calls[0], 200, NOTHING_TO_KILL);
    assert_eq!(stream.local_reply().map(|reply| reply.status), Some(204));
    assert_eq!(vm.gauge("in_flight"), 0);
    assert_counters(&vm, &[("logouts_total", 1), ("ends_total", 1)]);
}

#[test]
fn whatever_becomes_of_the_kill_the_cache_serves_the_session_no_more() {
    type End = fn(&mut Vm, &Call);
    let ends: [(End, u32); 7] = [
        (|vm, call| vm.respond(call, 200, KILLED), 204),
        (|vm, call| vm.respond(call, 200, "{}"), 503),
        (|vm, call| vm.respond(call, 200, "junk"), 503),
        (|vm, call| vm.respond(call, 404, ""), 503),
        (|vm, call| vm.respond(call, 500, ""), 503),
        (|vm, call| vm.refuse_connection(call), 503),
        (|vm, call| vm.reset(call), 503),
    ];
    for (number, (end, status)) in ends.into_iter().enumerate() {
        let mut vm = Vm::with_config(shop());
        cached(&mut vm);
        let (stream, calls) = ending(&mut vm, &[1]);
        // Not even while the kill is under way.
        let meanwhile = vm.request(Request::get("/").token(&token(1)));
        assert!(meanwhile.is_paused(), "end {number}");
        let asked = vm.calls().into_iter().find(|call| call.path().contains("/get/")).expect("it asks");
        end(&mut vm, &calls[0]);
        let reply = stream.local_reply().expect("it is answered");
        assert_eq!(reply.status, status, "end {number}");
        assert_eq!(reply.header("set-cookie").is_some(), status == 204, "the cookie goes only with its session");
        // What was asked before the kill was answered may have been read before it was done.
        vm.respond(&asked, 200, SESSION);
        assert!(meanwhile.is_paused(), "end {number}");
        let again = vm.call();
        vm.respond(&again, 200, if status == 204 { NONE } else { SESSION });
        assert_eq!(meanwhile.passed(), status == 503, "end {number}");
        assert!(vm.calls().is_empty());
    }
}

#[test]
fn a_kill_that_is_not_answered_in_time_is_a_failure_and_the_session_is_asked_for_anew() {
    let mut vm = Vm::with_config(shop());
    cached(&mut vm);
    let (stream, calls) = ending(&mut vm, &[1]);
    vm.time_out(&calls[0]);
    assert_eq!(stream.denial(), Some((503, "sessions_unavailable".to_owned())));
    let (page, call) = waiting(&mut vm, "/");
    vm.respond(&call, 200, SESSION);
    assert!(page.passed());
    assert_eq!(vm.counter("call_failures_timeout_total"), 1);
}

#[test]
fn a_client_that_leaves_ends_its_session_all_the_same() {
    let mut vm = Vm::with_config(shop());
    cached(&mut vm);
    let (stream, calls) = ending(&mut vm, &[1]);
    stream.disconnect();
    vm.respond(&calls[0], 200, KILLED);
    let (next, call) = waiting(&mut vm, "/");
    vm.respond(&call, 200, NONE);
    assert_eq!(next.denial_status(), Some(401));
    assert_eq!((vm.counter("abandoned_total"), vm.counter("ends_total")), (1, 1));
}

#[test]
fn a_kill_that_the_host_does_not_take_is_a_failure_at_once() {
    for cluster in [None, Some(ClusterState::NoEndpoints)] {
        let mut vm = Vm::with_config(shop());
        cached(&mut vm);
        vm.set_cluster("rest-sessions", cluster);
        let stream = vm.request(logout(&[1, 2]));
        assert_eq!(stream.denial(), Some((503, "sessions_unavailable".to_owned())));
        let page = vm.request(Request::get("/").token(&token(1)));
        assert_eq!(page.denial_status(), Some(503), "nothing stale is served after a logout");
        assert_eq!(vm.counter("logout_failures_total"), 1);
    }
}

#[test]
fn no_more_than_eight_sessions_end_with_one_request() {
    let mut vm = Vm::with_config(shop());
    let (stream, calls) = ending(&mut vm, &(0..20).collect::<Vec<_>>());
    assert_eq!(calls.len(), 8);
    for call in &calls {
        vm.respond(call, 200, KILLED);
    }
    assert_eq!(stream.local_reply().map(|reply| reply.status), Some(204));
}

#[test]
fn kills_count_among_the_calls_under_way() {
    let mut configuration = shop();
    configuration["rest_sessions"]["max_in_flight"] = 1.into();
    let mut vm = Vm::with_config(configuration);
    let (stream, calls) = ending(&mut vm, &[1]);
    let another = vm.request(logout(&[2]));
    assert_eq!(another.denial(), Some((503, "sessions_busy".to_owned())));
    vm.respond(&calls[0], 200, KILLED);
    assert_eq!(stream.local_reply().map(|reply| reply.status), Some(204));
}

#[test]
fn an_answer_for_a_logout_never_reaches_the_stream_that_took_its_id() {
    let mut vm = Vm::with_config(shop());
    let (gone, kills) = ending(&mut vm, &[1]);
    gone.disconnect();
    let heir = vm.request_reusing_id(gone, Request::get("/").token(&token(2)));
    vm.respond(&kills[0], 200, KILLED);
    assert!(heir.is_paused() && heir.local_reply().is_none());
    let call = vm.call();
    vm.respond(&call, 200, SESSION);
    assert!(heir.passed());
}

#[test]
fn a_session_beyond_a_limit_is_killed_and_the_request_does_not_wait_for_it() {
    let mut vm = Vm::with_config(config(json!({"limits": {"idle": "2s"}, "cache": {"ttl": "1s"}})));
    let (stream, call) = waiting(&mut vm, "/");
    // It says that it lay idle for three seconds.
    vm.respond(&call, 200, SESSION);
    assert_eq!(stream.denial_status(), Some(401));
    let kill = vm.call();
    assert!(kill.path().contains("/kill/"));
    vm.advance(Duration::from_secs(1));
    assert_eq!((vm.calls().len(), vm.gauge("in_flight")), (0, 0));
    assert_eq!(vm.counter("denied_no_session_total"), 1);
}

#[test]
fn a_crowd_that_waits_for_a_session_beyond_a_limit_ends_it_once() {
    let mut vm = Vm::with_config(config(json!({"limits": {"idle": "2s"}})));
    let streams: Vec<_> = (0..300).map(|_| vm.request(Request::get("/").token(&token(1)))).collect();
    let call = vm.call();
    vm.respond(&call, 200, SESSION);
    assert!(streams.iter().all(|stream| stream.denial_status() == Some(401)));
    let kill = vm.call();
    vm.respond(&kill, 200, KILLED);
    assert_eq!((vm.dispatched(), vm.counter("ends_total")), (2, 1));
}
