//! Request methods: their form, and the headers and query parameters by which a client names another one.

use super::headers::Headers;
use super::name::canonical;
use super::query::{decode, decoded, split_pair};
use super::reserved::ReservedHeaders;
use super::scan::split_before;

/// The headers by which a client can make some servers use another method than that of the request.
pub const OVERRIDE_HEADERS: [&str; 5] =
    ["x-http-method-override", "x-http-method", "x-method-override", "x-forwarded-method", "x-original-method"];

/// The query parameter by which a client can do the same, beside those with the names of the headers.
const OVERRIDE_PARAMETER: &str = "_method";

/// The length of `x-http-method-override`.
const LONGEST_NAME: usize = 22;

/// The query names another method in a way that no honest client does: no method, or different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unclear;

/// Whether the method consists of capitals, digits, `-` and `_`.
///
/// RFC 9110, section 9.1, allows every token, and methods are case-sensitive. But HTTP/2 carries `delete`, which rules for
/// `DELETE` do not match, and some servers serve it as DELETE.
#[must_use]
pub fn is_valid(method: &[u8]) -> bool {
    !method.is_empty() && method.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_'))
}

/// The method that the query of a target names, in capitals as servers turn it. `None`: it names none.
///
/// Servers take it from the query: Symfony and Laravel, Spring's `HiddenHttpMethodFilter`, Express' `method-override`,
/// ASP.NET MVC. They differ in the name and in the separator of pairs, so all of them are assumed:
///
/// - `&`, `;` and a second `?` separate pairs, and the first `;` starts the query, as the first `?` does.
/// - Names are compared like header names. PHP reads `.method` as `_method`, and drops spaces before a name.
/// - `_method[]` is `_method`: `method-override` takes the first of a list.
///
/// # Errors
///
/// If a value is no method, or if there are different ones, of which servers take the first or the last.
pub fn named_in(target: &[u8]) -> Result<Option<Vec<u8>>, Unclear> {
    let ((_, query), (_, parameters)) = (split_before(target, b'?'), split_before(target, b';'));
    let query = if parameters.len() > query.len() { parameters } else { query };
    let mut found = None;
    for pair in query.split(|byte| matches!(byte, b'&' | b';' | b'?')) {
        let (name, value) = split_pair(pair);
        if !names_method(name) {
            continue;
        }
        let method = decode(value).trim_ascii().to_ascii_uppercase();
        if method.is_empty() {
            continue;
        }
        if !is_valid(&method) || found.as_ref().is_some_and(|found| *found != method) {
            return Err(Unclear);
        }
        found = Some(method);
    }
    Ok(found)
}

/// Whether a header or the query names a method beside that of the request.
#[must_use]
pub fn is_named_beside(headers: &Headers, target: &[u8]) -> bool {
    named_in(target) != Ok(None) || !ReservedHeaders::new(OVERRIDE_HEADERS).spoofed(headers).is_empty()
}

/// Whether a parameter of this name, as sent, names a method.
fn names_method(encoded: &[u8]) -> bool {
    // Nearly all names are rejected by their length or their first byte, which is all that a long query costs.
    let may_be = encoded.len() >= OVERRIDE_PARAMETER.len()
        && encoded.first().is_some_and(|first| matches!(canonical(*first), b'-' | b'x'));
    if !may_be {
        return false;
    }
    let name = decoded(encoded).skip_while(|byte| *byte == b' ').enumerate();
    let name = name.take_while(|(at, byte)| *at == 0 || !matches!(byte, b'[' | 0)).map(|(_, byte)| canonical(byte));
    // One byte more than the longest name tells it from longer ones.
    let name: Vec<u8> = name.take(LONGEST_NAME.saturating_add(1)).collect();
    let is = |wanted: &str| wanted.bytes().map(canonical).eq(name.iter().copied());
    is(OVERRIDE_PARAMETER) || OVERRIDE_HEADERS.into_iter().any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_has_capitals_digits_hyphens_and_underscores_only() {
        for method in ["GET", "DELETE", "M-SEARCH", "VERSION-CONTROL", "X_1", "BASELINE-CONTROL"] {
            assert!(is_valid(method.as_bytes()), "{method}");
        }
        for method in ["", "get", "Delete", "dELETE", "GET ", "GET,POST", "G\u{130}T", "GET\0", "GE!T", "DELETE\t"] {
            assert!(!is_valid(method.as_bytes()), "{method}");
        }
    }

    #[test]
    fn a_method_in_the_query_is_found_under_every_spelling_that_a_server_takes() {
        for (server, target) in [
            ("Symfony", "/a?_method=DELETE"),
            ("Express, which turns it into capitals", "/a?_method=delete"),
            ("any server that decodes names", "/a?%5fmethod=DELETE"),
            ("any server that decodes names", "/a?%5F%6dethod=%44elete"),
            ("a parameter among others", "/a?x=1&_method=DELETE&y"),
            ("`;` as a separator", "/a?x=1;_method=DELETE"),
            ("`;` as a separator, after it", "/a?_method=DELETE;x"),
            ("a list in PHP and Express", "/a?_method[]=DELETE"),
            ("a list, encoded", "/a?_method%5B0%5d=DELETE"),
            ("spaces around the value", "/a?_method=+delete%20"),
            ("a line break after the value", "/a?_method=DELETE%0a"),
            ("PHP drops spaces before names", "/a?+%20_method=DELETE"),
            ("PHP reads a dot as an underscore", "/a?.method=DELETE"),
            ("PHP reads a bracket as an underscore", "/a?[method=DELETE"),
            ("PHP ends names at a null byte", "/a?_method%00x=DELETE"),
            ("names without case", "/a?_METHOD=DELETE"),
            ("ASP.NET MVC", "/a?X-HTTP-Method-Override=DELETE"),
            ("PHP's form of it", "/a?x_http_method_override=DELETE"),
            ("twice the same", "/a?_method=DELETE&_method=delete"),
            ("an empty one beside it", "/a?_method=&_method=DELETE"),
            ("a second question mark", "/a?x?_method=DELETE"),
            ("Fastify 4, whose query starts at `;`", "/a;_method=DELETE"),
            ("Fastify 4, before a question mark", "/a;_method=DELETE?x=1"),
        ] {
            assert_eq!(named_in(target.as_bytes()), Ok(Some(b"DELETE".to_vec())), "{server}: {target}");
        }
        for target in [
            "/a",
            "/a?",
            "/_method=DELETE",
            "/a?_method",
            "/a?_method=",
            "/a?_method=+",
            "/a?method=DELETE",
            "/a?x_method=DELETE",
            "/a?_methods=DELETE",
            "/a?x=_method=DELETE",
            "/a?x[_method]=DELETE",
            "/a?%255fmethod=DELETE",
            "/a?x-http=DELETE",
            "/a?_[method]=DELETE",
        ] {
            assert_eq!(named_in(target.as_bytes()), Ok(None), "{target}");
        }
        for target in [
            "/a?_method=PUT&_method=DELETE",
            "/a?_method=PUT;_method=DELETE",
            "/a?_method=PUT&x-http-method=DELETE",
            "/a?_method=DELETE%00",
            "/a?_method=DELETE,PUT",
            "/a?_method=DELETE+x",
            "/a?_method=po%C5%BFt",
            "/a?_method=%2544ELETE",
        ] {
            assert_eq!(named_in(target.as_bytes()), Err(Unclear), "{target}");
        }
    }

    #[test]
    fn headers_that_name_a_method_are_found_in_any_spelling() {
        let beside = |name: &str| is_named_beside(&Headers::from_pairs(&[(":path", "/"), (name, "PUT")]), b"/");
        assert!(beside("x-http-method-override") && beside("x_http.method") && beside("x-method-override"));
        assert!(!beside("x-method") && !beside("access-control-request-method"));
        assert!(is_named_beside(&Headers::default(), b"/?_method=PUT"));
        assert!(!is_named_beside(&Headers::default(), b"/?method=PUT"));
    }
}
