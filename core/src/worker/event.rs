//! What happens to a worker.

use crate::action::{Action, Completion, HeaderMap, StreamRef};
use crate::exchange::Refused;
use crate::http::headers::Headers;
use crate::rest_sessions::client::{CallId, Dispatched};
use crate::rest_sessions::response::CalloutResponse;

/// What the shell reports to [`Worker::handle`](super::Worker::handle). Callback names are those of proxy-wasm ABI
/// 0.2.1.
pub enum Event {
    /// The headers of a request, in the stream's own callback (`proxy_on_request_headers`). Comes once for each stream.
    RequestHeaders {
        /// The stream, from [`Worker::admit`](super::Worker::admit).
        stream: StreamRef,
        /// All headers, pseudo-headers included.
        headers: Headers,
        /// Whether the request ends with its headers: it has neither body nor trailers.
        end_of_stream: bool,
    },
    /// The trailers of a request, in the stream's own callback (`proxy_on_request_trailers`).
    RequestTrailers(Headers),
    /// The headers of a response, in the stream's own callback (`proxy_on_response_headers`). Only needed if
    /// [`Worker::reads_responses`](super::Worker::reads_responses).
    ResponseHeaders {
        /// The stream, from [`Worker::admit`](super::Worker::admit).
        stream: StreamRef,
        /// All headers, `:status` included.
        headers: Headers,
    },
    /// The trailers of a response, in the stream's own callback (`proxy_on_response_trailers`). Only needed if
    /// [`Worker::reads_responses`](super::Worker::reads_responses).
    ResponseTrailers(Headers),
    /// The host is done with a stream that is tracked.
    StreamEnded(StreamRef),
    /// What the host said to an [`Action::Dispatch`].
    Dispatched {
        /// The result, from [`Dispatch::accepted`](crate::rest_sessions::client::Dispatch::accepted) or
        /// [`Dispatch::refused`](crate::rest_sessions::client::Dispatch::refused).
        dispatched: Dispatched,
        /// The stream in whose own callback it was dispatched. `None`: it was a callback of the root.
        callback: Option<StreamRef>,
    },
    /// The response to a call, in a callback of the root.
    CalloutResponse {
        /// The number that the host gave the call when it was dispatched.
        call: CallId,
        /// What the host received for the call.
        response: CalloutResponse,
    },
    /// The stream of an [`Action::Complete`] is the effective context.
    Complete(Completion),
    /// The host does not know the stream of an [`Action::Complete`] any more.
    StreamGone(Completion),
    /// An item of the worker's own queue, in a callback of the root.
    Wakeup,
    /// The host has refused an [`Action::Wakeup`].
    WakeupRefused,
    /// The timer of the root, see [`Worker::tick_period_ms`](super::Worker::tick_period_ms) and
    /// [`Action::Timer`](crate::action::Action::Timer).
    Tick,
    /// The host has refused to read or to change a header map of a stream.
    Refused {
        /// The stream that the header map belongs to.
        stream: StreamRef,
        /// The header map that the host refused to read or to change.
        map: HeaderMap,
        /// The status of the host call.
        status: Refused,
        /// The actions after the refused one. They were not carried out.
        undone: Vec<Action>,
    },
    /// The configuration goes. The host gives up its calls.
    Retired,
}
