//! What asking rest-sessions came to.

use std::fmt;
use std::rc::Rc;

use crate::session::session::Session;

/// The longest body, in bytes, that an answer may have.
pub const MAX_BODY: usize = 256 * 1024;

/// The answer to the question whether there is a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    Active(Rc<Session>),
    /// rest-sessions says that there is none.
    None,
    Failed(Failure),
}

/// Why it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody could say.
    Outage(Outage),
    /// What came back cannot be an answer to the question.
    Bad(BadResponse),
    /// Too many calls were under way already, so none was made.
    Busy,
}

/// Why rest-sessions could not say. Only these count as an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// No answer within the time that a lookup may take.
    Timeout,
    /// The connection was refused or reset.
    Connect,
    /// 429 or a status from 500 up.
    Status(u16),
    /// The host did not take the call: no such cluster, no endpoint, its circuit breaker is open.
    Dispatch,
    /// So many calls in a row were outages that none is made for a while.
    Breaker,
}

/// Why an answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadResponse {
    Status(u16),
    TooLarge,
    /// 200, but not a session: what is wrong with it. Never a part of the answer.
    Shape(&'static str),
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time"),
            Self::Connect => f.write_str("connection refused or reset"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Dispatch => f.write_str("no such cluster, no endpoint, or its circuit breaker is open"),
            Self::Breaker => f.write_str("too many outages in a row; nobody asks for a while"),
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
