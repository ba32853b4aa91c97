//! A request whose session is being looked up: what the result means for it.

use std::rc::Rc;

use super::await_response::AwaitResponse;
use super::context::Context;
use super::effects::Effects;
use super::request::SessionRequest;
use super::retained::{Retained, text_bytes};
use super::verdict::{FollowUp, Recipient, Verdict};
use super::watch::Watch;
use crate::config::Config;
use crate::http::local_reply::Denial;
use crate::policy::annotation::{self, Status};
use crate::policy::decision::{Decision, decide};
use crate::policy::requirements::Facts;
use crate::policy::rules::{OnForbidden, Rule, SessionMode};
use crate::session::candidates::{Candidates, Position, Resolved};
use crate::session::lookup::Lookup;
use crate::session::session::Session;
use crate::session::token::Token;
use crate::telemetry::{Counter, FilterState, Outcome};

/// A request that waits for the lookups of its tokens. The results go to [`Self::record`], and the last one to
/// [`Self::judge`] too.
pub struct AwaitSession {
    rule: Rc<Rule>,
    candidates: Candidates,
    request: Retained,
    /// Where the tokens were found, if filter state is on.
    source: Option<String>,
}

impl AwaitSession {
    pub(super) fn new(rule: Rc<Rule>, candidates: Candidates, request: Retained, source: Option<String>) -> Self {
        Self { rule, candidates, request, source }
    }

    /// The rule that decides on the request.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Drops what is not read any more once the request waits.
    pub fn reduce(&mut self, config: &Config) {
        self.request.reduce(config, &self.rule);
    }

    /// Whether something is kept of the request after it went on with its session.
    #[must_use]
    pub fn leaves_something(&self) -> bool {
        self.rule.may_change_sessions() || Watch::is_due(&self.rule)
    }

    /// The heap that it takes, in bytes, without what requests share.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let source = text_bytes(self.source.as_ref());
        self.request.heap_bytes().saturating_add(source).saturating_add(self.candidates.heap_bytes())
    }

    /// Looks the request's tokens up. `lookup` returns a result that is known at once; each other one must come to
    /// [`Self::record`]. Returns the last result if all are known.
    #[inline(always)]
    pub fn look_up(
        &mut self,
        mut lookup: impl FnMut(&Rule, &Retained, Position, &Token) -> Option<Lookup>,
    ) -> Option<Lookup> {
        let Self { rule, candidates, request, .. } = self;
        candidates.look_up(|position, token| lookup(rule, request, position, token))
    }

    /// The lookup of one token is over. Returns whether it was the last.
    pub fn record(&mut self, position: Position, result: &Lookup) -> bool {
        self.candidates.record(position, result)
    }

    /// All lookups are over, and `last` is the last result: judges the request.
    pub fn judge(self, cx: &Context<'_>, last: Lookup, effects: &mut Effects<'_>) -> Verdict {
        let Self { rule, candidates, request, source } = self;
        effects.set_shadow(rule.shadow);
        if let Some(source) = &source {
            effects.filter_state(FilterState::Source, || source.clone());
        }
        let Resolved { token, lookup, is_conflict } = candidates.resolve(last);
        if is_conflict {
            effects.count(Counter::Conflicts);
        }
        SessionRequest { rule, token, request }.judge(cx, &lookup, effects)
    }
}

impl SessionRequest {
    fn judge(self, cx: &Context<'_>, lookup: &Lookup, effects: &mut Effects<'_>) -> Verdict {
        let Self { rule, token, .. } = &self;
        let now_ms = || cx.now_ms();
        let client = || cx.environment.client_address();
        let facts = |session| Facts { session, token, now_ms: &now_ms, client: &client };
        match decide(rule, lookup, facts) {
            Decision::Session(session) => match self.annotate(cx, session, effects) {
                Verdict::Forward(_) => {
                    Verdict::Forward(FollowUp { watch: Watch::of(rule, token), response: AwaitResponse::of(self) })
                }
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
        let age_s = || self.token.age_ms(cx.now_ms()).map(|age_ms| age_ms / 1_000);
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
        let login = self.request.login_location(cx.config, &self.rule);
        Verdict::without_session(login, denial, self.recipient(cx), effects)
    }

    fn deny(&self, cx: &Context<'_>, denial: Denial, effects: &mut Effects<'_>) -> Verdict {
        Verdict::deny(denial, self.recipient(cx), effects)
    }

    fn recipient(&self, cx: &Context<'_>) -> Recipient<'_> {
        let Self { rule, token, request } = self;
        Recipient { rule: Some(rule), cors_origin: request.cors_origin(rule), token: Some(token.digest(cx.digest_key)) }
    }
}
