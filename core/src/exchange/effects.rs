//! The effects of a step while it is being worked out. Under a rule in shadow all that a request could notice is left
//! out, and what would have been is counted and told instead.

use std::rc::Rc;

use super::{Effect, Open, Step, Verdict};
use crate::config::Config;
use crate::http::change::HeaderChange;
use crate::http::local_reply::{Denial, LocalReply};
use crate::policy::annotation::Status;
use crate::policy::rules::Rule;
use crate::session::token::Digest;
use crate::telemetry::{Counter, FilterState, LogLine, Outcome};

pub struct Effects<'a> {
    list: Vec<Effect>,
    config: &'a Config,
    shadow: bool,
}

/// How a request is turned away.
pub enum Answer<'a> {
    Denial(Denial),
    /// It is sent there to log in.
    Login(String),
    /// It has logged out, and is sent there, or nowhere; these cookies are deleted.
    LoggedOut {
        redirect: Option<&'a str>,
        cookies: Vec<String>,
    },
}

impl<'a> Effects<'a> {
    pub fn new(config: &'a Config) -> Self {
        // Enough for most requests.
        Self { list: Vec::with_capacity(4), config, shadow: false }
    }

    /// From here on, nothing happens to the request.
    pub fn in_shadow(&mut self, shadow: bool) {
        self.shadow = shadow;
    }

    pub fn then<N>(self, next: N) -> Step<N> {
        Step { effects: self.list, next }
    }

    #[inline(always)]
    pub fn change(&mut self, change: HeaderChange) {
        if !self.shadow {
            self.list.push(Effect::RequestHeader(change));
        }
    }

    pub fn change_response(&mut self, change: HeaderChange) {
        self.list.push(Effect::ResponseHeader(change));
    }

    pub fn change_response_trailer(&mut self, change: HeaderChange) {
        self.list.push(Effect::ResponseTrailer(change));
    }

    pub fn count(&mut self, counter: Counter) {
        self.list.push(Effect::Count(counter));
    }

    pub fn log(&mut self, line: LogLine) {
        self.list.push(Effect::Log(line));
    }

    pub fn filter_state(&mut self, key: FilterState, value: impl FnOnce() -> String) {
        if self.config.filter_state {
            self.list.push(Effect::FilterState(key, value()));
        }
    }

    fn decided(&mut self, passes: bool, outcome: Outcome, rule: Option<&Rule>) {
        self.count(Counter::Outcome(match (self.shadow, passes) {
            (false, _) => outcome,
            (true, true) => Outcome::ShadowAllowed,
            (true, false) => Outcome::ShadowDenied,
        }));
        self.filter_state(FilterState::Decision, || if passes { "allow" } else { "deny" }.to_owned());
        self.filter_state(FilterState::Reason, || outcome.reason().to_owned());
        if let Some(rule) = rule {
            self.filter_state(FilterState::Rule, || rule.label.to_string());
        }
    }

    pub fn forward(&mut self, outcome: Outcome, rule: &Rule) -> Verdict {
        self.decided(true, outcome, Some(rule));
        Verdict::Forward(Open::default())
    }

    /// Lets a request pass that is told of its session no more than this.
    pub fn forward_with_status(&mut self, outcome: Outcome, rule: &Rule, status: Status) -> Verdict {
        if !self.shadow {
            self.list.extend(rule.annotation.of_status(status).map(Effect::RequestHeader));
        }
        self.forward(outcome, rule)
    }

    /// Answers instead of the upstream. `reader` is a web origin whose scripts may read the answer.
    pub fn answer(
        &mut self,
        answer: Answer<'_>,
        outcome: Outcome,
        rule: Option<&Rule>,
        reader: Option<&str>,
        token: Option<Digest>,
    ) -> Verdict {
        self.decided(outcome == Outcome::Logout, outcome, rule);
        self.log(LogLine::LocalReply { outcome, rule: rule.map(|rule| Rc::clone(&rule.label)), token });
        if self.shadow {
            return Verdict::Forward(Open::default());
        }
        Verdict::Reply(match answer {
            Answer::Denial(denial) => {
                LocalReply::new(denial, rule.map_or("", |rule| &rule.backend.namespace.app), reader)
            }
            Answer::Login(location) => LocalReply::login(location, reader),
            Answer::LoggedOut { redirect, cookies } => LocalReply::logged_out(redirect, cookies, reader),
        })
    }

    pub fn deny(
        &mut self,
        denial: Denial,
        rule: Option<&Rule>,
        reader: Option<&str>,
        token: Option<Digest>,
    ) -> Verdict {
        self.answer(Answer::Denial(denial), outcome_of(denial), rule, reader, token)
    }
}

fn outcome_of(denial: Denial) -> Outcome {
    match denial {
        Denial::SessionRequired => Outcome::DeniedNoSession,
        Denial::Forbidden => Outcome::DeniedForbidden,
        Denial::BadOrigin => Outcome::DeniedOrigin,
        Denial::AmbiguousPath => Outcome::DeniedAmbiguousPath,
        Denial::BadHost => Outcome::DeniedBadHost,
        Denial::UnknownHost => Outcome::DeniedUnknownHost,
        Denial::Unavailable { .. } => Outcome::DeniedUnavailable,
        Denial::Busy => Outcome::DeniedBusy,
        Denial::SessionTooLarge => Outcome::SessionTooLarge,
    }
}
