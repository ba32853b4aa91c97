//! A request whose session is being looked up: what the lookup means for it.

use std::rc::Rc;

use super::await_response::AwaitResponse;
use super::context::Context;
use super::effects::Effects;
use super::request::Request;
use super::verdict::{FollowUp, Recipient, Verdict};
use super::watch::Watch;
use crate::http::local_reply::Denial;
use crate::policy::annotation::{self, Status};
use crate::policy::decision::{Decision, decide};
use crate::policy::requirements::Facts;
use crate::policy::rules::{OnForbidden, Rule, SessionMode};
use crate::session::lookup::Lookup;
use crate::session::session::Session;
use crate::session::token::{Digest, Token};
use crate::telemetry::{FilterState, Outcome};

pub struct AwaitSession {
    rule: Rc<Rule>,
    token: Token,
    /// Where the token was found, if filter state is on.
    source: Option<String>,
    request: Request,
}

impl AwaitSession {
    pub(super) fn new(rule: Rc<Rule>, token: Token, source: Option<String>, request: Request) -> Self {
        Self { rule, token, source, request }
    }

    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }

    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The lookup is over: judges the request.
    pub fn judge(self, cx: &Context<'_>, lookup: &Lookup, effects: &mut Effects<'_>) -> Verdict {
        effects.set_shadow(self.rule.shadow);
        if let Some(source) = &self.source {
            effects.filter_state(FilterState::Source, || source.clone());
        }
        let now_ms = || cx.now_ms();
        let client = || cx.surroundings.client_address();
        let facts = |session| Facts { session, token: &self.token, now_ms: &now_ms, client: &client };
        match decide(&self.rule, lookup, facts) {
            Decision::Session(session) => match self.annotate(cx, session, effects) {
                Verdict::Forward(_) => Verdict::Forward(FollowUp {
                    watch: Watch::of(&self.rule, &self.token),
                    response: AwaitResponse::of(self.rule, self.token, self.request),
                }),
                reply => reply,
            },
            Decision::Anonymous(status) => {
                Verdict::forward_with_status(Outcome::Anonymous, &self.rule, status, effects)
            }
            Decision::FailedOpen => {
                Verdict::forward_with_status(Outcome::FailedOpen, &self.rule, Status::Unavailable, effects);
                Verdict::Forward(FollowUp { watch: Watch::of(&self.rule, &self.token), response: None })
            }
            Decision::NoSession => self.without_session(cx, Denial::SessionRequired, effects),
            Decision::Forbidden if self.rule.on_forbidden == OnForbidden::Login => {
                self.without_session(cx, Denial::Forbidden, effects)
            }
            Decision::Forbidden => self.deny(cx, Denial::Forbidden, effects),
            Decision::Unavailable { retry } => self.deny(cx, Denial::Unavailable { retry }, effects),
            Decision::Busy => self.deny(cx, Denial::Busy, effects),
        }
    }

    fn annotate(&self, cx: &Context<'_>, session: &Session, effects: &mut Effects<'_>) -> Verdict {
        let age_s = || self.token.created_ms().map(|created| cx.now_ms().saturating_sub(created) / 1_000);
        match self.rule.annotation.of_session(session, &age_s) {
            Ok(headers) => {
                headers.for_each(|change| effects.change_request(change));
                effects.filter_state(FilterState::User, || annotation::encoded_id(session));
                Verdict::forward(Outcome::Allowed, &self.rule, effects)
            }
            Err(annotation::TooLarge) if self.rule.session == SessionMode::Required => {
                self.deny(cx, Denial::SessionTooLarge, effects)
            }
            Err(annotation::TooLarge) => {
                Verdict::forward_with_status(Outcome::SessionTooLarge, &self.rule, Status::Unavailable, effects)
            }
        }
    }

    fn without_session(&self, cx: &Context<'_>, denial: Denial, effects: &mut Effects<'_>) -> Verdict {
        Verdict::without_session(cx, &self.request, &self.rule, denial, Some(self.digest(cx)), effects)
    }

    fn deny(&self, cx: &Context<'_>, denial: Denial, effects: &mut Effects<'_>) -> Verdict {
        Verdict::deny(denial, Recipient::of(&self.request, &self.rule, Some(self.digest(cx))), effects)
    }

    fn digest(&self, cx: &Context<'_>) -> Digest {
        self.token.digest(cx.digest_key)
    }
}
