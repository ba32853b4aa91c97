//! How a stream moves: passing, pausing, local replies and destruction.

use super::probe::{
    acting_on, assert_violations, events, on_callback, pausing_vm, reply, respond_to_unknown_call, resume,
    stop_pausing, vm,
};
use crate::emulator::{FinalCallbackOrder, Request, StreamDestruction};
use proxy_wasm::hostcalls;
use proxy_wasm::types::MapType;

#[test]
fn a_request_passes_with_the_headers_that_the_filter_set() {
    let mut vm = vm();
    on_callback("request headers", |_| {
        hostcalls::remove_map_value(MapType::HttpRequestHeaders, "x-removed").unwrap();
        hostcalls::add_map_value(MapType::HttpRequestHeaders, "x-added", "1").unwrap();
        hostcalls::set_map_value(MapType::HttpRequestHeaders, "x-set", Some("2")).unwrap();
    });
    let request = Request::get("/").header("x-removed", "a").header("X-Removed", "b").header("x-set", "0");
    let stream = vm.request(request.header("x-bytes", b"\xff\xfe"));
    assert_eq!(stream.upstream_header("x-removed"), None);
    assert_eq!(stream.upstream_header_values("x-set"), ["2"]);
    assert_eq!(stream.upstream_header("x-added").as_deref(), Some("1"));
    assert!(stream.upstream_headers().contains(&(b"x-bytes".to_vec(), b"\xff\xfe".to_vec())));
    stream.upstream_responds(200);
    assert!(stream.is_gone());
}

#[test]
fn a_paused_request_buffers_its_body_and_trailers_until_it_is_resumed() {
    let mut vm = pausing_vm();
    let stream = vm.request_with_body(Request::new("POST", "/"));
    stream.send_body(b"one", false);
    stream.send_body(b"two", false);
    stream.send_trailers([("x-checksum", "3")]);
    assert!(stream.is_paused() && !stream.passed());
    assert!(!events().iter().any(|line| line.starts_with("body")));

    on_callback("call response", acting_on(stream, resume));
    respond_to_unknown_call(&mut vm);
    assert!(stream.passed());
    assert_eq!(stream.upstream_body(), b"onetwo");
    assert_eq!(stream.upstream_trailers().unwrap(), [(b"x-checksum".to_vec(), b"3".to_vec())]);
}

#[test]
fn a_local_reply_passes_the_streams_response_callback_and_ends_the_stream() {
    let mut vm = vm();
    on_callback("request headers", |_| reply());
    let stream = vm.request(Request::get("/"));
    assert_eq!(events()[..5], ["request headers", "response headers", "log", "done", "delete"]);
    assert_eq!(stream.local_reply().unwrap().status, 401);
    assert_eq!(stream.client_body(), b"no session");
    assert!(!stream.passed());
}

#[test]
fn a_local_reply_to_grpc_or_head_has_the_form_that_envoy_gives_it() {
    let mut vm = vm();
    on_callback("request headers", |_| reply());
    let grpc = vm.request(Request::new("POST", "/").header("content-type", "application/grpc+proto"));
    assert!(grpc.client_headers().contains(&(b"grpc-status".to_vec(), b"16".to_vec())));
    let head = vm.request(Request::new("HEAD", "/"));
    assert!(head.client_body().is_empty());
    assert!(head.client_headers().contains(&(b"content-length".to_vec(), b"10".to_vec())));
}

#[test]
fn a_streams_destruction_can_be_deferred_and_its_final_callbacks_run_in_either_order() {
    let mut vm = vm();
    vm.set_stream_destruction(StreamDestruction::Manual);
    vm.set_final_callback_order(FinalCallbackOrder::DoneFirst);
    on_callback("request headers", |_| reply());
    let stream = vm.request(Request::get("/"));
    assert!(!stream.is_gone());
    stream.disconnect();
    assert_eq!(events()[2..], ["done", "log", "delete"]);
    vm.set_stream_destruction(StreamDestruction::Deferred);
    assert!(vm.request(Request::get("/")).is_gone());
}

#[test]
fn replying_to_another_stream_from_a_headers_callback_stops_the_running_stream() {
    let mut vm = pausing_vm();
    let first = vm.request(Request::get("/"));
    stop_pausing();
    on_callback("request headers", acting_on(first, reply));
    let second = vm.request(Request::get("/")).may_stay_paused();
    assert_eq!(first.local_reply().unwrap().status, 401);
    assert!(second.is_paused(), "its callback returned Continue, but the reply in it stops the iteration");
    assert_violations(&mut vm, &["one stream replied to another"]);
}

#[test]
fn a_second_resume_or_reply_is_a_violation() {
    let mut vm = pausing_vm();
    let (resumed, replied) = (vm.request(Request::get("/a")), vm.request(Request::get("/b")));
    for hook in [resume as fn(), resume] {
        on_callback("call response", acting_on(resumed, hook));
    }
    vm.set_stream_destruction(StreamDestruction::Manual);
    for hook in [reply as fn(), reply] {
        on_callback("call response", acting_on(replied, hook));
    }
    respond_to_unknown_call(&mut vm);
    assert_violations(&mut vm, &["resumed while it was not paused", "replied to twice"]);
}
