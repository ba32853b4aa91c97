//! A request that was let through and is still open, such as a WebSocket: whether its session still allows it.

use std::rc::Rc;

use super::effects::Effects;
use super::{Step, Surroundings};
use crate::policy::annotation::Status;
use crate::policy::decision::{Decision, decide};
use crate::policy::requirements::Facts;
use crate::policy::rules::Rule;
use crate::session::lookup::{Failure, Lookup};
use crate::session::token::Token;
use crate::telemetry::{Counter, LogLine};

#[derive(Clone)]
pub struct Watch {
    rule: Rc<Rule>,
    token: Token,
    every_ms: u64,
}

/// What becomes of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays open, and is looked at again in so many milliseconds.
    Stays(u64),
    Ends,
}

impl Watch {
    /// `None` where nobody asks for it.
    #[inline(always)]
    pub(super) fn of(rule: &Rc<Rule>, token: &Token) -> Option<Self> {
        let every_ms = rule.recheck_ms.filter(|_| !rule.shadow)?;
        Some(Self { rule: Rc::clone(rule), token: token.clone(), every_ms })
    }

    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// How long the request stays open until its session is asked for again, in milliseconds.
    #[must_use]
    pub fn every_ms(&self) -> u64 {
        self.every_ms
    }

    /// It is known what became of the lookup. The request ends if it would not be let in now; that nobody knows is no
    /// reason to end it.
    #[must_use]
    pub fn session(&self, around: Surroundings<'_>, lookup: &Lookup) -> Step<Fate> {
        let facts = |session| Facts { session, token: &self.token, now_ms: around.now_ms, client: around.client };
        let mut effects = Effects::new(around.config);
        let next = match decide(&self.rule, lookup, facts) {
            Decision::NoSession | Decision::Forbidden | Decision::Anonymous(Status::None) => {
                effects.count(Counter::RecheckClosed);
                effects.log(LogLine::StreamClosed {
                    rule: Rc::clone(&self.rule.label),
                    token: self.token.digest(around.digest_key),
                });
                Fate::Ends
            }
            // It was not asked for at all.
            Decision::Busy | Decision::Anonymous(_) if matches!(lookup, Lookup::Failed(Failure::Busy)) => {
                Fate::Stays(0)
            }
            _ => Fate::Stays(self.every_ms),
        };
        effects.then(next)
    }
}
