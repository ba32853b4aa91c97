//! Phases of a stream: what is read when, what waits, what is taken out of headers and trailers.

use super::emulator::{FinalCallbackOrder, Request, Stream, StreamDestruction, Vm};
use super::{NONE, SESSION, three_routes, token, waiting};

const ROUTES: [&str; 3] = ["/", "/optional/a", "/off/a"];

/// A request with a body that is paused, or has passed, depending on its route.
fn upload(vm: &mut Vm, path: &str) -> Stream {
    vm.request_with_body(Request::new("POST", path).token(&token(1)))
}

fn settle(vm: &mut Vm) {
    for call in vm.calls() {
        vm.respond(&call, 200, SESSION);
    }
}

#[test]
fn a_body_and_trailers_wait_for_the_session_and_then_follow_in_order() {
    let mut vm = Vm::with_config(three_routes());
    let stream = upload(&mut vm, "/");
    for piece in [&b"one,"[..], b"two,", b"three"] {
        stream.send_body(piece, false);
    }
    stream.send_trailers([("x-checksum", "7")]);
    assert!(stream.is_paused() && stream.upstream_body().is_empty());
    settle(&mut vm);
    assert_eq!(stream.upstream_body(), b"one,two,three");
    assert_eq!(stream.upstream_trailers().unwrap(), [(b"x-checksum".to_vec(), b"7".to_vec())]);
    stream.upstream_responds(200);
    assert!(stream.is_gone());
}

#[test]
fn what_is_sent_after_the_session_came_passes_at_once() {
    let mut vm = Vm::with_config(three_routes());
    let stream = upload(&mut vm, "/");
    settle(&mut vm);
    stream.send_body(b"late", false);
    stream.send_body(b"r", true);
    assert_eq!(stream.upstream_body(), b"later");
}

#[test]
fn the_rest_of_a_denied_upload_goes_nowhere() {
    for ending in [StreamDestruction::Immediate, StreamDestruction::Deferred, StreamDestruction::Manual] {
        let mut vm = Vm::with_config(three_routes());
        vm.set_stream_destruction(ending);
        let stream = upload(&mut vm, "/");
        stream.send_body(b"early", false);
        let call = vm.call();
        vm.respond(&call, 200, NONE);
        stream.send_body(b"late", false);
        stream.send_trailers([("x-session-user", "forged")]);
        assert_eq!(stream.denial_status(), Some(401));
        assert!(!stream.passed() && stream.upstream_body().is_empty());
    }
}

#[test]
fn forged_headers_are_taken_out_on_every_route_in_every_spelling() {
    let spellings = ["x-session-user", "X-Session-User", "x_session.user", "x-session_data", "x!session~status"];
    for path in ROUTES {
        let mut vm = Vm::with_config(three_routes());
        let mut request = Request::get(path).token(&token(1)).header("x-session", "kept");
        for name in spellings {
            request = request.header(name, "forged").header(name, b"\xff\xfe");
        }
        let stream = vm.request(request);
        settle(&mut vm);
        let headers = stream.upstream_headers();
        let forged = headers.iter().filter(|(_, value)| value == b"forged" || value == b"\xff\xfe");
        assert_eq!(forged.count(), 0, "{path}: {headers:?}");
        assert_eq!(stream.upstream_header("x-session").as_deref(), Some("kept"));
    }
}

#[test]
fn default_annotations_are_taken_out_even_where_they_are_mapped_away() {
    let mut config = three_routes();
    config["annotate"]["headers"] = serde_json::json!({"x-user": "id"});
    let mut vm = Vm::with_config(config);
    let stream = vm.request(Request::get("/off/a").header("x-session-user", "a").header("x-session-data", "b"));
    assert_eq!((stream.upstream_header("x-session-user"), stream.upstream_header("x-session-data")), (None, None));
}

#[test]
fn forged_trailers_are_taken_out_on_every_route_whether_they_waited_or_not() {
    let trailers = [("x-session-user", "forged"), ("X_Session.Data", "forged"), ("x-checksum", "7")];
    for path in ROUTES {
        for waits in [true, false] {
            let mut vm = Vm::with_config(three_routes());
            let stream = upload(&mut vm, path);
            stream.send_body(b"body", false);
            if !waits {
                settle(&mut vm);
            }
            stream.send_trailers(trailers);
            settle(&mut vm);
            let received = stream.upstream_trailers().unwrap();
            assert_eq!(received, [(b"x-checksum".to_vec(), b"7".to_vec())], "{path}, waits: {waits}");
        }
    }
}

#[test]
fn what_the_host_would_not_take_out_goes_nowhere() {
    for path in ROUTES {
        let mut vm = Vm::with_config(three_routes());
        vm.refuse_header_changes();
        let stream = vm.request(Request::get(path).token(&token(1)).header("x-session-user", "forged"));
        settle(&mut vm);
        assert!(!stream.passed(), "{path}");
        assert_eq!(stream.local_reply().unwrap().status, 503, "{path}");

        let upload = vm.request_with_body(Request::new("POST", "/off/a"));
        assert!(upload.passed(), "there is nothing to take out of its headers");
        upload.send_trailers([("x-session-user", "forged")]);
        assert_eq!(upload.upstream_trailers(), None, "{path}");
        assert_eq!(upload.local_reply().unwrap().status, 503, "{path}");
    }
}

#[test]
fn an_annotation_that_the_host_does_not_take_lets_nobody_through() {
    let mut vm = Vm::with_config(three_routes());
    let (stream, call) = waiting(&mut vm, "/");
    vm.refuse_header_changes();
    vm.respond(&call, 200, SESSION);
    assert!(!stream.passed());
    assert_eq!(stream.local_reply().unwrap().status, 503);
}

#[test]
fn preflights_are_cleaned_of_forged_headers_too() {
    let mut config = three_routes();
    config["cors_preflight"] = serde_json::json!("pass");
    let mut vm = Vm::with_config(config);
    let request = Request::new("OPTIONS", "/").header("origin", "https://a.example").header("x-session-user", "forged");
    let stream = vm.request(request.header("access-control-request-method", "POST"));
    assert_eq!(stream.upstream_header("x-session-user"), None);
    assert_eq!(vm.counter("preflight_total"), 1);
}

#[test]
fn nothing_is_read_out_of_its_phase() {
    let mut vm = Vm::with_config(three_routes());
    for path in ROUTES {
        let stream = upload(&mut vm, path);
        stream.send_body(b"one", false);
        settle(&mut vm);
        stream.send_body(b"two", false);
        stream.send_trailers([("x-a", "b")]);
        stream.upstream_responds_with([(":status", "200")], b"answer", Some([("x-trailer", "1")]));
        assert!(stream.is_gone());
    }
    let (stream, call) = waiting(&mut vm, "/");
    vm.respond(&call, 200, NONE);
    assert!(stream.is_gone());
    assert_eq!(vm.refusals(), [""; 0]);
}

#[test]
fn the_upstreams_response_is_not_touched() {
    let mut vm = Vm::with_config(three_routes());
    let (stream, call) = waiting(&mut vm, "/");
    vm.respond(&call, 200, SESSION);
    let headers = [(":status", &b"200"[..]), ("set-cookie", b"a=b"), ("x-session-user", b"mine"), ("x", b"\xff")];
    stream.upstream_responds_with(headers, b"body", None::<[(&str, &str); 0]>);
    let expected: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect();
    assert_eq!(stream.client_headers(), expected);
    assert_eq!(stream.client_body(), b"body");
    assert_eq!(stream.local_reply(), None);
}

#[test]
fn a_local_reply_may_end_its_stream_at_once_or_later_and_say_farewell_in_either_order() {
    for ending in [StreamDestruction::Immediate, StreamDestruction::Deferred, StreamDestruction::Manual] {
        for final_callback_order in [FinalCallbackOrder::LogFirst, FinalCallbackOrder::DoneFirst] {
            let mut vm = Vm::with_config(three_routes());
            vm.set_stream_destruction(ending);
            vm.set_final_callback_order(final_callback_order);
            let at_once = vm.request(Request::get("/"));
            let (later, call) = waiting(&mut vm, "/");
            vm.respond(&call, 200, NONE);
            for stream in [at_once, later] {
                assert_eq!(stream.denial_status(), Some(401));
                stream.disconnect();
                assert!(stream.is_gone());
            }
            assert_eq!(vm.counter("denied_no_session_total"), 2);
        }
    }
}

#[test]
fn headers_that_come_a_second_time_do_not_pass_unjudged() {
    let mut vm = Vm::with_config(three_routes());
    let (stream, call) = waiting(&mut vm, "/");
    stream.repeat_headers();
    assert!(!stream.passed());
    assert_eq!(stream.denial(), Some((503, "sessions_unavailable".to_owned())));
    vm.respond(&call, 200, SESSION);
    assert!(!stream.passed());
}
