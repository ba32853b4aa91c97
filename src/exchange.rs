//! One request's way through the filter: events in, effects out.
//!
//! The order is part of the contract: forged headers go first, then the host and the path are read and the rule is
//! found, then come origins, preflights and routes that need no session, then the token, the lookup, the decision.

use std::hash::RandomState;
use std::rc::Rc;

use crate::config::Config;
use crate::http::authority::Authority;
use crate::http::change::HeaderChange;
use crate::http::headers::{Headers, Known};
use crate::http::origin::Origin;
use crate::http::path;
use crate::http::reply::{Denial, Reply};
use crate::policy::decision::{Decision, decide};
use crate::policy::matching::Target;
use crate::policy::origins;
use crate::policy::rules::{CorsPreflight, Rule, SessionMode};
use crate::session::annotate::{self, Status};
use crate::session::lookup::Lookup;
use crate::session::session::Session;
use crate::session::source::{self, Bearer, Found};
use crate::session::token::{Digest, Token};
use crate::telemetry::{Counter, FilterState, Line, Outcome};

/// What the shell is to do, in this order, until the host refuses one; changes come first, and then what is counted.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    RequestHeader(HeaderChange),
    RequestTrailer(HeaderChange),
    Count(Counter),
    FilterState(FilterState, String),
    Log(Line),
}

/// How a request goes on once it is decided.
pub enum Verdict {
    Forward,
    Reply(Reply),
}

/// How a request goes on from its headers.
pub enum Start {
    Decided(Verdict),
    /// It waits for its session.
    Ask(AwaitSession),
}

/// What is to be done, and how the request goes on then.
pub struct Step<N> {
    pub effects: Vec<Effect>,
    pub next: N,
}

/// What a step needs to know beside what happened.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    pub config: &'a Config,
    /// Milliseconds since 1970. Asked for only where a step depends on it, since the host has to be called for it.
    pub now_ms: &'a dyn Fn() -> u64,
    pub digest_key: &'a RandomState,
}

/// A request waits for its session: what has to be known when that is told. A request that is forwarded or replied to
/// leaves nothing behind.
pub struct AwaitSession {
    rule: Rc<Rule>,
    /// The request's origin, if its scripts may read a refusal.
    reader: Option<String>,
    token: Token,
    /// Where the token was found, if somebody asks.
    source: Option<String>,
}

/// The request's headers are there.
#[must_use]
pub fn request_headers(around: Surroundings<'_>, headers: &Headers, end_of_stream: bool) -> Step<Start> {
    let mut effects = Effects::new(around.config);
    for name in around.config.managed.forged(headers) {
        effects.0.push(Effect::RequestHeader(HeaderChange::Remove(name.to_vec().into())));
    }
    let start = Request::new(headers, end_of_stream).judge(around, &mut effects);
    effects.then(start)
}

/// The request has trailers: what is forged in them goes too.
#[must_use]
pub fn request_trailers(config: &Config, trailers: &Headers) -> Vec<Effect> {
    let forged = config.managed.forged(trailers).into_iter();
    forged.map(|name| Effect::RequestTrailer(HeaderChange::Remove(name.to_vec().into()))).collect()
}

/// The effects of a step while it is being worked out.
struct Effects<'a>(Vec<Effect>, &'a Config);

impl<'a> Effects<'a> {
    fn new(config: &'a Config) -> Self {
        Self(Vec::new(), config)
    }

    fn then<N>(self, next: N) -> Step<N> {
        Step { effects: self.0, next }
    }

    fn count(&mut self, outcome: Outcome) {
        self.0.push(Effect::Count(Counter::Outcome(outcome)));
    }

    fn filter_state(&mut self, key: FilterState, value: impl FnOnce() -> String) {
        if self.1.filter_state {
            self.0.push(Effect::FilterState(key, value()));
        }
    }

    fn decided(&mut self, decision: &str, outcome: Outcome, rule: Option<&Rule>) {
        self.count(outcome);
        self.filter_state(FilterState::Decision, || decision.to_owned());
        self.filter_state(FilterState::Reason, || outcome.reason().to_owned());
        if let Some(rule) = rule {
            self.filter_state(FilterState::Rule, || rule.label.to_string());
        }
    }

    fn forward(&mut self, outcome: Outcome, rule: &Rule) -> Verdict {
        self.decided("allow", outcome, Some(rule));
        Verdict::Forward
    }

    /// Lets a request pass that is told of its session no more than this.
    fn forward_with_status(&mut self, outcome: Outcome, rule: &Rule, status: Status) -> Verdict {
        self.0.extend(rule.annotation.of_status(status).map(Effect::RequestHeader));
        self.forward(outcome, rule)
    }

    fn deny(&mut self, denial: Denial, rule: Option<&Rule>, reader: Option<&str>, token: Option<Digest>) -> Verdict {
        let outcome = outcome_of(denial);
        self.decided("deny", outcome, rule);
        self.0.push(Effect::Log(Line::Denied { outcome, rule: rule.map(|rule| Rc::clone(&rule.label)), token }));
        Verdict::Reply(Reply::new(denial, rule.map_or("", |rule| &rule.realm.app), reader))
    }
}

fn outcome_of(denial: Denial) -> Outcome {
    match denial {
        Denial::SessionRequired => Outcome::DeniedNoSession,
        Denial::BadOrigin => Outcome::DeniedOrigin,
        Denial::AmbiguousPath => Outcome::DeniedAmbiguousPath,
        Denial::BadHost => Outcome::DeniedBadHost,
        Denial::UnknownHost => Outcome::DeniedUnknownHost,
        Denial::Unavailable { .. } => Outcome::DeniedUnavailable,
        Denial::Busy => Outcome::DeniedBusy,
        Denial::SessionTooLarge => Outcome::SessionTooLarge,
    }
}

/// A request as its headers tell it.
struct Request<'a> {
    headers: &'a Headers,
    end_of_stream: bool,
    method: &'a [u8],
    /// Path and query, as sent.
    target: &'a [u8],
    authority: &'a [u8],
    websocket: bool,
}

impl<'a> Request<'a> {
    fn new(headers: &'a Headers, end_of_stream: bool) -> Self {
        // Envoy turns an extended CONNECT for a WebSocket (RFC 8441) into an upgrade; both forms are known here.
        let names_websocket = |value: &[u8]| {
            value.split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(b"websocket"))
        };
        Self {
            headers,
            end_of_stream,
            method: headers.first_known(Known::Method).unwrap_or_default(),
            target: headers.first_known(Known::Path).unwrap_or_default(),
            authority: headers.first_known(Known::Authority).unwrap_or_default(),
            websocket: headers.all_known(Known::Upgrade).chain(headers.all_known(Known::Protocol)).any(names_websocket),
        }
    }

    fn judge(&self, around: Surroundings<'_>, effects: &mut Effects<'_>) -> Start {
        let rule = match self.rule(around.config) {
            Ok(rule) => rule,
            Err(denial) => return Start::Decided(effects.deny(denial, None, None, None)),
        };
        let listed = rule.origins.as_deref().unwrap_or_default();
        let reader = origins::listed_value(listed, self.headers.single_known(Known::Origin));
        if rule.origins.is_some() && origins::guarded(self.method, self.websocket) {
            let own = self.own_origin();
            if !origins::admitted(listed, own.as_ref(), self.headers.all_known(Known::Origin)) {
                return Start::Decided(effects.deny(Denial::BadOrigin, Some(rule), reader, None));
            }
        }

        let bearer = Bearer { headers: self.headers, target: self.target, websocket: self.websocket };
        if !around.config.forward_token {
            effects.0.extend(source::removals(&rule.sources, bearer).into_iter().map(Effect::RequestHeader));
        }
        let find = || source::find(&rule.sources, bearer, around.now_ms);
        let preflights_pass = around.config.cors_preflight == CorsPreflight::Pass || reader.is_some();
        if preflights_pass && self.looks_like_preflight() && find() == Found::Nothing {
            return Start::Decided(effects.forward(Outcome::Preflight, rule));
        }
        if rule.session == SessionMode::Off {
            return Start::Decided(effects.forward(Outcome::Off, rule));
        }
        let found = find();
        if found == Found::Conflict {
            effects.0.push(Effect::Count(Counter::Conflicts));
        }
        match found {
            Found::Token(token, source) => Start::Ask(AwaitSession {
                rule: Rc::clone(rule),
                reader: reader.map(ToOwned::to_owned),
                token,
                source: around.config.filter_state.then(|| source.to_string()),
            }),
            Found::Nothing | Found::Conflict if rule.session == SessionMode::Optional => {
                Start::Decided(effects.forward_with_status(Outcome::Anonymous, rule, Status::None))
            }
            Found::Nothing | Found::Conflict => {
                Start::Decided(effects.deny(Denial::SessionRequired, Some(rule), reader, None))
            }
        }
    }

    /// The rule that decides, if the host and the path leave no doubt which one it is.
    fn rule<'c>(&self, config: &'c Config) -> Result<&'c Rc<Rule>, Denial> {
        let authority = if config.hosts.is_some() || config.rules.name_hosts() {
            Some(Authority::parse(self.authority).ok_or(Denial::BadHost)?)
        } else {
            None
        };
        let host = authority.as_ref().map(|authority| &authority.host);
        if let (Some(served), Some(host)) = (&config.hosts, host)
            && !served.iter().any(|pattern| pattern.matches(host))
        {
            return Err(Denial::UnknownHost);
        }
        let select = |path| config.rules.select(Target { host, method: self.method, path });
        let without_path = self.method == b"CONNECT" || (self.method == b"OPTIONS" && self.target == b"*");
        if without_path || !config.rules.name_paths() {
            return Ok(select(None));
        }
        let (path, _) = path::split_query(self.target);
        if path::is_plain(path) {
            return Ok(select(Some(path)));
        }
        let readings = path::readings(path).map_err(|_| Denial::AmbiguousPath)?;
        let mut rules = readings.iter().map(|reading| select(Some(reading)));
        let rule = rules.next().ok_or(Denial::AmbiguousPath)?;
        if rules.all(|other| Rc::ptr_eq(other, rule)) { Ok(rule) } else { Err(Denial::AmbiguousPath) }
    }

    /// The origin of the page that would find this request to be its own server's.
    fn own_origin(&self) -> Option<Origin> {
        let forwarded: Option<&[u8]> = self.headers.first("x-forwarded-proto");
        let scheme = match forwarded {
            Some(_) => self.headers.single("x-forwarded-proto")?,
            None => self.headers.single_known(Known::Scheme)?,
        };
        Origin::of_request(scheme, &Authority::parse(self.authority)?)
    }

    /// A preflight as browsers send it (Fetch Standard, section 4.8); a genuine one bears no token either.
    fn looks_like_preflight(&self) -> bool {
        // Envoy joins lines of some names with commas, and a browser's single values have none.
        let one = |name| self.headers.single(name).is_some_and(|value| !value.is_empty() && !value.contains(&b','));
        self.method == b"OPTIONS" && self.end_of_stream && one("origin") && one("access-control-request-method")
    }
}

impl AwaitSession {
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

    /// It is known what became of the lookup.
    #[must_use]
    pub fn session(self, around: Surroundings<'_>, lookup: &Lookup) -> Step<Verdict> {
        let mut effects = Effects::new(around.config);
        if let Some(source) = &self.source {
            effects.filter_state(FilterState::Source, || source.clone());
        }
        let rule = &*self.rule;
        let next = match decide(rule, lookup) {
            Decision::Session(session) => self.annotate(around, &mut effects, session),
            Decision::Anonymous(status) => effects.forward_with_status(Outcome::Anonymous, rule, status),
            Decision::FailedOpen => effects.forward_with_status(Outcome::FailedOpen, rule, Status::Unavailable),
            Decision::NoSession => self.deny(around, &mut effects, Denial::SessionRequired),
            Decision::Unavailable { retry } => self.deny(around, &mut effects, Denial::Unavailable { retry }),
            Decision::Busy => self.deny(around, &mut effects, Denial::Busy),
        };
        effects.then(next)
    }

    fn annotate(&self, around: Surroundings<'_>, effects: &mut Effects<'_>, session: &Session) -> Verdict {
        let age_s = || self.token.created_ms().map(|created| (around.now_ms)().saturating_sub(created) / 1_000);
        match self.rule.annotation.of_session(session, &age_s) {
            Ok(headers) => {
                effects.0.extend(headers.map(Effect::RequestHeader));
                effects.filter_state(FilterState::User, || annotate::encoded_id(session));
                effects.forward(Outcome::Allowed, &self.rule)
            }
            Err(annotate::TooLarge) if self.rule.session == SessionMode::Required => {
                self.deny(around, effects, Denial::SessionTooLarge)
            }
            Err(annotate::TooLarge) => {
                effects.forward_with_status(Outcome::SessionTooLarge, &self.rule, Status::Unavailable)
            }
        }
    }

    fn deny(&self, around: Surroundings<'_>, effects: &mut Effects<'_>, denial: Denial) -> Verdict {
        let token = self.token.digest(around.digest_key);
        effects.deny(denial, Some(&self.rule), self.reader.as_deref(), Some(token))
    }
}

#[cfg(test)]
mod tests;
