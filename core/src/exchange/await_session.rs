//! A request whose session is being looked up: what the lookup means for it.

use super::await_response::AwaitResponse;
use super::context::Context;
use super::effects::Effects;
use super::request::SessionRequest;
use super::retained::text_bytes;
use super::verdict::{FollowUp, Recipient, Verdict};
use super::watch::Watch;
use crate::config::Config;
use crate::http::local_reply::Denial;
use crate::policy::annotation::{self, Status};
use crate::policy::decision::{Decision, decide};
use crate::policy::requirements::Facts;
use crate::policy::rules::{OnForbidden, SessionMode};
use crate::session::lookup::Lookup;
use crate::session::session::Session;
use crate::session::token::Token;
use crate::telemetry::{FilterState, Outcome};

/// A request that waits for the lookup of its session. The lookup's result goes to [`Self::judge`].
pub struct AwaitSession {
    subject: SessionRequest,
    /// Where the token was found, if filter state is on.
    source: Option<String>,
}

impl AwaitSession {
    pub(super) fn new(subject: SessionRequest, source: Option<String>) -> Self {
        Self { subject, source }
    }

    /// The waiting request, with the token to look up and the rule that decides.
    #[must_use]
    pub fn subject(&self) -> &SessionRequest {
        &self.subject
    }

    /// Drops what is not read any more once the request waits.
    pub fn reduce(&mut self, config: &Config) {
        self.subject.request.reduce(config, &self.subject.rule);
    }

    /// Whether something is kept of the request after it went on with its session.
    #[must_use]
    pub fn leaves_something(&self) -> bool {
        let rule = &self.subject.rule;
        rule.may_change_sessions() || Watch::is_due(rule)
    }

    /// The heap that it takes, in bytes, without what requests share.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let source = text_bytes(self.source.as_ref());
        self.subject.request.heap_bytes().saturating_add(source).saturating_add(Token::HEAP_BYTES)
    }

    /// The lookup is over: judges the request.
    pub fn judge(self, cx: &Context<'_>, lookup: &Lookup, effects: &mut Effects<'_>) -> Verdict {
        let SessionRequest { rule, token, .. } = &self.subject;
        effects.set_shadow(rule.shadow);
        if let Some(source) = &self.source {
            effects.filter_state(FilterState::Source, || source.clone());
        }
        let now_ms = || cx.now_ms();
        let client = || cx.environment.client_address();
        let facts = |session| Facts { session, token, now_ms: &now_ms, client: &client };
        match decide(rule, lookup, facts) {
            Decision::Session(session) => match self.annotate(cx, session, effects) {
                Verdict::Forward(_) => Verdict::Forward(FollowUp {
                    watch: Watch::of(rule, token),
                    response: AwaitResponse::of(self.subject),
                }),
                reply => reply,
            },
            Decision::Anonymous(status) => Verdict::forward_with_status(Outcome::Anonymous, rule, status, effects),
            Decision::FailedOpen => {
                Verdict::forward_with_status(Outcome::FailedOpen, rule, Status::Unavailable, effects);
                Verdict::Forward(FollowUp { watch: Watch::of(rule, token), response: None })
            }
            Decision::NoSession => self.without_session(cx, Denial::SessionRequired, effects),
            Decision::Forbidden if rule.on_forbidden == OnForbidden::Login => {
                self.without_session(cx, Denial::Forbidden, effects)
            }
            Decision::Forbidden => self.deny(cx, Denial::Forbidden, effects),
            Decision::Unavailable { retry } => self.deny(cx, Denial::Unavailable { retry }, effects),
            Decision::Busy => self.deny(cx, Denial::Busy, effects),
        }
    }

    fn annotate(&self, cx: &Context<'_>, session: &Session, effects: &mut Effects<'_>) -> Verdict {
        let age_s = || self.subject.token.created_ms().map(|created| cx.now_ms().saturating_sub(created) / 1_000);
        match self.subject.rule.annotation.of_session(session, &age_s) {
            Ok(headers) => {
                headers.for_each(|change| effects.change_request(change));
                effects.filter_state(FilterState::User, || annotation::encoded_id(session));
                Verdict::forward(Outcome::Allowed, &self.subject.rule, effects)
            }
            Err(annotation::TooLarge) if self.subject.rule.session == SessionMode::Required => {
                self.deny(cx, Denial::SessionTooLarge, effects)
            }
            Err(annotation::TooLarge) => {
                Verdict::forward_with_status(Outcome::SessionTooLarge, &self.subject.rule, Status::Unavailable, effects)
            }
        }
    }

    fn without_session(&self, cx: &Context<'_>, denial: Denial, effects: &mut Effects<'_>) -> Verdict {
        let login = self.subject.request.login_location(cx.config, &self.subject.rule);
        Verdict::without_session(login, denial, self.recipient(cx), effects)
    }

    fn deny(&self, cx: &Context<'_>, denial: Denial, effects: &mut Effects<'_>) -> Verdict {
        Verdict::deny(denial, self.recipient(cx), effects)
    }

    fn recipient(&self, cx: &Context<'_>) -> Recipient<'_> {
        let SessionRequest { rule, token, request } = &self.subject;
        Recipient { rule: Some(rule), cors_origin: request.cors_origin(rule), token: Some(token.digest(cx.digest_key)) }
    }
}
