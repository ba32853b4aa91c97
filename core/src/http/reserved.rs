//! Reserved headers: only the filter sets them, so those that a client sends are spoofed and removed.

use super::headers::Headers;
use super::name::{Alias, NameFilter};

/// A set of reserved header names. Lookups match all spellings of a name (see [`Alias`]).
#[derive(Debug, Default)]
pub struct ReservedHeaders {
    aliases: Vec<Alias>,
    /// It rejects nearly every name of a request without a comparison.
    filter: NameFilter,
}

impl ReservedHeaders {
    /// The set of these names. Repeated ones, in any spelling, count once.
    #[must_use]
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut aliases = Vec::new();
        for alias in names.into_iter().map(Alias::of) {
            if !aliases.contains(&alias) {
                aliases.push(alias);
            }
        }
        Self {
            filter: aliases
                .iter()
                .map(|alias| NameFilter::of(alias.bytes()))
                .fold(NameFilter::default(), NameFilter::union),
            aliases,
        }
    }

    /// Whether this is a spelling of a reserved name.
    #[must_use]
    pub fn contains(&self, name: &[u8]) -> bool {
        NameFilter::of(name).intersects(self.filter) && self.aliases.iter().any(|alias| alias.matches(name))
    }

    /// The reserved names in a header map, each spelling once: the headers to remove.
    #[must_use]
    pub fn spoofed<'a>(&self, headers: &'a Headers) -> Vec<&'a [u8]> {
        let mut names: Vec<&[u8]> = Vec::new();
        if !headers.filter().intersects(self.filter) {
            return names;
        }
        for (name, _) in headers.iter() {
            if self.contains(name) && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::compile::reserved::{HOST_OVERRIDES, PATH_OVERRIDES};
    use crate::http::method::OVERRIDE_HEADERS;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_is_found_exactly_if_it_is_a_spelling_of_one(
            names in proptest::collection::vec("[abA-B9._-]{1,3}", 0..4),
            given in prop_oneof![
                "[abA-B9._-]{0,3}".prop_map(String::into_bytes),
                proptest::collection::vec(any::<u8>(), 0..4),
            ]
        ) {
            let reserved = ReservedHeaders::new(names.iter().map(String::as_str));
            let spells = names.iter().any(|name| Alias::of(name).matches(&given));
            prop_assert_eq!(reserved.contains(&given), spells);
            let headers = Headers::from_pairs(&[(&b":path"[..], &b"/"[..]), (&given, b"")]);
            prop_assert_eq!(reserved.spoofed(&headers), if spells { vec![&*given] } else { vec![] });
        }
    }

    #[test]
    fn common_names_of_requests_are_rejected_by_the_filter() {
        let own = ["x-session-user", "x-session-data", "x-session-set", "x-session-kill"];
        let defaults = [&own[..], &OVERRIDE_HEADERS, &PATH_OVERRIDES, &HOST_OVERRIDES].concat();
        let reserved = ReservedHeaders::new(defaults);
        let usual = [
            ":authority",
            ":path",
            ":method",
            ":scheme",
            "user-agent",
            "accept",
            "accept-language",
            "accept-encoding",
            "sec-fetch-mode",
            "sec-fetch-site",
            "sec-fetch-dest",
            "sec-fetch-user",
            "sec-ch-ua",
            "sec-ch-ua-mobile",
            "sec-ch-ua-platform",
            "upgrade-insecure-requests",
            "cache-control",
            "if-none-match",
            "if-modified-since",
            "origin",
            "priority",
            "referer",
            "cookie",
            "authorization",
            "content-type",
            "content-length",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-request-id",
            "x-envoy-internal",
            "traceparent",
        ];
        for name in usual {
            assert!(!NameFilter::of(name.as_bytes()).intersects(reserved.filter), "{name}");
        }
    }

    #[test]
    fn every_spelling_is_found_once() {
        let reserved = ReservedHeaders::new(["x-session-user", "X-Session_User", "x-kill"]);
        let headers = Headers::from_pairs(&[
            (":path", "/"),
            ("x-session-user", "a"),
            ("x_session.user", "b"),
            ("x-session-user", "c"),
            ("x-session-users", "d"),
            ("X-Session-User", "e"),
            ("x-session--user", "f"),
        ]);
        let spoofed = reserved.spoofed(&headers);
        assert_eq!(spoofed, [&b"x-session-user"[..], b"x_session.user", b"X-Session-User"]);
    }
}
