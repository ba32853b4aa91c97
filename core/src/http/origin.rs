//! Web origins (RFC 6454): those that browsers send, and the one of the request's own host.

use std::fmt;

use super::authority::{Authority, Host};

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

    /// The origin of pages that this request's host serves. `None` unless the scheme is http or https.
    #[must_use]
    pub fn of_request(scheme: &[u8], authority: &Authority) -> Option<Self> {
        Self::new(scheme, authority).filter(|origin| default_port(&origin.scheme).is_some())
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

    #[test]
    fn request_has_an_origin_only_over_http_and_https() {
        let authority = Authority::parse(b"Shop.example.com:443").unwrap();
        assert_eq!(Origin::of_request(b"https", &authority), Origin::parse(b"https://shop.example.com"));
        assert_eq!(Origin::of_request(b"HTTPS", &authority), Origin::parse(b"https://shop.example.com"));
        assert_eq!(Origin::of_request(b"http", &authority), Origin::parse(b"http://shop.example.com:443"));
        for scheme in [&b""[..], b"ftp", b"wss", b"https ", b"https\xff"] {
            assert_eq!(Origin::of_request(scheme, &authority), None);
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
