//! The invariants that are checked when a VM is dropped.

use super::probe::{on_callback, pausing_vm, vm};
use crate::emulator::{Level, Request};
use proxy_wasm::hostcalls;
use proxy_wasm::types::LogLevel;
use std::panic::{UnwindSafe, catch_unwind};

fn panic_message(test: impl FnOnce() + UnwindSafe) -> String {
    *catch_unwind(test).expect_err("the check fails").downcast::<String>().expect("the check panics with a text")
}

#[test]
fn a_token_in_a_log_line_fails_the_test() {
    let token = "TokenTokenTokenTokenTokenTokenTokenTokenTokenTokenTokenZm0abcdef";
    let message = panic_message(|| {
        let mut vm = vm();
        on_callback("request headers", move |_| hostcalls::log(LogLevel::Trace, token).unwrap());
        vm.request(Request::get("/").token(token));
        assert_eq!(vm.log_at(Level::Trace).len(), 1);
    });
    assert!(message.contains("a log line at Trace shows a token"), "{message}");
}

#[test]
fn a_paused_stream_that_nothing_will_resume_fails_the_test() {
    let message = panic_message(|| {
        pausing_vm().request(Request::get("/"));
    });
    assert!(message.contains("nothing will resume it"), "{message}");
}

#[test]
fn a_request_without_an_outcome_fails_the_test() {
    let message = panic_message(|| {
        let mut vm = vm();
        vm.check_filter_contract();
        vm.request(Request::get("/"));
    });
    assert!(message.contains("1 requests were counted 0 times"), "{message}");
}
