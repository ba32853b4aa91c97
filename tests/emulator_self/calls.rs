//! HTTP calls: dispatch, responses, timeouts, and the clock that drives them.

use super::probe::{
    assert_violations, dispatch, dispatch_in, events, on_callback, pausing_vm, record, set_tick_period, vm,
};
use crate::emulator::{ClusterState, Request};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, Status};
use std::time::Duration;

#[test]
fn a_call_response_reaches_the_root_context_after_the_stream_is_gone_but_never_that_stream() {
    unsafe extern "C" {
        fn proxy_on_queue_ready(context: u32, queue: u32);
    }
    let mut vm = pausing_vm();
    let root = vm.root().0;
    // SAFETY: the SDK's export, called from a stream's callback, where no root is borrowed.
    on_callback("request headers", move |_| unsafe { proxy_on_queue_ready(root, u32::MAX) });
    dispatch_in("queue");
    let stream = vm.request(Request::get("/"));
    stream.disconnect();
    let call = vm.call();
    vm.respond(&call, 200, "{}");
    assert!(events().contains(&"call response".to_owned()));
    assert!(vm.calls().is_empty());

    dispatch_in("done");
    let stream = vm.request(Request::get("/"));
    stream.disconnect();
    let dropped = vm.calls().pop().unwrap();
    let before = events().len();
    vm.respond(&dropped, 200, "{}");
    assert_eq!(events().len(), before, "the SDK drops the response to a call of a stream that is gone");
    let rest = vm.call();
    vm.respond(&rest, 200, "{}");
}

#[test]
fn calls_that_envoy_refuses_are_refused_with_the_same_status() {
    let mut vm = vm();
    on_callback("tick", |_| {
        let timeout = Duration::from_millis(500);
        assert_eq!(dispatch("nowhere", "/", timeout), Err(Status::BadArgument));
        assert_eq!(dispatch("empty", "/", timeout), Err(Status::InternalFailure));
        assert_eq!(dispatch("rest-sessions", "/a\r\nb", timeout), Err(Status::InternalFailure));
        let headers = vec![(":method", "GET"), (":path", "/")];
        let call = hostcalls::dispatch_http_call("rest-sessions", headers, None, Vec::new(), timeout);
        assert_eq!(call, Err(Status::BadArgument));
    });
    vm.set_cluster("empty", Some(ClusterState::NoEndpoints));
    let call = vm.unknown_call();
    assert_eq!(vm.refusals().len(), 4);
    vm.respond(&call, 200, "");
}

#[test]
fn advancing_the_clock_times_calls_out_and_fires_ticks() {
    let mut vm = vm();
    set_tick_period(&mut vm, Duration::from_millis(300));
    dispatch_in("tick");
    on_callback("call response", |_| {
        let status = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status").unwrap().unwrap();
        record(String::from_utf8(status).unwrap());
    });
    vm.advance(Duration::from_millis(299));
    assert!(vm.calls().is_empty());
    vm.advance(Duration::from_millis(502));
    assert_eq!(vm.dispatched(), 3, "one call set the tick period, each of two ticks dispatched one");
    assert_eq!(vm.calls().len(), 1);
    assert!(events().contains(&"504".to_owned()));
}

#[test]
fn the_response_to_a_reset_call_has_neither_headers_nor_body() {
    let mut vm = vm();
    on_callback("call response", |_| {
        let body = hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, 10).unwrap();
        assert_eq!(body, None);
    });
    let call = vm.unknown_call();
    vm.reset(&call);
    assert!(events().contains(&"call response of 0 headers and 0 bytes".to_owned()));
}

#[test]
fn a_call_without_a_timeout_is_a_violation() {
    let mut vm = vm();
    on_callback("tick", |_| {
        dispatch("rest-sessions", "/", Duration::from_micros(900)).unwrap();
    });
    let call = vm.unknown_call();
    assert_violations(&mut vm, &["no timeout"]);
    assert_eq!(vm.calls().iter().filter(|call| call.timeout.is_none()).count(), 1);
    vm.respond(&call, 200, "");
}
