//! The syntax of strings as regular expressions (ECMA-262). A pattern may accept more than the parser, never less.

use super::super::values::{
    App, CallAuthority, Cluster, CookieDomain, CookieName, CookiePath, DataKey, ExactPath, HeaderName, Method,
    PathPrefix, QueryName, Redirect, RuleName, TokenPrefix,
};
use crate::http::authority::HostPattern;
use crate::http::origin::Origin;
use crate::policy::annotation;
use crate::policy::login::Login;
use crate::policy::matching::PathPattern;

/// A type of strings with a pattern.
pub trait Shape {
    /// The pattern, anchored at both ends.
    const PATTERN: &'static str;
}

macro_rules! shapes {
    ($($type:ty: $($part:expr),+;)+) => {
        $(impl Shape for $type {
            const PATTERN: &'static str = concat!("^", $($part,)+ "$");
        })+
    };
}

/// A DNS name, an IPv4 address, or an IPv6 address in brackets.
macro_rules! host {
    () => {
        r"(?:[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?|\[[0-9A-Fa-f:.]+\])"
    };
}

/// A token (RFC 9110, section 5.6.2).
macro_rules! token {
    () => {
        r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
    };
}

/// Segments of a path with one reading.
macro_rules! segments {
    () => {
        r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~!$&'()+,=:@-]+)"
    };
}

/// The scheme and authority of a URL, or nothing, before a path that does not start with `//`.
macro_rules! page {
    () => {
        r"(?:https?://[A-Za-z0-9_.:\[\]-]+)?(?=/)(?!//)"
    };
}

/// The characters of a URL's path, query and fragment.
macro_rules! visible {
    () => {
        r#"[!#-;=?-\[\]_a-z~]*"#
    };
}

shapes! {
    App: "[A-Za-z0-9_-]{3,20}";
    Cluster: "[!-~]+";
    CallAuthority: host!(), "(?::[0-9]{1,5})?";
    PathPrefix: r#"(?:/[!"$->@-~]*[!"$-.0->@-~])?"#;
    HostPattern: r"(?:\*\.)?", host!();
    Origin: "[A-Za-z][A-Za-z0-9+.-]*://", host!(), "(?::[0-9]{1,5})?";
    PathPattern: "(?:/|/\\*|", segments!(), "+(?:/|/\\*)?)";
    ExactPath: "(?:/|", segments!(), "+/?)";
    Login: page!(), visible!(), r"(?:\{url\}", visible!(), ")?";
    Redirect: page!(), visible!();
    CookiePath: "/[!-:<-~]*";
    CookieDomain: r"\.?[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?";
    Method: "[A-Z0-9!#$%&'*+.^_`|~-]+";
    CookieName: token!();
    HeaderName: token!();
    DataKey: r"[\s\S]+";
    TokenPrefix: "[ -~]+";
    QueryName: r"[\s\S]+";
    RuleName: r"[^\u0000-\u001f\u007f-\u009f]{1,128}";
    annotation::Field: r"(?:id|ip|ttl|idle|r|w|age|d|status|d\.[\s\S]+)";
}
