//! Calls to rest-sessions as host calls. The root owns every call, so that its response comes even after the stream that
//! caused it has ended.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls::dispatch_http_call;
use proxy_wasm::types::{BufferType, MapType};
use rest_sessions_core::rest_sessions::client::{CallId, Dispatch, Dispatched};
use rest_sessions_core::rest_sessions::request::CallRequest;
use rest_sessions_core::rest_sessions::response::{Body, CalloutResponse};
use rest_sessions_core::session::lookup::MAX_BODY;

use crate::host;

/// The number of a queue that does not exist; the host counts its queues from 1. Its event asks the root to dispatch.
pub const DISPATCH_QUEUE: u32 = u32::MAX;

unsafe extern "C" {
    /// The SDK's export, called from inside. It makes the root the context that the SDK takes for the running one, and
    /// the SDK hands a call's response to the context that was running when the call was dispatched. A response to a
    /// stream that has ended would be dropped. It may be called from a stream's callback alone: in a callback of the
    /// root, the SDK has borrowed the root already.
    fn proxy_on_queue_ready(context_id: u32, queue_id: u32);
}

/// A call on its way from a stream's callback to the root, which dispatches it.
#[derive(Default)]
pub struct Outbox(RefCell<Outgoing>);

#[derive(Default)]
enum Outgoing {
    #[default]
    Empty,
    Waiting(Rc<CallRequest>, Duration),
    Dispatched(Option<CallId>),
}

impl Outbox {
    /// Dispatches a call from a stream's callback.
    pub fn dispatch(&self, root_id: u32, call: Dispatch) -> Dispatched {
        self.0.replace(Outgoing::Waiting(Rc::clone(&call.request), call.timeout));
        // SAFETY: a stream's callback is running, so the SDK has not borrowed the root.
        unsafe { proxy_on_queue_ready(root_id, DISPATCH_QUEUE) };
        match self.0.take() {
            Outgoing::Dispatched(Some(id)) => call.accepted(id),
            Outgoing::Empty | Outgoing::Waiting(..) | Outgoing::Dispatched(None) => call.refused(),
        }
    }

    /// In the root's callback: dispatches what a stream's callback has left here.
    pub fn flush(&self) {
        if let Outgoing::Waiting(request, timeout) = self.0.take() {
            let id = call_host(&request, timeout);
            self.0.replace(Outgoing::Dispatched(id));
        }
    }
}

/// Dispatches a call from the root's callback.
pub fn dispatch_from_root(call: Dispatch) -> Dispatched {
    match call_host(&call.request, call.timeout) {
        Some(id) => call.accepted(id),
        None => call.refused(),
    }
}

/// By the SDK, which notes that the root has made the call. It panics on a status that the ABI does not have; Envoy returns
/// `Ok`, `BadArgument` and `InternalFailure`.
fn call_host(request: &CallRequest, timeout: Duration) -> Option<CallId> {
    let headers = request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let body = request.body.as_deref().map(str::as_bytes);
    dispatch_http_call(&request.cluster, headers, body, Vec::new(), timeout).ok()
}

/// Reads the response to a call, in the root's callback.
pub fn read_response(num_headers: usize, body_size: usize) -> CalloutResponse {
    let headers = match host::headers(MapType::HttpCallResponseHeaders as u32) {
        Ok(headers) if num_headers > 0 => headers,
        _ => return CalloutResponse::Reset,
    };
    let number = |name| headers.first(name).and_then(|value| std::str::from_utf8(value).ok());
    let status = number(":status").and_then(|status| status.parse().ok());
    let body = if body_size > MAX_BODY {
        Body::TooLarge
    } else {
        Body::Read(host::buffer(BufferType::HttpCallResponseBody, body_size).unwrap_or_default())
    };
    CalloutResponse::Complete {
        status: status.unwrap_or(0),
        max_idle_s: number("x-max-idle").and_then(|seconds| seconds.parse().ok()),
        from_service: headers.first("x-envoy-upstream-service-time").is_some(),
        body,
    }
}
