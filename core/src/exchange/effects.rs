//! The actions of one step. For a rule in shadow, everything that the request could notice is left out, and what would
//! have been is counted.

use std::rc::Rc;

use super::verdict::{FollowUp, Verdict};
use crate::action::{Action, HeaderMap};
use crate::config::Config;
use crate::http::change::HeaderChange;
use crate::http::local_reply::{Denial, LocalReply};
use crate::policy::annotation::Status;
use crate::policy::rules::Rule;
use crate::session::token::Digest;
use crate::telemetry::{Counter, FilterState, LogLine, Outcome};

pub struct Effects<'a> {
    actions: &'a mut Vec<Action>,
    config: &'a Config,
    in_shadow: bool,
}

/// What a local reply is for.
pub enum ReplyKind<'a> {
    Denial(Denial),
    /// A redirect to this location, to log in.
    Login(String),
    LoggedOut {
        redirect: Option<&'a str>,
        /// Values of `set-cookie` that delete the session's cookies.
        cookies: Vec<String>,
    },
}

impl<'a> Effects<'a> {
    pub fn new(config: &'a Config, actions: &'a mut Vec<Action>) -> Self {
        Self { actions, config, in_shadow: false }
    }

    /// From here on, whether the request notices nothing.
    pub fn set_shadow(&mut self, in_shadow: bool) {
        self.in_shadow = in_shadow;
    }

    #[inline(always)]
    pub fn change_request(&mut self, change: HeaderChange) {
        if !self.in_shadow {
            self.actions.push(Action::ChangeHeader(HeaderMap::RequestHeaders, change));
        }
    }

    pub fn change(&mut self, map: HeaderMap, change: HeaderChange) {
        self.actions.push(Action::ChangeHeader(map, change));
    }

    pub fn count(&mut self, counter: Counter) {
        self.actions.push(Action::Count(counter));
    }

    pub fn log(&mut self, line: LogLine) {
        self.actions.push(Action::Log(line));
    }

    pub fn filter_state(&mut self, key: FilterState, value: impl FnOnce() -> String) {
        if self.config.filter_state {
            self.actions.push(Action::FilterState(key, value()));
        }
    }

    fn decided(&mut self, passes: bool, outcome: Outcome, rule: Option<&Rule>) {
        self.count(Counter::Outcome(match (self.in_shadow, passes) {
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
        Verdict::Forward(FollowUp::default())
    }

    /// Forwards a request with its session's status alone.
    pub fn forward_with_status(&mut self, outcome: Outcome, rule: &Rule, status: Status) -> Verdict {
        rule.annotation.of_status(status).for_each(|change| self.change_request(change));
        self.forward(outcome, rule)
    }

    /// Sends a local reply. `cors_origin`: the web origin whose scripts may read it.
    pub fn local_reply(
        &mut self,
        kind: ReplyKind<'_>,
        outcome: Outcome,
        rule: Option<&Rule>,
        cors_origin: Option<&str>,
        token: Option<Digest>,
    ) -> Verdict {
        self.decided(outcome == Outcome::Logout, outcome, rule);
        self.log(LogLine::LocalReply { outcome, rule: rule.map(|rule| Rc::clone(&rule.label)), token });
        if self.in_shadow {
            return Verdict::Forward(FollowUp::default());
        }
        Verdict::Reply(match kind {
            ReplyKind::Denial(denial) => {
                LocalReply::new(denial, rule.map_or("", |rule| &rule.backend.namespace.app), cors_origin)
            }
            ReplyKind::Login(location) => LocalReply::login(location, cors_origin),
            ReplyKind::LoggedOut { redirect, cookies } => LocalReply::logged_out(redirect, cookies, cors_origin),
        })
    }

    pub fn deny(
        &mut self,
        denial: Denial,
        rule: Option<&Rule>,
        cors_origin: Option<&str>,
        token: Option<Digest>,
    ) -> Verdict {
        self.local_reply(ReplyKind::Denial(denial), outcome_of(denial), rule, cors_origin, token)
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
