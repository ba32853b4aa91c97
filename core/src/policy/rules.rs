//! Rules, and the selection of the one that applies to a request.

use std::rc::Rc;

use super::login::Login;
use super::matching::{Match, Target};
use super::path_index::PathIndex;
use super::requirements::Requirement;
use crate::http::origin::Origin;
use crate::http::path::PathCase;
use crate::http::set_cookie::Attributes;
use crate::policy::annotation::Annotation;
use crate::policy::token_source::Source;
use crate::rest_sessions::backend::Backend;

/// Whether a rule requires a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionMode {
    /// A request without an active session is denied.
    Required,
    /// A request passes with or without a session, annotated if it has one.
    Optional,
    /// No lookup is made.
    Off,
}

/// The decision on a required session during an outage of rest-sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureMode {
    /// Deny (fail closed).
    Deny,
    /// Pass with any well-formed token (fail open).
    Allow,
}

/// The reply to a navigation whose session fails a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnForbidden {
    /// The client gets 403.
    Deny,
    /// A redirect to the login page.
    Login,
}

/// Which CORS preflights (Fetch Standard, "CORS-preflight fetch") pass without a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorsPreflight {
    /// Preflights from an origin that the rule lists.
    Listed,
    /// Preflights from all origins.
    Pass,
}

/// A rule, with everything that it inherits.
#[derive(Debug)]
pub struct Rule {
    /// The rule's name in logs, or its position: `rules[3]`, `default`.
    pub label: Rc<str>,
    /// Whether a session is required.
    pub session: SessionMode,
    /// The service and app that hold the sessions.
    pub backend: Rc<Backend>,
    /// Where tokens are, in order of precedence.
    pub sources: Vec<Source>,
    /// The headers for the upstream.
    pub annotation: Annotation,
    /// The decision during an outage.
    pub failure_mode: FailureMode,
    /// The maximum age of a cache entry, in milliseconds. `None`: any entry that the cache holds.
    pub max_staleness_ms: Option<u64>,
    /// The allowed origins beside the request's own. `None`: the origin is not checked.
    pub origins: Option<Vec<Origin>>,
    /// The requirements, combined with AND.
    pub require: Vec<Requirement>,
    /// The reply to a navigation if a requirement fails.
    pub on_forbidden: OnForbidden,
    /// The login page for navigations without a session. `None`: they get 401.
    pub login: Option<Login>,
    /// The attributes with which the session's cookie is set and deleted.
    pub cookie: Rc<Attributes>,
    /// The interval of rechecks of open streams, in milliseconds. `None`: no recheck.
    pub recheck_ms: Option<u64>,
    /// Whether lookups count as a use of the session.
    pub touches: bool,
    /// Whether responses may change the session.
    pub writes_back: bool,
    /// Shadow mode: requests pass unchanged, and the decision is only counted.
    pub shadow: bool,
}

impl Rule {
    /// Whether the response to a request that goes on with its session may change the session.
    #[must_use]
    pub fn may_change_sessions(&self) -> bool {
        self.writes_back && !self.shadow
    }

    /// The names of the cookies that the rule takes tokens from.
    pub fn cookie_names(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().filter_map(|source| match source {
            Source::Cookie(name) => Some(name.as_str()),
            Source::Header { .. } | Source::Query { .. } => None,
        })
    }
}

/// All rules of a configuration. The first one that matches applies.
#[derive(Debug)]
pub struct Rules {
    list: Vec<(Match, Rc<Rule>)>,
    fallback: Rc<Rule>,
    path_case: PathCase,
    index: PathIndex,
    uses_hosts: bool,
    uses_methods: bool,
    uses_paths: bool,
}

impl Rules {
    /// The rules in their order. `fallback` applies if none matches.
    #[must_use]
    pub fn new(list: Vec<(Match, Rc<Rule>)>, fallback: Rc<Rule>, path_case: PathCase) -> Self {
        let any = |named: fn(&Match) -> bool| list.iter().any(|(matches, _)| named(matches));
        Self {
            uses_hosts: any(|matches| matches.hosts.is_some()),
            uses_methods: any(|matches| matches.methods.is_some()),
            uses_paths: any(|matches| matches.paths.is_some()),
            path_case,
            index: PathIndex::new(list.iter().map(|(matches, _)| matches), path_case),
            list,
            fallback,
        }
    }

    /// Whether any rule matches on hosts.
    #[must_use]
    pub fn uses_hosts(&self) -> bool {
        self.uses_hosts
    }

    /// Whether any rule matches on methods.
    #[must_use]
    pub fn uses_methods(&self) -> bool {
        self.uses_methods
    }

    /// Whether any rule matches on paths.
    #[must_use]
    pub fn uses_paths(&self) -> bool {
        self.uses_paths
    }

    /// Whether the case of paths matters.
    #[must_use]
    pub fn path_case(&self) -> PathCase {
        self.path_case
    }

    /// The matches of the rules, in their order, without the fallback.
    pub fn matches(&self) -> impl Iterator<Item = &Match> {
        self.list.iter().map(|(matches, _)| matches)
    }

    /// All rules in their order, then the fallback.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Rule>> {
        self.list.iter().map(|(_, rule)| rule).chain([&self.fallback])
    }

    /// The rule that applies to a request.
    #[must_use]
    pub fn select(&self, target: Target<'_>) -> &Rc<Rule> {
        let first = self.index.first(target.path, |place| {
            self.list.get(place).is_some_and(|(matches, _)| matches.matches_beside_path(target))
        });
        first.and_then(|place| self.list.get(place)).map_or(&self.fallback, |(_, rule)| rule)
    }
}
