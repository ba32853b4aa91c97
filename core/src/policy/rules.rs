//! Rules: what each asks of the requests that it matches, and which of them decides.

use std::rc::Rc;

use super::login::Login;
use super::matching::{Match, PathCase, Target};
use super::path_index::PathIndex;
use super::requirements::Requirement;
use crate::http::origin::Origin;
use crate::policy::annotation::Annotation;
use crate::policy::token_source::Source;
use crate::rest_sessions::backend::Backend;

/// Whether a rule asks for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionMode {
    /// Without an active session the request is turned away.
    Required,
    /// The request passes in any case, annotated where there is a session.
    Optional,
    /// Nobody asks for a session.
    Off,
}

/// What becomes of a required session while rest-sessions is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureMode {
    Deny,
    Allow,
}

/// What becomes of a person whose session does not meet a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnForbidden {
    Deny,
    /// Sent to log in again.
    Login,
}

/// Which genuine preflights pass without a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorsPreflight {
    /// Those whose origin the rule lists.
    Listed,
    /// All of them.
    Pass,
}

/// What holds for the requests that a rule matches.
#[derive(Debug)]
pub struct Rule {
    /// The rule's name, or its place: `rules[3]`, `default`.
    pub label: Rc<str>,
    pub session: SessionMode,
    pub backend: Rc<Backend>,
    pub sources: Vec<Source>,
    pub annotation: Annotation,
    pub failure_mode: FailureMode,
    /// The oldest answer from a cache that may be used; absent: any that the cache keeps.
    pub max_staleness_ms: Option<u64>,
    /// The origins that may write, beside the request's own. Absent: nobody asks.
    pub origins: Option<Vec<Origin>>,
    /// What must hold for a session, all of it.
    pub require: Vec<Requirement>,
    pub on_forbidden: OnForbidden,
    /// Where people are sent to log in; absent: nowhere.
    pub login: Option<Login>,
    /// How long a request may be open until its session is asked for again; absent: it is not.
    pub recheck_ms: Option<u64>,
    /// Whether responses may change the session.
    pub writes_back: bool,
    /// Nothing happens to a request; what would have been is counted.
    pub shadow: bool,
}

/// All rules of a configuration, the first that matches decides.
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

    #[must_use]
    pub fn uses_hosts(&self) -> bool {
        self.uses_hosts
    }

    #[must_use]
    pub fn uses_methods(&self) -> bool {
        self.uses_methods
    }

    #[must_use]
    pub fn uses_paths(&self) -> bool {
        self.uses_paths
    }

    #[must_use]
    pub fn path_case(&self) -> PathCase {
        self.path_case
    }

    /// What the rules match, in their order.
    pub fn matches(&self) -> impl Iterator<Item = &Match> {
        self.list.iter().map(|(matches, _)| matches)
    }

    /// Every rule, the one where none matches last.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Rule>> {
        self.list.iter().map(|(_, rule)| rule).chain([&self.fallback])
    }

    /// The rule that decides for such a request.
    #[must_use]
    pub fn select(&self, target: Target<'_>) -> &Rc<Rule> {
        let first = self.index.first(target.path, |place| {
            self.list.get(place).is_some_and(|(matches, _)| matches.matches_beside_path(target))
        });
        first.and_then(|place| self.list.get(place)).map_or(&self.fallback, |(_, rule)| rule)
    }
}
