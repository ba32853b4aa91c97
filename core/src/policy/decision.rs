//! What a session's state leads to under a rule: the decision table.

use super::requirements::Facts;
use super::rules::{FailureMode, Rule, SessionMode};
use crate::policy::annotation::Status;
use crate::session::lookup::{Failure, Lookup};
use crate::session::session::Session;

/// The way a request goes once its session was asked for.
#[derive(Debug)]
pub enum Decision<'a> {
    /// On to the upstream, with the session to annotate it with.
    Session(&'a Session),
    /// On to the upstream without a session, on an optional route.
    Anonymous(Status),
    /// On to the upstream although nobody knows whether there is a session: `failure_mode: allow`.
    FailedOpen,
    NoSession,
    /// A requirement does not hold.
    Forbidden,
    Unavailable {
        retry: bool,
    },
    Busy,
}

/// `facts` are what requirements are held against.
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
