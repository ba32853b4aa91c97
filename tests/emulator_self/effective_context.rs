//! Effective contexts: which ones the host accepts, and what a root context does without one.

use super::probe::{
    acting_on, assert_violations, events, on_callback, pausing_vm, record, reply, respond_to_unknown_call, resume,
};
use crate::emulator::Request;
use proxy_wasm::hostcalls;

#[test]
fn a_context_can_be_made_effective_while_the_host_keeps_its_object() {
    let mut vm = pausing_vm();
    let stream = vm.request(Request::get("/"));
    let context = stream.context();
    stream.disconnect();
    on_callback("call response", move |_| record(format!("gone: {:?}", hostcalls::set_effective_context(context))));
    respond_to_unknown_call(&mut vm);
    assert!(events().contains(&"gone: Err(BadArgument)".to_owned()));

    vm.keep_deleted_contexts();
    let stream = vm.request(Request::get("/"));
    stream.disconnect();
    on_callback("call response", acting_on(stream, reply));
    respond_to_unknown_call(&mut vm);
    assert_violations(&mut vm, &["was replied to after its end"]);
}

#[test]
fn resuming_or_replying_from_a_root_context_without_an_effective_context_is_a_violation() {
    let mut vm = pausing_vm();
    let stream = vm.request(Request::get("/")).may_stay_paused();
    on_callback("call response", |_| {
        resume();
        reply();
    });
    respond_to_unknown_call(&mut vm);
    assert!(stream.is_paused());
    assert_violations(&mut vm, &["a root context was resumed", "a root context replied"]);
}
