//! Where a login returns to. The address comes with the request, so anybody can write it into a link: what leads
//! elsewhere than to the origins that were listed would lend this site's name to somebody else's page.

use std::str::FromStr;

use thiserror::Error;
use url::{Position, Url};

/// Where a login ends that says nothing else, or nothing that can be trusted.
const HOME: &str = "/";

/// Scheme, host and port that a login may return to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(url::Origin);

#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no origin; expected http or https, a host and maybe a port, such as https://shop.example.com")]
pub struct NoOrigin(String);

impl FromStr for Origin {
    type Err = NoOrigin;

    fn from_str(text: &str) -> Result<Self, NoOrigin> {
        let refused = || NoOrigin(text.to_owned());
        let url = web_url(text).ok_or_else(refused)?;
        if url[Position::BeforePath..] == *"/" { Ok(Self(url.origin())) } else { Err(refused()) }
    }
}

impl Origin {
    pub fn serialized(&self) -> String {
        self.0.ascii_serialization()
    }
}

/// `next` if it is a URL of one of these origins, or an absolute path; else home. What is returned is what was checked,
/// written anew, so that a browser cannot read it differently.
pub fn checked(next: &str, origins: &[Origin]) -> String {
    let absolute = || web_url(next).filter(|url| origins.contains(&Origin(url.origin()))).map(String::from);
    local_path(next).or_else(absolute).unwrap_or_else(|| HOME.to_owned())
}

/// Browsers drop tabs and line breaks within a URL, and read `\` as `/`.
fn has_tricks(text: &str) -> bool {
    text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\')
}

fn web_url(text: &str) -> Option<Url> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    // `http:///host` would be read as `http://host`, and who writes a user into it wants it to look like another host.
    if has_tricks(text) || authority.is_empty() || authority.contains('@') {
        return None;
    }
    let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    Url::parse(text).ok().filter(|_| is_web)
}

fn local_path(text: &str) -> Option<String> {
    if !text.starts_with('/') || text.starts_with("//") || has_tricks(text) {
        return None;
    }
    let url = Url::parse("http://localhost").ok()?.join(text).ok()?;
    let path = &url[Position::BeforePath..];
    // `/.//host` is the path `//host`, which on its own would name a host.
    (!path.starts_with("//")).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins() -> Vec<Origin> {
        ["http://localhost:10000", "https://shop.example.com"].map(|text| text.parse().unwrap()).into()
    }

    #[test]
    fn a_url_of_a_listed_origin_and_an_absolute_path_are_returned_to_with_their_query() {
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
    fn what_is_returned_is_written_anew() {
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
    fn everything_that_leads_elsewhere_goes_home() {
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
    fn an_origin_is_scheme_host_and_port_and_nothing_else() {
        assert_eq!("http://localhost:80".parse::<Origin>(), "http://LOCALHOST/".parse());
        for bad in ["localhost:10000", "ftp://localhost", "http://localhost/shop", "http://a@b", "http://", "*", ""] {
            assert_eq!(bad.parse::<Origin>(), Err(NoOrigin(bad.to_owned())));
        }
    }
}
