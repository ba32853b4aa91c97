//! One request's way through the filter: events in, effects out.
//!
//! A response is looked at only where it may change its session.
//!
//! The order is part of the contract: forged headers go first, then the host and the path are read and the rule is
//! found, then come origins, logouts, preflights and routes that need no session, then the token, the lookup, the
//! decision.

mod await_kills;
mod await_response;
mod await_session;
mod effects;
mod request;
mod watch;

use std::hash::RandomState;

use crate::config::Config;
use crate::http::change::HeaderChange;
use crate::http::headers::Headers;
use crate::http::local_reply::{Denial, LocalReply};
use crate::session::lookup::Failure;
use crate::telemetry::{Counter, FilterState, LogLine};

pub use await_kills::AwaitKills;
pub use await_response::{Answered, AwaitChange, AwaitResponse, Written, response_headers, response_trailers};
pub use await_session::AwaitSession;
use effects::Effects;
use request::Request;
pub use watch::{Fate, Watch};

/// What the shell is to do, in this order, until the host refuses one; changes come first, and then what is counted.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    RequestHeader(HeaderChange),
    RequestTrailer(HeaderChange),
    ResponseHeader(HeaderChange),
    ResponseTrailer(HeaderChange),
    Count(Counter),
    FilterState(FilterState, String),
    Log(LogLine),
}

/// How a request goes on once it is decided.
pub enum Verdict {
    Forward(Open),
    Reply(LocalReply),
}

/// What is still to be done for a request that goes on to the upstream.
#[derive(Default)]
pub struct Open {
    /// Its session is asked for again while it is open.
    pub watch: Option<Watch>,
    /// Its response may change its session.
    pub response: Option<AwaitResponse>,
}

/// How a request goes on from its headers.
pub enum Start {
    Decided(Verdict),
    /// Its session is to be asked for.
    Ask(AwaitSession),
    /// Its sessions are to be ended.
    End(AwaitKills),
}

/// What is to be done, and how the request goes on then.
pub struct Step<N> {
    pub effects: Vec<Effect>,
    pub next: N,
}

/// What a step needs to know beside what happened.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    pub config: &'a Config,
    /// Milliseconds since 1970. Asked for only where a step depends on it, since the host has to be called for it.
    pub now_ms: &'a dyn Fn() -> u64,
    /// The address and port that the host trusts to be the client's; asked for only where a step depends on it.
    pub client: &'a dyn Fn() -> Option<Vec<u8>>,
    pub digest_key: &'a RandomState,
}

/// The request's headers are there.
#[must_use]
pub fn request_headers(around: Surroundings<'_>, headers: &Headers, end_of_stream: bool) -> Step<Start> {
    let mut effects = Effects::new(around.config);
    for name in around.config.reserved.spoofed(headers) {
        effects.change(HeaderChange::Remove(name.to_vec().into()));
    }
    let start = Request::new(headers).judge(around, end_of_stream, &mut effects);
    effects.then(start)
}

/// The request has trailers: what is forged in them goes too.
#[must_use]
pub fn request_trailers(config: &Config, trailers: &Headers) -> Vec<Effect> {
    let forged = config.reserved.spoofed(trailers).into_iter();
    forged.map(|name| Effect::RequestTrailer(HeaderChange::Remove(name.to_vec().into()))).collect()
}

/// The answer of the filter's own to a failure of rest-sessions.
fn denial_of(failure: Failure) -> Denial {
    match failure {
        Failure::Busy => Denial::Busy,
        failure => Denial::Unavailable { retry: matches!(failure, Failure::Outage(_)) },
    }
}

#[cfg(test)]
mod tests;
