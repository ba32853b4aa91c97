//! A request whose session was asked for: what the answer means for it.

use std::rc::Rc;

use super::effects::Effects;
use super::request::Request;
use super::{AwaitResponse, Open, Step, Surroundings, Verdict, Watch};
use crate::http::headers::Headers;
use crate::http::local_reply::Denial;
use crate::policy::annotation::{self, Status};
use crate::policy::decision::{Decision, decide};
use crate::policy::requirements::Facts;
use crate::policy::rules::{OnForbidden, Rule, SessionMode};
use crate::session::lookup::Lookup;
use crate::session::session::Session;
use crate::session::token::{Digest, Token};
use crate::telemetry::{Counter, FilterState, Outcome};

/// What has to be known when the answer comes. A request that is forwarded or replied to leaves nothing behind.
pub struct AwaitSession {
    rule: Rc<Rule>,
    token: Token,
    /// Where the token was found, if somebody asks.
    source: Option<String>,
}

impl AwaitSession {
    pub(super) fn new(rule: Rc<Rule>, token: Token, source: Option<String>) -> Self {
        Self { rule, token, source }
    }

    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The client left first.
    #[must_use]
    pub fn abandoned(self) -> Counter {
        Counter::Outcome(Outcome::Abandoned)
    }

    /// It is known what became of the lookup. The headers are those that the request came with.
    #[must_use]
    pub fn session(self, around: Surroundings<'_>, headers: &Headers, lookup: &Lookup) -> Step<Verdict> {
        let mut effects = Effects::new(around.config);
        effects.in_shadow(self.rule.shadow);
        if let Some(source) = &self.source {
            effects.filter_state(FilterState::Source, || source.clone());
        }
        let rule = &*self.rule;
        let facts = |session| Facts { session, token: &self.token, now_ms: around.now_ms, client: around.client };
        let decision = decide(rule, lookup, facts);
        let open = match decision {
            Decision::Session(_) => {
                Open { watch: Watch::of(&self.rule, &self.token), response: AwaitResponse::of(&self.rule, &self.token) }
            }
            Decision::FailedOpen => Open { watch: Watch::of(&self.rule, &self.token), response: None },
            _ => Open::default(),
        };
        let next = match decision {
            Decision::Session(session) => self.annotate(around, headers, session, &mut effects),
            Decision::Anonymous(status) => effects.forward_with_status(Outcome::Anonymous, rule, status),
            Decision::FailedOpen => effects.forward_with_status(Outcome::FailedOpen, rule, Status::Unavailable),
            Decision::NoSession => self.without_session(around, headers, Denial::SessionRequired, &mut effects),
            Decision::Forbidden if rule.on_forbidden == OnForbidden::Login => {
                self.without_session(around, headers, Denial::Forbidden, &mut effects)
            }
            Decision::Forbidden => self.deny(around, headers, Denial::Forbidden, &mut effects),
            Decision::Unavailable { retry } => self.deny(around, headers, Denial::Unavailable { retry }, &mut effects),
            Decision::Busy => self.deny(around, headers, Denial::Busy, &mut effects),
        };
        effects.then(match next {
            Verdict::Forward(_) => Verdict::Forward(open),
            reply => reply,
        })
    }

    fn annotate(
        &self,
        around: Surroundings<'_>,
        headers: &Headers,
        session: &Session,
        effects: &mut Effects<'_>,
    ) -> Verdict {
        let age_s = || self.token.created_ms().map(|created| (around.now_ms)().saturating_sub(created) / 1_000);
        match self.rule.annotation.of_session(session, &age_s) {
            Ok(headers) => {
                headers.for_each(|change| effects.change(change));
                effects.filter_state(FilterState::User, || annotation::encoded_id(session));
                effects.forward(Outcome::Allowed, &self.rule)
            }
            Err(annotation::TooLarge) if self.rule.session == SessionMode::Required => {
                self.deny(around, headers, Denial::SessionTooLarge, effects)
            }
            Err(annotation::TooLarge) => {
                effects.forward_with_status(Outcome::SessionTooLarge, &self.rule, Status::Unavailable)
            }
        }
    }

    fn without_session(
        &self,
        around: Surroundings<'_>,
        headers: &Headers,
        denial: Denial,
        effects: &mut Effects<'_>,
    ) -> Verdict {
        Request::new(headers).without_session(around.config, &self.rule, denial, Some(self.digest(around)), effects)
    }

    fn deny(&self, around: Surroundings<'_>, headers: &Headers, denial: Denial, effects: &mut Effects<'_>) -> Verdict {
        effects.deny(denial, Some(&self.rule), Request::new(headers).reader(&self.rule), Some(self.digest(around)))
    }

    fn digest(&self, around: Surroundings<'_>) -> Digest {
        self.token.digest(around.digest_key)
    }
}
