//! The origin check: protection against cross-site request forgery (CSRF) and cross-site WebSocket hijacking.
//!
//! Browsers send `Origin` (Fetch Standard, "`Origin` header") with every request that is not GET or HEAD, and with every
//! WebSocket handshake, to which the same-origin policy does not apply (RFC 6455, section 10.2).

use crate::http::origin::Origin;

/// Whether the origin of a request is checked: its method is not safe, or it is a WebSocket handshake. GET, HEAD and
/// OPTIONS are safe (RFC 9110, section 9.2.1).
#[must_use]
pub fn is_checked(method: &[u8], websocket: bool) -> bool {
    websocket || !matches!(method, b"GET" | b"HEAD" | b"OPTIONS")
}

/// Whether a request with these values of `Origin` is allowed: it has none, or a single one that is listed or `own`, the
/// origin of the request's host. Browsers never send several.
pub fn is_allowed<'a>(listed: &[Origin], own: Option<&Origin>, mut values: impl Iterator<Item = &'a [u8]>) -> bool {
    let Some(value) = values.next() else { return true };
    let origin = Origin::parse(value).filter(|_| values.next().is_none());
    origin.is_some_and(|origin| listed.contains(&origin) || own == Some(&origin))
}

/// The value of `access-control-allow-origin`: the value of `Origin`, if it is listed. `None`: it is absent or not
/// listed.
pub fn allow_origin_value<'a>(listed: &[Origin], value: Option<&'a [u8]>) -> Option<&'a str> {
    let value = value?;
    let origin = Origin::parse(value)?;
    listed.contains(&origin).then(|| std::str::from_utf8(value).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::parse(text.as_bytes()).unwrap()
    }

    fn admits(values: &[&str]) -> bool {
        let own = origin("https://shop.example");
        is_allowed(&[origin("https://friend.example")], Some(&own), values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn own_listed_and_absent_origins_may_write() {
        assert!(admits(&[]));
        assert!(admits(&["https://shop.example"]));
        assert!(admits(&["https://shop.example:443"]));
        assert!(admits(&["https://friend.example"]));
    }

    #[test]
    fn foreign_null_malformed_and_several_origins_may_not() {
        for wrong in [
            "https://evil.example",
            "http://shop.example",
            "https://shop.example:8443",
            "https://shop.example.evil.example",
            "https://shop.example/",
            "https://shop.example@evil.example",
            "null",
            "",
            "*",
        ] {
            assert!(!admits(&[wrong]), "{wrong}");
        }
        assert!(!admits(&["https://shop.example", "https://shop.example"]));
        assert!(!admits(&["https://shop.example, https://evil.example"]));
    }

    #[test]
    fn safe_methods_are_not_checked_but_a_websocket_is() {
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert!(!is_checked(method.as_bytes(), false), "{method}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "get", "PROPFIND", "CONNECT", ""] {
            assert!(is_checked(method.as_bytes(), false), "{method}");
        }
        assert!(is_checked(b"GET", true));
    }
}
