//! The response of an upstream: what it says of its session, and the mutation that it waits for.

use std::rc::Rc;

use super::effects::Effects;
use super::request::SessionRequest;
use super::retained::text_bytes;
use crate::action::HeaderMap;
use crate::config::Config;
use crate::http::change::HeaderChange;
use crate::http::headers::Headers;
use crate::http::local_reply::LocalReply;
use crate::http::set_cookie;
use crate::policy::decision::denial_of;
use crate::policy::rules::Rule;
use crate::policy::session_change::{self, Change};
use crate::policy::write_back::{OnFailure, WriteBack};
use crate::rest_sessions::request::Trace;
use crate::session::lookup::Failure;
use crate::session::token::Token;
use crate::telemetry::{Counter, LogLine};

/// A request that went on with a session that its upstream may change, with what the response phase reads of it.
pub struct AwaitResponse {
    rule: Rc<Rule>,
    token: Token,
    trace: Trace,
    /// The request's `Origin`, if the rule lists it.
    cors_origin: Option<String>,
}

/// A response that waits until its session is changed.
pub struct AwaitChange {
    subject: AwaitResponse,
    /// Values of `set-cookie` that the response gets once the session is changed.
    cookies: Vec<String>,
}

/// How a response goes on from its headers.
pub enum ResponseStart {
    /// The response goes on at once: it asks for no change, or its change request is ignored.
    Continue,
    /// Its session is to be changed first.
    Change(AwaitChange, Change),
}

/// How a response goes on after the mutation.
pub enum ResponseVerdict {
    /// The response goes on: the session is changed, or `write_back.on_failure` is `pass`.
    Continue,
    /// The client gets this local reply: the mutation failed, and `write_back.on_failure` is `deny`.
    Reply(LocalReply),
}

impl AwaitResponse {
    /// `None` if the upstream may not change the session.
    pub(super) fn of(subject: SessionRequest) -> Option<Self> {
        let SessionRequest { rule, token, request } = subject;
        if !rule.may_change_sessions() {
            return None;
        }
        let (trace, cors_origin) = request.into_trace_and_origin(&rule);
        Some(Self { rule, token, trace, cors_origin })
    }

    /// The heap that it takes, in bytes, without what requests share.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let text = text_bytes(self.cors_origin.as_ref());
        self.trace.heap_bytes().saturating_add(text).saturating_add(Token::HEAP_BYTES)
    }
}

/// Reads a response's headers. `awaited` is absent if the request did not go on with a session that its upstream may
/// change.
pub fn response_headers(
    config: &Config,
    awaited: Option<AwaitResponse>,
    headers: &Headers,
    effects: &mut Effects<'_>,
) -> ResponseStart {
    let Some(write_back) = &config.write_back else { return ResponseStart::Continue };
    let spellings = write_back.names.spoofed(headers);
    if spellings.is_empty() {
        return ResponseStart::Continue;
    }
    change_request(write_back, awaited, headers, spellings, effects)
}

/// A response with a header that changes its session, in whatever spelling. Apart from the above, which every response goes
/// through.
#[inline(never)]
fn change_request(
    write_back: &WriteBack,
    awaited: Option<AwaitResponse>,
    headers: &Headers,
    spellings: Vec<&[u8]>,
    effects: &mut Effects<'_>,
) -> ResponseStart {
    for name in spellings {
        effects.change(HeaderMap::ResponseHeaders, HeaderChange::Remove(name.to_vec().into()));
    }
    let (sets, kills) = (headers.all(&write_back.set_header), headers.all(&write_back.kill_header));
    let why = match awaited {
        None => "not_allowed",
        Some(subject) => match session_change::read(sets, kills, &|key| write_back.keys.contain(key)) {
            Ok(Some(change)) => {
                let cookies = if change == Change::Kill { deletions(&subject.rule, headers) } else { Vec::new() };
                return ResponseStart::Change(AwaitChange { subject, cookies }, change);
            }
            Ok(None) => "another_spelling",
            Err(unfit) => unfit.reason(),
        },
    };
    effects.count(Counter::WriteBacksDropped);
    effects.log(LogLine::ChangeIgnored { why });
    ResponseStart::Continue
}

/// Values of `set-cookie` that delete the cookies of an ended session, except a cookie that the response itself sets: that
/// one belongs to a new session.
fn deletions(rule: &Rule, headers: &Headers) -> Vec<String> {
    let is_set = |name: &str| headers.all("set-cookie").any(|value| set_cookie::name(value) == name.as_bytes());
    rule.cookie_names().filter(|name| !is_set(name)).map(|name| rule.cookie.deletion(name)).collect()
}

/// Removes change requests from a response's trailers. In trailers they have no effect.
pub fn response_trailers(config: &Config, trailers: &Headers, effects: &mut Effects<'_>) {
    let spellings = config.write_back.iter().flat_map(|write_back| write_back.names.spoofed(trailers));
    let mut dropped = false;
    for name in spellings {
        effects.change(HeaderMap::ResponseTrailers, HeaderChange::Remove(name.to_vec().into()));
        dropped = true;
    }
    if dropped {
        effects.count(Counter::WriteBacksDropped);
        effects.log(LogLine::ChangeIgnored { why: "trailer" });
    }
}

impl AwaitChange {
    /// The rule of the request. Its backend holds the session.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.subject.rule
    }

    /// The token of the session to change.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.subject.token
    }

    /// The trace headers of the request.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.subject.trace
    }

    /// The heap that it takes, in bytes, without what requests share.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let list = self.cookies.capacity().saturating_mul(size_of::<String>());
        let cookies = self.cookies.iter().fold(list, |sum, cookie| sum.saturating_add(text_bytes(Some(cookie))));
        self.subject.heap_bytes().saturating_add(cookies)
    }

    /// The mutation is over.
    pub fn conclude(
        self,
        config: &Config,
        outcome: Result<bool, Failure>,
        effects: &mut Effects<'_>,
    ) -> ResponseVerdict {
        match outcome {
            Ok(_) => {
                for cookie in self.cookies {
                    let change = HeaderChange::Add("set-cookie".into(), cookie.into());
                    effects.change(HeaderMap::ResponseHeaders, change);
                }
                effects.count(Counter::WriteBacks);
                ResponseVerdict::Continue
            }
            Err(failure) => {
                effects.count(Counter::WriteBackFailures);
                let AwaitResponse { rule, cors_origin, .. } = &self.subject;
                match config.write_back.as_ref().map(|write_back| write_back.on_failure) {
                    Some(OnFailure::Deny) => ResponseVerdict::Reply(LocalReply::new(
                        denial_of(failure),
                        &rule.backend.namespace.app,
                        cors_origin.as_deref(),
                    )),
                    _ => ResponseVerdict::Continue,
                }
            }
        }
    }
}
