//! The SDK's imports, implemented as in Envoy.

mod calls;
mod maps;
mod metrics;
mod shared;
mod streams;

use super::abi::{read_from_vm, write_to_vm};
use super::state::{ContextKind, Level, with_host};
use std::time::Duration;

/// The ABI's status codes of host calls.
const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const BAD_ARGUMENT: u32 = 2;
const PARSE_FAILURE: u32 = 4;
const EMPTY: u32 = 7;
const CAS_MISMATCH: u32 = 8;
const INTERNAL_FAILURE: u32 = 10;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_log(level: u32, message: *const u8, size: usize) -> u32 {
    // SAFETY: the ABI's promise.
    let message = text(unsafe { read_from_vm(message, size) });
    let level = match level {
        0 => Level::Trace,
        1 => Level::Debug,
        2 => Level::Info,
        3 => Level::Warn,
        4 => Level::Error,
        _ => Level::Critical,
    };
    with_host(|host| host.log.push((level, message)));
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_log_level(level: *mut u32) -> u32 {
    // SAFETY: the ABI's promise.
    unsafe { *level = with_host(|host| host.log_level as u32) };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32 {
    // SAFETY: the ABI's promise.
    unsafe { *time = with_host(|host| u64::try_from(host.now.as_nanos()).expect("the virtual clock fits 64 bits")) };
    OK
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_tick_period_milliseconds(period: u32) -> u32 {
    with_host(|host| {
        let context = host.effective_context();
        if host.contexts.get(&context) != Some(&ContextKind::Root) {
            host.record_violation("a tick period was set for a stream");
        } else if period == 0 {
            host.ticks.remove(&context);
        } else {
            let period = Duration::from_millis(period.into());
            host.ticks.insert(context, (period, host.now + period));
        }
        OK
    })
}

// The filter uses none of the following. The SDK links to them, so they must be defined.

#[unsafe(no_mangle)]
extern "C" fn proxy_done() -> u32 {
    NOT_FOUND
}

fn unsupported(what: &str) -> u32 {
    with_host(|host| host.record_violation(format!("{what}, which this host does not emulate")));
    INTERNAL_FAILURE
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_status(code: *mut u32, data: *mut *mut u8, size: *mut usize) -> u32 {
    // SAFETY: the ABI's promise.
    unsafe {
        *code = 0;
        write_to_vm(&[], data, size);
    }
    OK
}

#[unsafe(no_mangle)]
extern "C" fn proxy_call_foreign_function(
    _name: *const u8,
    _name_size: usize,
    _arguments: *const u8,
    _arguments_size: usize,
    _data: *mut *mut u8,
    _size: *mut usize,
) -> u32 {
    NOT_FOUND
}

#[unsafe(no_mangle)]
extern "C" fn proxy_grpc_call(
    _service: *const u8,
    _service_size: usize,
    _name: *const u8,
    _name_size: usize,
    _method: *const u8,
    _method_size: usize,
    _metadata: *const u8,
    _metadata_size: usize,
    _message: *const u8,
    _message_size: usize,
    _timeout: u32,
    _call: *mut u32,
) -> u32 {
    unsupported("a gRPC call")
}

#[unsafe(no_mangle)]
extern "C" fn proxy_grpc_stream(
    _service: *const u8,
    _service_size: usize,
    _name: *const u8,
    _name_size: usize,
    _method: *const u8,
    _method_size: usize,
    _metadata: *const u8,
    _metadata_size: usize,
    _stream: *mut u32,
) -> u32 {
    unsupported("a gRPC stream")
}

#[unsafe(no_mangle)]
extern "C" fn proxy_grpc_send(_stream: u32, _message: *const u8, _size: usize, _last: bool) -> u32 {
    unsupported("a gRPC message")
}

#[unsafe(no_mangle)]
extern "C" fn proxy_grpc_cancel(_stream: u32) -> u32 {
    unsupported("the end of a gRPC call")
}

#[unsafe(no_mangle)]
extern "C" fn proxy_grpc_close(_stream: u32) -> u32 {
    unsupported("the end of a gRPC stream")
}
