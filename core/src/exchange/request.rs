//! A request as its headers tell it, and what they alone decide.

use std::rc::Rc;

use super::await_kills::AwaitKills;
use super::await_session::AwaitSession;
use super::effects::{Answer, Effects};
use super::{Start, Surroundings, Verdict};
use crate::config::Config;
use crate::http::authority::Authority;
use crate::http::headers::{Headers, Known};
use crate::http::local_reply::Denial;
use crate::http::navigation;
use crate::http::origin::Origin;
use crate::http::path;
use crate::policy::annotation::Status;
use crate::policy::logout::MAX_SESSIONS;
use crate::policy::matching::Target;
use crate::policy::origins;
use crate::policy::rules::{CorsPreflight, Rule, SessionMode};
use crate::policy::token_source::{self, Found, RequestView, Source};
use crate::session::token::Digest;
use crate::telemetry::{Counter, Outcome};

pub struct Request<'a> {
    headers: &'a Headers,
    method: &'a [u8],
    /// Path and query, as sent.
    target: &'a [u8],
    authority: &'a [u8],
    websocket: bool,
}

/// What a request is for.
struct Selected<'c> {
    rule: &'c Rc<Rule>,
    logout: bool,
}

/// Why no rule can be said to decide.
struct Undecided {
    denial: Denial,
    /// Whether every rule that may have been meant is in shadow.
    shadow: bool,
}

impl<'a> Request<'a> {
    pub fn new(headers: &'a Headers) -> Self {
        // Envoy turns an extended CONNECT for a WebSocket (RFC 8441) into an upgrade; both forms are known here.
        let names_websocket = |value: &[u8]| {
            value.split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(b"websocket"))
        };
        Self {
            headers,
            method: headers.first_known(Known::Method).unwrap_or_default(),
            target: headers.first_known(Known::Path).unwrap_or_default(),
            authority: headers.first_known(Known::Authority).unwrap_or_default(),
            websocket: [Known::Upgrade, Known::Protocol]
                .into_iter()
                .any(|known| headers.contains(known) && headers.all_known(known).any(names_websocket)),
        }
    }

    pub fn judge(&self, around: Surroundings<'_>, end_of_stream: bool, effects: &mut Effects<'_>) -> Start {
        let Selected { rule, logout } = match self.select(around.config) {
            Ok(selected) => selected,
            Err(Undecided { denial, shadow }) => {
                effects.in_shadow(shadow);
                return Start::Decided(effects.deny(denial, None, None, None));
            }
        };
        effects.in_shadow(rule.shadow);
        let reader = self.reader(rule);
        let deny = |effects: &mut Effects<'_>, denial| Start::Decided(effects.deny(denial, Some(rule), reader, None));
        if rule.origins.is_some() && origins::is_checked(self.method, self.websocket) && !self.comes_from_friends(rule)
        {
            return deny(effects, Denial::BadOrigin);
        }
        if logout {
            if self.comes_from_a_foreign_page(rule, reader) {
                return deny(effects, Denial::BadOrigin);
            }
            if rule.shadow {
                return Start::Decided(effects.forward(Outcome::Logout, rule));
            }
            let tokens = token_source::all(&rule.sources, self.view(), around.now_ms, MAX_SESSIONS);
            return Start::End(AwaitKills::new(Rc::clone(rule), tokens));
        }

        let view = self.view();
        if !around.config.forward_token {
            token_source::removals(&rule.sources, view).into_iter().for_each(|change| effects.change(change));
        }
        let preflights_pass = around.config.cors_preflight == CorsPreflight::Pass || reader.is_some();
        if preflights_pass
            && end_of_stream
            && self.looks_like_preflight()
            && token_source::find(&rule.sources, view, around.now_ms) == Found::Nothing
        {
            return Start::Decided(effects.forward(Outcome::Preflight, rule));
        }
        if rule.session == SessionMode::Off {
            return Start::Decided(effects.forward(Outcome::Off, rule));
        }
        let found = token_source::find(&rule.sources, view, around.now_ms);
        if matches!(found, Found::Conflict) {
            effects.count(Counter::Conflicts);
        }
        match found {
            Found::Token(token, source) => {
                let source = around.config.filter_state.then(|| source.to_string());
                Start::Ask(AwaitSession::new(Rc::clone(rule), token, source))
            }
            Found::Nothing | Found::Conflict if rule.session == SessionMode::Optional => {
                Start::Decided(effects.forward_with_status(Outcome::Anonymous, rule, Status::None))
            }
            Found::Nothing | Found::Conflict => {
                Start::Decided(self.without_session(around.config, rule, Denial::SessionRequired, None, effects))
            }
        }
    }

    /// The rule that decides, if the host and the path leave no doubt which one it is.
    fn select<'c>(&self, config: &'c Config) -> Result<Selected<'c>, Undecided> {
        // Whichever rule was meant.
        let undecided = |denial| Undecided { denial, shadow: config.rules.iter().all(|rule| rule.shadow) };
        let authority = if config.hosts.is_some() || config.rules.uses_hosts() {
            Some(Authority::parse(self.authority).ok_or_else(|| undecided(Denial::BadHost))?)
        } else {
            None
        };
        let host = authority.as_ref().map(|authority| &authority.host);
        if let (Some(served), Some(host)) = (&config.hosts, host)
            && !served.iter().any(|pattern| pattern.matches(host))
        {
            return Err(undecided(Denial::UnknownHost));
        }
        let select = |path: Option<&[u8]>| Selected {
            rule: config.rules.select(Target { host, method: self.method, path }),
            logout: config
                .logout
                .as_ref()
                .zip(path)
                .is_some_and(|(logout, path)| logout.matches(self.method, path, config.rules.path_case())),
        };
        let without_path = self.method == b"CONNECT" || (self.method == b"OPTIONS" && self.target == b"*");
        if without_path || !(config.rules.uses_paths() || config.logout.is_some()) {
            return Ok(select(None));
        }
        let (path, _) = path::split_query(self.target);
        if path::is_plain(path) {
            return Ok(select(Some(path)));
        }
        let readings = match path::readings(path) {
            Ok(readings) => readings,
            // Where no rule names paths, such a path is no logout, and nothing else depends on it.
            Err(_) if !config.rules.uses_paths() => return Ok(select(None)),
            Err(_) => return Err(undecided(Denial::AmbiguousPath)),
        };
        let mut selected = readings.iter().map(|reading| select(Some(reading)));
        let first = selected.next().ok_or_else(|| undecided(Denial::AmbiguousPath))?;
        let (mut agreed, mut shadow) = (true, first.rule.shadow);
        for other in selected {
            agreed = agreed && Rc::ptr_eq(other.rule, first.rule) && other.logout == first.logout;
            shadow = shadow && other.rule.shadow;
        }
        if agreed { Ok(first) } else { Err(Undecided { denial: Denial::AmbiguousPath, shadow }) }
    }

    fn view(&self) -> RequestView<'a> {
        RequestView { headers: self.headers, target: self.target, websocket: self.websocket }
    }

    /// The web origin of the request, if its scripts may read a refusal.
    pub fn reader(&self, rule: &Rule) -> Option<&'a str> {
        origins::allow_origin_value(rule.origins.as_deref()?, self.headers.single_known(Known::Origin))
    }

    /// Whether no page but one of this site, or of a listed origin, has sent the request.
    fn comes_from_friends(&self, rule: &Rule) -> bool {
        let listed = rule.origins.as_deref().unwrap_or_default();
        origins::is_allowed(listed, self.own_origin().as_ref(), self.headers.all_known(Known::Origin))
    }

    /// Whether a page of another site has sent the request: browsers say so (Fetch Metadata, section 2.3); of one that
    /// does not, the origin tells.
    fn comes_from_a_foreign_page(&self, rule: &Rule, reader: Option<&str>) -> bool {
        let mut sites = self.headers.all("sec-fetch-site").peekable();
        match sites.peek() {
            Some(_) => reader.is_none() && sites.any(|site| site == b"cross-site"),
            None => !self.comes_from_friends(rule),
        }
    }

    /// Refuses for want of a session, or of the right one; a person who wants a page is sent to log in.
    pub fn without_session(
        &self,
        config: &Config,
        rule: &Rule,
        denial: Denial,
        token: Option<Digest>,
        effects: &mut Effects<'_>,
    ) -> Verdict {
        match self.login(config, rule) {
            Some(location) => {
                effects.answer(Answer::Login(location), Outcome::Redirected, Some(rule), self.reader(rule), token)
            }
            None => effects.deny(denial, Some(rule), self.reader(rule), token),
        }
    }

    /// Where the request is sent to log in, if it is a person's way to a page.
    fn login(&self, config: &Config, rule: &Rule) -> Option<String> {
        let login = rule.login.as_ref()?;
        if self.websocket || !navigation::is_navigation(self.method, self.headers) {
            return None;
        }
        if !login.has_return_url() {
            return Some(login.location("", b""));
        }
        // Back to a host that is known to be served here, and to no other.
        let authority = Authority::parse(self.authority)?;
        let known = config.known_hosts.iter().any(|pattern| pattern.matches(&authority.host));
        let scheme = self.scheme().filter(|scheme| matches!(*scheme, b"http" | b"https"))?;
        if !known || !self.target.starts_with(b"/") {
            return None;
        }
        let scheme = std::str::from_utf8(scheme).ok()?;
        Some(login.location(&format!("{scheme}://{authority}"), &self.target_without_tokens(&rule.sources)))
    }

    /// Path and query without the parameters that may hold a token.
    fn target_without_tokens(&self, sources: &[Source]) -> Vec<u8> {
        sources.iter().fold(self.target.to_vec(), |target, source| source.without_query(target))
    }

    fn scheme(&self) -> Option<&'a [u8]> {
        match self.headers.first("x-forwarded-proto") {
            Some(_) => self.headers.single("x-forwarded-proto"),
            None => self.headers.single_known(Known::Scheme),
        }
    }

    /// The origin of the page that would find this request to be its own server's.
    fn own_origin(&self) -> Option<Origin> {
        Origin::of_request(self.scheme()?, &Authority::parse(self.authority)?)
    }

    /// A preflight as browsers send it (Fetch Standard, section 4.8); a genuine one bears no token either.
    fn looks_like_preflight(&self) -> bool {
        // Envoy joins lines of some names with commas, and a browser's single values have none.
        let one = |name| self.headers.single(name).is_some_and(|value| !value.is_empty() && !value.contains(&b','));
        self.method == b"OPTIONS" && one("origin") && one("access-control-request-method")
    }
}
