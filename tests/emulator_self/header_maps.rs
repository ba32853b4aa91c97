//! When header maps exist, and what may be written to them.

use super::probe::{assert_violations, events, on_callback, pausing_vm, record, resume, vm};
use crate::emulator::Request;
use proxy_wasm::hostcalls;
use proxy_wasm::types::MapType;

#[test]
fn a_map_is_absent_once_the_stream_has_been_resumed() {
    let mut vm = pausing_vm();
    on_callback("request headers", |_| {
        resume();
        let status = hostcalls::get_map_value_bytes;
        let read = std::panic::catch_unwind(|| status(MapType::HttpRequestHeaders, ":path"));
        record(format!("read after resume fails: {}", read.is_err()));
    });
    let stream = vm.request(Request::get("/"));
    assert!(stream.passed());
    assert!(events().contains(&"read after resume fails: true".to_owned()));
    assert!(vm.refusals().iter().any(|line| line.contains(":path of map 0")));
}

#[test]
fn reading_a_whole_absent_map_returns_an_empty_one_and_is_a_violation() {
    let mut vm = vm();
    on_callback("response headers", |_| {
        record(format!("{:?}", hostcalls::get_map_bytes(MapType::HttpRequestHeaders)));
        record(format!("{}", hostcalls::get_map_bytes(MapType::HttpResponseHeaders).unwrap().len()));
    });
    vm.request(Request::get("/")).upstream_responds(200);
    assert_eq!(events()[2..4], ["Ok([])", "1"]);
    assert_violations(&mut vm, &["map 0 was read"]);
}

#[test]
fn request_headers_are_absent_in_the_response_phase_and_readable_in_on_log() {
    let mut vm = vm();
    for callback in ["response headers", "log"] {
        on_callback(callback, move |_| {
            let read = || hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, ":path").unwrap();
            record(format!("{callback}: {}", std::panic::catch_unwind(read).is_ok()));
        });
    }
    vm.request(Request::get("/")).upstream_responds(200);
    assert!(events().contains(&"response headers: false".to_owned()));
    assert!(events().contains(&"log: true".to_owned()));
}

#[test]
fn setting_a_value_with_a_line_break_is_a_violation() {
    let mut vm = vm();
    on_callback("request headers", |_| {
        hostcalls::add_map_value(MapType::HttpRequestHeaders, "x-user", "a\r\nb").unwrap();
    });
    vm.request(Request::get("/"));
    assert_violations(&mut vm, &["x-user holds a line break"]);
}
