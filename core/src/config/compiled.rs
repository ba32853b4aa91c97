//! The compiled configuration, which requests are handled with.

use crate::cache;
use crate::http::authority::HostPattern;
use crate::http::reserved::ReservedHeaders;
use crate::policy::limits::Limits;
use crate::policy::logout::Logout;
use crate::policy::rules::{CorsPreflight, Rules};
use crate::policy::selection::Selector;
use crate::policy::write_back::WriteBack;

/// A valid configuration, with all defaults and everything that rules inherit.
#[derive(Debug)]
pub struct Config {
    /// The hosts that are served. `None`: all.
    pub hosts: Option<Vec<HostPattern>>,
    /// The rules and the fallback.
    pub rules: Rules,
    /// Whether the token stays in requests.
    pub forward_token: bool,
    /// Which CORS preflights pass without a session.
    pub cors_preflight: CorsPreflight,
    /// The headers that are removed from every request.
    pub reserved: ReservedHeaders,
    /// Whether forwarded headers are removed if their value is malformed (see [`crate::http::forwarded`]).
    pub checks_forwarded: bool,
    /// Whether the decision is published as filter state.
    pub filter_state: bool,
    /// What requests that wait, or whose response is to come, may hold in a worker's memory, in bytes.
    pub max_pending_bytes: usize,
    /// `None`: no cache.
    pub cache: Option<cache::Settings>,
    /// The limits of all sessions.
    pub limits: Limits,
    /// `None`: no logout route.
    pub logout: Option<Logout>,
    /// `None`: the filter takes no part in responses.
    pub write_back: Option<WriteBack>,
    /// The hosts that are certainly served, by `hosts` or by rules: the ones that a return URL may name.
    pub known_hosts: Vec<HostPattern>,
}

impl Config {
    /// What the selection of a rule depends on.
    #[must_use]
    pub fn selector(&self) -> Selector<'_> {
        Selector { hosts: self.hosts.as_deref(), rules: &self.rules, logout: self.logout.as_ref() }
    }

    /// The interval of the timer that looks for streams to recheck, in milliseconds, from 100 to 1000. `None`: no rule
    /// has a `recheck`.
    #[must_use]
    pub fn tick_ms(&self) -> Option<u32> {
        let shortest_ms = self.rules.iter().filter_map(|rule| rule.recheck_ms).min()?;
        // A recheck may be late by a tenth of its interval.
        u32::try_from((shortest_ms / 10).clamp(100, 1_000)).ok()
    }
}
