//! A request that logs out: its sessions are being ended, and the local reply waits for the last of them.

use std::rc::Rc;

use super::context::Context;
use super::effects::Effects;
use super::request::Request;
use super::retained::text_bytes;
use super::verdict::{Recipient, ReplyKind, Verdict};
use crate::http::local_reply::Denial;
use crate::policy::decision::denial_of;
use crate::policy::rules::Rule;
use crate::rest_sessions::request::Trace;
use crate::session::lookup::Failure;
use crate::session::token::Token;
use crate::telemetry::Outcome;

/// A logout request with its sessions. Each kill reports its outcome to [`Self::record`]; after the last one,
/// [`Self::conclude`] answers the request.
pub struct AwaitKills {
    rule: Rc<Rule>,
    tokens: Vec<Token>,
    trace: Trace,
    /// The request's `Origin`, if the rule lists it.
    cors_origin: Option<String>,
    /// How many kills are not over yet.
    pending: usize,
    /// Why the first failed one failed. Then it is unknown whether the client is logged out.
    failure: Option<Failure>,
}

impl AwaitKills {
    pub(super) fn new(rule: Rc<Rule>, tokens: Vec<Token>, request: &Request) -> Self {
        let (trace, cors_origin) = (Trace::of(request.headers()), request.cors_origin(&rule).map(ToOwned::to_owned));
        Self { rule, pending: tokens.len(), tokens, trace, cors_origin, failure: None }
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

    /// The trace headers of the logout request, for the kills.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The heap that it takes, in bytes, without what requests share.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let tokens = self.tokens.capacity().saturating_mul(Token::HEAP_BYTES.saturating_add(size_of::<Token>()));
        tokens.saturating_add(self.trace.heap_bytes()).saturating_add(text_bytes(self.cors_origin.as_ref()))
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
                let cookies = self.rule.cookie_names().map(|name| self.rule.cookie.deletion(name)).collect();
                (ReplyKind::LoggedOut { redirect: logout.redirect.as_deref(), cookies }, Outcome::Logout)
            }
            (failure, _) => {
                let denial = failure.map_or(Denial::Unavailable { retry: false }, denial_of);
                (ReplyKind::Denial(denial), Outcome::LogoutFailure)
            }
        };
        let to = Recipient { rule: Some(&self.rule), cors_origin: self.cors_origin.as_deref(), token };
        Verdict::reply(kind, outcome, to, effects)
    }
}
