//! Matching of requests: hosts, methods and path patterns.

use std::fmt;

use crate::http::authority::{Host, HostPattern};
use crate::http::path::{self, PathCase};

/// The paths that a rule applies to: one path, or one path and all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// This path, with or without one trailing slash. It is stored without it, so `/` is empty.
    Exact(String),
    /// This path and all below it. It is stored without the trailing slash, so `/*` is empty.
    Prefix(String),
}

impl PathPattern {
    /// Parses `/exact` and `/prefix/*`. `None` for a path that is not plain (see [`path::is_plain`]), or with a `*`
    /// elsewhere.
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

    /// Whether one reading of a path matches.
    #[must_use]
    pub fn matches(&self, path: &[u8], case: PathCase) -> bool {
        match self {
            Self::Exact(stem) => case.same(path.strip_suffix(b"/").unwrap_or(path), stem.as_bytes()),
            Self::Prefix(stem) => match path.split_at_checked(stem.len()) {
                Some((start, rest)) => case.same(start, stem.as_bytes()) && matches!(rest.first(), None | Some(b'/')),
                None => false,
            },
        }
    }

    /// Whether this pattern matches every path that `other` matches.
    fn includes(&self, other: &Self, case: PathCase) -> bool {
        match (self, other) {
            (Self::Exact(_), Self::Prefix(_)) => false,
            (_, Self::Exact(stem) | Self::Prefix(stem)) => self.matches(stem.as_bytes(), case),
        }
    }
}

impl fmt::Display for PathPattern {
    /// The configuration's form of the pattern.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(stem) if stem.is_empty() => f.write_str("/"),
            Self::Exact(stem) => f.write_str(stem),
            Self::Prefix(stem) => write!(f, "{stem}/*"),
        }
    }
}

/// The requests that a rule applies to. Each list that is given must match; within a list, one entry must.
#[derive(Clone, Debug, Default)]
pub struct Match {
    /// Hosts, without ports. `None`: all requests.
    pub hosts: Option<Vec<HostPattern>>,
    /// Methods in capitals. `GET` includes HEAD. `None`: all methods.
    pub methods: Option<Vec<String>>,
    /// Path patterns. `None`: all requests, also those without a path.
    pub paths: Option<Vec<PathPattern>>,
}

/// The properties of a request that rules match.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The host of the authority. `None` if it is malformed, or no rule names hosts.
    pub host: Option<&'a Host>,
    /// `:method`, as sent.
    pub method: &'a [u8],
    /// One reading of the path. `None` for `OPTIONS *` and CONNECT, or if nothing depends on the path.
    pub path: Option<&'a [u8]>,
}

/// A list of a [`Match`] that does not match a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// `hosts`: no pattern matches the host.
    Host,
    /// `methods`: the method is not listed.
    Method,
    /// `paths`: no pattern matches the path.
    Path,
}

impl Match {
    /// Whether the hosts and methods match. [`super::path_index::PathIndex`] matches the paths.
    #[must_use]
    pub fn matches_beside_path(&self, target: Target<'_>) -> bool {
        self.matches_host(target) && self.matches_method(target)
    }

    fn matches_host(&self, target: Target<'_>) -> bool {
        let host = |patterns: &Vec<HostPattern>| {
            target.host.is_some_and(|host| patterns.iter().any(|pattern| pattern.matches(host)))
        };
        self.hosts.as_ref().is_none_or(host)
    }

    fn matches_method(&self, target: Target<'_>) -> bool {
        let method = |methods: &Vec<String>| methods.iter().any(|listed| method_matches(listed, target.method));
        self.methods.as_ref().is_none_or(method)
    }

    /// The lists that do not match; empty if the rule applies to the request.
    #[must_use]
    pub fn mismatches(&self, target: Target<'_>, case: PathCase) -> Vec<Mismatch> {
        let path = |patterns: &Vec<PathPattern>| {
            target.path.is_some_and(|path| patterns.iter().any(|pattern| pattern.matches(path, case)))
        };
        let lists = [
            (Mismatch::Host, self.matches_host(target)),
            (Mismatch::Method, self.matches_method(target)),
            (Mismatch::Path, self.paths.as_ref().is_none_or(path)),
        ];
        lists.into_iter().filter(|(_, matches)| !matches).map(|(list, _)| list).collect()
    }

    /// Whether this matches every request that `other` matches, compared list by list.
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

/// Whether a listed method matches. `GET` includes HEAD, which is GET without a response body (RFC 9110, section 9.3.2).
pub(super) fn method_matches(listed: &str, method: &[u8]) -> bool {
    listed.as_bytes() == method || (listed == "GET" && method == b"HEAD")
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
    fn a_pattern_is_shown_in_the_form_of_the_configuration() {
        for text in ["/", "/*", "/admin", "/admin/*"] {
            assert_eq!(pattern(text).to_string(), text);
        }
        assert_eq!(pattern("/admin/").to_string(), "/admin");
    }

    #[test]
    fn mismatches_are_the_lists_that_do_not_match() {
        let rule = Match {
            hosts: Some(vec![HostPattern::parse("a.example").unwrap()]),
            methods: Some(vec!["GET".to_owned()]),
            paths: Some(vec![pattern("/x/*")]),
        };
        let host = Host::parse(b"a.example").unwrap();
        let mismatches = |host, method: &str, path: Option<&str>| {
            let target = Target { host, method: method.as_bytes(), path: path.map(str::as_bytes) };
            rule.mismatches(target, PathCase::Ignore)
        };
        assert_eq!(mismatches(Some(&host), "HEAD", Some("/X/y")), []);
        assert_eq!(mismatches(None, "GET", Some("/x")), [Mismatch::Host]);
        assert_eq!(mismatches(Some(&host), "PUT", None), [Mismatch::Method, Mismatch::Path]);
        let target = Target { host: None, method: b"PUT", path: None };
        assert_eq!(Match::default().mismatches(target, PathCase::Ignore), []);
    }

    #[test]
    fn case_is_ignored_unless_the_path_case_is_exact() {
        assert!(matches("/admin/*", "/ADMIN/x"));
        assert!(matches("/Admin", "/aDMIN/"));
        assert!(!pattern("/admin/*").matches(b"/ADMIN/x", PathCase::Exact));
        assert!(pattern("/Admin").matches(b"/Admin", PathCase::Exact));
    }

    #[test]
    fn patterns_with_several_readings_are_refused() {
        for wrong in [
            "", "admin", "*", "*.ico", "/a*", "/a/*/b", "/a/**", "//", "//a", "/a//b", "/a/./b", "/../a", "/a%2fb",
            "/a;b", "/a b", "/a?b", "/ä", "/a\\b", "/a//", "/a//*", "//*",
        ] {
            assert_eq!(PathPattern::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_get_includes_another_method_which_is_head() {
        assert!(method_matches("GET", b"HEAD"));
        assert!(!method_matches("HEAD", b"GET"));
        assert!(!method_matches("GET", b"get"));
    }

    #[test]
    fn all_paths_are_not_all_requests_since_some_have_none() {
        let all_paths = Match { paths: Some(vec![pattern("/*")]), ..Match::default() };
        assert!(!all_paths.includes(&Match::default(), PathCase::Ignore));
        assert!(Match::default().includes(&all_paths, PathCase::Ignore));
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
