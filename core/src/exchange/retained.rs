//! What is retained of a request: all of its headers while it is decided in its own callback, and only what later steps
//! read while it waits.

use super::request::Request;
use crate::config::Config;
use crate::policy::rules::Rule;
use crate::rest_sessions::request::Trace;
use crate::session::heap;

/// A request under the rule that decides on it.
pub enum Retained {
    /// All of its headers.
    Whole(Request),
    /// What later steps read of them.
    Reduced(Essentials),
}

/// What later steps read of a request. A header section that costs a client little on the wire may be large (RFC 9113,
/// section 10.5.1), and each value here is limited in size: the location to some 8,000 bytes, the origin to a configured
/// one, the trace headers to some 1,200 bytes.
#[derive(Default)]
pub struct Essentials {
    /// Where the request is redirected to log in, if it is.
    login_location: Option<String>,
    /// Its `Origin`, if the rule lists it.
    cors_origin: Option<String>,
    /// For the call that changes its session. Empty if none may follow.
    trace: Trace,
}

impl Retained {
    /// Drops the headers of a request that waits, except for what later steps read.
    pub fn reduce(&mut self, config: &Config, rule: &Rule) {
        if let Self::Whole(request) = self {
            *self = Self::Reduced(Essentials {
                login_location: request.login_location(config, rule),
                cors_origin: request.cors_origin(rule).map(ToOwned::to_owned),
                trace: if rule.may_change_sessions() { Trace::of(request.headers()) } else { Trace::default() },
            });
        }
    }

    /// The trace headers.
    #[must_use]
    pub fn trace(&self) -> Trace {
        match self {
            Self::Whole(request) => Trace::of(request.headers()),
            Self::Reduced(essentials) => essentials.trace.clone(),
        }
    }

    /// What the response phase reads: the trace headers, and the request's `Origin` if the rule lists it.
    pub(super) fn into_trace_and_origin(self, rule: &Rule) -> (Trace, Option<String>) {
        match self {
            Self::Whole(request) => (Trace::of(request.headers()), request.cors_origin(rule).map(ToOwned::to_owned)),
            Self::Reduced(Essentials { trace, cors_origin, .. }) => (trace, cors_origin),
        }
    }

    /// See [`Request::login_location`].
    pub(super) fn login_location(&self, config: &Config, rule: &Rule) -> Option<String> {
        match self {
            Self::Whole(request) => request.login_location(config, rule),
            Self::Reduced(essentials) => essentials.login_location.clone(),
        }
    }

    /// See [`Request::cors_origin`].
    pub(super) fn cors_origin(&self, rule: &Rule) -> Option<&str> {
        match self {
            Self::Whole(request) => request.cors_origin(rule),
            Self::Reduced(essentials) => essentials.cors_origin.as_deref(),
        }
    }

    /// The heap that it takes, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Whole(request) => request.headers().heap_bytes(),
            Self::Reduced(Essentials { login_location, cors_origin, trace }) => trace
                .heap_bytes()
                .saturating_add(text_bytes(login_location.as_ref()))
                .saturating_add(text_bytes(cors_origin.as_ref())),
        }
    }
}

/// The heap of a text that may be absent, in bytes.
pub(super) fn text_bytes(text: Option<&String>) -> usize {
    text.map_or(0, |text| heap::of_box(text.capacity()))
}
