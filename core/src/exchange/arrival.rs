//! The arrival of a request: what its headers alone decide.

use std::rc::Rc;

use super::await_kills::AwaitKills;
use super::await_session::AwaitSession;
use super::context::Context;
use super::effects::Effects;
use super::request::Request;
use super::retained::Retained;
use super::verdict::{Recipient, ReplyKind, Verdict};
use crate::action::HeaderMap;
use crate::config::Config;
use crate::http::change::HeaderChange;
use crate::http::forwarded;
use crate::http::headers::Headers;
use crate::http::local_reply::Denial;
use crate::policy::annotation::Status;
use crate::policy::logout::MAX_SESSIONS;
use crate::policy::rules::{CorsPreflight, Rule, SessionMode};
use crate::policy::selection::{RequestLine, Selected, Undecided};
use crate::policy::token_source::{self, Found};
use crate::telemetry::{Counter, Outcome};

/// How a request goes on from its headers.
pub enum Arrival {
    /// The headers are enough for a decision. No call is made.
    Decided(Verdict),
    /// Its session is to be looked up.
    LookUp(AwaitSession),
    /// Its sessions are to be ended.
    LogOut(AwaitKills),
}

/// Judges a request by its headers. The order is part of the contract: spoofed headers are removed, the rule is
/// selected, then come origins, logout, preflight, routes without sessions, and the tokens.
pub fn request_headers(cx: &Context<'_>, headers: Headers, end_of_stream: bool, effects: &mut Effects<'_>) -> Arrival {
    let mut removed = cx.config.reserved.spoofed(&headers);
    if cx.config.checks_forwarded {
        forwarded::push_malformed(&headers, &mut removed);
    }
    for name in removed {
        effects.change_request(HeaderChange::Remove(name.to_vec().into()));
    }
    let request = Request::new(headers);
    let Selected { rule, is_logout } = match cx.config.selector().select(request.line()) {
        Ok(selected) => selected,
        Err(Undecided { denial, in_shadow }) => {
            effects.set_shadow(in_shadow);
            return Arrival::Decided(Verdict::deny(denial, Recipient::default(), effects));
        }
    };
    effects.set_shadow(rule.shadow);
    if request.has_refused_origin(rule, is_logout) {
        let to = Recipient::of(&request, rule, None);
        return Arrival::Decided(Verdict::deny(Denial::BadOrigin, to, effects));
    }
    if is_logout {
        if request.is_prefetch() {
            let to = Recipient::of(&request, rule, None);
            return Arrival::Decided(Verdict::deny(Denial::Prefetch, to, effects));
        }
        if rule.shadow {
            return Arrival::Decided(Verdict::forward(Outcome::Logout, rule, effects));
        }
        let tokens = token_source::all(&rule.sources, request.view(), &|| cx.now_ms(), MAX_SESSIONS);
        return Arrival::LogOut(AwaitKills::new(Rc::clone(rule), tokens, &request));
    }

    if !cx.config.forward_token {
        let removals = token_source::removals(&rule.sources, request.view());
        removals.into_iter().for_each(|change| effects.change_request(change));
    }
    let preflights_pass = || cx.config.cors_preflight == CorsPreflight::Pass || request.cors_origin(rule).is_some();
    let find = || token_source::find(&rule.sources, request.view(), &|| cx.now_ms());
    if let Some(method) = request.preflight_method().filter(|_| end_of_stream)
        && matches!(find(), Found::Nothing)
    {
        if let Some(verdict) = logout_preflight(cx, &request, rule, method, effects) {
            return Arrival::Decided(verdict);
        }
        if preflights_pass() {
            return Arrival::Decided(Verdict::forward(Outcome::Preflight, rule, effects));
        }
    }
    if rule.session == SessionMode::Off {
        return Arrival::Decided(Verdict::forward(Outcome::Off, rule, effects));
    }
    match find() {
        Found::Tokens(candidates, source) => {
            let source = cx.config.filter_state.then(|| source.to_string());
            let request = Retained::Whole(request);
            Arrival::LookUp(AwaitSession::new(Rc::clone(rule), candidates, request, source))
        }
        found @ (Found::Nothing | Found::TooMany) => {
            if matches!(found, Found::TooMany) {
                effects.count(Counter::Conflicts);
            }
            Arrival::Decided(if rule.session == SessionMode::Optional {
                Verdict::forward_with_status(Outcome::Anonymous, rule, Status::None, effects)
            } else {
                let to = Recipient::of(&request, rule, None);
                Verdict::without_session(request.login_location(cx.config, rule), Denial::SessionRequired, to, effects)
            })
        }
    }
}

/// Answers a preflight of the logout, which no upstream knows. `None`: it asks for another request, or the rule that will
/// decide on the logout does not list its origin. `rule` is the preflight's own.
#[cold]
#[inline(never)] // keeps the code of ordinary requests small
fn logout_preflight(
    cx: &Context<'_>,
    request: &Request,
    rule: &Rule,
    method: &[u8],
    effects: &mut Effects<'_>,
) -> Option<Verdict> {
    let logout = cx.config.selector().select(RequestLine { method, ..request.line() }).ok()?;
    let cors_origin = request.cors_origin(logout.rule).filter(|_| logout.is_logout)?;
    effects.set_shadow(rule.shadow || logout.rule.shadow);
    let kind = ReplyKind::Preflight { method: std::str::from_utf8(method).ok()?, headers: request.preflight_headers() };
    let to = Recipient { rule: Some(rule), cors_origin: Some(cors_origin), token: None };
    Some(Verdict::reply(kind, Outcome::Preflight, to, effects))
}

/// Removes spoofed headers from a request's trailers.
pub fn request_trailers(config: &Config, trailers: &Headers, effects: &mut Effects<'_>) {
    for name in config.reserved.spoofed(trailers) {
        effects.change(HeaderMap::RequestTrailers, HeaderChange::Remove(name.to_vec().into()));
    }
}
