//! The types of single values. Each can hold only valid values.

use super::json::Json;
use super::reader::{Field, Node, Read};
use crate::http::authority::{Authority, Host, HostPattern};
use crate::http::name;
use crate::http::origin::Origin;
use crate::policy::annotation;
use crate::policy::login::Login;
use crate::policy::matching::PathPattern;

/// A type that is parsed from a string.
pub trait ParseText: Sized {
    /// The syntax, for messages and the JSON Schema.
    const EXPECTED: &'static str;

    /// `None` if the text is invalid.
    fn parse(text: &str) -> Option<Self>;
}

/// A string that is parsed as `T`.
#[derive(Debug)]
pub struct Text<T>(pub T);

impl<T: ParseText> Read for Text<T> {
    fn read(node: Node<'_>) -> Option<Self> {
        let value = T::parse(node.text(&T::EXPECTED)?);
        if value.is_none() {
            node.unexpected(&T::EXPECTED);
        }
        value.map(Self)
    }
}

/// An integer from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug)]
pub struct Integer<const MIN: u64, const MAX: u64>(pub u64);

impl<const MIN: u64, const MAX: u64> Read for Integer<MIN, MAX> {
    fn read(node: Node<'_>) -> Option<Self> {
        node.integer(MIN, MAX).map(Self)
    }
}

/// An object, or `"off"`.
#[derive(Debug)]
pub enum OrOff<T> {
    /// The object.
    On(T),
    /// `"off"`.
    Off,
}

impl<T: Read> Read for OrOff<T> {
    fn read(node: Node<'_>) -> Option<Self> {
        match node.json() {
            Json::Text(text) if text == "off" => Some(Self::Off),
            Json::Object(_) => T::read(node).map(Self::On),
            _ => {
                node.unexpected(&"an object or \"off\"");
                None
            }
        }
    }
}

/// An object with any keys, in order.
#[derive(Debug)]
pub struct Entries<T>(pub Vec<(String, Field<T>)>);

impl<T: Read> Read for Entries<T> {
    fn read(node: Node<'_>) -> Option<Self> {
        let entries = node.entries("an object")?.into_iter();
        Some(Self(entries.map(|entry| (entry.0.clone(), Field::of(node.entry(entry)))).collect()))
    }
}

fn visible_ascii(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The name of a rest-sessions app.
#[derive(Debug)]
pub struct App(pub String);

impl ParseText for App {
    const EXPECTED: &'static str = "3 to 20 letters, digits, `_` or `-`";

    fn parse(text: &str) -> Option<Self> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        ((3..=20).contains(&text.len()) && text.bytes().all(known)).then(|| Self(text.to_owned()))
    }
}

/// The name of an Envoy cluster.
#[derive(Debug)]
pub struct Cluster(pub String);

impl ParseText for Cluster {
    const EXPECTED: &'static str = "the name of a cluster, in visible ASCII";

    fn parse(text: &str) -> Option<Self> {
        visible_ascii(text).then(|| Self(text.to_owned()))
    }
}

/// The `:authority` of a call.
#[derive(Debug)]
pub struct CallAuthority(pub String);

impl ParseText for CallAuthority {
    const EXPECTED: &'static str = "a host with or without a port, such as \"rest-sessions:3000\"";

    fn parse(text: &str) -> Option<Self> {
        Authority::parse(text.as_bytes()).map(|_| Self(text.to_owned()))
    }
}

/// The path of calls before `/{app}/get/…`.
#[derive(Debug)]
pub struct PathPrefix(pub String);

impl ParseText for PathPrefix {
    const EXPECTED: &'static str =
        "an empty string, or a path that starts with `/`, does not end with one, and has neither `?` nor `#`";

    fn parse(text: &str) -> Option<Self> {
        let path = visible_ascii(text) && text.starts_with('/') && !text.ends_with('/') && !text.contains(['?', '#']);
        (text.is_empty() || path).then(|| Self(text.to_owned()))
    }
}

impl ParseText for HostPattern {
    const EXPECTED: &'static str = "a host without a port, such as \"shop.example.com\" or \"*.example.com\"";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl ParseText for Origin {
    const EXPECTED: &'static str = "an origin, such as \"https://shop.example.com\", without a path";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text.as_bytes())
    }
}

impl ParseText for PathPattern {
    const EXPECTED: &'static str = "\"/exact\" or \"/prefix/*\" of letters, digits and -._~!$&'()*+,=:@/ \
        (without empty or dot segments, and `*` only as the last segment)";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

/// A path pattern without a `*`.
#[derive(Debug)]
pub struct ExactPath(pub PathPattern);

impl ParseText for ExactPath {
    const EXPECTED: &'static str = "\"/exact\" of letters, digits and -._~!$&'()+,=:@/ (without empty or dot segments)";

    fn parse(text: &str) -> Option<Self> {
        PathPattern::parse(text).filter(|pattern| matches!(pattern, PathPattern::Exact(_))).map(Self)
    }
}

impl ParseText for Login {
    const EXPECTED: &'static str = "an absolute http or https URL, or a path that starts with one `/`, with at most one `{url}` in its path, query or fragment";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

/// The target of the redirect after logout.
#[derive(Debug)]
pub struct Redirect(pub String);

impl ParseText for Redirect {
    const EXPECTED: &'static str = "an absolute http or https URL, or a path that starts with one `/`";

    fn parse(text: &str) -> Option<Self> {
        // The syntax of a login page without `{url}`.
        Login::parse(text).filter(|page| !page.has_return_url()).map(|_| Self(text.to_owned()))
    }
}

/// The `Path` of a cookie (RFC 6265, section 4.1.1).
#[derive(Debug)]
pub struct CookiePath(pub String);

impl ParseText for CookiePath {
    const EXPECTED: &'static str = "a path that starts with `/`, in visible ASCII without `;`";

    fn parse(text: &str) -> Option<Self> {
        (visible_ascii(text) && text.starts_with('/') && !text.contains(';')).then(|| Self(text.to_owned()))
    }
}

/// The `Domain` of a cookie (RFC 6265, section 4.1.2.3).
#[derive(Debug)]
pub struct CookieDomain(pub String);

impl ParseText for CookieDomain {
    const EXPECTED: &'static str = "a domain, such as \"example.com\"";

    fn parse(text: &str) -> Option<Self> {
        let host = Host::parse(text.strip_prefix('.').unwrap_or(text).as_bytes());
        matches!(host, Some(Host::Name(_))).then(|| Self(text.to_owned()))
    }
}

/// A request method (RFC 9110, section 9.1: a token), in capitals.
#[derive(Debug)]
pub struct Method(pub String);

impl ParseText for Method {
    const EXPECTED: &'static str = "a method in capitals, such as \"GET\"";

    fn parse(text: &str) -> Option<Self> {
        let capitals = name::is_token(text) && !text.bytes().any(|byte| byte.is_ascii_lowercase());
        capitals.then(|| Self(text.to_owned()))
    }
}

/// A cookie's name (RFC 6265, section 4.1.1: a token), case-sensitive.
#[derive(Debug)]
pub struct CookieName(pub String);

impl ParseText for CookieName {
    const EXPECTED: &'static str = "a cookie's name: letters, digits and !#$%&'*+-.^_`|~";

    fn parse(text: &str) -> Option<Self> {
        name::is_token(text).then(|| Self(text.to_owned()))
    }
}

/// A header's name, in lower case (RFC 9110, section 5.1: a token).
#[derive(Debug)]
pub struct HeaderName(pub String);

impl ParseText for HeaderName {
    const EXPECTED: &'static str = "a header's name: letters, digits and !#$%&'*+-.^_`|~";

    fn parse(text: &str) -> Option<Self> {
        name::is_token(text).then(|| Self(text.to_ascii_lowercase()))
    }
}

/// A key of a session's data.
#[derive(Debug)]
pub struct DataKey(pub String);

impl ParseText for DataKey {
    const EXPECTED: &'static str = "a key of the session's data, such as \"cart\"";

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }
}

/// The prefix of a token in a header, such as `Bearer `.
#[derive(Debug)]
pub struct TokenPrefix(pub String);

impl ParseText for TokenPrefix {
    const EXPECTED: &'static str = "printable ASCII, such as \"Bearer \"";

    fn parse(text: &str) -> Option<Self> {
        let printable = !text.is_empty() && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        printable.then(|| Self(text.to_owned()))
    }
}

/// The decoded name of a query parameter.
#[derive(Debug)]
pub struct QueryName(pub String);

impl ParseText for QueryName {
    const EXPECTED: &'static str = "the name of a query parameter";

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }
}

/// The name of a rule.
#[derive(Debug)]
pub struct RuleName(pub String);

impl ParseText for RuleName {
    const EXPECTED: &'static str = "1 to 128 characters, none of them a control character";

    fn parse(text: &str) -> Option<Self> {
        let length = text.chars().count();
        ((1..=128).contains(&length) && !text.contains(char::is_control)).then(|| Self(text.to_owned()))
    }
}

impl ParseText for annotation::Field {
    const EXPECTED: &'static str = "one of id, ip, ttl, idle, r, w, age, d, d.KEY, status";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_are_what_rest_sessions_takes() {
        for right in ["abc", "my_web-App2", "a2345678901234567890"] {
            assert!(App::parse(right).is_some(), "{right}");
        }
        for wrong in ["", "ab", "a23456789012345678901", "my app", "äbc", "a/b/c", "a.b"] {
            assert!(App::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_path_prefix_cannot_reach_into_the_query() {
        assert!(PathPrefix::parse("").is_some());
        assert!(PathPrefix::parse("/path/to/rest-sessions").is_some());
        for wrong in ["/", "a", "/a/", "/a?b", "/a#b", "/a b", "/a\r\nb", "/ä"] {
            assert!(PathPrefix::parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
