//! The arrival of a request: what its headers alone decide.

use std::rc::Rc;

use super::await_kills::AwaitKills;
use super::await_session::AwaitSession;
use super::context::Context;
use super::effects::Effects;
use super::request::Request;
use super::verdict::{Recipient, Verdict};
use crate::action::HeaderMap;
use crate::config::Config;
use crate::http::change::HeaderChange;
use crate::http::headers::Headers;
use crate::http::local_reply::Denial;
use crate::policy::annotation::Status;
use crate::policy::logout::MAX_SESSIONS;
use crate::policy::rules::{CorsPreflight, SessionMode};
use crate::policy::selection::{Selected, Undecided};
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
    for name in cx.config.reserved.spoofed(&headers) {
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
    if request.has_refused_origin(rule) {
        let to = Recipient::of(&request, rule, None);
        return Arrival::Decided(Verdict::deny(Denial::BadOrigin, to, effects));
    }
    if is_logout {
        let to = Recipient::of(&request, rule, None);
        if request.is_cross_site(rule, to.cors_origin) {
            return Arrival::Decided(Verdict::deny(Denial::BadOrigin, to, effects));
        }
        if rule.shadow {
            return Arrival::Decided(Verdict::forward(Outcome::Logout, rule, effects));
        }
        let tokens = token_source::all(&rule.sources, request.view(), &|| cx.now_ms(), MAX_SESSIONS);
        return Arrival::LogOut(AwaitKills::new(Rc::clone(rule), tokens, request));
    }

    if !cx.config.forward_token {
        let removals = token_source::removals(&rule.sources, request.view());
        removals.into_iter().for_each(|change| effects.change_request(change));
    }
    let preflights_pass = || cx.config.cors_preflight == CorsPreflight::Pass || request.cors_origin(rule).is_some();
    let find = || token_source::find(&rule.sources, request.view(), &|| cx.now_ms());
    if end_of_stream && request.looks_like_preflight() && preflights_pass() && matches!(find(), Found::Nothing) {
        return Arrival::Decided(Verdict::forward(Outcome::Preflight, rule, effects));
    }
    if rule.session == SessionMode::Off {
        return Arrival::Decided(Verdict::forward(Outcome::Off, rule, effects));
    }
    match find() {
        Found::Tokens(candidates, source) => {
            let source = cx.config.filter_state.then(|| source.to_string());
            Arrival::LookUp(AwaitSession::new(Rc::clone(rule), candidates, request, source))
        }
        found @ (Found::Nothing | Found::TooMany) => {
            if matches!(found, Found::TooMany) {
                effects.count(Counter::Conflicts);
            }
            Arrival::Decided(if rule.session == SessionMode::Optional {
                Verdict::forward_with_status(Outcome::Anonymous, rule, Status::None, effects)
            } else {
                Verdict::without_session(cx, &request, rule, Denial::SessionRequired, None, effects)
            })
        }
    }
}

/// Removes spoofed headers from a request's trailers.
pub fn request_trailers(config: &Config, trailers: &Headers, effects: &mut Effects<'_>) {
    for name in config.reserved.spoofed(trailers) {
        effects.change(HeaderMap::RequestTrailers, HeaderChange::Remove(name.to_vec().into()));
    }
}
