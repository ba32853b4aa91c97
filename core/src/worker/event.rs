//! What happens to a worker.

use crate::action::{Action, Completion, HeaderMap, StreamRef};
use crate::exchange::Refused;
use crate::http::headers::Headers;
use crate::rest_sessions::client::{CallId, Dispatched};
use crate::rest_sessions::response::CalloutResponse;

pub enum Event {
    RequestHeaders {
        stream: StreamRef,
        headers: Headers,
        end_of_stream: bool,
    },
    RequestTrailers(Headers),
    ResponseHeaders {
        stream: StreamRef,
        headers: Headers,
    },
    ResponseTrailers(Headers),
    /// The host is done with a stream that is tracked.
    StreamEnded(StreamRef),
    /// What the host said to an [`Action::Dispatch`].
    Dispatched {
        dispatched: Dispatched,
        /// The stream in whose own callback it was dispatched; absent: it was a callback of the root.
        callback: Option<StreamRef>,
    },
    /// The response to a call, in a callback of the root.
    CalloutResponse {
        call: CallId,
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
    /// The timer of the root, see [`Worker::tick_period_ms`](super::Worker::tick_period_ms).
    Tick,
    /// The host has refused to read or to change a header map of a stream.
    Refused {
        stream: StreamRef,
        map: HeaderMap,
        status: Refused,
        /// The actions after the refused one. They were not carried out.
        undone: Vec<Action>,
    },
    /// The configuration goes. The host gives up its calls.
    Retired,
}
