//! The module's exports, and the only way to call them: as a callback of the host.

use super::state::{Action, CurrentCallback, with_host};
use super::stream;

unsafe extern "C" {
    pub fn _initialize();
    pub fn proxy_on_memory_allocate(size: usize) -> *mut u8;
    pub fn proxy_on_context_create(context: u32, root: u32);
    pub fn proxy_on_vm_start(context: u32, configuration_size: usize) -> bool;
    pub fn proxy_on_configure(context: u32, configuration_size: usize) -> bool;
    pub fn proxy_on_tick(context: u32);
    pub fn proxy_on_queue_ready(context: u32, queue: u32);
    pub fn proxy_on_request_headers(context: u32, headers: usize, end_of_stream: bool) -> u32;
    pub fn proxy_on_request_body(context: u32, size: usize, end_of_stream: bool) -> u32;
    pub fn proxy_on_request_trailers(context: u32, trailers: usize) -> u32;
    pub fn proxy_on_response_headers(context: u32, headers: usize, end_of_stream: bool) -> u32;
    pub fn proxy_on_response_body(context: u32, size: usize, end_of_stream: bool) -> u32;
    pub fn proxy_on_response_trailers(context: u32, trailers: usize) -> u32;
    pub fn proxy_on_http_call_response(context: u32, call: u32, headers: usize, body_size: usize, trailers: usize);
    pub fn proxy_on_done(context: u32) -> bool;
    pub fn proxy_on_log(context: u32);
    pub fn proxy_on_delete(context: u32);
}

/// Envoy overflowed its stack at some 270 nested callbacks.
const MAX_CALLBACK_DEPTH: usize = 100;

/// Runs one callback of the VM, applies its outcome with `settle`, then runs the actions that the callback requested.
///
/// `settle` receives whether a local reply during the callback stops the iteration. As in Envoy, that flag belongs to
/// the whole VM and not to the stream that was replied to.
pub fn callback<T, S>(
    name: &'static str,
    context: u32,
    export: impl FnOnce() -> T,
    settle: impl FnOnce(T, bool) -> S,
) -> S {
    let outer = with_host(|host| {
        host.depth += 1;
        if host.depth == MAX_CALLBACK_DEPTH {
            host.record_violation(format!("{MAX_CALLBACK_DEPTH} nested callbacks: Envoy's stack overflows soon"));
        }
        host.current_callback.replace(CurrentCallback { name, context, effective: 0 })
    });
    let outcome = export();
    let stopped = with_host(|host| std::mem::take(&mut host.stop_iteration));
    let settled = settle(outcome, stopped);
    with_host(|host| host.current_callback = outer);
    // Actions requested in a nested callback run here as well, below the outer one. That is how a filter that resumes
    // many streams at once runs out of stack in Envoy.
    run_actions();
    with_host(|host| host.depth -= 1);
    settled
}

/// Runs the actions that callbacks requested, in order. Each may run further callbacks, with actions of their own.
fn run_actions() {
    while let Some(action) = with_host(|host| host.actions.pop_front()) {
        match action {
            Action::Resume { stream, direction } => stream::resume(stream, direction),
            Action::Reply { stream, reply } => stream::reply(stream, reply),
            Action::Close { stream } => stream::destroy(stream),
        }
    }
}
