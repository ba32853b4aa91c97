//! A request, as its headers describe it. Each state of an exchange owns it.

use std::rc::Rc;

use crate::config::Config;
use crate::http::authority::Authority;
use crate::http::headers::{Headers, Known};
use crate::http::navigation;
use crate::http::origin::Origin;
use crate::policy::origins;
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
    pub request: Request,
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

    /// Whether the rule checks the request's origin, and refuses it.
    pub(super) fn has_refused_origin(&self, rule: &Rule) -> bool {
        rule.origins.is_some()
            && origins::is_checked(self.known(Known::Method), self.is_websocket)
            && !self.origin_allowed(rule)
    }

    /// Whether the request's origin is its own or listed, or it has none.
    fn origin_allowed(&self, rule: &Rule) -> bool {
        let listed = rule.origins.as_deref().unwrap_or_default();
        origins::is_allowed(listed, self.own_origin().as_ref(), self.headers.all_known(Known::Origin))
    }

    /// Whether a page of another site sent the request, as browsers say by `Sec-Fetch-Site` (Fetch Metadata, section
    /// 2.3). Without that header, the request's origin decides.
    pub(super) fn is_cross_site(&self, rule: &Rule, cors_origin: Option<&str>) -> bool {
        let mut sites = self.headers.all("sec-fetch-site").peekable();
        match sites.peek() {
            Some(_) => cors_origin.is_none() && sites.any(|site| site == b"cross-site"),
            None => !self.origin_allowed(rule),
        }
    }

    /// A preflight as browsers send it (Fetch Standard, section 4.8). A genuine one has no token and no body either.
    pub(super) fn looks_like_preflight(&self) -> bool {
        // Envoy joins repeated lines of some headers with commas, and the single values of a browser have none.
        let one = |name| self.headers.single(name).is_some_and(|value| !value.is_empty() && !value.contains(&b','));
        self.known(Known::Method) == b"OPTIONS" && one("origin") && one("access-control-request-method")
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
        let scheme = self.scheme().filter(|scheme| matches!(*scheme, b"http" | b"https"))?;
        if !is_known || !self.known(Known::Path).starts_with(b"/") {
            return None;
        }
        let scheme = std::str::from_utf8(scheme).ok()?;
        Some(login.location(&format!("{scheme}://{authority}"), &self.target_without_tokens(&rule.sources)))
    }

    /// Path and query without the query parameters that may hold a token.
    fn target_without_tokens(&self, sources: &[Source]) -> Vec<u8> {
        sources.iter().fold(self.known(Known::Path).to_vec(), |target, source| source.without_query(target))
    }

    fn scheme(&self) -> Option<&[u8]> {
        match self.headers.first("x-forwarded-proto") {
            Some(_) => self.headers.single("x-forwarded-proto"),
            None => self.headers.single_known(Known::Scheme),
        }
    }

    /// The origin of a page whose own server this request is sent to.
    fn own_origin(&self) -> Option<Origin> {
        Origin::of_request(self.scheme()?, &Authority::parse(self.known(Known::Authority))?)
    }
}
