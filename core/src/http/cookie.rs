//! The `cookie` header: reading the values of one cookie, and removing that cookie.
//!
//! The parser is as lenient as the frameworks behind the filter: `;` alone separates pairs, names are compared byte for
//! byte, and white space around names and values is ignored. The syntax of RFC 6265, section 4.2.1 is stricter, but a pair that a
//! server reads must not be missed here.

use super::scan::split_before;

/// The values of all cookies of this name in a header's value, in order. Surrounding double quotes are removed.
pub fn values<'a>(header: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    pairs(header).filter_map(move |pair| value(pair, name))
}

/// The parts of the header between semicolons.
fn pairs(header: &[u8]) -> Pairs<'_> {
    Pairs { rest: Some(header) }
}

struct Pairs<'a> {
    /// `None` after the last part.
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = &'a [u8];

    #[inline(always)]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (pair, after) = split_before(self.rest?, b';');
        self.rest = after.split_first().map(|(_, next)| next);
        Some(pair)
    }
}

/// The header's value without the cookies of this name, all other bytes unchanged. `None` if there is no such cookie.
///
/// The result may be empty.
#[must_use]
pub fn without(header: &[u8], name: &str) -> Option<Vec<u8>> {
    values(header, name).next()?;
    let mut kept = Vec::with_capacity(header.len());
    let mut is_first = true;
    for (index, pair) in pairs(header).enumerate() {
        if value(pair, name).is_some() {
            continue;
        }
        // Each pair keeps its leading white space, except a pair that becomes the first.
        if is_first && index > 0 {
            kept.extend_from_slice(trim_start(pair));
        } else {
            if !is_first {
                kept.push(b';');
            }
            kept.extend_from_slice(pair);
        }
        is_first = false;
    }
    Some(kept)
}

#[inline(always)]
fn value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    // Comparing the first byte skips most pairs of a header with many cookies.
    let (pair, name) = (trim_start(pair), name.as_bytes());
    if let (Some(first), Some(own)) = (pair.first(), name.first())
        && first != own
    {
        return None;
    }
    let rest = pair.strip_prefix(name)?;
    let value = trim_end(trim_start(trim_start(rest).strip_prefix(b"=")?));
    match value {
        [b'"', inner @ .., b'"'] => Some(inner),
        _ => Some(value),
    }
}

#[inline(always)]
fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

#[inline(always)]
fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "session-cookie";

    #[test]
    fn a_value_is_found_under_its_exact_name_only() {
        let cases: [(&[u8], &[&[u8]]); 36] = [
            (b"session-cookie=t", &[b"t"]),
            (b"a=1; session-cookie=t; b=2", &[b"t"]),
            (b"a=1;session-cookie=t;b=2", &[b"t"]),
            (b"  session-cookie=t  ", &[b"t"]),
            (b"\tsession-cookie=t\t;", &[b"t"]),
            (b"session-cookie =t", &[b"t"]),
            (b"session-cookie= t", &[b"t"]),
            (b"session-cookie\t=\tt", &[b"t"]),
            (b"session-cookie=\"t\"", &[b"t"]),
            (b"session-cookie = \"t\" ", &[b"t"]),
            (b"session-cookie=\" t \"", &[b" t "]),
            (b"session-cookie=\"t", &[b"\"t"]),
            (b"session-cookie=t\"", &[b"t\""]),
            (b"session-cookie=\"", &[b"\""]),
            (b"session-cookie=\"\"", &[b""]),
            (b"session-cookie=\"\"t\"\"", &[b"\"t\""]),
            (b"session-cookie=", &[b""]),
            (b"session-cookie=;", &[b""]),
            (b"session-cookie=a=b", &[b"a=b"]),
            (b"session-cookie==t", &[b"=t"]),
            (b"session-cookie=t; session-cookie=u", &[b"t", b"u"]),
            (b"session-cookie=t; session-cookie=t", &[b"t", b"t"]),
            (b"session-cookie=\xff\xfe", &[b"\xff\xfe"]),
            (b"a=\xff; session-cookie=t", &[b"t"]),
            (b"$Version=1; session-cookie=\"t\"; $Path=\"/\"", &[b"t"]),
            (b"session-cookie=t, session-cookie=u", &[b"t, session-cookie=u"]),
            (b";;; session-cookie=t;;", &[b"t"]),
            (b"", &[]),
            (b";", &[]),
            (b"session-cookie", &[]),
            (b"session-cookie2=t", &[]),
            (b"xsession-cookie=t", &[]),
            (b"Session-Cookie=t", &[]),
            (b"a=session-cookie=t", &[]),
            (b"a=1, session-cookie=t", &[]),
            (b"=session-cookie; \xffsession-cookie=t; $session-cookie=t; session%2Dcookie=t", &[]),
        ];
        for (header, expected) in cases {
            let found: Vec<&[u8]> = values(header, NAME).collect();
            assert_eq!(found, expected, "{}", header.escape_ascii());
        }
    }

    #[test]
    fn a_cookie_is_removed_and_every_other_byte_stays() {
        let cases: [(&[u8], Option<&[u8]>); 26] = [
            (b"session-cookie=t", Some(b"")),
            (b" session-cookie = \"t\" ", Some(b"")),
            (b"session-cookie=t; session-cookie=u", Some(b"")),
            (b"session-cookie=t; a=1", Some(b"a=1")),
            (b"session-cookie=t;a=1", Some(b"a=1")),
            (b"a=1; session-cookie=t", Some(b"a=1")),
            (b"a=1; session-cookie=t; b=2", Some(b"a=1; b=2")),
            (b"a=1;session-cookie=t;b=2", Some(b"a=1;b=2")),
            (b"session-cookie=t; a=1; session-cookie=u; b=2; session-cookie=v", Some(b"a=1; b=2")),
            (b"session-cookie=t;", Some(b"")),
            (b"a=1; session-cookie=t;", Some(b"a=1;")),
            (b" a = \"1\" ;  session-cookie=t; b = 2 ", Some(b" a = \"1\" ; b = 2 ")),
            (b"a=\xff\xfe; session-cookie=\xff", Some(b"a=\xff\xfe")),
            (b"session-cookie2=x; session-cookie=t; xsession-cookie=y", Some(b"session-cookie2=x; xsession-cookie=y")),
            (b"session-cookie; session-cookie=t", Some(b"session-cookie")),
            (b"$Version=1; session-cookie=t; $Path=/", Some(b"$Version=1; $Path=/")),
            (b"a=1, 2; session-cookie=t, u; b=3", Some(b"a=1, 2; b=3")),
            (b"a;; session-cookie=", Some(b"a;")),
            (b"", None),
            (b";", None),
            (b"a=1", None),
            (b"session-cookie", None),
            (b"session-cookie2=t", None),
            (b"xsession-cookie=t", None),
            (b"SESSION-COOKIE=t", None),
            (b"a=session-cookie=t; b", None),
        ];
        for (header, expected) in cases {
            assert_eq!(without(header, NAME).as_deref(), expected, "{}", header.escape_ascii());
        }
    }

    fn any_header() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            &b"n"[..],
            b"n",
            b"n=",
            b"=",
            b";",
            b";",
            b"; ",
            b" ",
            b"\t",
            b"\"",
            b"x",
            b"nn=1",
            b"xn=",
            b",",
            b"\xff",
        ]);
        prop_oneof![prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat()), any::<Vec<u8>>()]
    }

    /// The pairs of a header by other means: names and values trimmed, quotes kept.
    fn naive_pairs(header: &[u8]) -> Vec<(String, String)> {
        let text: String = header.iter().copied().map(char::from).collect();
        let trim = |text: &str| text.trim_matches([' ', '\t']).to_owned();
        text.split(';').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (trim(name), trim(value))).collect()
    }

    proptest! {
        #[test]
        fn values_are_those_of_a_naive_reader(header in any_header()) {
            let expected = naive_pairs(&header).iter().filter(|(name, _)| name == "n").count();
            prop_assert_eq!(values(&header, "n").count(), expected);
        }

        #[test]
        fn what_remains_holds_exactly_the_other_pairs(header in any_header()) {
            let mut expected = naive_pairs(&header);
            expected.retain(|(name, _)| name != "n");
            match without(&header, "n") {
                None => prop_assert_eq!(values(&header, "n").count(), 0),
                Some(rest) => {
                    prop_assert!(rest.len() < header.len());
                    prop_assert_eq!(naive_pairs(&rest), expected);
                    prop_assert_eq!(without(&rest, "n"), None);
                }
            }
        }
    }
}
