//! The host calls of the filter, each with its status as a value. The signatures are those of proxy-wasm ABI 0.2.1.
//!
//! The SDK has functions for most of them. They panic on a status that they do not expect, and a panic ends the VM of a
//! worker with all its requests.

use std::ptr;

use proxy_wasm::types::{BufferType, LogLevel, MetricType, StreamType};

use rest_sessions_core::action::HeaderMap;
use rest_sessions_core::exchange::Refused;
use rest_sessions_core::http::change::HeaderChange;
use rest_sessions_core::http::headers::Headers;
use rest_sessions_core::http::local_reply::LocalReply;

type Outcome<T> = Result<T, Refused>;

/// `proxy_result_t` of the ABI.
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_get_log_level(level: *mut u32) -> u32;
    fn proxy_get_buffer_bytes(kind: u32, start: usize, max: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
    fn proxy_add_header_map_value(map: u32, name: *const u8, name_size: usize, value: *const u8, size: usize) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        size: usize,
    ) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_close_stream(stream: u32) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
    fn proxy_register_shared_queue(name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_enqueue_shared_queue(id: u32, value: *const u8, value_size: usize) -> u32;
    fn proxy_dequeue_shared_queue(id: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_get_metric(id: u32, value: *mut u64) -> u32;
    fn proxy_get_shared_data(k: *const u8, k_size: usize, data: *mut *mut u8, size: *mut usize, cas: *mut u32) -> u32;
    fn proxy_set_shared_data(key: *const u8, key_size: usize, value: *const u8, value_size: usize, cas: u32) -> u32;
}

fn checked(status: u32) -> Outcome<()> {
    #[cfg(feature = "traps")]
    crate::traps::at_host_call();
    if status == 0 { Ok(()) } else { Err(Refused(status)) }
}

/// Runs a host call that returns bytes, which the host has put into memory of this module's allocator.
fn bytes(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Outcome<Vec<u8>> {
    let (mut data, mut size) = (ptr::null_mut(), 0);
    checked(call(&raw mut data, &raw mut size))?;
    if data.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the host asked `proxy_on_memory_allocate` for `size` bytes, which made a boxed slice of exactly that
    // size, filled it, and gave up its pointer.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// Milliseconds since 1970.
pub fn now_ms() -> Outcome<u64> {
    let mut nanoseconds = 0;
    // SAFETY: the pointer is valid for the call.
    checked(unsafe { proxy_get_current_time_nanoseconds(&raw mut nanoseconds) })?;
    Ok(nanoseconds / 1_000_000)
}

/// Whether the host shows debug lines. Formatting a line costs more than this call.
pub fn shows_debug() -> bool {
    let mut level = LogLevel::Critical as u32;
    // SAFETY: the pointer is valid for the call.
    let status = unsafe { proxy_get_log_level(&raw mut level) };
    status == 0 && level <= LogLevel::Debug as u32
}

pub fn buffer(kind: BufferType, size: usize) -> Outcome<Vec<u8>> {
    // SAFETY: the pointers are valid for the call.
    bytes(|data, length| unsafe { proxy_get_buffer_bytes(kind as u32, 0, size, data, length) })
}

/// A whole header map, by its number in the ABI. A map that cannot be parsed counts as a refusal.
pub fn headers(map: u32) -> Outcome<Headers> {
    // SAFETY: the pointers are valid for the call.
    let serialized = bytes(|data, size| unsafe { proxy_get_header_map_pairs(map, data, size) })?;
    Headers::parse(serialized).ok_or(Refused(0))
}

pub fn change_header(map: HeaderMap, change: &HeaderChange) -> Outcome<()> {
    let map = map as u32;
    // SAFETY: every pointer goes with its length, and the bytes outlive the call.
    checked(unsafe {
        match change {
            HeaderChange::Remove(name) => proxy_remove_header_map_value(map, name.as_ptr(), name.len()),
            HeaderChange::Add(name, value) => {
                proxy_add_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
            }
            HeaderChange::Replace(name, value) => {
                proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
            }
        }
    })
}

/// Sends a local reply to the request of the effective context.
pub fn reply(reply: &LocalReply) -> Outcome<()> {
    /// Lets Envoy derive the gRPC status from the HTTP one.
    const UNSET: i32 = -1;
    /// Shown by `%RESPONSE_CODE_DETAILS%` in access logs.
    const DETAILS: &[u8] = b"rest_sessions";
    let headers = Headers::serialize(&reply.headers);
    let grpc_status = reply.grpc_status.and_then(|status| i32::try_from(status).ok()).unwrap_or(UNSET);
    // SAFETY: every pointer goes with its length, and the bytes outlive the call.
    checked(unsafe {
        proxy_send_local_response(
            u32::from(reply.status),
            DETAILS.as_ptr(),
            DETAILS.len(),
            reply.body.as_ptr(),
            reply.body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status,
        )
    })
}

/// Lets the request or the response of the effective context go on.
pub fn resume(stream: StreamType) -> Outcome<()> {
    // SAFETY: no memory is passed.
    checked(unsafe { proxy_continue_stream(stream as u32) })
}

/// Closes the stream of the effective context: a WebSocket, or a response that is under way.
pub fn close_request() -> Outcome<()> {
    // SAFETY: no memory is passed.
    checked(unsafe { proxy_close_stream(StreamType::HttpRequest as u32) })
}

/// Sets the period of the root's timer.
pub fn set_tick_period(period_ms: u32) -> Outcome<()> {
    // SAFETY: no memory is passed.
    checked(unsafe { proxy_set_tick_period_milliseconds(period_ms) })
}

/// The following calls are about this context.
pub fn set_effective_context(context: u32) -> Outcome<()> {
    // SAFETY: no memory is passed.
    checked(unsafe { proxy_set_effective_context(context) })
}

/// The address and port of the client of the effective context's request, as far as Envoy trusts them (attribute
/// `source.address`).
pub fn client() -> Option<Vec<u8>> {
    const PATH: &[u8] = b"source\0address";
    // SAFETY: every pointer goes with its length or is valid for the call.
    let found = bytes(|data, size| unsafe { proxy_get_property(PATH.as_ptr(), PATH.len(), data, size) });
    found.inspect_err(|refused| log::debug!("event=no_client_address status={refused:?}")).ok()
}

pub fn set_property(name: &str, value: &[u8]) -> Outcome<()> {
    // SAFETY: every pointer goes with its length, and the bytes outlive the call.
    checked(unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// Registers a queue. Its events go to the root that registers it last.
pub fn register_queue(name: &str) -> Outcome<u32> {
    let mut id = 0;
    // SAFETY: every pointer goes with its length, and the bytes outlive the call.
    checked(unsafe { proxy_register_shared_queue(name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

/// Enqueues an empty item, for the event that it causes.
pub fn enqueue(queue: u32) -> Outcome<()> {
    // SAFETY: the host copies nothing of an empty item.
    checked(unsafe { proxy_enqueue_shared_queue(queue, [].as_ptr(), 0) })
}

/// Takes an item out of a queue.
pub fn dequeue(queue: u32) -> Outcome<()> {
    // SAFETY: the pointers are valid for the call.
    bytes(|data, size| unsafe { proxy_dequeue_shared_queue(queue, data, size) }).map(drop)
}

pub fn define_metric(kind: MetricType, name: &str) -> Outcome<u32> {
    let mut id = 0;
    // SAFETY: every pointer goes with its length, and the bytes outlive the call.
    checked(unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

pub fn increment_metric(id: u32, offset: i64) -> Outcome<()> {
    // SAFETY: no memory is passed.
    checked(unsafe { proxy_increment_metric(id, offset) })
}

pub fn record_metric(id: u32, value: u64) -> Outcome<()> {
    // SAFETY: no memory is passed.
    checked(unsafe { proxy_record_metric(id, value) })
}

/// The value of a counter or a gauge, summed over all workers.
pub fn get_metric(id: u32) -> Outcome<u64> {
    let mut value = 0;
    // SAFETY: the pointer is valid for the call.
    checked(unsafe { proxy_get_metric(id, &raw mut value) })?;
    Ok(value)
}

/// The value of a key of the shared data and its version; `None` if it was never set.
pub fn shared_data(key: &[u8]) -> Outcome<Option<(Vec<u8>, u32)>> {
    let mut version = 0;
    // SAFETY: every pointer goes with its length or is valid for the call.
    let value =
        bytes(|data, size| unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut version) });
    match value {
        Ok(value) => Ok(Some((value, version))),
        Err(Refused(NOT_FOUND)) => Ok(None),
        Err(refused) => Err(refused),
    }
}

/// Sets a key of the shared data, if its version is still `version`. 0 sets it unconditionally. Returns `false` if the
/// version is another one.
pub fn set_shared_data(key: &[u8], value: &[u8], version: u32) -> Outcome<bool> {
    // SAFETY: every pointer goes with its length, and the bytes outlive the call.
    match unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version) } {
        CAS_MISMATCH => Ok(false),
        status => checked(status).map(|()| true),
    }
}
