//! Logout requests: their kill calls, their local replies, and clients that disconnect meanwhile.

use super::emulator::{Call, ClusterState, Request, Stream, Vm};
use super::{NONE, SESSION, assert_counters, config, pending_request, resolved_request, token};
use serde_json::{Value, json};
use std::time::Duration;

const KILLED: &str = r#"{"kill":1}"#;
const NOTHING_TO_KILL: &str = r#"{"kill":0}"#;

fn logout_config() -> Value {
    config(json!({"logout": {"path": "/logout"}, "cache": {"ttl": "1h", "stale_if_error": "1h"}}))
}

fn logout(numbers: &[u32]) -> Request {
    numbers.iter().fold(Request::new("POST", "/logout"), |request, number| request.token(&token(*number)))
}

/// A logout request with these tokens, and the kill calls that it is paused for.
fn pending_logout(vm: &mut Vm, numbers: &[u32]) -> (Stream, Vec<Call>) {
    let stream = vm.request(logout(numbers));
    assert!(stream.is_paused(), "{:?}", stream.local_reply());
    let calls = vm.calls();
    assert!(calls.iter().all(|call| call.path().contains("/kill/")));
    (stream, calls)
}

/// Puts the session of the first token into the cache.
fn cache_session(vm: &mut Vm) {
    assert!(resolved_request(vm, "/", SESSION).passed());
    assert!(vm.request(Request::get("/").token(&token(1))).passed(), "the session was not served from the cache");
}

#[test]
fn the_local_reply_waits_for_every_kill() {
    let mut vm = Vm::with_config(logout_config());
    let (stream, calls) = pending_logout(&mut vm, &[1, 2]);
    assert_eq!(calls.len(), 2);
    vm.respond(&calls[1], 200, KILLED);
    assert!(stream.is_paused());
    vm.respond(&calls[0], 200, NOTHING_TO_KILL);
    assert_eq!(stream.local_reply_status(), Some(204));
    assert_eq!(vm.gauge("in_flight"), 0);
    assert_counters(&vm, &[("logouts_total", 1), ("ends_total", 1)]);
}

#[test]
fn the_cache_stops_serving_the_session_whatever_the_outcome_of_the_kill() {
    type Outcome = fn(&mut Vm, &Call);
    let outcomes: [(Outcome, u32); 7] = [
        (|vm, call| vm.respond(call, 200, KILLED), 204),
        (|vm, call| vm.respond(call, 200, "{}"), 503),
        (|vm, call| vm.respond(call, 200, "junk"), 503),
        (|vm, call| vm.respond(call, 404, ""), 503),
        (|vm, call| vm.respond(call, 500, ""), 503),
        (|vm, call| vm.refuse_connection(call), 503),
        (|vm, call| vm.reset(call), 503),
    ];
    for (number, (outcome, status)) in outcomes.into_iter().enumerate() {
        let mut vm = Vm::with_config(logout_config());
        cache_session(&mut vm);
        let (stream, calls) = pending_logout(&mut vm, &[1]);
        // Already while the kill is in flight, the cache does not serve it.
        let meanwhile = vm.request(Request::get("/").token(&token(1)));
        assert!(meanwhile.is_paused(), "outcome {number}");
        let lookup = vm.calls().into_iter().find(|call| call.path().contains("/get/")).expect("a lookup is in flight");
        outcome(&mut vm, &calls[0]);
        let reply = stream.local_reply().expect("the logout has a local reply");
        assert_eq!(reply.status, status, "outcome {number}");
        assert_eq!(
            reply.header("set-cookie").is_some(),
            status == 204,
            "the cookie is deleted only if the session has ended"
        );
        // A lookup from before the kill response may have read the session before it ended.
        vm.respond(&lookup, 200, SESSION);
        assert!(meanwhile.is_paused(), "outcome {number}");
        let again = vm.call();
        vm.respond(&again, 200, if status == 204 { NONE } else { SESSION });
        assert_eq!(meanwhile.passed(), status == 503, "outcome {number}");
        assert!(vm.calls().is_empty());
    }
}

#[test]
fn a_kill_that_times_out_fails_and_the_session_is_looked_up_again() {
    let mut vm = Vm::with_config(logout_config());
    cache_session(&mut vm);
    let (stream, calls) = pending_logout(&mut vm, &[1]);
    vm.time_out(&calls[0]);
    assert_eq!(stream.denial(), Some((503, "sessions_unavailable".to_owned())));
    let page = resolved_request(&mut vm, "/", SESSION);
    assert!(page.passed());
    assert_eq!(vm.counter("call_failures_timeout_total"), 1);
}

#[test]
fn a_logout_completes_after_the_client_disconnects() {
    let mut vm = Vm::with_config(logout_config());
    cache_session(&mut vm);
    let (stream, calls) = pending_logout(&mut vm, &[1]);
    stream.disconnect();
    vm.respond(&calls[0], 200, KILLED);
    let next = resolved_request(&mut vm, "/", NONE);
    assert_eq!(next.local_reply_status(), Some(401));
    assert_eq!((vm.counter("abandoned_total"), vm.counter("ends_total")), (1, 1));
}

#[test]
fn a_kill_refused_at_dispatch_fails_immediately() {
    for cluster in [None, Some(ClusterState::NoEndpoints)] {
        let mut vm = Vm::with_config(logout_config());
        cache_session(&mut vm);
        vm.set_cluster("rest-sessions", cluster);
        let stream = vm.request(logout(&[1, 2]));
        assert_eq!(stream.denial(), Some((503, "sessions_unavailable".to_owned())));
        let page = vm.request(Request::get("/").token(&token(1)));
        assert_eq!(page.local_reply_status(), Some(503), "no stale session is served after a logout");
        assert_eq!(vm.counter("logout_failures_total"), 1);
    }
}

#[test]
fn one_request_ends_at_most_eight_sessions() {
    let mut vm = Vm::with_config(logout_config());
    let (stream, calls) = pending_logout(&mut vm, &(0..20).collect::<Vec<_>>());
    assert_eq!(calls.len(), 8);
    for call in &calls {
        vm.respond(call, 200, KILLED);
    }
    assert_eq!(stream.local_reply_status(), Some(204));
}

#[test]
fn kills_have_a_limit_of_their_own_beside_max_in_flight() {
    let mut configuration = logout_config();
    configuration["rest_sessions"]["max_in_flight"] = 1.into();
    let mut vm = Vm::with_config(configuration);
    let lookup = vm.request(Request::get("/").token(&token(1)));
    let stream = vm.request(logout(&(2..10).collect::<Vec<_>>()));
    let calls = vm.calls();
    let another = vm.request(logout(&[20]));
    assert_eq!(another.denial(), Some((503, "sessions_busy".to_owned())), "eight kills are in flight");
    let busy = vm.request(Request::get("/").token(&token(30)));
    assert_eq!(busy.denial(), Some((503, "sessions_busy".to_owned())), "one lookup is in flight");
    for call in calls.iter().filter(|call| call.path().contains("/kill/")) {
        vm.respond(call, 200, KILLED);
    }
    assert_eq!(stream.local_reply_status(), Some(204));
    let call = vm.call();
    vm.respond(&call, 200, SESSION);
    assert!(lookup.passed());
}

#[test]
fn a_kill_response_never_reaches_a_stream_with_a_reused_id() {
    let mut vm = Vm::with_config(logout_config());
    let (gone, kills) = pending_logout(&mut vm, &[1]);
    gone.disconnect();
    let reused = vm.request_reusing_id(gone, Request::get("/").token(&token(2)));
    vm.respond(&kills[0], 200, KILLED);
    assert!(reused.is_paused() && reused.local_reply().is_none());
    let call = vm.call();
    vm.respond(&call, 200, SESSION);
    assert!(reused.passed());
}

#[test]
fn a_session_beyond_a_limit_is_denied_without_waiting_for_its_kill() {
    let mut vm = Vm::with_config(config(json!({"limits": {"idle": "2s"}, "cache": {"ttl": "1s"}})));
    let (stream, call) = pending_request(&mut vm, "/");
    // The session has been idle for three seconds.
    vm.respond(&call, 200, SESSION);
    assert_eq!(stream.local_reply_status(), Some(401));
    let kill = vm.call();
    assert!(kill.path().contains("/kill/"));
    vm.advance(Duration::from_secs(1));
    assert_eq!((vm.calls().len(), vm.gauge("in_flight")), (0, 0));
    assert_eq!(vm.counter("denied_no_session_total"), 1);
}

#[test]
fn concurrent_requests_for_a_session_beyond_a_limit_kill_it_once() {
    let mut vm = Vm::with_config(config(json!({"limits": {"idle": "2s"}})));
    let streams: Vec<_> = (0..300).map(|_| vm.request(Request::get("/").token(&token(1)))).collect();
    let call = vm.call();
    vm.respond(&call, 200, SESSION);
    assert!(streams.iter().all(|stream| stream.local_reply_status() == Some(401)));
    let kill = vm.call();
    vm.respond(&kill, 200, KILLED);
    assert_eq!((vm.dispatched(), vm.counter("ends_total")), (2, 1));
}

#[test]
fn a_prefetched_logout_makes_no_call_and_the_cache_keeps_the_session() {
    let mut configuration = logout_config();
    configuration["logout"]["methods"] = json!(["GET"]);
    let mut vm = Vm::with_config(configuration);
    cache_session(&mut vm);
    let calls = vm.dispatched();
    let prefetch = vm.request(Request::get("/logout").token(&token(1)).header("sec-purpose", "prefetch;prerender"));
    assert_eq!(prefetch.denial(), Some((403, "prefetch".to_owned())));
    assert_eq!(prefetch.local_reply().unwrap().header("set-cookie"), None);
    assert!(vm.request(Request::get("/").token(&token(1))).passed(), "the session is still served from the cache");
    assert_eq!(vm.dispatched(), calls);
}
