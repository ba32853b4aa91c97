//! What a filter does to streams, and the calls that it makes.

use super::maps::{check_pair, key};
use super::{BAD_ARGUMENT, INTERNAL_FAILURE, NOT_FOUND, OK, PARSE_FAILURE, text};
use crate::emulator::abi::{self, borrowed, hand_over};
use crate::emulator::state::{Action, Call, Cluster, Reply, Root, Side, next_call, with};
use std::time::Duration;

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_property(
    path: *const u8,
    path_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> u32 {
    // SAFETY: the ABI's promise.
    let path = unsafe { borrowed(path, path_size) };
    match with(|host| host.properties.get(path).cloned()) {
        Some(value) => {
            // SAFETY: as above.
            unsafe { hand_over(&value, data, size) };
            OK
        }
        None => NOT_FOUND,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32 {
    // SAFETY: the ABI's promise.
    let (path, value) = unsafe { (text(borrowed(path, path_size)), borrowed(value, value_size).to_vec()) };
    with(|host| match host.target_stream() {
        Some(stream) => {
            host.streams[stream].filter_state.insert(format!("wasm.{path}"), value);
            OK
        }
        None => {
            host.violation(format!("the property {path} was set on a root context, where no stream is"));
            NOT_FOUND
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_effective_context(context: u32) -> u32 {
    with(|host| {
        if !host.contexts.contains_key(&context) {
            host.refusal(format!("context {context} was made effective, which is gone"));
            return BAD_ARGUMENT;
        }
        if let Some(running) = &mut host.running {
            running.effective = context;
        }
        OK
    })
}

/// Keeps an action for after the callback. A host that acted at once would call back into an SDK that still holds its
/// table of streams, even in a root's callback.
fn act(action: Action) {
    with(|host| host.actions.push_back(action));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_continue_stream(stream_type: u32) -> u32 {
    let side = match stream_type {
        0 => Side::Request,
        1 => Side::Response,
        _ => return BAD_ARGUMENT,
    };
    let target = with(|host| {
        let Some(stream) = host.target_stream() else {
            host.violation("a root context was resumed: without an effective context this does nothing");
            return None;
        };
        // Envoy forgets the request's maps at once, and decodes further after the callback.
        let request = &mut host.streams[stream].request;
        request.headers_visible = false;
        request.trailers_visible = false;
        request.piece = None;
        Some(stream)
    });
    if let Some(stream) = target {
        act(Action::Resume { stream, side });
    }
    OK
}

#[unsafe(no_mangle)]
extern "C" fn proxy_close_stream(stream_type: u32) -> u32 {
    if stream_type > 1 {
        return BAD_ARGUMENT;
    }
    match with(|host| host.target_stream()) {
        Some(stream) => act(Action::Close { stream }),
        None => {
            with(|host| host.violation("a root context was closed: without an effective context this does nothing"))
        }
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
        (borrowed(details, details_size).to_vec(), borrowed(body, body_size).to_vec(), borrowed(headers, headers_size))
    };
    let Some(headers) = abi::deserialize(headers) else {
        with(|host| host.violation("the headers of a local reply are not a header map"));
        return PARSE_FAILURE;
    };
    for (name, value) in &headers {
        check_pair(name, value);
    }
    let headers = headers.into_iter().map(|(name, value)| (key(&name), value)).collect();
    let target = with(|host| {
        host.stop_iteration = true;
        let stream = host.target_stream();
        let caller = host.running.as_ref().map(|running| (running.name, running.context));
        match (stream, caller) {
            (None, _) => host.violation("a root context replied: without an effective context this does nothing"),
            (Some(stream), Some((name, context)))
                if host.streams[stream].context != context && name.starts_with("proxy_on_re") =>
            {
                host.violation("one stream replied to another: Envoy stops the one that is running for good");
            }
            _ => {}
        }
        stream
    });
    if let Some(stream) = target {
        act(Action::Reply { stream, reply: Reply { status, headers, body, grpc_status, details } });
    }
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_http_call(
    cluster: *const u8,
    cluster_size: usize,
    headers: *const u8,
    headers_size: usize,
    body: *const u8,
    body_size: usize,
    trailers: *const u8,
    trailers_size: usize,
    timeout: u32,
    call: *mut u32,
) -> u32 {
    // SAFETY: the ABI's promise.
    let (cluster, headers, body, trailers) = unsafe {
        (
            text(borrowed(cluster, cluster_size)),
            abi::deserialize(borrowed(headers, headers_size)),
            borrowed(body, body_size).to_vec(),
            abi::deserialize(borrowed(trailers, trailers_size)),
        )
    };
    let (Some(headers), Some(_)) = (headers, trailers) else {
        with(|host| host.violation("the headers of a call are not a header map"));
        return PARSE_FAILURE;
    };
    with(|host| {
        let Some(state) = host.clusters.get(&cluster).copied() else {
            host.refusal(format!("a call to {cluster}, which is no cluster"));
            return BAD_ARGUMENT;
        };
        for required in [":method", ":path", ":authority"] {
            if abi::first(&headers, required).is_none() {
                host.refusal(format!("a call without {required}"));
                return BAD_ARGUMENT;
            }
        }
        let unsendable = abi::first(&headers, ":path").is_some_and(|path| path.iter().any(|b| b"\r\n".contains(b)));
        if state == Cluster::NoEndpoints || unsendable {
            host.refusal(format!("a call to {cluster} that cannot be sent"));
            return INTERNAL_FAILURE;
        }
        let timeout = (timeout > 0).then(|| Duration::from_millis(timeout.into()));
        if timeout.is_none() {
            host.violation("a call has no timeout: less than a millisecond means none");
        }
        let id = next_call();
        // Whoever dispatches, the host makes the call on the root context.
        let root = host.target_stream().map_or_else(|| host.target(), |stream| host.streams[stream].root);
        host.calls.insert(id, Call { id, root: Root(root), cluster, headers, body, timeout, started: host.now });
        host.dispatched += 1;
        // SAFETY: the ABI's promise.
        unsafe { *call = id };
        OK
    })
}
