//! Sending calls so that the root gets their answers, and reading those.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls::dispatch_http_call;
use proxy_wasm::types::{BufferType, MapType};

use crate::host;
use rest_sessions_core::cache::trip::{CallId, Trip};
use rest_sessions_core::rest_sessions::request::Call;
use rest_sessions_core::rest_sessions::response::{Answer, Body};
use rest_sessions_core::session::lookup::MAX_BODY;

/// The queue by whose event a stream's callback asks the root to send; the host numbers its queues from 1.
pub const SEND: u32 = u32::MAX;

/// The host's timers and its clock may disagree by some milliseconds.
const TIMER_SLACK_MS: u64 = 5;

unsafe extern "C" {
    /// The SDK's export, called from inside: it makes the root the context that the SDK thinks is running, so that
    /// the SDK hands the call's answer to the root, which lives as long as the worker does. An answer to a stream
    /// that has left would be dropped. It may be called from a stream's callback alone: in one of the root's own, the
    /// SDK holds the root already.
    fn proxy_on_queue_ready(context_id: u32, queue_id: u32);
}

/// A call on its way from a stream's callback to the root, which sends it.
#[derive(Default)]
pub struct Outbox(RefCell<Outgoing>);

#[derive(Default)]
enum Outgoing {
    #[default]
    Nothing,
    ToSend(Rc<Call>, Duration),
    Sent(Option<CallId>),
}

impl Outbox {
    /// Sends a call from a stream's callback so that the root gets its answer; `None` if the host does not take it.
    pub fn send(&self, root_id: u32, trip: &Trip) -> Option<CallId> {
        self.0.replace(Outgoing::ToSend(Rc::clone(&trip.call), trip.timeout()));
        // SAFETY: a stream's callback is running, so the SDK does not hold the root.
        unsafe { proxy_on_queue_ready(root_id, SEND) };
        match self.0.take() {
            Outgoing::Sent(id) => id,
            Outgoing::Nothing | Outgoing::ToSend(..) => None,
        }
    }

    /// In the root's callback: sends what a stream's callback has left here.
    pub fn empty(&self) {
        if let Outgoing::ToSend(call, timeout) = self.0.take() {
            let sent = dispatch(&call, timeout);
            self.0.replace(Outgoing::Sent(sent));
        }
    }
}

/// Sends a call from the root's callback; `None` if the host does not take it.
pub fn send_from_root(trip: &Trip) -> Option<CallId> {
    dispatch(&trip.call, trip.timeout())
}

fn dispatch(call: &Call, timeout: Duration) -> Option<CallId> {
    let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let body = call.body.as_deref().map(str::as_bytes);
    dispatch_http_call(&call.cluster, headers, body, Vec::new(), timeout).ok()
}

/// The answer to a call that was to be over by then.
pub fn read_answer(num_headers: usize, body_size: usize, now_ms: u64, ends_ms: u64) -> Answer {
    let headers = match host::headers(MapType::HttpCallResponseHeaders) {
        Ok(headers) if num_headers > 0 => headers,
        _ => return Answer::Broken { late: now_ms.saturating_add(TIMER_SLACK_MS) >= ends_ms },
    };
    let status = headers.first(":status").and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    let body = if body_size > MAX_BODY {
        Body::TooLarge
    } else {
        Body::Read(host::buffer(BufferType::HttpCallResponseBody, body_size).unwrap_or_default())
    };
    Answer::Complete {
        status: status.unwrap_or(0),
        from_service: headers.first("x-envoy-upstream-service-time").is_some(),
        body,
    }
}
