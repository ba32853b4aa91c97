//! Authorities (RFC 9110, section 7.2), their hosts, and the host patterns of rules; all parsed strictly.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The maximum length of a DNS name without its trailing dot, in bytes (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;
/// The maximum length of a label of a DNS name, in bytes.
const MAX_LABEL: usize = 63;

/// A normalised host: equal hosts are equal values, however they are spelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A DNS name in lower case, without a trailing dot.
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6(Ipv6Addr),
}

impl Host {
    /// Parses a host without a port. An IPv6 address is in brackets (RFC 3986, section 3.2.2). `None` if the host is
    /// malformed, or if servers disagree on what it means.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        if let Some(inner) = text.strip_prefix('[') {
            return inner.strip_suffix(']')?.parse().ok().map(Self::V6);
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.len() > MAX_NAME || !name.split('.').all(is_label) {
            return None;
        }
        // A name that ends in a number is an IPv4 address to some resolvers, and to different ones a different address.
        if name.rsplit('.').next()?.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok().map(Self::V4);
        }
        Some(Self::Name(name.to_ascii_lowercase()))
    }
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::V4(address) => address.fmt(formatter),
            Self::V6(address) => write!(formatter, "[{address}]"),
        }
    }
}

/// A host with an optional port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The host, normalised by [`Host::parse`].
    pub host: Host,
    /// The port, 0 to 65535. `None`: the default port of the scheme (RFC 9110, sections 4.2.1 and 4.2.2).
    pub port: Option<u16>,
}

impl Authority {
    /// Parses `host` or `host:port`. `None` if servers could disagree on the host: user information, IPv6 zones, several
    /// hosts, or a port that is empty or not a number of at most 65535.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        // The port follows the closing bracket of an IPv6 address, or the first colon of a name.
        let host_end = if bytes.starts_with(b"[") {
            bytes.iter().position(|byte| *byte == b']')?.checked_add(1)?
        } else {
            bytes.iter().position(|byte| *byte == b':').unwrap_or(bytes.len())
        };
        let (host, rest) = bytes.split_at_checked(host_end)?;
        let port = match rest {
            [] => None,
            [b':', digits @ ..] => Some(parse_port(digits)?),
            _ => return None,
        };
        Some(Self { host: Host::parse(host)?, port })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(formatter)?;
        self.port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

fn parse_port(digits: &[u8]) -> Option<u16> {
    // `u16::from_str` accepts a plus sign and any number of leading zeros.
    if digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A pattern for hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// Matches one host.
    Exact(Host),
    /// Matches all subdomains: `example.com` of `*.example.com`. One or more labels precede it, so `example.com` itself
    /// does not match.
    Under(String),
}

impl HostPattern {
    /// Parses `example.com` or `*.example.com`, without a port. `None`: it is no such pattern, or so long that it
    /// matches no host.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Some(parent) = text.strip_prefix("*.") else {
            return Host::parse(text.as_bytes()).map(Self::Exact);
        };
        match Host::parse(parent.as_bytes())? {
            // A longer name leaves no room for a label before it, so the pattern would match nothing.
            Host::Name(parent) if parent.len() <= MAX_NAME - 2 => Some(Self::Under(parent)),
            _ => None,
        }
    }

    /// Whether the host matches.
    #[must_use]
    pub fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exact(own), _) => own == host,
            (Self::Under(parent), Host::Name(name)) => is_under(name, parent),
            (Self::Under(_), _) => false,
        }
    }

    /// Whether this pattern matches every host that `other` matches.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(host)) => self.matches(host),
            (Self::Under(own), Self::Under(parent)) => own == parent || is_under(parent, own),
            (Self::Exact(_), Self::Under(_)) => false,
        }
    }
}

fn is_under(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|front| front.ends_with('.'))
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(formatter),
            Self::Under(parent) => write!(formatter, "*.{parent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Host {
        Host::Name(text.to_owned())
    }

    fn authority(text: &str) -> Option<Authority> {
        Authority::parse(text.as_bytes())
    }

    #[test]
    fn authorities_are_names_and_addresses_with_at_most_a_port() {
        let label = "a".repeat(63);
        let longest = [label.as_str(), &label, &label, &label[..61]].join(".");
        let v6 = |text: &str| Host::V6(text.parse().unwrap());
        for (text, host, port) in [
            ("shop.example.com", name("shop.example.com"), None),
            ("SHOP.Example.com:8080", name("shop.example.com"), Some(8080)),
            ("shop.example.com.", name("shop.example.com"), None),
            ("shop.example.com.:443", name("shop.example.com"), Some(443)),
            ("localhost", name("localhost"), None),
            ("my_svc-1.default:80", name("my_svc-1.default"), Some(80)),
            ("1.2.3.a4", name("1.2.3.a4"), None),
            ("a:0", name("a"), Some(0)),
            ("a:65535", name("a"), Some(65535)),
            ("a:00080", name("a"), Some(80)),
            (&longest, name(&longest), None),
            (&format!("{longest}."), name(&longest), None),
            ("127.0.0.1", Host::V4(Ipv4Addr::LOCALHOST), None),
            ("127.0.0.1:10000", Host::V4(Ipv4Addr::LOCALHOST), Some(10000)),
            ("[::1]", v6("::1"), None),
            ("[::1]:80", v6("::1"), Some(80)),
            ("[0:0:0:0:0:0:0:1]", v6("::1"), None),
            ("[2001:DB8::A]", v6("2001:db8::a"), None),
            ("[::ffff:127.0.0.1]", v6("::ffff:127.0.0.1"), None),
        ] {
            assert_eq!(authority(text), Some(Authority { host, port }), "{text}");
        }
    }

    #[test]
    fn authorities_with_several_readings_are_refused() {
        let too_long_label = "a".repeat(64);
        let too_long = ["a".repeat(63), "a".repeat(63), "a".repeat(63), "a".repeat(62)].join(".");
        for text in [
            "",
            ".",
            "..",
            ":",
            ":80",
            "a:",
            "a:x",
            "a:+80",
            "a:-1",
            "a:8 0",
            "a:65536",
            "a:000080",
            "a:80:80",
            "u@a",
            "u:p@a",
            "a,b",
            "a, b",
            "a b",
            " a",
            "a ",
            "a\t",
            "a..",
            "a..b",
            ".a",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "a%2eb",
            "a\0",
            "*.a",
            "\u{e9}.example.com",
            "1",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1.2.3.256",
            "1.2.3.4.",
            "a.1",
            "a.01.",
            "::1",
            "[::1",
            "[::1]a",
            "[::1]:",
            "[::1].",
            "[::1%25eth0]",
            "[::1%eth0]",
            "[1.2.3.4]",
            "[]",
            "[a]",
            "[[::1]]",
            "[::1]]",
            "a[::1]",
            "[v1.x]",
            &too_long_label,
            &too_long,
        ] {
            assert_eq!(authority(text), None, "{text}");
        }
        assert_eq!(Authority::parse(b"a\xff"), None);
    }

    #[test]
    fn pattern_with_a_star_matches_one_or_more_labels_in_front() {
        let under = HostPattern::parse("*.Example.com.").unwrap();
        assert_eq!(under, HostPattern::Under("example.com".to_owned()));
        for (host, matches) in [
            ("a.example.com", true),
            ("A.B.EXAMPLE.COM.", true),
            ("example.com", false),
            ("aexample.com", false),
            ("a.example.com.evil.org", false),
            ("a.example.org", false),
            ("com", false),
            ("1.2.3.4", false),
            ("[::1]", false),
        ] {
            assert_eq!(under.matches(&Host::parse(host.as_bytes()).unwrap()), matches, "{host}");
        }
    }

    #[test]
    fn exact_pattern_matches_every_spelling_of_its_host_and_no_other() {
        let exact = HostPattern::parse("Example.com").unwrap();
        assert!(exact.matches(&name("example.com")));
        assert!(!exact.matches(&name("a.example.com")));
        assert!(HostPattern::parse("[0::1]").unwrap().matches(&Host::V6(Ipv6Addr::LOCALHOST)));
    }

    #[test]
    fn only_hosts_and_star_patterns_of_names_are_parsed() {
        let full = ["a".repeat(63), "a".repeat(63), "a".repeat(63), "a".repeat(60)].join(".");
        for text in [
            "",
            "*",
            "*.",
            "*a.com",
            "a.*.com",
            "*.*.com",
            "a.com:80",
            "*.a.com:80",
            "*.1.2.3.4",
            "*.[::1]",
            "*..com",
            &format!("*.{full}"),
        ] {
            assert_eq!(HostPattern::parse(text), None, "{text}");
        }
    }

    #[test]
    fn pattern_includes_another_if_it_matches_all_that_the_other_matches() {
        for (one, other, includes) in [
            ("a.com", "a.com", true),
            ("a.com", "A.com.", true),
            ("a.com", "b.com", false),
            ("a.com", "*.a.com", false),
            ("*.a.com", "a.com", false),
            ("*.a.com", "b.a.com", true),
            ("*.a.com", "*.a.com", true),
            ("*.a.com", "*.b.a.com", true),
            ("*.b.a.com", "*.a.com", false),
            ("*.a.com", "*.ba.com", false),
            ("*.a.com", "1.2.3.4", false),
        ] {
            let [one, other] = [one, other].map(|text| HostPattern::parse(text).unwrap());
            assert_eq!(one.includes(&other), includes, "{one} and {other}");
        }
    }

    fn any_pattern() -> impl Strategy<Value = HostPattern> {
        r"(\*\.)?([ab]\.){0,2}[ab]".prop_map(|text| HostPattern::parse(&text).unwrap())
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail_and_the_result_parses_to_itself(
            bytes in prop_oneof![
                any::<Vec<u8>>(), "[a-z0-9.:\\[\\]@_-]{0,12}".prop_map(String::into_bytes),
                "[a-zA-Z0-9_-]{1,5}(\\.[a-zA-Z0-9]{1,3}){0,3}\\.?".prop_map(String::into_bytes),
                any::<Ipv4Addr>().prop_map(|address| address.to_string().into_bytes()),
                any::<Ipv6Addr>().prop_map(|address| format!("[{address}]").into_bytes()),
            ]
        ) {
            if let Some(host) = Host::parse(&bytes) {
                prop_assert_eq!(Host::parse(host.to_string().as_bytes()), Some(host.clone()));
                let port = 8080;
                let with_port = [&bytes[..], b":8080"].concat();
                prop_assert_eq!(Authority::parse(&with_port), Some(Authority { host: host.clone(), port: Some(port) }));
                prop_assert_eq!(Authority::parse(&bytes), Some(Authority { host, port: None }));
            }
        }

        #[test]
        fn pattern_is_read_again_from_its_text(pattern in any_pattern()) {
            prop_assert_eq!(HostPattern::parse(&pattern.to_string()), Some(pattern));
        }

        #[test]
        fn what_an_included_pattern_matches_the_including_one_matches(
            one in any_pattern(), other in any_pattern(), host in r"([ab]\.){0,3}[ab]"
        ) {
            let host = name(&host);
            if one.includes(&other) && other.matches(&host) {
                prop_assert!(one.matches(&host));
            }
        }
    }
}
