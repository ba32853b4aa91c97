//! A request that logs out: its sessions are being ended, and the answer waits for the last of them.

use std::rc::Rc;

use super::effects::{Answer, Effects};
use super::request::Request;
use super::{Step, Surroundings, Verdict};
use crate::http::headers::Headers;
use crate::http::local_reply::Denial;
use crate::policy::rules::Rule;
use crate::policy::token_source::Source;
use crate::session::lookup::Failure;
use crate::session::token::Token;
use crate::telemetry::{Counter, Outcome};

/// The cookies that a rule takes tokens from.
pub(super) fn cookies(rule: &Rule) -> impl Iterator<Item = &str> {
    rule.sources.iter().filter_map(|source| match source {
        Source::Cookie(name) => Some(name.as_str()),
        Source::Header { .. } | Source::Query { .. } => None,
    })
}

pub struct AwaitKills {
    rule: Rc<Rule>,
    tokens: Vec<Token>,
    /// How many of the calls are not over yet.
    left: usize,
    /// Why one of them failed: then nobody can say that the person is logged out.
    failure: Option<Failure>,
}

impl AwaitKills {
    pub(super) fn new(rule: Rc<Rule>, tokens: Vec<Token>) -> Self {
        Self { rule, left: tokens.len(), tokens, failure: None }
    }

    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The sessions that are to be ended.
    #[must_use]
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// One of the calls is over.
    pub fn killed(&mut self, outcome: Result<bool, Failure>) {
        self.left = self.left.saturating_sub(1);
        self.failure = self.failure.or(outcome.err());
    }

    #[must_use]
    pub fn is_over(&self) -> bool {
        self.left == 0
    }

    /// The client left first. Its sessions end all the same.
    #[must_use]
    pub fn abandoned(self) -> Counter {
        Counter::Outcome(Outcome::Abandoned)
    }

    /// All calls are over. The headers are those that the request came with.
    #[must_use]
    pub fn conclude(self, around: Surroundings<'_>, headers: &Headers) -> Step<Verdict> {
        let mut effects = Effects::new(around.config);
        let reader = Request::new(headers).reader(&self.rule);
        let token = self.tokens.first().map(|token| token.digest(around.digest_key));
        let (answer, outcome) = match (self.failure, &around.config.logout) {
            (None, Some(logout)) => {
                let cookies = cookies(&self.rule).map(|name| logout.cookie.deletion(name)).collect();
                let redirect = logout.redirect.as_deref();
                (Answer::LoggedOut { redirect, cookies }, Outcome::Logout)
            }
            (failure, _) => {
                let denial = failure.map_or(Denial::Unavailable { retry: false }, super::denial_of);
                (Answer::Denial(denial), Outcome::LogoutFailure)
            }
        };
        let verdict = effects.answer(answer, outcome, Some(&self.rule), reader, token);
        effects.then(verdict)
    }
}
