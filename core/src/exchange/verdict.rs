//! What a decision leads to: the request goes on, or gets a local reply.

use std::rc::Rc;

use super::await_response::AwaitResponse;
use super::effects::Effects;
use super::request::Request;
use super::watch::Watch;
use crate::http::local_reply::{Denial, LocalReply};
use crate::policy::annotation::Status;
use crate::policy::rules::Rule;
use crate::session::token::Digest;
use crate::telemetry::{LogLine, Outcome};

/// The end of a decision on a request.
pub enum Verdict {
    /// The request goes on to the upstream. Its stream may need a recheck or a change of its session later.
    Forward(FollowUp),
    /// The client gets this local reply. The request does not reach the upstream.
    Reply(LocalReply),
}

/// What remains to be done for a request that went on to the upstream.
#[derive(Default)]
pub struct FollowUp {
    /// Its session is looked up again while it is open. `None`: it is not rechecked.
    pub watch: Option<Watch>,
    /// Its response may change its session. `None`: change requests of its response are ignored.
    pub response: Option<AwaitResponse>,
}

/// What a local reply is for.
pub enum ReplyKind<'a> {
    Denial(Denial),
    /// A redirect to this location, to log in.
    Login(String),
    /// The logout may be sent with this method and these headers.
    Preflight {
        method: &'a str,
        headers: Option<&'a str>,
    },
    LoggedOut {
        redirect: Option<&'a str>,
        /// Values of `set-cookie` that delete the session's cookies.
        cookies: Vec<String>,
    },
}

/// Who gets a local reply, and what the log says of it.
#[derive(Clone, Copy, Default)]
pub struct Recipient<'a> {
    /// Absent if no rule was selected.
    pub rule: Option<&'a Rule>,
    /// The web origin whose scripts may read the local reply.
    pub cors_origin: Option<&'a str>,
    pub token: Option<Digest>,
}

impl<'a> Recipient<'a> {
    pub fn of(request: &'a Request, rule: &'a Rule, token: Option<Digest>) -> Self {
        Self { rule: Some(rule), cors_origin: request.cors_origin(rule), token }
    }
}

impl Verdict {
    /// Forwards a request. Counts the outcome and publishes it as filter state.
    pub fn forward(outcome: Outcome, rule: &Rule, effects: &mut Effects<'_>) -> Self {
        effects.decided(true, outcome, Some(rule));
        Self::Forward(FollowUp::default())
    }

    /// Forwards a request with its session's status alone.
    pub fn forward_with_status(outcome: Outcome, rule: &Rule, status: Status, effects: &mut Effects<'_>) -> Self {
        rule.annotation.of_status(status).for_each(|change| effects.change_request(change));
        Self::forward(outcome, rule, effects)
    }

    /// Sends a local reply; in shadow, forwards the request.
    pub fn reply(kind: ReplyKind<'_>, outcome: Outcome, to: Recipient<'_>, effects: &mut Effects<'_>) -> Self {
        let Recipient { rule, cors_origin, token } = to;
        effects.decided(matches!(outcome, Outcome::Logout | Outcome::Preflight), outcome, rule);
        effects.log(LogLine::LocalReply { outcome, rule: rule.map(|rule| Rc::clone(&rule.label)), token });
        if effects.is_in_shadow() {
            return Self::Forward(FollowUp::default());
        }
        Self::Reply(match kind {
            ReplyKind::Denial(denial) => {
                LocalReply::new(denial, rule.map_or("", |rule| &rule.backend.namespace.app), cors_origin)
            }
            ReplyKind::Login(location) => LocalReply::login(location, cors_origin),
            ReplyKind::Preflight { method, headers } => LocalReply::preflight(method, headers, cors_origin),
            ReplyKind::LoggedOut { redirect, cookies } => LocalReply::logged_out(redirect, cookies, cors_origin),
        })
    }

    /// Sends the local reply of a denial, under the outcome that belongs to it; in shadow, forwards the request.
    pub fn deny(denial: Denial, to: Recipient<'_>, effects: &mut Effects<'_>) -> Self {
        Self::reply(ReplyKind::Denial(denial), outcome_of(denial), to, effects)
    }

    /// Denies a request for want of a session, or of the right one. `login`: where it is redirected to log in instead, if
    /// it is a navigation and the rule has a login.
    pub fn without_session(
        login: Option<String>,
        denial: Denial,
        to: Recipient<'_>,
        effects: &mut Effects<'_>,
    ) -> Self {
        match login {
            Some(location) => Self::reply(ReplyKind::Login(location), Outcome::Redirected, to, effects),
            None => Self::deny(denial, to, effects),
        }
    }
}

fn outcome_of(denial: Denial) -> Outcome {
    match denial {
        Denial::SessionRequired => Outcome::DeniedNoSession,
        Denial::Forbidden | Denial::Prefetch => Outcome::DeniedForbidden,
        Denial::BadOrigin => Outcome::DeniedOrigin,
        Denial::AmbiguousPath => Outcome::DeniedAmbiguousPath,
        Denial::BadHost => Outcome::DeniedBadHost,
        Denial::BadMethod => Outcome::DeniedBadMethod,
        Denial::UnknownHost => Outcome::DeniedUnknownHost,
        Denial::Unavailable { .. } => Outcome::DeniedUnavailable,
        Denial::Busy => Outcome::DeniedBusy,
        Denial::SessionTooLarge => Outcome::SessionTooLarge,
    }
}
