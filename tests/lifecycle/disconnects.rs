//! Clients that leave, and answers that come late, in another order, or for nobody.

use super::emulator::{FinalCallbackOrder, Request, Vm};
use super::{NONE, SESSION, annotation, assert_counters, session_of, three_routes, token, waiting};
use std::time::Duration;

#[test]
fn a_client_that_leaves_before_its_answer_is_counted_as_abandoned() {
    for final_callback_order in [FinalCallbackOrder::LogFirst, FinalCallbackOrder::DoneFirst] {
        let mut vm = Vm::with_config(three_routes());
        vm.set_final_callback_order(final_callback_order);
        let (stream, call) = waiting(&mut vm, "/");
        stream.disconnect();
        assert_counters(&vm, &[("abandoned_total", 1)]);
        vm.respond(&call, 200, SESSION);
        assert!(!stream.passed());
        assert_counters(&vm, &[("abandoned_total", 1)]);
        assert_eq!(vm.gauge("in_flight"), 0);
    }
}

#[test]
fn whatever_comes_for_a_client_that_has_left_harms_nobody() {
    type End = fn(&mut Vm, &super::Call);
    let ends: [End; 6] = [
        |vm, call| vm.respond(call, 200, NONE),
        |vm, call| vm.respond(call, 200, "junk"),
        |vm, call| vm.respond(call, 500, ""),
        |vm, call| vm.refuse_connection(call),
        |vm, call| vm.reset(call),
        |vm, call| vm.time_out(call),
    ];
    for keeps_deleted in [false, true] {
        for end in ends {
            let mut vm = Vm::with_config(three_routes());
            if keeps_deleted {
                vm.keep_deleted_contexts();
            }
            let (gone, call) = waiting(&mut vm, "/");
            let stays = vm.request(Request::get("/").token(&token(2)));
            gone.disconnect();
            end(&mut vm, &call);
            assert!(gone.local_reply().is_none() && stays.is_paused());
            let call = vm.call();
            vm.respond(&call, 200, session_of("second"));
            assert_eq!(stays.upstream_header("x-session-user").as_deref(), Some("second"));
            assert_eq!((vm.counter("abandoned_total"), vm.counter("allowed_total")), (1, 1));
        }
    }
}

#[test]
fn a_client_may_leave_after_its_request_has_passed() {
    let mut vm = Vm::with_config(three_routes());
    let (stream, call) = waiting(&mut vm, "/");
    vm.respond(&call, 200, SESSION);
    stream.disconnect();
    let off = vm.request(Request::get("/off/a"));
    off.disconnect();
    assert_counters(&vm, &[("allowed_total", 1), ("off_total", 1)]);
}

#[test]
fn a_client_may_leave_in_the_middle_of_its_upload() {
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
fn answers_in_the_reverse_order_reach_those_who_asked() {
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
fn a_stream_that_takes_the_id_of_one_that_left_never_gets_its_session() {
    let mut vm = Vm::with_config(three_routes());
    let (gone, first) = waiting(&mut vm, "/");
    gone.disconnect();
    let heir = vm.request_reusing_id(gone, Request::get("/").token(&token(2)));
    assert_eq!(heir.context(), gone.context());
    vm.respond(&first, 200, session_of("first"));
    assert!(heir.is_paused(), "the answer was for the one that left");
    let second = vm.call();
    vm.respond(&second, 200, session_of("second"));
    assert_eq!(heir.upstream_header("x-session-user").as_deref(), Some("second"));
    assert_counters(&vm, &[("abandoned_total", 1), ("allowed_total", 1)]);
}

#[test]
fn a_stream_that_takes_an_id_and_passes_is_not_resumed_by_the_old_answer() {
    let mut vm = Vm::with_config(three_routes());
    let (gone, first) = waiting(&mut vm, "/");
    gone.disconnect();
    let heir = vm.request_reusing_id(gone, Request::get("/off/a"));
    vm.respond(&first, 200, NONE);
    assert!(heir.passed() && heir.local_reply().is_none());
    assert_eq!(annotation(heir), [None, None, None]);
}

#[test]
fn an_answer_to_a_call_that_the_filter_does_not_know_is_dropped() {
    let mut vm = Vm::with_config(three_routes());
    let (stream, call) = waiting(&mut vm, "/");
    let strays = [vm.unknown_call(), vm.unknown_call()];
    vm.respond(&strays[0], 200, SESSION);
    vm.reset(&strays[1]);
    assert!(stream.is_paused());
    vm.respond(&call, 200, SESSION);
    assert!(stream.passed());
    assert_counters(&vm, &[("allowed_total", 1)]);
}

#[test]
fn calls_that_everybody_has_left_end_and_the_next_request_asks_anew() {
    let mut vm = Vm::with_config(three_routes());
    let streams = [1, 1, 2].map(|n| vm.request(Request::get("/").token(&token(n))));
    for stream in streams {
        stream.disconnect();
    }
    vm.advance(Duration::from_millis(500));
    assert_eq!((vm.calls().len(), vm.gauge("in_flight"), vm.counter("abandoned_total")), (0, 0, 3));
    let (third, call) = waiting(&mut vm, "/");
    vm.respond(&call, 200, SESSION);
    assert!(third.passed());
}

#[test]
fn a_storm_of_clients_that_leave_loses_nobody_who_stays() {
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
fn one_event_may_lead_a_stream_from_its_answer_to_its_end() {
    let mut vm = Vm::with_config(three_routes());
    let upload = vm.request_with_body(Request::new("POST", "/").token(&token(1)));
    upload.send_body(b"body", false);
    upload.send_trailers([("x-session-user", "forged")]);
    let call = vm.call();
    vm.respond(&call, 200, SESSION);
    assert_eq!((upload.upstream_body(), upload.upstream_trailers()), (b"body".to_vec(), Some(Vec::new())));
    let (denied, call) = waiting(&mut vm, "/");
    vm.respond(&call, 200, NONE);
    assert!(denied.is_gone() && denied.denial().is_some());
}

#[test]
fn a_configuration_that_goes_leaves_no_answer_behind() {
    let mut vm = Vm::with_config(three_routes());
    let (stream, _) = waiting(&mut vm, "/");
    let old = vm.root();
    stream.disconnect();
    vm.configure(three_routes()).unwrap();
    vm.retire(old);
    assert!(vm.calls().is_empty());
    assert_eq!(vm.gauge("in_flight"), 0, "the host has cancelled the call, so it is under way no more");
    let (next, call) = waiting(&mut vm, "/");
    vm.respond(&call, 200, SESSION);
    assert!(next.passed());
}
