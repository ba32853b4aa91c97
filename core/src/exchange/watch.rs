//! A request that went on and is still open, such as a WebSocket: whether its session still permits it.

use std::rc::Rc;

use super::context::Context;
use super::effects::Effects;
use crate::policy::annotation::Status;
use crate::policy::decision::{Decision, decide};
use crate::policy::requirements::Facts;
use crate::policy::rules::Rule;
use crate::session::lookup::{Failure, Lookup};
use crate::session::token::Token;
use crate::telemetry::{Counter, LogLine};

/// The recheck of one open stream: the token to look up, the rule that judges it, and the interval (`recheck`).
#[derive(Clone)]
pub struct Watch {
    rule: Rc<Rule>,
    token: Token,
    every_ms: u64,
}

/// What follows from a recheck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecheckOutcome {
    /// The stream stays open. Its session is looked up again after so many milliseconds.
    KeepOpen(u64),
    /// The stream is closed: its token has no session any more, or the session fails a requirement of the rule.
    Close,
}

impl Watch {
    /// Whether the rule has a `recheck` that applies.
    pub(super) fn is_due(rule: &Rule) -> bool {
        rule.recheck_ms.is_some() && !rule.shadow
    }

    /// `None` if the rule has no `recheck`.
    #[inline(always)]
    pub(super) fn of(rule: &Rc<Rule>, token: &Token) -> Option<Self> {
        let every_ms = rule.recheck_ms.filter(|_| !rule.shadow)?;
        Some(Self { rule: Rc::clone(rule), token: token.clone(), every_ms })
    }

    /// The rule that let the request pass. It also judges each recheck.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The token to look up again.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The time between two lookups, in milliseconds.
    #[must_use]
    pub fn every_ms(&self) -> u64 {
        self.every_ms
    }

    /// The lookup is over. The stream is closed if its request would not be let in now. It stays open if the lookup
    /// failed.
    pub fn judge(&self, cx: &Context<'_>, lookup: &Lookup, effects: &mut Effects<'_>) -> RecheckOutcome {
        let now_ms = || cx.now_ms();
        let client = || cx.environment.client_address();
        let facts = |session| Facts { session, token: &self.token, now_ms: &now_ms, client: &client };
        match decide(&self.rule, lookup, facts) {
            Decision::NoSession | Decision::Forbidden | Decision::Anonymous(Status::None) => {
                effects.count(Counter::RecheckClosed);
                effects.log(LogLine::StreamClosed {
                    rule: Rc::clone(&self.rule.label),
                    token: self.token.digest(cx.digest_key),
                });
                RecheckOutcome::Close
            }
            // No call was made.
            Decision::Busy | Decision::Anonymous(_) if matches!(lookup, Lookup::Failed(Failure::Busy)) => {
                RecheckOutcome::KeepOpen(1)
            }
            _ => RecheckOutcome::KeepOpen(self.every_ms),
        }
    }
}
