//! Which `Host` a request may name. A page whose DNS name was rebound to this service's address names its own host.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::{Request, header};

/// The service's name in the default configuration of the filter.
const OWN_NAME: &str = "rest-sessions";

/// An allowed host: a name in any case, everything below a suffix, or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    Exact(String),
    /// Starts with a dot.
    Suffix(String),
    Ip(IpAddr),
}

impl HostPattern {
    /// `name`, `*.suffix`, an IPv4 address, or an IPv6 address with or without brackets.
    pub fn parse(text: &str) -> Option<Self> {
        let unbracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = unbracketed.parse::<Ipv6Addr>() {
            return Some(Self::Ip(IpAddr::from(ip).to_canonical()));
        }
        if text.contains(':') {
            return None;
        }
        if let Some(suffix) = text.strip_prefix("*.") {
            return match Host::parse(suffix)? {
                Host::Name(name) => Some(Self::Suffix(format!(".{name}"))),
                Host::Ip(_) => None,
            };
        }
        match Host::parse(text)? {
            Host::Name(name) => Some(Self::Exact(name.to_owned())),
            Host::Ip(ip) => Some(Self::Ip(ip)),
        }
    }

    fn matches(&self, host: &Host<'_>) -> bool {
        match (self, host) {
            (Self::Exact(allowed), Host::Name(name)) => name.eq_ignore_ascii_case(allowed),
            (Self::Suffix(suffix), Host::Name(name)) => {
                let end = name.len().checked_sub(suffix.len()).filter(|start| *start > 0);
                end.and_then(|start| name.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }
            (Self::Ip(allowed), Host::Ip(ip)) => ip == allowed,
            _ => false,
        }
    }
}

/// The allowed hosts of a listener.
#[derive(Debug)]
pub struct AllowedHosts {
    patterns: Vec<HostPattern>,
    /// The listener accepts connections to every address of the machine, so every address may be its own.
    any_ip: bool,
}

impl AllowedHosts {
    /// `listen` is the host of the listener as the options give it, `bound` the address that it has.
    pub fn new(listen: &str, bound: SocketAddr, configured: &[HostPattern]) -> Self {
        let own = [HostPattern::Exact(OWN_NAME.to_owned()), HostPattern::Exact("localhost".to_owned())];
        let bound_ip = bound.ip().to_canonical();
        let mut patterns = Vec::from(own);
        patterns.push(HostPattern::Suffix(".localhost".to_owned()));
        patterns.push(HostPattern::Ip(bound_ip));
        patterns.extend(HostPattern::parse(listen));
        patterns.extend_from_slice(configured);
        Self { patterns, any_ip: bound_ip.is_unspecified() }
    }

    /// Whether the request names one host, and an allowed one. A host in its target counts too.
    pub fn allow<B>(&self, request: &Request<B>) -> bool {
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return false;
        };
        host.to_str().is_ok_and(|host| self.allow_host(host))
            && request.uri().authority().is_none_or(|authority| self.allow_host(authority.as_str()))
    }

    fn allow_host(&self, host: &str) -> bool {
        let Some(host) = Host::parse(host) else {
            return false;
        };
        let by_address = matches!(host, Host::Ip(ip) if ip.is_loopback() || self.any_ip);
        by_address || self.patterns.iter().any(|pattern| pattern.matches(&host))
    }
}

/// The host of a `Host` header, without its port.
#[derive(Debug, PartialEq, Eq)]
enum Host<'a> {
    /// Without a trailing dot.
    Name(&'a str),
    Ip(IpAddr),
}

impl<'a> Host<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let (ip, port) = rest.split_once(']')?;
            let ip: Ipv6Addr = ip.parse().ok()?;
            let no_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
            return no_port.then(|| Self::Ip(IpAddr::from(ip).to_canonical()));
        }
        let (name, port) = text.split_once(':').unwrap_or((text, ""));
        if !is_port(port) {
            return None;
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        if let Ok(ip) = name.parse::<IpAddr>() {
            return Some(Self::Ip(ip));
        }
        let label =
            |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        (name.len() <= 253 && name.split('.').all(label)).then_some(Self::Name(name))
    }
}

fn is_port(text: &str) -> bool {
    text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn hosts(listen: &str, bound: &str, configured: &[&str]) -> AllowedHosts {
        let configured: Vec<HostPattern> = configured.iter().map(|text| HostPattern::parse(text).unwrap()).collect();
        AllowedHosts::new(listen, bound.parse().unwrap(), &configured)
    }

    #[test]
    fn loopback_the_listen_address_and_the_own_name_are_allowed() {
        let hosts = hosts("sessions.internal", "10.1.2.3:3000", &[]);
        for host in [
            "localhost",
            "LocalHost.:80",
            "a.b.localhost",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]",
            "[::1]:3000",
            "[::ffff:127.0.0.1]:1",
            "10.1.2.3",
            "10.1.2.3:3000",
            "[::ffff:10.1.2.3]",
            "sessions.internal:3000",
            "REST-sessions",
            "rest-sessions:",
        ] {
            assert!(hosts.allow_host(host), "{host}");
        }
    }

    #[test]
    fn every_other_name_is_refused_however_it_is_spelled() {
        let hosts = hosts("0.0.0.0", "0.0.0.0:3000", &["*.example.com", "exact.test"]);
        for host in [
            "",
            ".",
            ":80",
            "evil.test",
            "localhost.evil.test",
            "127.0.0.1.evil.test",
            "localhost..",
            "localhost@evil.test",
            "evil.test@localhost",
            "localhost:80:80",
            "localhost:http",
            "localhost:123456",
            "localhost ",
            "local\u{212a}host",
            "localhost,evil.test",
            "localhost/evil",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "[localhost]",
            "[127.0.0.1]",
            "::1",
            "example.com",
            ".example.com",
            "evilexample.com",
            "sub.exact.test",
            "0x7f.1",
            "2130706433",
        ] {
            assert!(!hosts.allow_host(host), "{host}");
        }
        for host in ["a.example.com", "A.B.Example.Com.:1", "exact.test", "192.0.2.7", "[2001:db8::1]:80"] {
            assert!(hosts.allow_host(host), "{host}");
        }
    }

    #[test]
    fn an_address_that_is_not_its_own_is_refused_unless_it_listens_on_all() {
        for (bound, foreign) in [("10.1.2.3:1", "10.1.2.4"), ("[2001:db8::1]:1", "[2001:db8::2]")] {
            assert!(!hosts("h", bound, &[]).allow_host(foreign));
            assert!(hosts("h", "[::]:1", &[]).allow_host(foreign));
        }
    }

    #[test]
    fn one_host_is_needed_and_the_one_in_the_target_counts_too() {
        let hosts = hosts("127.0.0.1", "127.0.0.1:1", &[]);
        for (uri, headers, allowed) in [
            ("/", &["localhost"][..], true),
            ("/", &[], false),
            ("/", &["localhost", "localhost"], false),
            ("http://localhost/", &["localhost"], true),
            ("http://evil.test/", &["localhost"], false),
            ("http://localhost/", &["evil.test"], false),
        ] {
            let mut request = Request::builder().uri(uri);
            for host in headers {
                request = request.header("host", *host);
            }
            assert_eq!(hosts.allow(&request.body(()).unwrap()), allowed, "{uri} {headers:?}");
        }
    }

    #[test]
    fn a_pattern_is_a_name_a_suffix_or_an_address() {
        for good in ["a", "a.b", "*.b", "A.b.", "10.0.0.1", "::1", "[::1]"] {
            assert!(HostPattern::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "*",
            "*.",
            "*a.b",
            "a.*.b",
            "**.b",
            "a:80",
            "*.a:80",
            "*.10.0.0.1",
            "a b",
            "http://a",
            ".a",
            "10.0.0.1:80",
            "[::1]:80",
        ] {
            assert_eq!(HostPattern::parse(bad), None, "{bad}");
        }
    }
}
