//! Rules: which requests each matches, and which of them decides.

use std::rc::Rc;

use serde::Deserialize;

use crate::http::authority::{Host, HostPattern};
use crate::http::origin::Origin;
use crate::http::path;
use crate::session::annotate::Annotation;
use crate::session::calls::{Service, ServiceId, TargetId};
use crate::session::source::Source;

/// Whether a rule asks for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionMode {
    /// Without an active session the request is turned away.
    Required,
    /// The request passes in any case, annotated where there is a session.
    Optional,
    /// Nobody asks for a session.
    Off,
}

/// What becomes of a required session while rest-sessions is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureMode {
    #[default]
    Deny,
    Allow,
}

/// Whether paths are matched without regard to ASCII case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathCase {
    #[default]
    Ignore,
    Exact,
}

/// Which genuine preflights pass without a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CorsPreflight {
    /// Those whose origin the rule lists.
    #[default]
    Listed,
    /// All of them.
    Pass,
}

/// A pattern that paths are held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// This path, with or without one slash at its end. Kept without it, so `/` is empty.
    Exact(String),
    /// This path and all below it. Kept without the slash at its end, so `/*` is empty.
    Prefix(String),
}

impl PathPattern {
    /// Takes `/exact` and `/prefix/*`. A pattern that has more than one reading, or a `*` elsewhere, could not decide
    /// what servers make of a path, so it is refused.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (stem, prefix) = match text.strip_suffix("/*") {
            Some(stem) => (stem, true),
            None => (text.strip_suffix('/').unwrap_or(text), false),
        };
        let plain = stem.is_empty() && text.starts_with('/')
            || path::is_plain(stem.as_bytes()) && !stem.ends_with('/') && !stem.contains('*');
        let stem = || stem.to_owned();
        plain.then(|| if prefix { Self::Prefix(stem()) } else { Self::Exact(stem()) })
    }

    fn matches(&self, path: &[u8], case: PathCase) -> bool {
        let same = |a: &[u8], b: &[u8]| match case {
            PathCase::Ignore => a.eq_ignore_ascii_case(b),
            PathCase::Exact => a == b,
        };
        match self {
            Self::Exact(stem) => same(path.strip_suffix(b"/").unwrap_or(path), stem.as_bytes()),
            Self::Prefix(stem) => match path.split_at_checked(stem.len()) {
                Some((start, rest)) => same(start, stem.as_bytes()) && matches!(rest.first(), None | Some(b'/')),
                None => false,
            },
        }
    }

    /// Whether every path that `other` matches is matched by this pattern too.
    fn includes(&self, other: &Self, case: PathCase) -> bool {
        match (self, other) {
            (Self::Exact(_), Self::Prefix(_)) => false,
            (_, Self::Exact(stem) | Self::Prefix(stem)) => self.matches(stem.as_bytes(), case),
        }
    }
}

/// Which requests a rule is for; each list that is there must match.
#[derive(Clone, Debug, Default)]
pub struct Match {
    pub hosts: Option<Vec<HostPattern>>,
    pub methods: Option<Vec<String>>,
    pub paths: Option<Vec<PathPattern>>,
}

/// What of a request rules look at. The path is one reading of it, absent for `OPTIONS *` and CONNECT.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub host: Option<&'a Host>,
    pub method: &'a [u8],
    pub path: Option<&'a [u8]>,
}

impl Match {
    fn matches(&self, target: Target<'_>, case: PathCase) -> bool {
        let host = |patterns: &Vec<HostPattern>| {
            target.host.is_some_and(|host| patterns.iter().any(|pattern| pattern.matches(host)))
        };
        let method = |methods: &Vec<String>| methods.iter().any(|listed| method_matches(listed, target.method));
        let path = |patterns: &Vec<PathPattern>| {
            target.path.is_some_and(|path| patterns.iter().any(|pattern| pattern.matches(path, case)))
        };
        self.hosts.as_ref().is_none_or(host)
            && self.methods.as_ref().is_none_or(method)
            && self.paths.as_ref().is_none_or(path)
    }

    /// Whether every request that `other` matches is matched here too, as far as it shows list by list.
    #[must_use]
    pub fn includes(&self, other: &Self, case: PathCase) -> bool {
        fn covers<T>(ours: Option<&Vec<T>>, theirs: Option<&Vec<T>>, includes: impl Fn(&T, &T) -> bool) -> bool {
            match (ours, theirs) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(ours), Some(theirs)) => theirs.iter().all(|their| ours.iter().any(|our| includes(our, their))),
            }
        }
        covers(self.hosts.as_ref(), other.hosts.as_ref(), HostPattern::includes)
            && covers(self.methods.as_ref(), other.methods.as_ref(), |a, b| method_matches(a, b.as_bytes()))
            && covers(self.paths.as_ref(), other.paths.as_ref(), |a, b| a.includes(b, case))
    }
}

/// `GET` includes HEAD, which asks for the same without its body (RFC 9110, section 9.3.2).
fn method_matches(listed: &str, method: &[u8]) -> bool {
    listed.as_bytes() == method || (listed == "GET" && method == b"HEAD")
}

/// What holds for the requests that a rule matches.
#[derive(Debug)]
pub struct Rule {
    /// The rule's name, or its place: `rules[3]`, `default`.
    pub label: Rc<str>,
    pub session: SessionMode,
    pub app: Rc<str>,
    pub service: Rc<Service>,
    pub service_id: ServiceId,
    pub target_id: TargetId,
    pub sources: Vec<Source>,
    pub annotation: Annotation,
    pub failure_mode: FailureMode,
    /// The origins that may write, beside the request's own. Absent: nobody asks.
    pub origins: Option<Vec<Origin>>,
}

/// All rules of a configuration, the first that matches decides.
#[derive(Debug)]
pub struct Rules {
    pub list: Vec<(Match, Rc<Rule>)>,
    pub fallback: Rc<Rule>,
    pub path_case: PathCase,
}

impl Rules {
    #[must_use]
    pub fn name_hosts(&self) -> bool {
        self.list.iter().any(|(matches, _)| matches.hosts.is_some())
    }

    #[must_use]
    pub fn name_methods(&self) -> bool {
        self.list.iter().any(|(matches, _)| matches.methods.is_some())
    }

    #[must_use]
    pub fn name_paths(&self) -> bool {
        self.list.iter().any(|(matches, _)| matches.paths.is_some())
    }

    #[must_use]
    pub fn select(&self, target: Target<'_>) -> &Rc<Rule> {
        self.list
            .iter()
            .find(|(matches, _)| matches.matches(target, self.path_case))
            .map_or(&self.fallback, |(_, rule)| rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::parse(text).unwrap_or_else(|| panic!("{text} should be a pattern"))
    }

    fn matches(text: &str, path: &str) -> bool {
        pattern(text).matches(path.as_bytes(), PathCase::Ignore)
    }

    #[test]
    fn an_exact_path_may_have_one_slash_at_its_end() {
        assert!(matches("/admin", "/admin"));
        assert!(matches("/admin", "/admin/"));
        assert!(matches("/admin/", "/admin"));
        assert!(!matches("/admin", "/admin//"));
        assert!(!matches("/admin", "/admin/x"));
        assert!(!matches("/admin", "/administrator"));
        assert!(matches("/", "/"));
        assert!(!matches("/", "/x"));
    }

    #[test]
    fn a_prefix_ends_at_a_segment_and_includes_itself() {
        assert!(matches("/admin/*", "/admin"));
        assert!(matches("/admin/*", "/admin/"));
        assert!(matches("/admin/*", "/admin/x/y"));
        assert!(!matches("/admin/*", "/administrator"));
        assert!(!matches("/admin/*", "/adm"));
        assert!(matches("/*", "/"));
        assert!(matches("/*", "/x"));
    }

    #[test]
    fn case_is_ignored_unless_it_is_said_to_matter() {
        assert!(matches("/admin/*", "/ADMIN/x"));
        assert!(matches("/Admin", "/aDMIN/"));
        assert!(!pattern("/admin/*").matches(b"/ADMIN/x", PathCase::Exact));
        assert!(pattern("/Admin").matches(b"/Admin", PathCase::Exact));
    }

    #[test]
    fn patterns_that_a_server_may_read_otherwise_are_refused() {
        for wrong in [
            "", "admin", "*", "*.ico", "/a*", "/a/*/b", "/a/**", "//", "//a", "/a//b", "/a/./b", "/../a", "/a%2fb",
            "/a;b", "/a b", "/a?b", "/ä", "/a\\b", "/a//", "/a//*", "//*",
        ] {
            assert_eq!(PathPattern::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn get_includes_head_and_nothing_else_includes_another() {
        assert!(method_matches("GET", b"HEAD"));
        assert!(!method_matches("HEAD", b"GET"));
        assert!(!method_matches("GET", b"get"));
    }

    #[test]
    fn a_rule_without_paths_is_the_only_kind_that_matches_a_request_without_one() {
        let asterisk = Target { host: None, method: b"OPTIONS", path: None };
        let everything = Match { paths: Some(vec![pattern("/*")]), ..Match::default() };
        assert!(!everything.matches(asterisk, PathCase::Ignore));
        assert!(Match::default().matches(asterisk, PathCase::Ignore));
        assert!(!everything.includes(&Match::default(), PathCase::Ignore));
    }

    #[test]
    fn a_rule_includes_another_only_if_hosts_methods_and_paths_each_do() {
        let rule = |hosts: &[&str], methods: &[&str], paths: &[&str]| Match {
            hosts: (!hosts.is_empty()).then(|| hosts.iter().map(|h| HostPattern::parse(h).unwrap()).collect()),
            methods: (!methods.is_empty()).then(|| methods.iter().map(ToString::to_string).collect()),
            paths: (!paths.is_empty()).then(|| paths.iter().map(|p| pattern(p)).collect()),
        };
        let includes = |a: &Match, b: &Match| a.includes(b, PathCase::Ignore);
        assert!(includes(&rule(&[], &[], &[]), &rule(&["a.example"], &["PUT"], &["/x"])));
        assert!(includes(
            &rule(&["*.example"], &["GET"], &["/a/*"]),
            &rule(&["x.example"], &["HEAD"], &["/A/b/*", "/a"])
        ));
        assert!(!includes(&rule(&["*.example"], &[], &[]), &rule(&["x.example", "y.test"], &[], &[])));
        assert!(!includes(&rule(&[], &["GET"], &[]), &rule(&[], &["GET", "POST"], &[])));
        assert!(!includes(&rule(&[], &["GET"], &[]), &rule(&[], &[], &[])));
        assert!(!includes(&rule(&[], &[], &["/a"]), &rule(&[], &[], &["/a/*"])));
    }

    proptest! {
        #[test]
        fn what_a_pattern_includes_it_also_matches(
            ours in "(/[ab]{1,2}){0,2}(/\\*)?", theirs in "(/[abAB]{1,2}){0,3}(/\\*)?", path in "(/[abAB]{0,2}){1,4}"
        ) {
            if let (Some(ours), Some(theirs)) = (PathPattern::parse(&ours), PathPattern::parse(&theirs)) {
                for case in [PathCase::Ignore, PathCase::Exact] {
                    if ours.includes(&theirs, case) && theirs.matches(path.as_bytes(), case) {
                        prop_assert!(ours.matches(path.as_bytes(), case));
                    }
                }
            }
        }
    }
}
