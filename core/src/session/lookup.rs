//! The result of a lookup in rest-sessions.

use std::fmt;
use std::rc::Rc;

use crate::session::session::Session;

/// The maximum size of the body of a response, in bytes.
pub const MAX_BODY: usize = 256 * 1024;

/// Whether there is a session for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// There is this one.
    Active(Rc<Session>),
    /// There is none.
    None,
    /// Unknown.
    Failed(Failure),
}

/// Why a lookup failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// rest-sessions is unavailable.
    Outage(Outage),
    /// It responded with something that is not the result of a lookup.
    Bad(BadResponse),
    /// The service's `max_in_flight` calls were in flight, so none was made.
    Busy,
}

/// Why rest-sessions is unavailable. These failures count for the circuit breaker and for `failure_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// No response within `rest_sessions.timeout`.
    Timeout,
    /// The connection was refused or reset.
    Connect,
    /// Status 429, or 500 and above.
    Status(u16),
    /// Envoy refused the call: the cluster is unknown, it has no endpoint, or its circuit breaker is open.
    Dispatch,
    /// The filter's own circuit breaker is open.
    Breaker,
}

/// Why a response is not the result of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadResponse {
    /// An unexpected status.
    Status(u16),
    /// A body of more than [`MAX_BODY`] bytes.
    TooLarge,
    /// Status 200 with a body that is not a session. The text says what is wrong, and never quotes the body.
    Shape(&'static str),
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time"),
            Self::Connect => f.write_str("connection refused or reset"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Dispatch => f.write_str("no such cluster, no endpoint, or its circuit breaker is open"),
            Self::Breaker => f.write_str("too many outages in a row; the circuit breaker is open"),
        }
    }
}

impl fmt::Display for BadResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::TooLarge => write!(f, "more than {} bytes", MAX_BODY),
            Self::Shape(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_say_why_a_lookup_failed() {
        for (outage, text) in [
            (Outage::Timeout, "no answer in time"),
            (Outage::Connect, "connection refused or reset"),
            (Outage::Status(503), "status 503"),
            (Outage::Dispatch, "no such cluster, no endpoint, or its circuit breaker is open"),
            (Outage::Breaker, "too many outages in a row; the circuit breaker is open"),
        ] {
            assert_eq!(outage.to_string(), text);
        }
        assert_eq!(BadResponse::Status(404).to_string(), "status 404");
        assert_eq!(BadResponse::TooLarge.to_string(), "more than 262144 bytes");
        assert_eq!(BadResponse::Shape("`id` is missing").to_string(), "`id` is missing");
    }
}
