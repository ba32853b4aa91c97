//! A request that logs out: its sessions are being ended, and the local reply waits for the last of them.

use std::rc::Rc;

use super::context::Context;
use super::effects::Effects;
use super::request::Request;
use super::verdict::{Recipient, ReplyKind, Verdict};
use crate::http::local_reply::Denial;
use crate::policy::decision::denial_of;
use crate::policy::rules::Rule;
use crate::session::lookup::Failure;
use crate::session::token::Token;
use crate::telemetry::Outcome;

/// A logout request with its sessions. Each kill reports its outcome to [`Self::record`]; after the last one,
/// [`Self::conclude`] answers the request.
pub struct AwaitKills {
    rule: Rc<Rule>,
    tokens: Vec<Token>,
    request: Request,
    /// How many kills are not over yet.
    pending: usize,
    /// Why the first failed one failed. Then it is unknown whether the client is logged out.
    failure: Option<Failure>,
}

impl AwaitKills {
    pub(super) fn new(rule: Rc<Rule>, tokens: Vec<Token>, request: Request) -> Self {
        Self { rule, pending: tokens.len(), tokens, request, failure: None }
    }

    /// The rule of the logout request. Its backend holds the sessions.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The sessions to end.
    #[must_use]
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The logout request. Calls copy its trace headers.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// One of the kills is over. `outcome`: whether the session existed. Returns whether it was the last kill.
    pub fn record(&mut self, outcome: Result<bool, Failure>) -> bool {
        self.pending = self.pending.saturating_sub(1);
        self.failure = self.failure.or(outcome.err());
        self.pending == 0
    }

    /// Whether all kills are over, as they are at once for a request without a token.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.pending == 0
    }

    /// All kills are over: answers the request.
    pub fn conclude(self, cx: &Context<'_>, effects: &mut Effects<'_>) -> Verdict {
        let token = self.tokens.first().map(|token| token.digest(cx.digest_key));
        let (kind, outcome) = match (self.failure, &cx.config.logout) {
            (None, Some(logout)) => {
                let cookies = self.rule.cookie_names().map(|name| logout.cookie.deletion(name)).collect();
                (ReplyKind::LoggedOut { redirect: logout.redirect.as_deref(), cookies }, Outcome::Logout)
            }
            (failure, _) => {
                let denial = failure.map_or(Denial::Unavailable { retry: false }, denial_of);
                (ReplyKind::Denial(denial), Outcome::LogoutFailure)
            }
        };
        Verdict::reply(kind, outcome, Recipient::of(&self.request, &self.rule, token), effects)
    }
}
