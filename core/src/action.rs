//! What the shell is to do: values that the core returns and the shell carries out, in their order.

use crate::http::change::HeaderChange;
use crate::http::local_reply::LocalReply;
use crate::rest_sessions::client::Dispatch;
use crate::session::candidates::Position;
use crate::session::lookup::{Failure, Lookup};
use crate::telemetry::{Counter, FilterState, Gauge, LogLine};

/// The host's number of a stream, one HTTP request and its response.
pub type StreamId = u32;

/// A stream. The host may give the number of a stream that has ended to a later one, and a response must never reach
/// another request than the one that waits for it. So a generation goes with the number, which no two streams share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamRef {
    /// The id of the stream's context in host calls. The host may reuse it after the stream has ended.
    pub id: StreamId,
    /// The number of the stream among all streams of its worker, counted from 0.
    pub generation: u64,
}

/// A header section or trailer section of a stream, which the host keeps. The numbers are those of the host
/// (`proxy_map_type_t`, proxy-wasm ABI 0.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderMap {
    /// The header section of the request, pseudo-headers included (RFC 9113, section 8.3.1).
    RequestHeaders = 0,
    /// The trailer section of the request (RFC 9110, section 6.5).
    RequestTrailers = 1,
    /// The header section of the response, `:status` included (RFC 9113, section 8.3.2).
    ResponseHeaders = 2,
    /// The trailer section of the response (RFC 9110, section 6.5).
    ResponseTrailers = 3,
}

/// One thing to do. Actions about a stream are about the stream of the event that they answer.
///
/// If the host refuses a change of headers, the rest of the list is not carried out and goes back to the core, as
/// [`Event::Refused`](crate::worker::Event::Refused). So in a list, changes of headers come before the request's outcome is
/// counted, before calls, and before what lets the stream go on.
#[derive(Debug)]
pub enum Action {
    /// Applies one mutation to a header map of the stream.
    ChangeHeader(HeaderMap, HeaderChange),
    /// Lets the stream's request go on. Without it, the request stays paused.
    ContinueRequest,
    /// Lets the stream's response go on. Without it, the response stays paused.
    ContinueResponse,
    /// Sends a local reply in place of the upstream's response.
    Reply(LocalReply),
    /// Closes the stream, with whatever of the response is under way.
    Close,
    /// Report when the stream ends ([`Event::StreamEnded`](crate::worker::Event::StreamEnded)).
    Track,
    /// Sets the filter-state key to this value, for access logs and later filters. The request goes on if the host
    /// refuses it.
    FilterState(FilterState, String),
    /// Adds one to a counter metric.
    Count(Counter),
    /// Adds this difference, which may be negative, to a gauge metric.
    Gauge(Gauge, i64),
    /// Records how long a call took, in milliseconds.
    CallDuration(u64),
    /// Writes a line to the host's log, at the level of [`LogLine::level`].
    Log(LogLine),
    /// Dispatch a call from the root context, and say what the host said
    /// ([`Event::Dispatched`](crate::worker::Event::Dispatched)).
    Dispatch(Dispatch),
    /// Make the stream of the completion the effective context, and hand the completion back
    /// ([`Event::Complete`](crate::worker::Event::Complete), or
    /// [`Event::StreamGone`](crate::worker::Event::StreamGone) if the host does not know the stream any more).
    Complete(Completion),
    /// Sets the interval of [`Event::Tick`](crate::worker::Event::Tick), in milliseconds. Zero: there are none. The next
    /// one comes after the new interval.
    Timer(u32),
    /// Enqueue an item to the worker's own queue, for an [`Event::Wakeup`](crate::worker::Event::Wakeup) in a callback of
    /// its own.
    Wakeup,
}

/// A stream whose exchange goes on, and with what.
#[derive(Debug)]
pub struct Completion {
    /// The stream that becomes the effective context (`proxy_set_effective_context`, proxy-wasm ABI 0.2.1).
    pub stream: StreamRef,
    pub(crate) ready: Ready,
}

/// What an exchange was waiting for.
#[derive(Debug)]
pub(crate) enum Ready {
    /// The result for one of the tokens that the exchange waits for.
    Lookup(Position, Lookup),
    /// Whether there was a session to end or to change, or why that is unknown.
    Mutation(Result<bool, Failure>),
}
