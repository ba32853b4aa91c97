//! The selection of the rule that decides on a request.
//!
//! The order is: the host and the method are checked, the path is read in every way that a server might read it, and the
//! rules are matched against each reading. If two readings select different rules, the request is refused: the rule that
//! protects the path might not be the one that was selected. The same holds for a method that the query names.

use std::fmt;
use std::rc::Rc;

use super::logout::Logout;
use super::matching::Target;
use super::rules::{Rule, Rules};
use crate::http::authority::{Authority, Host, HostPattern};
use crate::http::local_reply::Denial;
use crate::http::method;
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

impl Selected<'_> {
    /// Whether both decide in the same way.
    #[must_use]
    pub fn agrees(self, other: Self) -> bool {
        Rc::ptr_eq(self.rule, other.rule) && self.is_logout == other.is_logout
    }
}

/// Why no rule was selected.
pub struct Undecided {
    /// The reason, which becomes the local reply.
    pub denial: Denial,
    /// Whether every rule that may have been meant is in shadow.
    pub in_shadow: bool,
}

/// Why a method is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadMethod {
    /// It does not consist of capitals, digits, `-` and `_`.
    Malformed,
    /// The query names what is no method, or different ones.
    UnclearOverride,
}

impl fmt::Display for BadMethod {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Malformed => "a method with other characters than capitals, digits, hyphens and underscores",
            Self::UnclearOverride => "a query that names what is no method, or different ones",
        })
    }
}

impl<'c> Selector<'c> {
    /// Selects the rule for a request.
    ///
    /// # Errors
    ///
    /// - [`Denial::BadHost`]: hosts matter, and the authority is no host with at most a numeric port.
    /// - [`Denial::UnknownHost`]: the host is not served.
    /// - [`Denial::BadMethod`]: methods matter, and the method is refused, or the query names one that selects another
    ///   rule.
    /// - [`Denial::AmbiguousPath`]: rules name paths, and the path is refused or its readings select different rules.
    pub fn select(self, request: RequestLine<'_>) -> Result<Selected<'c>, Undecided> {
        let host = self.host(request.authority).map_err(|denial| self.undecided(denial))?;
        let host = host.as_ref();
        let other = self.other_method(request).map_err(|_| self.undecided(Denial::BadMethod))?;
        let paths = self.paths(request).map_err(|_| self.undecided(Denial::AmbiguousPath))?;
        let selected = self.select_in(host, request.method, &paths)?;
        let Some(other) = other else { return Ok(selected) };
        let (agrees, in_shadow) = match self.select_in(host, &other, &paths) {
            Ok(other) => (other.agrees(selected), other.rule.shadow),
            Err(Undecided { in_shadow, .. }) => (false, in_shadow),
        };
        if agrees {
            Ok(selected)
        } else {
            Err(Undecided { denial: Denial::BadMethod, in_shadow: in_shadow && selected.rule.shadow })
        }
    }

    /// The rule for a method and all readings of a path.
    fn select_in(self, host: Option<&Host>, method: &[u8], paths: &Paths<'_>) -> Result<Selected<'c>, Undecided> {
        match paths {
            Paths::None => Ok(self.select_at(host, method, None)),
            Paths::Plain(path) => Ok(self.select_at(host, method, Some(path))),
            Paths::Readings(readings) => {
                let mut selected = readings.iter().map(|reading| self.select_at(host, method, Some(reading)));
                let first = selected.next().ok_or_else(|| self.undecided(Denial::AmbiguousPath))?;
                let (mut agree, mut in_shadow) = (true, first.rule.shadow);
                for other in selected {
                    agree = agree && other.agrees(first);
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

    /// The method that the request's query names beside its own. `None` also if methods do not matter.
    ///
    /// # Errors
    ///
    /// Rules or the logout name methods, and a server might read another method than the request's.
    pub fn other_method(self, request: RequestLine<'_>) -> Result<Option<Vec<u8>>, BadMethod> {
        if !self.rules.uses_methods() && self.logout.is_none() {
            return Ok(None);
        }
        if !method::is_valid(request.method) {
            return Err(BadMethod::Malformed);
        }
        method::named_in(request.target).map_err(|_| BadMethod::UnclearOverride)
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
        match path::readings(path, self.rules.path_case()) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_method_is_refused_with_what_is_wrong_with_it() {
        let config = br#"{"app": "myapp", "rest_sessions": {"cluster": "rs"},
            "rules": [{"match": {"methods": ["DELETE"]}, "session": "required"}]}"#;
        let config = Config::parse(config).unwrap();
        let other = |method: &str, target: &str| {
            let request = RequestLine { method: method.as_bytes(), target: target.as_bytes(), authority: b"a.example" };
            config.selector().other_method(request).map_err(|refused| refused.to_string())
        };
        assert_eq!(other("GET", "/"), Ok(None));
        assert_eq!(other("POST", "/?_method=DELETE"), Ok(Some(b"DELETE".to_vec())));
        let malformed = "a method with other characters than capitals, digits, hyphens and underscores";
        assert_eq!(other("delete", "/"), Err(malformed.to_owned()));
        let unclear = "a query that names what is no method, or different ones";
        assert_eq!(other("POST", "/?_method=DELETE&_method=PUT"), Err(unclear.to_owned()));
    }
}
