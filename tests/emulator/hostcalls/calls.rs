//! HTTP calls, refused at dispatch as Envoy refuses them.

use super::{BAD_ARGUMENT, INTERNAL_FAILURE, OK, PARSE_FAILURE, text};
use crate::emulator::abi::{self, read_from_vm};
use crate::emulator::state::{Call, ClusterState, Root, next_call, with_host};
use std::time::Duration;

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
            text(read_from_vm(cluster, cluster_size)),
            abi::deserialize(read_from_vm(headers, headers_size)),
            read_from_vm(body, body_size).to_vec(),
            abi::deserialize(read_from_vm(trailers, trailers_size)),
        )
    };
    let (Some(headers), Some(_)) = (headers, trailers) else {
        with_host(|host| host.record_violation("the headers of a call are not a header map"));
        return PARSE_FAILURE;
    };
    with_host(|host| {
        let Some(state) = host.clusters.get(&cluster).copied() else {
            host.record_refusal(format!("a call to {cluster}, which does not exist"));
            return BAD_ARGUMENT;
        };
        for required in [":method", ":path", ":authority"] {
            if abi::first(&headers, required).is_none() {
                host.record_refusal(format!("a call without {required}"));
                return BAD_ARGUMENT;
            }
        }
        let unsendable = abi::first(&headers, ":path").is_some_and(|path| path.iter().any(|b| b"\r\n".contains(b)));
        if state == ClusterState::NoEndpoints || unsendable {
            host.record_refusal(format!("a call to {cluster} that cannot be sent"));
            return INTERNAL_FAILURE;
        }
        let timeout = (timeout > 0).then(|| Duration::from_millis(timeout.into()));
        if timeout.is_none() {
            host.record_violation("a call has no timeout: less than a millisecond counts as none");
        }
        let id = next_call();
        // The host makes the call on the root context, also for a stream that dispatches.
        let root = host.effective_stream().map_or_else(|| host.effective_context(), |stream| host.streams[stream].root);
        host.calls.insert(id, Call { id, root: Root(root), cluster, headers, body, timeout, started: host.now });
        host.dispatched += 1;
        // SAFETY: the ABI's promise.
        unsafe { *call = id };
        OK
    })
}
