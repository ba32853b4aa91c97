//! What texts look like, as regular expressions of ECMA-262. Where one cannot say all that a parser knows, it takes more
//! than the parser does, never less.

use super::super::values::{
    App, CallAuthority, Cluster, CookieDomain, CookieName, CookiePath, DataKey, ExactPath, HeaderName, Method,
    PathPrefix, QueryName, Redirect, RuleName, TokenPrefix,
};
use crate::http::authority::HostPattern;
use crate::http::origin::Origin;
use crate::policy::annotation;
use crate::policy::login::Login;
use crate::policy::matching::PathPattern;

pub trait Shape {
    const PATTERN: &'static str;
}

macro_rules! shapes {
    ($($type:ty: $($part:expr),+;)+) => {
        $(impl Shape for $type {
            const PATTERN: &'static str = concat!("^", $($part,)+ "$");
        })+
    };
}

/// A DNS name or an address of IPv4; an address of IPv6 in brackets.
macro_rules! host {
    () => {
        r"(?:[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?|\[[0-9A-Fa-f:.]+\])"
    };
}

/// A token of RFC 9110.
macro_rules! token {
    () => {
        r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
    };
}

/// Segments of a path that everybody reads the same.
macro_rules! segments {
    () => {
        r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~!$&'()+,=:@-]+)"
    };
}

/// An absolute URL up to its path, or nothing, and no second slash after the one that begins the path.
macro_rules! page {
    () => {
        r"(?:https?://[A-Za-z0-9_.:\[\]-]+)?(?=/)(?!//)"
    };
}

/// What may stand in a URL here.
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
