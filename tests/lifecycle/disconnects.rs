//! Clients that disconnect, and call responses that arrive late, out of order or for an unknown call.

use super::emulator::{Call, FinalCallbackOrder, Request, Vm};
use super::{
    NONE, SESSION, annotation, assert_counters, pending_request, resolved_request, session_of, three_routes, token,
};
use std::time::Duration;

#[test]
fn a_client_that_disconnects_before_the_call_response_is_counted_as_abandoned() {
    for order in [FinalCallbackOrder::LogFirst, FinalCallbackOrder::DoneFirst] {
        let mut vm = Vm::with_config(three_routes());
        vm.set_final_callback_order(order);
        let (stream, call) = pending_request(&mut vm, "/");
        stream.disconnect();
        assert_counters(&vm, &[("abandoned_total", 1)]);
        vm.respond(&call, 200, SESSION);
        assert!(!stream.passed());
        assert_counters(&vm, &[("abandoned_total", 1)]);
        assert_eq!(vm.gauge("in_flight"), 0);
    }
}

#[test]
fn any_call_outcome_for_a_disconnected_client_leaves_other_requests_unaffected() {
    type Outcome = fn(&mut Vm, &Call);
    let outcomes: [Outcome; 6] = [
        |vm, call| vm.respond(call, 200, NONE),
        |vm, call| vm.respond(call, 200, "junk"),
        |vm, call| vm.respond(call, 500, ""),
        |vm, call| vm.refuse_connection(call),
        |vm, call| vm.reset(call),
        |vm, call| vm.time_out(call),
    ];
    for keep_deleted in [false, true] {
        for outcome in outcomes {
            let mut vm = Vm::with_config(three_routes());
            if keep_deleted {
                vm.keep_deleted_contexts();
            }
            let (gone, call) = pending_request(&mut vm, "/");
            let remaining = vm.request(Request::get("/").token(&token(2)));
            gone.disconnect();
            outcome(&mut vm, &call);
            assert!(gone.local_reply().is_none() && remaining.is_paused());
            let call = vm.call();
            vm.respond(&call, 200, session_of("second"));
            assert_eq!(remaining.upstream_header("x-session-user").as_deref(), Some("second"));
            assert_eq!((vm.counter("abandoned_total"), vm.counter("allowed_total")), (1, 1));
        }
    }
}

#[test]
fn a_disconnect_after_the_request_has_passed_keeps_its_outcome() {
    let mut vm = Vm::with_config(three_routes());
    let stream = resolved_request(&mut vm, "/", SESSION);
    stream.disconnect();
    let off = vm.request(Request::get("/off/a"));
    off.disconnect();
    assert_counters(&vm, &[("allowed_total", 1), ("off_total", 1)]);
}

#[test]
fn a_disconnect_during_an_upload_is_counted_as_abandoned() {
    let mut vm = Vm::with_config(three_routes());
    let stream = vm.request_with_body(Request::new("POST", "/").token(&token(1)));
    stream.send_body(b"half", false);
    stream.disconnect();
    let call = vm.call();
    vm.respond(&call, 200, SESSION);
    assert!(stream.upstream_body().is_empty());
    assert_counters(&vm, &[("abandoned_total", 1)]);
}

#[test]
fn call_responses_in_reverse_order_reach_the_matching_requests() {
    let mut vm = Vm::with_config(three_routes());
    let streams: Vec<_> = (0..5).map(|n| vm.request(Request::get("/").token(&token(n)))).collect();
    let calls = vm.calls();
    for (n, call) in calls.iter().enumerate().rev() {
        assert!(call.path().ends_with(&token(u32::try_from(n).unwrap())));
        vm.respond(call, 200, session_of(&format!("user{n}")));
        assert!(streams[n].passed());
        assert!(streams[..n].iter().all(|stream| stream.is_paused()));
    }
    for (n, stream) in streams.iter().enumerate() {
        assert_eq!(stream.upstream_header("x-session-user"), Some(format!("user{n}")));
    }
}

#[test]
fn a_stream_with_a_reused_id_never_gets_the_previous_streams_session() {
    let mut vm = Vm::with_config(three_routes());
    let (gone, first) = pending_request(&mut vm, "/");
    gone.disconnect();
    let reused = vm.request_reusing_id(gone, Request::get("/").token(&token(2)));
    assert_eq!(reused.context(), gone.context());
    vm.respond(&first, 200, session_of("first"));
    assert!(reused.is_paused(), "the response was for the previous stream with this id");
    let second = vm.call();
    vm.respond(&second, 200, session_of("second"));
    assert_eq!(reused.upstream_header("x-session-user").as_deref(), Some("second"));
    assert_counters(&vm, &[("abandoned_total", 1), ("allowed_total", 1)]);
}

#[test]
fn a_passed_stream_with_a_reused_id_ignores_the_previous_streams_call_response() {
    let mut vm = Vm::with_config(three_routes());
    let (gone, first) = pending_request(&mut vm, "/");
    gone.disconnect();
    let reused = vm.request_reusing_id(gone, Request::get("/off/a"));
    vm.respond(&first, 200, NONE);
    assert!(reused.passed() && reused.local_reply().is_none());
    assert_eq!(annotation(reused), [None, None, None]);
}

#[test]
fn the_response_to_an_unknown_call_is_dropped() {
    let mut vm = Vm::with_config(three_routes());
    let (stream, call) = pending_request(&mut vm, "/");
    let unknown = [vm.unknown_call(), vm.unknown_call()];
    vm.respond(&unknown[0], 200, SESSION);
    vm.reset(&unknown[1]);
    assert!(stream.is_paused());
    vm.respond(&call, 200, SESSION);
    assert!(stream.passed());
    assert_counters(&vm, &[("allowed_total", 1)]);
}

#[test]
fn a_call_without_pending_requests_times_out_and_the_next_request_starts_another() {
    let mut vm = Vm::with_config(three_routes());
    let streams = [1, 1, 2].map(|n| vm.request(Request::get("/").token(&token(n))));
    for stream in streams {
        stream.disconnect();
    }
    vm.advance(Duration::from_millis(500));
    assert_eq!((vm.calls().len(), vm.gauge("in_flight"), vm.counter("abandoned_total")), (0, 0, 3));
    let third = resolved_request(&mut vm, "/", SESSION);
    assert!(third.passed());
}

#[test]
fn mass_disconnects_leave_every_remaining_request_decided() {
    for (body, denied) in [(SESSION, false), (NONE, true)] {
        let mut vm = Vm::with_config(three_routes());
        let streams: Vec<_> = (0..256).map(|n| vm.request(Request::get("/").token(&token(n)))).collect();
        assert_eq!(vm.request(Request::get("/").token(&token(256))).denial().unwrap().1, "sessions_busy");
        for stream in streams.iter().step_by(3) {
            stream.disconnect();
        }
        for call in vm.calls().iter().rev() {
            vm.respond(call, 200, body);
        }
        for (n, stream) in streams.iter().enumerate().filter(|(n, _)| n % 3 != 0) {
            assert_eq!((stream.passed(), stream.local_reply().is_some()), (!denied, denied), "stream {n}");
        }
        assert_eq!((vm.counter("abandoned_total"), vm.counter("calls_total")), (86, 256));
        assert_eq!(vm.gauge("in_flight"), 0);
    }
}

#[test]
fn one_event_can_take_a_stream_from_its_call_response_to_its_destruction() {
    let mut vm = Vm::with_config(three_routes());
    let upload = vm.request_with_body(Request::new("POST", "/").token(&token(1)));
    upload.send_body(b"body", false);
    upload.send_trailers([("x-session-user", "forged")]);
    let call = vm.call();
    vm.respond(&call, 200, SESSION);
    assert_eq!((upload.upstream_body(), upload.upstream_trailers()), (b"body".to_vec(), Some(Vec::new())));
    let denied = resolved_request(&mut vm, "/", NONE);
    assert!(denied.is_gone() && denied.denial().is_some());
}

#[test]
fn deleting_a_configuration_cancels_its_calls() {
    let mut vm = Vm::with_config(three_routes());
    let (stream, _) = pending_request(&mut vm, "/");
    let old = vm.root();
    stream.disconnect();
    vm.configure(three_routes()).unwrap();
    vm.retire(old);
    assert!(vm.calls().is_empty());
    assert_eq!(vm.gauge("in_flight"), 0, "the host has cancelled the call");
    let next = resolved_request(&mut vm, "/", SESSION);
    assert!(next.passed());
}
