//! What a filter does to streams.

use super::maps::{canonical_name, check_header};
use super::{BAD_ARGUMENT, NOT_FOUND, OK, PARSE_FAILURE, text};
use crate::emulator::abi::{self, read_from_vm, write_to_vm};
use crate::emulator::state::{Action, Direction, LocalReply, with_host};

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_property(
    path: *const u8,
    path_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> u32 {
    // SAFETY: the ABI's promise.
    let path = unsafe { read_from_vm(path, path_size) };
    match with_host(|host| host.properties.get(path).cloned()) {
        Some(value) => {
            // SAFETY: as above.
            unsafe { write_to_vm(&value, data, size) };
            OK
        }
        None => NOT_FOUND,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32 {
    // SAFETY: the ABI's promise.
    let (path, value) = unsafe { (text(read_from_vm(path, path_size)), read_from_vm(value, value_size).to_vec()) };
    with_host(|host| match host.effective_stream() {
        Some(stream) => {
            host.streams[stream].filter_state.insert(format!("wasm.{path}"), value);
            OK
        }
        None => {
            host.record_violation(format!("the property {path} was set on a root context, which has no filter state"));
            NOT_FOUND
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_effective_context(context: u32) -> u32 {
    with_host(|host| {
        if !host.contexts.contains_key(&context) {
            host.record_refusal(format!("context {context} was made effective, but does not exist"));
            return BAD_ARGUMENT;
        }
        if let Some(running) = &mut host.current_callback {
            running.effective = context;
        }
        OK
    })
}

/// Defers an action until after the callback. A host that acted at once would call into an SDK that still borrows its
/// table of streams, also in a root context's callback.
fn enqueue_action(action: Action) {
    with_host(|host| host.actions.push_back(action));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_continue_stream(stream_type: u32) -> u32 {
    let direction = match stream_type {
        0 => Direction::Request,
        1 => Direction::Response,
        _ => return BAD_ARGUMENT,
    };
    let target = with_host(|host| {
        let Some(stream) = host.effective_stream() else {
            host.record_violation("a root context was resumed: without an effective context this does nothing");
            return None;
        };
        // Envoy drops the request's maps at once, and continues decoding after the callback.
        let request = &mut host.streams[stream].request;
        request.headers_visible = false;
        request.trailers_visible = false;
        request.chunk = None;
        Some(stream)
    });
    if let Some(stream) = target {
        enqueue_action(Action::Resume { stream, direction });
    }
    OK
}

#[unsafe(no_mangle)]
extern "C" fn proxy_close_stream(stream_type: u32) -> u32 {
    if stream_type > 1 {
        return BAD_ARGUMENT;
    }
    match with_host(|host| host.effective_stream()) {
        Some(stream) => enqueue_action(Action::Close { stream }),
        None => with_host(|host| {
            host.record_violation("a root context was closed: without an effective context this does nothing")
        }),
    }
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_send_local_response(
    status: u32,
    details: *const u8,
    details_size: usize,
    body: *const u8,
    body_size: usize,
    headers: *const u8,
    headers_size: usize,
    grpc_status: i32,
) -> u32 {
    // SAFETY: the ABI's promise.
    let (details, body, headers) = unsafe {
        (
            read_from_vm(details, details_size).to_vec(),
            read_from_vm(body, body_size).to_vec(),
            read_from_vm(headers, headers_size),
        )
    };
    let Some(headers) = abi::deserialize(headers) else {
        with_host(|host| host.record_violation("the headers of a local reply are not a header map"));
        return PARSE_FAILURE;
    };
    for (name, value) in &headers {
        check_header(name, value);
    }
    let headers = headers.into_iter().map(|(name, value)| (canonical_name(&name), value)).collect();
    let target = with_host(|host| {
        host.stop_iteration = true;
        let stream = host.effective_stream();
        let caller = host.current_callback.as_ref().map(|running| (running.name, running.context));
        match (stream, caller) {
            (None, _) => {
                host.record_violation("a root context replied: without an effective context this does nothing")
            }
            (Some(stream), Some((name, context)))
                if host.streams[stream].context != context && name.starts_with("proxy_on_re") =>
            {
                host.record_violation("one stream replied to another: Envoy stops the running one for good");
            }
            _ => {}
        }
        stream
    });
    if let Some(stream) = target {
        enqueue_action(Action::Reply { stream, reply: LocalReply { status, headers, body, grpc_status, details } });
    }
    OK
}
