//! The selection of the rule that decides on a request.
//!
//! The order is: the host is checked, the path is read in every way that a server might read it, and the rules are
//! matched against each reading. If two readings select different rules, the request is refused: the rule that protects
//! the path might not be the one that was selected.

use std::rc::Rc;

use super::logout::Logout;
use super::matching::Target;
use super::rules::{Rule, Rules};
use crate::http::authority::{Authority, Host, HostPattern};
use crate::http::local_reply::Denial;
use crate::http::path::{self, Ambiguity};

/// What the selection depends on.
#[derive(Clone, Copy)]
pub struct Selector<'c> {
    /// The hosts that are served. `None`: all.
    pub hosts: Option<&'c [HostPattern]>,
    /// The rules in their order, with the rule for requests that match none.
    pub rules: &'c Rules,
    /// The logout route. `None`: no request asks for a logout.
    pub logout: Option<&'c Logout>,
}

/// The parts of a request that rules are matched against, as sent.
#[derive(Clone, Copy)]
pub struct RequestLine<'a> {
    /// `:method`. Methods are case-sensitive (RFC 9110, section 9.1).
    pub method: &'a [u8],
    /// Path and query.
    pub target: &'a [u8],
    /// `:authority`. Rules match its host; the port is not compared.
    pub authority: &'a [u8],
}

/// The ways in which servers might read a path.
pub enum Paths<'a> {
    /// The request has no path, or nothing depends on it.
    None,
    /// All servers read it as it was sent.
    Plain(&'a [u8]),
    /// At least one reading, the path as sent first.
    Readings(Vec<Vec<u8>>),
}

/// The rule that decides, and whether the request asks for a logout.
#[derive(Clone, Copy)]
pub struct Selected<'c> {
    /// The first rule that matches, or the fallback.
    pub rule: &'c Rc<Rule>,
    /// Whether the request matches the logout route. `rule` decides which tokens it ends.
    pub is_logout: bool,
}

/// Why no rule was selected.
pub struct Undecided {
    /// The reason, which becomes the local reply.
    pub denial: Denial,
    /// Whether every rule that may have been meant is in shadow.
    pub in_shadow: bool,
}

impl<'c> Selector<'c> {
    /// Selects the rule for a request.
    ///
    /// # Errors
    ///
    /// - [`Denial::BadHost`]: hosts matter, and the authority is no host with at most a numeric port.
    /// - [`Denial::UnknownHost`]: the host is not served.
    /// - [`Denial::AmbiguousPath`]: rules name paths, and the path is refused or its readings select different rules.
    pub fn select(self, request: RequestLine<'_>) -> Result<Selected<'c>, Undecided> {
        let host = self.host(request.authority).map_err(|denial| self.undecided(denial))?;
        let host = host.as_ref();
        let ambiguous = |_| self.undecided(Denial::AmbiguousPath);
        match self.paths(request).map_err(ambiguous)? {
            Paths::None => Ok(self.select_at(host, request.method, None)),
            Paths::Plain(path) => Ok(self.select_at(host, request.method, Some(path))),
            Paths::Readings(readings) => {
                let mut selected = readings.iter().map(|reading| self.select_at(host, request.method, Some(reading)));
                let first = selected.next().ok_or_else(|| self.undecided(Denial::AmbiguousPath))?;
                let (mut agree, mut in_shadow) = (true, first.rule.shadow);
                for other in selected {
                    agree = agree && Rc::ptr_eq(other.rule, first.rule) && other.is_logout == first.is_logout;
                    in_shadow = in_shadow && other.rule.shadow;
                }
                if agree { Ok(first) } else { Err(Undecided { denial: Denial::AmbiguousPath, in_shadow }) }
            }
        }
    }

    /// The request's host; `None` if neither `hosts` nor a rule names hosts.
    ///
    /// # Errors
    ///
    /// - [`Denial::BadHost`]: the authority is no host with at most a numeric port.
    /// - [`Denial::UnknownHost`]: `hosts` does not list the host.
    pub fn host(self, authority: &[u8]) -> Result<Option<Host>, Denial> {
        if self.hosts.is_none() && !self.rules.uses_hosts() {
            return Ok(None);
        }
        let host = Authority::parse(authority).ok_or(Denial::BadHost)?.host;
        match self.hosts {
            Some(served) if !served.iter().any(|pattern| pattern.matches(&host)) => Err(Denial::UnknownHost),
            _ => Ok(Some(host)),
        }
    }

    /// The readings of the request's path.
    ///
    /// # Errors
    ///
    /// Rules name paths, and [`path::readings`] refuses the path.
    pub fn paths<'a>(self, request: RequestLine<'a>) -> Result<Paths<'a>, Ambiguity> {
        let has_no_path = request.method == b"CONNECT" || (request.method == b"OPTIONS" && request.target == b"*");
        if has_no_path || !(self.rules.uses_paths() || self.logout.is_some()) {
            return Ok(Paths::None);
        }
        let (path, _) = path::split_query(request.target);
        if path::is_plain(path) {
            return Ok(Paths::Plain(path));
        }
        match path::readings(path) {
            Ok(readings) => Ok(Paths::Readings(readings)),
            // Without rules for paths, only the logout depends on the path, and this path is no logout.
            Err(_) if !self.rules.uses_paths() => Ok(Paths::None),
            Err(ambiguity) => Err(ambiguity),
        }
    }

    /// The rule for one reading of the path. `host` and `path` are as in [`Target`].
    #[must_use]
    pub fn select_at(self, host: Option<&Host>, method: &[u8], path: Option<&[u8]>) -> Selected<'c> {
        let is_logout =
            self.logout.zip(path).is_some_and(|(logout, path)| logout.matches(method, path, self.rules.path_case()));
        Selected { rule: self.rules.select(Target { host, method, path }), is_logout }
    }

    fn undecided(self, denial: Denial) -> Undecided {
        Undecided { denial, in_shadow: self.rules.iter().all(|rule| rule.shadow) }
    }
}
