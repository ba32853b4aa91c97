//! The URL that a login returns to. It comes with the request, so any link can contain it: only paths and listed
//! origins are accepted, against open redirects.

use std::str::FromStr;

use thiserror::Error;
use url::{Position, Url};

/// The target of a login without an accepted URL.
const HOME: &str = "/";

/// An origin that a login may return to: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(url::Origin);

#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} is not an origin; expected http or https, a host and an optional port, such as https://shop.example.com"
)]
pub struct InvalidOrigin(String);

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let refused = || InvalidOrigin(text.to_owned());
        let url = web_url(text).ok_or_else(refused)?;
        if url[Position::BeforePath..] == *"/" { Ok(Self(url.origin())) } else { Err(refused()) }
    }
}

impl Origin {
    /// As in an `Origin` header.
    pub fn serialized(&self) -> String {
        self.0.ascii_serialization()
    }
}

/// `next` if it is a URL of one of these origins or an absolute path, else `/`. The result is the serialization of the
/// parsed URL, so that a browser parses it as it was checked here.
pub fn checked(next: &str, origins: &[Origin]) -> String {
    let absolute = || web_url(next).filter(|url| origins.contains(&Origin(url.origin()))).map(String::from);
    local_path(next).or_else(absolute).unwrap_or_else(|| HOME.to_owned())
}

/// Browsers remove tabs and line breaks from a URL, and parse `\` as `/`.
fn has_ambiguous_characters(text: &str) -> bool {
    text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\')
}

fn web_url(text: &str) -> Option<Url> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    // Browsers parse `http:///host` as `http://host`. A user name can look like a host, as in
    // `http://shop.example@evil.example`.
    if has_ambiguous_characters(text) || authority.is_empty() || authority.contains('@') {
        return None;
    }
    let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    Url::parse(text).ok().filter(|_| is_web)
}

fn local_path(text: &str) -> Option<String> {
    if !text.starts_with('/') || text.starts_with("//") || has_ambiguous_characters(text) {
        return None;
    }
    let url = Url::parse("http://localhost").ok()?.join(text).ok()?;
    let path = &url[Position::BeforePath..];
    // `/.//host` has the path `//host`, which is a reference to a host.
    (!path.starts_with("//")).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins() -> Vec<Origin> {
        ["http://localhost:10000", "https://shop.example.com"].map(|text| text.parse().unwrap()).into()
    }

    #[test]
    fn a_url_of_a_listed_origin_and_an_absolute_path_are_kept_with_their_query() {
        for next in [
            "http://localhost:10000/account?tab=orders&page=2",
            "https://shop.example.com/",
            "/account?tab=orders#latest",
            "/",
            "/a@b:c//d?next=http://evil.example/",
        ] {
            assert_eq!(checked(next, &origins()), next);
        }
    }

    #[test]
    fn an_accepted_url_is_normalized() {
        for (next, expected) in [
            ("HTTPS://SHOP.example.com:443", "https://shop.example.com/"),
            ("http://localhost:10000/a/../b", "http://localhost:10000/b"),
            ("/tea/grün?q=ü", "/tea/gr%C3%BCn?q=%C3%BC"),
            ("http://localhost:10000//evil.example", "http://localhost:10000//evil.example"),
        ] {
            assert_eq!(checked(next, &origins()), expected);
        }
    }

    #[test]
    fn every_other_url_is_replaced_by_the_home_page() {
        for next in [
            "",
            "account",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "\u{1}//evil.example",
            " //evil.example",
            "/.//evil.example",
            "/a/..//evil.example",
            "/%2e//evil.example",
            "http://evil.example/",
            "http://localhost:10000.evil.example/",
            "http://localhost:10000@evil.example/",
            "http://@localhost:10000/",
            "http://user:password@localhost:10000/",
            "http://localhost:10001/",
            "https://localhost:10000/",
            "http://localhost/",
            "http://shop.example.com/",
            "https://shop.example.com.evil.example/",
            "https:shop.example.com",
            "https:/shop.example.com",
            "https:///shop.example.com",
            "javascript:alert(1)",
            "javascript://localhost:10000/%0aalert(1)",
            "data:text/html,x",
            "ftp://localhost:10000/",
            "http://local\thost:10000/",
            "http://localhost:10000/\r\nset-cookie: a=b",
            "/\u{7f}",
            "/a b",
            "http://localhost:port/",
        ] {
            assert_eq!(checked(next, &origins()), "/", "{next:?}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port_only() {
        assert_eq!("http://localhost:80".parse::<Origin>(), "http://LOCALHOST/".parse());
        for bad in ["localhost:10000", "ftp://localhost", "http://localhost/shop", "http://a@b", "http://", "*", ""] {
            assert_eq!(bad.parse::<Origin>(), Err(InvalidOrigin(bad.to_owned())));
        }
    }
}
