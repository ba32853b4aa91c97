//! The decision table: rule and lookup to decision.

use super::requirements::Facts;
use super::rules::{FailureMode, Rule, SessionMode};
use crate::http::local_reply::Denial;
use crate::policy::annotation::Status;
use crate::session::lookup::{Failure, Lookup};
use crate::session::session::Session;

/// The decision on a request after its lookup.
#[derive(Debug)]
pub enum Decision<'a> {
    /// Pass, annotated with the session.
    Session(&'a Session),
    /// Pass without a session, on an optional route.
    Anonymous(Status),
    /// Pass although the lookup failed: `failure_mode: allow`.
    FailedOpen,
    /// Deny: the rule requires a session, and there is none.
    NoSession,
    /// Deny: a requirement fails.
    Forbidden,
    /// Deny: the lookup failed.
    Unavailable {
        /// Whether a retry may help: after an outage, but not after a bad response.
        retry: bool,
    },
    /// Deny: too many calls are in flight.
    Busy,
}

/// Decides. `facts` are the facts that the rule's requirements are evaluated against.
#[must_use]
pub fn decide<'a>(rule: &Rule, lookup: &'a Lookup, facts: impl Fn(&'a Session) -> Facts<'a>) -> Decision<'a> {
    match (lookup, rule.session) {
        (Lookup::Active(session), _) if !rule.require.iter().all(|required| required.holds(facts(session))) => {
            Decision::Forbidden
        }
        (Lookup::Active(session), _) => Decision::Session(session),
        (Lookup::None, SessionMode::Required) => Decision::NoSession,
        (Lookup::None, _) => Decision::Anonymous(Status::None),
        (Lookup::Failed(Failure::Outage(_)), SessionMode::Required) => match rule.failure_mode {
            FailureMode::Allow => Decision::FailedOpen,
            FailureMode::Deny => Decision::Unavailable { retry: true },
        },
        (Lookup::Failed(Failure::Bad(_)), SessionMode::Required) => Decision::Unavailable { retry: false },
        (Lookup::Failed(Failure::Busy), SessionMode::Required) => Decision::Busy,
        (Lookup::Failed(_), _) => Decision::Anonymous(Status::Unavailable),
    }
}

/// The denial that a failed call leads to, where the request cannot go on without it.
#[must_use]
pub fn denial_of(failure: Failure) -> Denial {
    match failure {
        Failure::Busy => Denial::Busy,
        failure => Denial::Unavailable { retry: matches!(failure, Failure::Outage(_)) },
    }
}
