//! A session's data (`d` of rest-sessions): kept as compact JSON in printable ASCII, with an index of its members.

use std::borrow::Cow;
use std::fmt::Write;

use crate::session::json;

/// A value of a session's data. rest-sessions keeps no nested values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// A decoded string.
    Text(Cow<'a, str>),
    /// The JSON text of a number, as rest-sessions sent it, so that no digit is lost.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
}

/// The offsets at which a member's key and value end. The form of the JSON, `{"key":value,"key":value}`, says where they
/// start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    key_end: u32,
    end: u32,
}

/// Appends the data to the text. The offsets of the members count from the start of the data.
pub(super) fn write(data: &[(Cow<'_, str>, Scalar<'_>)], text: &mut String) -> Box<[Member]> {
    let start = text.len();
    let at = |text: &String| narrow(text.len().saturating_sub(start));
    let mut members = Vec::with_capacity(data.len());
    text.push('{');
    for (key, value) in data {
        if !members.is_empty() {
            text.push(',');
        }
        push_string(text, key);
        let key_end = at(text);
        text.push(':');
        match value {
            Scalar::Text(value) => push_string(text, value),
            Scalar::Number(number) => text.push_str(number),
            Scalar::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        }
        members.push(Member { key_end, end: at(text) });
    }
    text.push('}');
    members.into()
}

/// An offset in a session's text. It fits: a response has 256 KiB at most, and encoding makes at most six bytes of one.
pub(super) fn narrow(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The value of a key. Keys are compared after decoding.
pub(super) fn find<'a>(json: &'a str, members: &[Member], wanted: &str) -> Option<Scalar<'a>> {
    let mut start = 1usize;
    for member in members {
        let (key_end, end) = (member.key_end as usize, member.end as usize);
        if decoded(json.get(start..key_end)?)? == wanted {
            return scalar(json.get(key_end.checked_add(1)?..end)?);
        }
        start = end.checked_add(1)?;
    }
    None
}

fn scalar(json: &str) -> Option<Scalar<'_>> {
    Some(match json {
        "true" => Scalar::Bool(true),
        "false" => Scalar::Bool(false),
        text if text.starts_with('"') => Scalar::Text(decoded(text)?),
        number => Scalar::Number(number),
    })
}

/// Decodes a JSON string; borrowed if it has no escapes.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.as_bytes().contains(&b'\\') {
        return json::text(text);
    }
    Some(Cow::Borrowed(inner))
}

/// Appends a string as JSON in printable ASCII (RFC 8259, section 7).
pub fn push_string(json: &mut String, text: &str) {
    json.push('"');
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
        json.push_str(text);
    } else {
        for character in text.chars() {
            push_character(json, character);
        }
    }
    json.push('"');
}

fn push_character(json: &mut String, character: char) {
    match character {
        '"' | '\\' => json.extend(['\\', character]),
        ' '..='~' => json.push(character),
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(json, "\\u{unit:04x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(data: &[(&str, Scalar<'_>)]) -> (String, Box<[Member]>) {
        let data: Vec<_> = data.iter().map(|(key, value)| (Cow::Borrowed(*key), value.clone())).collect();
        let mut text = "before".to_owned();
        let members = write(&data, &mut text);
        (text.split_off("before".len()), members)
    }

    fn text(text: &str) -> Scalar<'_> {
        Scalar::Text(text.into())
    }

    #[test]
    fn data_is_compact_json_in_printable_ascii() {
        let data = [
            ("a\"\\\n\u{e9}", text(" \"x\\\u{7f}\u{1F600}é\n")),
            ("n", Scalar::Number("1.10")),
            ("", Scalar::Bool(false)),
            ("t", Scalar::Bool(true)),
        ];
        let (json, members) = written(&data);
        assert_eq!(json, r#"{"a\"\\\u000a\u00e9":" \"x\\\u007f\ud83d\ude00\u00e9\u000a","n":1.10,"":false,"t":true}"#);
        for (key, value) in data {
            assert_eq!(find(&json, &members, key), Some(value), "{key}");
        }
    }

    #[test]
    fn no_data_is_an_empty_object() {
        let (json, members) = written(&[]);
        assert_eq!(json, "{}");
        assert_eq!(find(&json, &members, ""), None);
    }

    #[test]
    fn keys_are_compared_after_decoding() {
        let (json, members) = written(&[("a\\", text("one")), ("b", text("a\\\\")), ("a\\\\", text("two"))]);
        assert_eq!(find(&json, &members, "a\\"), Some(text("one")));
        assert_eq!(find(&json, &members, "a\\\\"), Some(text("two")));
        for missing in ["a", "one", "\"b\"", "a\\\\\\\\", ""] {
            assert_eq!(find(&json, &members, missing), None, "{missing}");
        }
    }

    #[test]
    fn strings_without_escapes_are_not_copied() {
        let (json, members) = written(&[("plain", text("Peter, \u{7e}{}:1 ")), ("escaped", text("é"))]);
        let borrowed = |key| matches!(find(&json, &members, key), Some(Scalar::Text(Cow::Borrowed(_))));
        assert!(borrowed("plain"));
        assert!(!borrowed("escaped"));
    }

    proptest! {
        #[test]
        fn data_is_parsed_to_itself(data in proptest::collection::btree_map("[a\"\\\\é]{0,3}|.*", ".*", 0..5)) {
            let scalars: Vec<_> = data.iter().map(|(key, value)| (key.as_str(), text(value))).collect();
            let (json, members) = written(&scalars);
            prop_assert!(json.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", json);
            let read: std::collections::BTreeMap<String, String> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&read, &data);
            for (key, value) in &data {
                prop_assert_eq!(find(&json, &members, key), Some(text(value)));
            }
        }
    }
}
