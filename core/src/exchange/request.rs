//! A request, as its headers describe it. Each state of an exchange owns it.

use std::rc::Rc;

use super::retained::Retained;
use crate::config::Config;
use crate::http::authority::Authority;
use crate::http::headers::{Headers, Known};
use crate::http::method;
use crate::http::navigation;
use crate::http::origin::Scheme;
use crate::policy::origins::{self, Page};
use crate::policy::rules::Rule;
use crate::policy::selection::RequestLine;
use crate::policy::token_source::{RequestView, Source};
use crate::session::token::Token;

/// A request with the token of its session, under the rule that decides on it.
pub struct SessionRequest {
    /// The rule that was selected for the request.
    pub rule: Rc<Rule>,
    /// The token of the session, from the first source of the rule that has tokens.
    pub token: Token,
    /// The request that carries the token.
    pub request: Retained,
}

/// The headers of a request as they were received. Actions that change them are not visible here.
pub struct Request {
    headers: Headers,
    is_websocket: bool,
}

impl Request {
    /// Reads once whether the request is a WebSocket handshake: `upgrade` (RFC 6455, section 4.1) or `:protocol` (RFC
    /// 8441, section 5) lists `websocket`.
    #[must_use]
    pub fn new(headers: Headers) -> Self {
        // Envoy turns an extended CONNECT for a WebSocket (RFC 8441) into an upgrade. Both forms are known here.
        let names_websocket = |value: &[u8]| {
            value.split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(b"websocket"))
        };
        let is_websocket = [Known::Upgrade, Known::Protocol]
            .into_iter()
            .any(|known| headers.contains(known) && headers.all_known(known).any(names_websocket));
        Self { headers, is_websocket }
    }

    /// All headers, pseudo-headers included.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    fn known(&self, known: Known) -> &[u8] {
        self.headers.first_known(known).unwrap_or_default()
    }

    /// What rules are matched against. A part is empty if the request lacks its pseudo-header.
    #[must_use]
    pub fn line(&self) -> RequestLine<'_> {
        RequestLine {
            method: self.known(Known::Method),
            target: self.known(Known::Path),
            authority: self.known(Known::Authority),
        }
    }

    pub(super) fn view(&self) -> RequestView<'_> {
        RequestView { headers: &self.headers, target: self.known(Known::Path), websocket: self.is_websocket }
    }

    /// The request's `Origin`, if the rule lists it: its scripts may read a local reply.
    pub(super) fn cors_origin(&self, rule: &Rule) -> Option<&str> {
        origins::allow_origin_value(rule.origins.as_deref()?, self.headers.single_known(Known::Origin))
    }

    /// Whether the rule checks the request's origin, and refuses it. A logout is checked whatever its method: it ends a
    /// session. Where the rule checks no origins, pages of the same site may log out.
    pub(super) fn has_refused_origin(&self, rule: &Rule, is_logout: bool) -> bool {
        let listed = rule.origins.as_deref();
        let is_checked =
            || origins::is_checked(self.known(Known::Method), self.is_websocket) || self.names_unsafe_method();
        if !is_logout && (listed.is_none() || !is_checked()) {
            return false;
        }
        match Page::of(&self.headers, listed.unwrap_or_default()) {
            Page::Allowed => false,
            Page::SameSite => listed.is_some(),
            Page::Foreign => true,
        }
    }

    /// Whether the query names a method whose requests are checked for their origin: a page can link to such a URL.
    fn names_unsafe_method(&self) -> bool {
        match method::named_in(self.known(Known::Path)) {
            Ok(named) => named.is_some_and(|method| origins::is_checked(&method, false)),
            Err(method::Unclear) => true,
        }
    }

    /// The method that a preflight as browsers send it asks for (Fetch Standard, "CORS-preflight request"). A genuine
    /// preflight has no token and no body either.
    ///
    /// It names no other method by a header or in the query. Browsers add no header of a script to a preflight, and a
    /// server that follows such a name would serve another method to a request that passes without a session.
    pub(super) fn preflight_method(&self) -> Option<&[u8]> {
        if self.known(Known::Method) != b"OPTIONS" || method::is_named_beside(&self.headers, self.known(Known::Path)) {
            return None;
        }
        // Envoy joins repeated lines of some headers with commas, and the single values of a browser have none.
        let one = |name| self.headers.single(name).filter(|value| !value.is_empty() && !value.contains(&b','));
        one("origin").and_then(|_| one("access-control-request-method"))
    }

    /// The names of the headers that a preflight asks for. `None`: there are none, or they are malformed.
    pub(super) fn preflight_headers(&self) -> Option<&str> {
        let names = self.headers.single("access-control-request-headers")?;
        let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_, ".contains(byte);
        std::str::from_utf8(names).ok().filter(|names| names.as_bytes().iter().all(is_allowed))
    }

    /// Whether a browser loads the page before the user asks for it, and perhaps for nothing.
    pub(super) fn is_prefetch(&self) -> bool {
        navigation::is_prefetch(&self.headers)
    }

    /// Where the request is redirected to log in, if it is a navigation and the rule has a login.
    pub(super) fn login_location(&self, config: &Config, rule: &Rule) -> Option<String> {
        let login = rule.login.as_ref()?;
        if self.is_websocket || !navigation::is_navigation(self.known(Known::Method), &self.headers) {
            return None;
        }
        if !login.has_return_url() {
            return Some(login.location("", b""));
        }
        // Only URLs of hosts that are served here go to the login service.
        let authority = Authority::parse(self.known(Known::Authority))?;
        let is_known = config.known_hosts.iter().any(|pattern| pattern.matches(&authority.host));
        let scheme = Scheme::of_request(&self.headers)?.as_str();
        if !is_known || !self.known(Known::Path).starts_with(b"/") {
            return None;
        }
        Some(login.location(&format!("{scheme}://{authority}"), &self.target_without_tokens(&rule.sources)))
    }

    /// Path and query without the query parameters that may hold a token.
    fn target_without_tokens(&self, sources: &[Source]) -> Vec<u8> {
        sources.iter().fold(self.known(Known::Path).to_vec(), |target, source| source.without_query(target))
    }
}
