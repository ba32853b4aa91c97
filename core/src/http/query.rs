//! Query strings: reading the values of one parameter, and removing that parameter.
//!
//! `&` alone separates pairs. Names are compared after decoding, as servers do: `%74oken=` is `token=`.

use std::borrow::Cow;

use super::percent::split_encoded;

/// The decoded values of all parameters of this name, in order.
pub fn values<'a>(query: &'a [u8], name: &'a str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    query.split(|byte| *byte == b'&').filter_map(|pair| {
        let (own, value) = split_pair(pair);
        is_named(own, name).then(|| decode(value))
    })
}

/// The query without the parameters of this name, all other bytes unchanged. `None` if there is no such parameter.
///
/// The result may be empty.
#[must_use]
pub fn without(query: &[u8], name: &str) -> Option<Vec<u8>> {
    let pairs = || query.split(|byte| *byte == b'&');
    let is_other = |pair: &&[u8]| !is_named(split_pair(pair).0, name);
    if pairs().all(|pair| is_other(&pair)) {
        return None;
    }
    let mut kept = Vec::with_capacity(query.len());
    for (index, pair) in pairs().filter(is_other).enumerate() {
        if index > 0 {
            kept.push(b'&');
        }
        kept.extend_from_slice(pair);
    }
    Some(kept)
}

pub(super) fn split_pair(pair: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = pair.splitn(2, |byte| *byte == b'=');
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

fn is_named(encoded: &[u8], name: &str) -> bool {
    decoded(encoded).eq(name.bytes())
}

/// The bytes of a name or value, decoded.
pub(super) fn decoded(encoded: &[u8]) -> Decoded<'_> {
    Decoded { rest: encoded }
}

pub(super) fn decode(value: &[u8]) -> Cow<'_, [u8]> {
    if value.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        Cow::Owned(decoded(value).collect())
    } else {
        Cow::Borrowed(value)
    }
}

/// Decodes `application/x-www-form-urlencoded` (URL Standard, section 5.1): `%XX` is a byte, `+` is a space, and a percent
/// sign without two digits is itself.
#[derive(Clone)]
pub(super) struct Decoded<'a> {
    rest: &'a [u8],
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (first, after_first) = self.rest.split_first()?;
        let (byte, rest) =
            split_encoded(self.rest).unwrap_or((if *first == b'+' { b' ' } else { *first }, after_first));
        self.rest = rest;
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_found_and_decoded_under_every_spelling_of_the_name() {
        let cases: [(&[u8], &[&[u8]]); 22] = [
            (b"token=t", &[b"t"]),
            (b"a=1&token=t&b=2", &[b"t"]),
            (b"%74oken=t", &[b"t"]),
            (b"%74%6F%6b%65%6E=t", &[b"t"]),
            (b"token=%74", &[b"t"]),
            (b"token=a+b%20c%2Bd", &[b"a b c+d"]),
            (b"token=%ff\xfe", &[b"\xff\xfe"]),
            (b"token=a=b", &[b"a=b"]),
            (b"token=100%", &[b"100%"]),
            (b"token=%2&token=%zz", &[b"%2", b"%zz"]),
            (b"token=%2541", &[b"%41"]),
            (b"token=", &[b""]),
            (b"token", &[b""]),
            (b"token=t&token=u", &[b"t", b"u"]),
            (b"&&token=t&&", &[b"t"]),
            (b"token=t;token=u", &[b"t;token=u"]),
            (b"token=t?x", &[b"t?x"]),
            (b"", &[]),
            (b"Token=t&token2=t&xtoken=t", &[]),
            (b"%2574oken=t", &[]),
            (b"+token=t&token+=t&token%00=t", &[]),
            (b"a=token=t&token[]=t&=token", &[]),
        ];
        for (query, expected) in cases {
            let found: Vec<Cow<[u8]>> = values(query, "token").collect();
            assert_eq!(found, expected, "{}", query.escape_ascii());
        }
        assert_eq!(values(b"a+b=1&a%20b=2&a b=3", "a b").count(), 3);
    }

    #[test]
    fn value_that_is_not_encoded_is_not_copied() {
        assert!(matches!(values(b"token=abc", "token").next(), Some(Cow::Borrowed(b"abc"))));
    }

    #[test]
    fn a_parameter_is_removed_and_every_other_byte_stays() {
        let cases: [(&[u8], Option<&[u8]>); 16] = [
            (b"token=t", Some(b"")),
            (b"token", Some(b"")),
            (b"token=t&token=u", Some(b"")),
            (b"token=t&a=1", Some(b"a=1")),
            (b"a=1&token=t", Some(b"a=1")),
            (b"a=1&%74oken=t&b=2", Some(b"a=1&b=2")),
            (b"token=t&a=1&token=u&b=2&token=v", Some(b"a=1&b=2")),
            (b"a=%7e+%zz\xff&tok%65n=t&b", Some(b"a=%7e+%zz\xff&b")),
            (b"a&&token=t&", Some(b"a&&")),
            (b"&token=t", Some(b"")),
            (b"token2=x&token=t&xtoken=y", Some(b"token2=x&xtoken=y")),
            (b"", None),
            (b"&", None),
            (b"a=1&b=2", None),
            (b"Token=t&%2574oken=t", None),
            (b"a=token=t", None),
        ];
        for (query, expected) in cases {
            assert_eq!(without(query, "token").as_deref(), expected, "{}", query.escape_ascii());
        }
    }

    fn any_query() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            &b"n"[..],
            b"%6e",
            b"%6E=",
            b"n=",
            b"=",
            b"&",
            b"&",
            b"+",
            b"%",
            b"6",
            b"e",
            b"x",
            b"%25",
            b";",
            b"\xff",
        ]);
        prop_oneof![prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat()), any::<Vec<u8>>()]
    }

    fn other_pairs(query: &[u8]) -> Vec<Vec<u8>> {
        query
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty() && values(pair, "n").next().is_none())
            .map(<[u8]>::to_vec)
            .collect()
    }

    proptest! {
        #[test]
        fn what_remains_holds_exactly_the_other_pairs(query in any_query()) {
            match without(&query, "n") {
                None => prop_assert_eq!(values(&query, "n").count(), 0),
                Some(rest) => {
                    prop_assert!(rest.len() < query.len());
                    prop_assert_eq!(other_pairs(&rest), other_pairs(&query));
                    prop_assert_eq!(without(&rest, "n"), None);
                }
            }
        }

        #[test]
        fn any_value_is_read_back_from_its_encoding(value in any::<Vec<u8>>()) {
            let encoded: String = value.iter().map(|byte| format!("%{byte:02x}")).collect();
            let query = format!("x=1&n={encoded}&y");
            let found: Vec<Cow<[u8]>> = values(query.as_bytes(), "n").collect();
            prop_assert_eq!(found, [value]);
        }
    }
}
