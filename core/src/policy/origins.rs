//! The origin check: protection against cross-site request forgery (CSRF) and cross-site WebSocket hijacking.
//!
//! Browsers say by `Sec-Fetch-Site` whether a page of the request's own origin sent it (Fetch Metadata, section 2.3), to
//! https and to localhost. Pages cannot set that header: its name starts with `Sec-` (Fetch Standard, "forbidden
//! request-header"). It is also right if a proxy changed the host, and if a `Referrer-Policy: no-referrer` made the page's
//! origin `null`. Where it is missing, `Origin` decides (Fetch Standard, "`Origin` header"): browsers send it with every
//! request that is not GET or HEAD, and with every WebSocket handshake, to which the same-origin policy does not apply
//! (RFC 6455, section 10.2).

use crate::http::authority::Authority;
use crate::http::headers::{Headers, Known};
use crate::http::origin::{Origin, Scheme};

/// The page that sent a request, as far as the headers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// It has the origin of the request's host, or an origin that the rule lists. Also a request without a page: a URL
    /// typed by hand, or a client that is no browser.
    Allowed,
    /// It is from another origin of the same site, such as a sibling domain.
    SameSite,
    /// It is from another site, or the headers contradict each other.
    Foreign,
}

impl Page {
    /// The page that sent a request with these headers. `listed` are the allowed origins beside the request's own.
    #[must_use]
    #[inline(never)] // keeps the code of requests without an origin check small
    pub fn of(headers: &Headers, listed: &[Origin]) -> Self {
        let value = headers.single_known(Known::Origin);
        let origin = value.and_then(Origin::parse);
        if origin.as_ref().is_some_and(|origin| listed.contains(origin)) {
            return Self::Allowed;
        }
        let allowed_if = |allowed| if allowed { Self::Allowed } else { Self::Foreign };
        if headers.first("sec-fetch-site").is_some() {
            return match headers.single("sec-fetch-site") {
                Some(b"same-origin") => Self::Allowed,
                // No page: the user typed the URL, or opened a bookmark.
                Some(b"none") => allowed_if(value != Some(b"null")),
                Some(b"same-site") => Self::SameSite,
                // `cross-site`, a value that no browser sends, or several.
                _ => Self::Foreign,
            };
        }
        allowed_if(!headers.contains(Known::Origin) || origin.is_some_and(|origin| is_own(&origin, headers)))
    }
}

fn is_own(origin: &Origin, headers: &Headers) -> bool {
    let authority = headers.first_known(Known::Authority).and_then(Authority::parse);
    Scheme::of_request(headers).zip(authority).is_some_and(|(scheme, authority)| origin.is_own(scheme, &authority))
}

/// Whether the origin of a request is checked: its method is not safe, or it is a WebSocket handshake. GET, HEAD and
/// OPTIONS are safe (RFC 9110, section 9.2.1).
#[must_use]
pub fn is_checked(method: &[u8], websocket: bool) -> bool {
    websocket || !matches!(method, b"GET" | b"HEAD" | b"OPTIONS")
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

    const OWN: &str = "https://shop.example";
    const LISTED: &str = "https://friend.example";

    fn page(headers: &[(&str, &str)]) -> Page {
        let request = [(":authority", "shop.example"), (":scheme", "https")];
        let headers = Headers::from_pairs(&[&request, headers].concat());
        Page::of(&headers, &[Origin::parse(LISTED.as_bytes()).unwrap()])
    }

    #[test]
    fn without_fetch_metadata_own_listed_and_absent_origins_are_allowed() {
        assert_eq!(page(&[]), Page::Allowed);
        for origin in [OWN, "https://shop.example:443", "HTTPS://SHOP.example", LISTED] {
            assert_eq!(page(&[("origin", origin)]), Page::Allowed, "{origin}");
        }
    }

    #[test]
    fn without_fetch_metadata_foreign_null_malformed_and_several_origins_are_not() {
        for wrong in [
            "https://evil.example",
            "https://x.shop.example",
            "http://shop.example",
            "https://shop.example:8443",
            "https://shop.example.evil.example",
            "https://shop.example/",
            "https://shop.example@evil.example",
            "https://shop.example, https://evil.example",
            "null",
            "Null",
            "",
            "*",
        ] {
            assert_eq!(page(&[("origin", wrong)]), Page::Foreign, "{wrong}");
        }
        for two in [[OWN, OWN], [LISTED, LISTED], [OWN, "https://evil.example"], [LISTED, "null"]] {
            assert_eq!(page(&two.map(|origin| ("origin", origin))), Page::Foreign, "{two:?}");
        }
    }

    #[test]
    fn fetch_metadata_decides_where_a_browser_sends_it_and_other_pages_need_a_listed_origin() {
        use Page::{Allowed, Foreign, SameSite};
        for (site, own, listed, null, evil, absent) in [
            ("same-origin", Allowed, Allowed, Allowed, Allowed, Allowed),
            ("none", Allowed, Allowed, Foreign, Allowed, Allowed),
            ("same-site", SameSite, Allowed, SameSite, SameSite, SameSite),
            ("cross-site", Foreign, Allowed, Foreign, Foreign, Foreign),
            ("Same-Origin", Foreign, Allowed, Foreign, Foreign, Foreign),
            ("same-origin, cross-site", Foreign, Allowed, Foreign, Foreign, Foreign),
            ("same-origin;x", Foreign, Allowed, Foreign, Foreign, Foreign),
            ("", Foreign, Allowed, Foreign, Foreign, Foreign),
        ] {
            for (origin, expected) in [(OWN, own), (LISTED, listed), ("null", null), ("https://evil.example", evil)] {
                assert_eq!(page(&[("sec-fetch-site", site), ("origin", origin)]), expected, "{site:?} {origin}");
            }
            assert_eq!(page(&[("sec-fetch-site", site)]), absent, "{site:?}");
        }
        for two in [["same-origin", "cross-site"], ["cross-site", "same-origin"], ["same-origin", "same-origin"]] {
            let headers = two.map(|site| ("sec-fetch-site", site));
            assert_eq!(page(&headers), Foreign, "{two:?}");
            assert_eq!(page(&[&headers[..], &[("origin", LISTED)]].concat()), Allowed, "{two:?}");
        }
    }

    #[test]
    fn no_origin_is_own_of_a_request_whose_scheme_or_host_is_malformed() {
        for request in [
            [(":authority", "shop.example"), ("x-forwarded-proto", "ftp")],
            [(":authority", "u@shop.example"), ("x-forwarded-proto", "https")],
            [("host", "shop.example"), ("x-forwarded-proto", "https")],
        ] {
            let headers = Headers::from_pairs(&[&request[..], &[("origin", OWN)]].concat());
            assert_eq!(Page::of(&headers, &[]), Page::Foreign, "{request:?}");
        }
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
