//! Refusing a request: the local reply, or the redirect to log in.

use super::context::Context;
use super::effects::{Effects, ReplyKind};
use super::request::Request;
use super::verdict::Verdict;
use crate::http::local_reply::Denial;
use crate::policy::rules::Rule;
use crate::session::lookup::Failure;
use crate::session::token::Digest;
use crate::telemetry::Outcome;

/// Refuses a request for want of a session, or of the right one. A navigation is redirected to log in, if the rule has a
/// login.
pub fn without_session(
    cx: &Context<'_>,
    request: &Request,
    rule: &Rule,
    denial: Denial,
    token: Option<Digest>,
    effects: &mut Effects<'_>,
) -> Verdict {
    let cors_origin = request.cors_origin(rule);
    match request.login_location(cx.config, rule) {
        Some(location) => {
            effects.local_reply(ReplyKind::Login(location), Outcome::Redirected, Some(rule), cors_origin, token)
        }
        None => effects.deny(denial, Some(rule), cors_origin, token),
    }
}

/// The denial that a failure of rest-sessions leads to.
pub fn denial_of(failure: Failure) -> Denial {
    match failure {
        Failure::Busy => Denial::Busy,
        failure => Denial::Unavailable { retry: matches!(failure, Failure::Outage(_)) },
    }
}
