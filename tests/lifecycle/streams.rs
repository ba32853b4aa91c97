//! The phases of a stream: what is held, what passes, and when the filter reads what.

use super::emulator::{FinalCallbackOrder, Request, StreamDestruction, Vm};
use super::{NONE, ROUTES, SESSION, pending_request, resolved_request, respond_to_all, three_routes, upload};

#[test]
fn body_and_trailers_are_held_until_the_session_is_known_and_follow_in_order() {
    let mut vm = Vm::with_config(three_routes());
    let stream = upload(&mut vm, "/");
    for piece in [&b"one,"[..], b"two,", b"three"] {
        stream.send_body(piece, false);
    }
    stream.send_trailers([("x-checksum", "7")]);
    assert!(stream.is_paused() && stream.upstream_body().is_empty());
    respond_to_all(&mut vm);
    assert_eq!(stream.upstream_body(), b"one,two,three");
    assert_eq!(stream.upstream_trailers().unwrap(), [(b"x-checksum".to_vec(), b"7".to_vec())]);
    stream.upstream_responds(200);
    assert!(stream.is_gone());
}

#[test]
fn a_body_sent_after_the_session_is_known_passes_at_once() {
    let mut vm = Vm::with_config(three_routes());
    let stream = upload(&mut vm, "/");
    respond_to_all(&mut vm);
    stream.send_body(b"late", false);
    stream.send_body(b"r", true);
    assert_eq!(stream.upstream_body(), b"later");
}

#[test]
fn the_rest_of_a_denied_upload_never_reaches_the_upstream() {
    for destruction in [StreamDestruction::Immediate, StreamDestruction::Deferred, StreamDestruction::Manual] {
        let mut vm = Vm::with_config(three_routes());
        vm.set_stream_destruction(destruction);
        let stream = upload(&mut vm, "/");
        stream.send_body(b"early", false);
        let call = vm.call();
        vm.respond(&call, 200, NONE);
        stream.send_body(b"late", false);
        stream.send_trailers([("x-session-user", "forged")]);
        assert_eq!(stream.local_reply_status(), Some(401));
        assert!(!stream.passed() && stream.upstream_body().is_empty());
    }
}

#[test]
fn no_map_or_buffer_is_read_outside_its_phase() {
    let mut vm = Vm::with_config(three_routes());
    for path in ROUTES {
        let stream = upload(&mut vm, path);
        stream.send_body(b"one", false);
        respond_to_all(&mut vm);
        stream.send_body(b"two", false);
        stream.send_trailers([("x-a", "b")]);
        stream.upstream_responds_with([(":status", "200")], b"response", Some([("x-trailer", "1")]));
        assert!(stream.is_gone());
    }
    let stream = resolved_request(&mut vm, "/", NONE);
    assert!(stream.is_gone());
    assert_eq!(vm.refusals(), [""; 0]);
}

#[test]
fn the_upstream_response_is_unchanged() {
    let mut vm = Vm::with_config(three_routes());
    let stream = resolved_request(&mut vm, "/", SESSION);
    let headers = [(":status", &b"200"[..]), ("set-cookie", b"a=b"), ("x-session-user", b"mine"), ("x", b"\xff")];
    stream.upstream_responds_with(headers, b"body", None::<[(&str, &str); 0]>);
    let expected: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect();
    assert_eq!(stream.client_headers(), expected);
    assert_eq!(stream.client_body(), b"body");
    assert_eq!(stream.local_reply(), None);
}

#[test]
fn a_local_reply_is_counted_once_in_every_order_of_destruction_and_final_callbacks() {
    for destruction in [StreamDestruction::Immediate, StreamDestruction::Deferred, StreamDestruction::Manual] {
        for order in [FinalCallbackOrder::LogFirst, FinalCallbackOrder::DoneFirst] {
            let mut vm = Vm::with_config(three_routes());
            vm.set_stream_destruction(destruction);
            vm.set_final_callback_order(order);
            let at_once = vm.request(Request::get("/"));
            let later = resolved_request(&mut vm, "/", NONE);
            for stream in [at_once, later] {
                assert_eq!(stream.local_reply_status(), Some(401));
                stream.disconnect();
                assert!(stream.is_gone());
            }
            assert_eq!(vm.counter("denied_no_session_total"), 2);
        }
    }
}

#[test]
fn request_headers_delivered_twice_are_denied() {
    let mut vm = Vm::with_config(three_routes());
    let (stream, call) = pending_request(&mut vm, "/");
    stream.repeat_headers();
    assert!(!stream.passed());
    assert_eq!(stream.denial(), Some((503, "sessions_unavailable".to_owned())));
    vm.respond(&call, 200, SESSION);
    assert!(!stream.passed());
}
