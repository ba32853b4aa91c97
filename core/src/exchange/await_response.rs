//! A response on its way to the client: what it says of its session, and the change that it waits for.

use std::rc::Rc;

use super::await_kills::cookies;
use super::effects::Effects;
use super::request::Request;
use super::{Step, Surroundings};
use crate::config::Config;
use crate::http::change::HeaderChange;
use crate::http::headers::Headers;
use crate::http::local_reply::LocalReply;
use crate::http::set_cookie::{self, Attributes};
use crate::policy::rules::Rule;
use crate::policy::session_change::{self, Change};
use crate::policy::write_back::OnFailure;
use crate::session::lookup::Failure;
use crate::session::token::Token;
use crate::telemetry::{Counter, LogLine};

/// A request that was let through with a session that its upstream may change.
pub struct AwaitResponse {
    rule: Rc<Rule>,
    token: Token,
}

/// A response that waits until its session is changed.
pub struct AwaitChange {
    rule: Rc<Rule>,
    token: Token,
    /// What the response gets once the session is changed.
    cookies: Vec<String>,
}

/// How a response goes on from its headers.
pub enum Answered {
    Passes,
    /// Its session is to be changed first.
    Changes(AwaitChange, Change),
}

/// How a response goes on once the change is made, or is not.
pub enum Written {
    Passes,
    Reply(LocalReply),
}

impl AwaitResponse {
    /// `None` where the upstream may not.
    pub(super) fn of(rule: &Rc<Rule>, token: &Token) -> Option<Self> {
        (rule.writes_back && !rule.shadow).then(|| Self { rule: Rc::clone(rule), token: token.clone() })
    }
}

/// The response's headers are there. What was not let through with a session, or may not change it, is not awaited.
#[must_use]
pub fn response_headers(config: &Config, awaited: Option<AwaitResponse>, headers: &Headers) -> Step<Answered> {
    let passes = Step { effects: Vec::new(), next: Answered::Passes };
    let Some(write_back) = &config.write_back else { return passes };
    let spellings = write_back.names.spoofed(headers);
    if spellings.is_empty() {
        return passes;
    }
    let mut effects = Effects::new(config);
    for name in spellings {
        effects.change_response(HeaderChange::Remove(name.to_vec().into()));
    }
    let (sets, kills) = (headers.all(&write_back.set_header), headers.all(&write_back.kill_header));
    let why = match awaited {
        None => "not_allowed",
        Some(AwaitResponse { rule, token }) => {
            match session_change::read(sets, kills, &|key| write_back.keys.contain(key)) {
                Ok(Some(change)) => {
                    let cookies = if change == Change::Kill { deletions(config, &rule, headers) } else { Vec::new() };
                    return effects.then(Answered::Changes(AwaitChange { rule, token, cookies }, change));
                }
                Ok(None) => "another_spelling",
                Err(unfit) => unfit.reason(),
            }
        }
    };
    effects.count(Counter::WriteBacksDropped);
    effects.log(LogLine::ChangeIgnored { why });
    effects.then(Answered::Passes)
}

/// What deletes the cookies of a session that has ended; but not one that the response itself sets, to a new session.
fn deletions(config: &Config, rule: &Rule, headers: &Headers) -> Vec<String> {
    let default = Attributes::default();
    let attributes = config.logout.as_ref().map_or(&default, |logout| &logout.cookie);
    let is_set = |name: &str| headers.all("set-cookie").any(|value| set_cookie::name(value) == name.as_bytes());
    cookies(rule).filter(|name| !is_set(name)).map(|name| attributes.deletion(name)).collect()
}

/// The response has trailers: they change nothing, and no client sees what looks like it.
#[must_use]
pub fn response_trailers(config: &Config, trailers: &Headers) -> Vec<super::Effect> {
    let mut effects = Effects::new(config);
    let spellings = config.write_back.iter().flat_map(|write_back| write_back.names.spoofed(trailers));
    let mut dropped = false;
    for name in spellings {
        effects.change_response_trailer(HeaderChange::Remove(name.to_vec().into()));
        dropped = true;
    }
    if dropped {
        effects.count(Counter::WriteBacksDropped);
        effects.log(LogLine::ChangeIgnored { why: "trailer" });
    }
    effects.then(()).effects
}

impl AwaitChange {
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The call is over. The headers are those that the request came with.
    #[must_use]
    pub fn conclude(
        self,
        around: Surroundings<'_>,
        headers: &Headers,
        outcome: Result<bool, Failure>,
    ) -> Step<Written> {
        let mut effects = Effects::new(around.config);
        let on_failure = around.config.write_back.as_ref().map(|write_back| write_back.on_failure);
        let next = match outcome {
            Ok(_) => {
                for cookie in self.cookies {
                    effects.change_response(HeaderChange::Add("set-cookie".into(), cookie.into()));
                }
                effects.count(Counter::WriteBacks);
                Written::Passes
            }
            Err(failure) => {
                effects.count(Counter::WriteBackFailures);
                match on_failure {
                    Some(OnFailure::Deny) => {
                        let reader = Request::new(headers).reader(&self.rule);
                        Written::Reply(LocalReply::new(
                            super::denial_of(failure),
                            &self.rule.backend.namespace.app,
                            reader,
                        ))
                    }
                    _ => Written::Passes,
                }
            }
        };
        effects.then(next)
    }
}
