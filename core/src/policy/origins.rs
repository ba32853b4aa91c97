//! Which web origins may write: a guard against requests forged by foreign pages.
//!
//! Browsers name the page that a request comes from in `Origin` (Fetch Standard, section 3.2) on every request that
//! is not GET or HEAD and on every WebSocket handshake, which no same-origin policy holds back otherwise (RFC 6455,
//! section 10.2).

use crate::http::origin::Origin;

/// Whether the origin of a request has to be looked at: it can change something, or opens a channel that can.
#[must_use]
pub fn is_checked(method: &[u8], websocket: bool) -> bool {
    websocket || !matches!(method, b"GET" | b"HEAD" | b"OPTIONS")
}

/// Whether these values of `Origin` may write: none at all, or one that is listed or the request's own. Several are
/// none that a browser sends.
pub fn is_allowed<'a>(listed: &[Origin], own: Option<&Origin>, mut values: impl Iterator<Item = &'a [u8]>) -> bool {
    let Some(value) = values.next() else { return true };
    let origin = Origin::parse(value).filter(|_| values.next().is_none());
    origin.is_some_and(|origin| listed.contains(&origin) || own == Some(&origin))
}

/// The single value of `Origin`, if it is listed: what `access-control-allow-origin` may repeat.
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
    fn reading_is_not_guarded_but_a_websocket_is() {
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert!(!is_checked(method.as_bytes(), false), "{method}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "get", "PROPFIND", "CONNECT", ""] {
            assert!(is_checked(method.as_bytes(), false), "{method}");
        }
        assert!(is_checked(b"GET", true));
    }
}
