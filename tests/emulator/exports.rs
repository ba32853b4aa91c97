//! The module's exports, and the one way to call them: as a callback of the host.

use super::state::{Action, Running, with};
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

/// Envoy overflowed its stack at some 270 streams that were settled one inside the other.
const DEEPEST: usize = 100;

/// Runs one callback of the VM, settles its outcome with `settle`, then does what the callback asked for.
///
/// `settle` is told whether the callback stopped the stream by replying: Envoy's flag for that belongs to the whole VM,
/// not to the stream that was replied to.
pub fn callback<T, S>(
    name: &'static str,
    context: u32,
    export: impl FnOnce() -> T,
    settle: impl FnOnce(T, bool) -> S,
) -> S {
    let outer = with(|host| {
        host.depth += 1;
        if host.depth == DEEPEST {
            host.violation(format!("{DEEPEST} callbacks run one inside the other: Envoy's stack ends soon"));
        }
        host.running.replace(Running { name, context, effective: 0 })
    });
    let outcome = export();
    let stopped = with(|host| std::mem::take(&mut host.stop_iteration));
    let settled = settle(outcome, stopped);
    with(|host| host.running = outer);
    // Only the host's outermost view has no callback above it; actions asked for in a nested one run here as well,
    // which is how a filter that settles many streams at once runs out of stack in Envoy.
    run_actions();
    with(|host| host.depth -= 1);
    settled
}

/// Does what callbacks asked for, in order; each may run further callbacks, and those their own actions.
fn run_actions() {
    while let Some(action) = with(|host| host.actions.pop_front()) {
        match action {
            Action::Resume { stream, side } => stream::resume(stream, side),
            Action::Reply { stream, reply } => stream::reply(stream, reply),
            Action::Close { stream } => stream::finish(stream),
        }
    }
}
