//! Web origins (RFC 6454): those that browsers send, and those of the request's own host.

use std::fmt;

use super::authority::{Authority, Host};
use super::headers::{Headers, Known};

/// The scheme of a request, as its client used it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`, or `ws`: the scheme of a WebSocket without TLS (RFC 6455, section 3).
    Http,
    /// `https`, or `wss`.
    Https,
}

impl Scheme {
    /// The scheme in which a request was sent: the leftmost value of `x-forwarded-proto`, else `:scheme`. `None`: the
    /// value is not a scheme of HTTP or WebSockets.
    ///
    /// Each proxy may append a value, so the leftmost one is of the connection from the client. A client can send any
    /// value. A page cannot: forms, links and the WebSocket API set no headers, and `fetch` sends this one to another
    /// origin only after a preflight that allows it (Fetch Standard, "CORS-unsafe request-header names").
    #[must_use]
    pub fn of_request(headers: &Headers) -> Option<Self> {
        let value = match headers.first("x-forwarded-proto") {
            Some(list) => list.split(|byte| *byte == b',').next()?,
            None => headers.single_known(Known::Scheme)?,
        };
        let value = value.trim_ascii();
        let is = |name: &[u8]| value.eq_ignore_ascii_case(name);
        if is(b"https") || is(b"wss") {
            Some(Self::Https)
        } else if is(b"http") || is(b"ws") {
            Some(Self::Http)
        } else {
            None
        }
    }

    /// `http` or `https`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A scheme, host and port. The default ports of http and https are omitted, so equal origins are equal values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: Host,
    port: Option<u16>,
}

impl Origin {
    /// Parses a serialised origin, `scheme://host` or `scheme://host:port` (RFC 6454, section 6.2). `None` for anything
    /// else, including the opaque origin `null`.
    ///
    /// Any scheme is accepted, since apps have origins such as `capacitor://localhost`.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let colon = bytes.iter().position(|byte| *byte == b':')?;
        let (scheme, rest) = bytes.split_at_checked(colon)?;
        Self::new(scheme, &Authority::parse(rest.strip_prefix(b"://")?)?)
    }

    /// Whether pages of this origin are from the host that a request with this scheme and authority was sent to.
    ///
    /// Host and port are equal; an authority without a port has the default port of this origin's scheme. The scheme is
    /// equal too, but an https page may have sent a request that reached Envoy as http, since TLS may end before Envoy.
    /// The reverse is not allowed: an attacker on the network can change an http page.
    #[must_use]
    pub fn is_own(&self, scheme: Scheme, authority: &Authority) -> bool {
        let schemes_agree = self.scheme == scheme.as_str() || (scheme == Scheme::Http && self.scheme == "https");
        schemes_agree && Self::new(self.scheme.as_bytes(), authority).as_ref() == Some(self)
    }

    fn new(scheme: &[u8], authority: &Authority) -> Option<Self> {
        let scheme = std::str::from_utf8(scheme).ok()?.to_ascii_lowercase();
        let is_scheme_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-');
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(is_scheme_byte) {
            return None;
        }
        let port = authority.port.filter(|port| default_port(&scheme) != Some(*port));
        Some(Self { scheme, host: authority.host.clone(), port })
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Option<String> {
        Origin::parse(text.as_bytes()).map(|origin| origin.to_string())
    }

    #[test]
    fn equal_origins_have_one_form() {
        for (text, form) in [
            ("https://shop.example.com", "https://shop.example.com"),
            ("HTTPS://Shop.Example.COM:443", "https://shop.example.com"),
            ("http://a:80", "http://a"),
            ("http://a:443", "http://a:443"),
            ("https://a:80", "https://a:80"),
            ("https://a:8443", "https://a:8443"),
            ("https://a.", "https://a"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://[0::1]:3000", "http://[::1]:3000"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
            ("app+x.1://a:80", "app+x.1://a:80"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(form), "{text}");
        }
    }

    #[test]
    fn only_serialised_origins_are_parsed() {
        for text in [
            "",
            "null",
            "*",
            "a",
            "https:",
            "https:/",
            "https://",
            "https:///",
            "https://a/",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://a:",
            "https://a:x",
            "https://a:443:443",
            "https://u@a",
            "https://a https://b",
            "https://a, https://b",
            " https://a",
            "https://a ",
            "//a",
            "://a",
            "1x://a",
            "-x://a",
            "ht_tp://a",
            "h\u{e9}://a",
            "https://*.a",
            "https:\\\\a",
            "https://a\\b",
            "file://",
            "data:text/html,x",
            "https://\u{e9}",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
        assert_eq!(Origin::parse(b"\xff://a"), None);
    }

    fn scheme(headers: &[(&str, &str)]) -> Option<&'static str> {
        Scheme::of_request(&Headers::from_pairs(headers)).map(Scheme::as_str)
    }

    #[test]
    fn the_scheme_is_the_leftmost_of_x_forwarded_proto_and_else_that_of_the_request() {
        for (forwarded, expected) in [
            ("https", Some("https")),
            ("HTTPS", Some("https")),
            ("wss", Some("https")),
            ("Wss", Some("https")),
            ("ws", Some("http")),
            ("http", Some("http")),
            ("https,http", Some("https")),
            ("https, http", Some("https")),
            (" https , http", Some("https")),
            ("http, https", Some("http")),
            ("", None),
            (",https", None),
            ("ftp", None),
            ("javascript", None),
            ("https http", None),
            ("https;http", None),
            ("\"https\"", None),
        ] {
            for own in ["http", "https"] {
                assert_eq!(scheme(&[(":scheme", own), ("x-forwarded-proto", forwarded)]), expected, "{forwarded:?}");
            }
        }
        assert_eq!(scheme(&[("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")]), Some("https"));
        assert_eq!(scheme(&[(":scheme", "HTTPS")]), Some("https"));
        assert_eq!(scheme(&[(":scheme", "http"), (":scheme", "https")]), None);
        assert_eq!(scheme(&[]), None);
        assert_eq!(Scheme::of_request(&Headers::from_pairs(&[("x-forwarded-proto", b"https\xff")])), None);
    }

    /// Each authority with the origins that are its own, of `ALL`.
    #[test]
    fn an_origin_is_own_if_host_port_and_scheme_are_the_requests_or_if_tls_ended_before() {
        const ALL: [&str; 9] = [
            "http://shop.example",
            "https://shop.example",
            "http://shop.example:443",
            "https://shop.example:80",
            "http://shop.example:8080",
            "https://shop.example:8080",
            "https://x.shop.example",
            "https://shop.example.evil",
            "wss://shop.example",
        ];
        for (scheme, authority, own) in [
            (Scheme::Https, "shop.example", &[ALL[1]][..]),
            (Scheme::Https, "SHOP.example.:443", &[ALL[1]]),
            (Scheme::Https, "shop.example:80", &[ALL[3]]),
            (Scheme::Https, "shop.example:8080", &[ALL[5]]),
            (Scheme::Http, "shop.example", &[ALL[0], ALL[1]]),
            (Scheme::Http, "shop.example:80", &[ALL[0], ALL[3]]),
            (Scheme::Http, "shop.example:443", &[ALL[1], ALL[2]]),
            (Scheme::Http, "shop.example:8080", &[ALL[4], ALL[5]]),
            (Scheme::Http, "shop.example:9090", &[]),
        ] {
            let request = Authority::parse(authority.as_bytes()).unwrap();
            let found: Vec<_> = ALL
                .into_iter()
                .filter(|text| Origin::parse(text.as_bytes()).unwrap().is_own(scheme, &request))
                .collect();
            assert_eq!(found, own, "{scheme:?} {authority}");
        }
    }

    #[test]
    fn origins_differ_by_scheme_host_or_port() {
        let origin = |text: &str| Origin::parse(text.as_bytes()).unwrap();
        for other in ["http://a.com", "https://b.a.com", "https://a.com:8443", "https://a.co"] {
            assert_ne!(origin(other), origin("https://a.com"));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail_and_the_result_parses_to_itself(
            bytes in prop_oneof![
                any::<Vec<u8>>(),
                "[a-zA-Z0-9+.-]{0,4}:?/{0,3}[a-z0-9.:-]{0,8}(:[0-9]{0,6})?".prop_map(String::into_bytes),
                "https?://[a-z]{1,4}(:[0-9]{1,3})?".prop_map(String::into_bytes),
            ]
        ) {
            if let Some(origin) = Origin::parse(&bytes) {
                prop_assert_eq!(Origin::parse(origin.to_string().as_bytes()), Some(origin));
            }
        }
    }
}
