//! Session changes: the response headers by which an upstream sets keys of a session or ends it.

use crate::rest_sessions::body;
use crate::session::data::push_string;
use crate::session::json::{self, Value};

/// A change that a response requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Set keys. The body of the call: a JSON object of keys and values, where `null` removes a key.
    Set(String),
    /// End the session.
    Kill,
}

/// Why a change is ignored as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// A value is not a JSON object, or repeats a key.
    NotJson,
    /// A member is an array, an object or an invalid string.
    Nested,
    /// There are no members.
    Empty,
    /// Upstreams may not set this key.
    Key,
    /// The body exceeds the limit of rest-sessions.
    TooLarge,
    /// The header that ends the session has another value than `1`.
    Kill,
}

impl Rejection {
    /// The name of the reason in logs.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::Nested => "nested",
            Self::Empty => "empty",
            Self::Key => "key_not_allowed",
            Self::TooLarge => "too_large",
            Self::Kill => "kill_is_not_1",
        }
    }
}

/// The maximum size of a body that rest-sessions accepts, in bytes.
const MAX_BODY: usize = 60_000;

/// Parses the values of both headers, in their order. `None` without any value. All values of the set header merge into
/// one change, also those that a proxy joined with commas (RFC 9110, section 5.3). Ending the session wins over setting.
///
/// # Errors
///
/// If any part of the change is malformed or not permitted.
pub fn read<'a>(
    sets: impl Iterator<Item = &'a [u8]>,
    kills: impl Iterator<Item = &'a [u8]>,
    may_set: &dyn Fn(&str) -> bool,
) -> Result<Option<Change>, Rejection> {
    let mut kills = kills.peekable();
    if kills.peek().is_some() {
        return if kills.any(|value| value == b"1") { Ok(Some(Change::Kill)) } else { Err(Rejection::Kill) };
    }
    let sets: Vec<&[u8]> = sets.collect();
    if sets.is_empty() {
        return Ok(None);
    }
    let list = [b"[", sets.join(&b","[..]).as_slice(), b"]"].concat();
    merged(&list, may_set).map(|body| Some(Change::Set(body)))
}

/// Merges the bodies of two changes into one, the earlier one first. `None`: one call cannot hold both.
#[must_use]
pub fn merge(earlier: &str, later: &str) -> Option<String> {
    merged(&["[", earlier, ",", later, "]"].concat().into_bytes(), &|_| true).ok()
}

/// Merges the objects of a JSON array into one. The last value of a key wins.
fn merged(list: &[u8], may_set: &dyn Fn(&str) -> bool) -> Result<String, Rejection> {
    let Some(Value::Items(objects)) = std::str::from_utf8(list).ok().and_then(json::read) else {
        return Err(Rejection::NotJson);
    };
    let mut members = Vec::new();
    for object in objects {
        members.extend(json::members(object.get()).ok_or(Rejection::NotJson)?);
    }
    let order = json::in_order(&members);
    let mut text = String::from("{");
    for (place, (key, index)) in order.iter().enumerate() {
        let next = place.checked_add(1).and_then(|next| order.get(next));
        if next.is_some_and(|(next, _)| next == key) {
            continue;
        }
        let value = members.get(*index).map(|(_, value)| *value).ok_or(Rejection::NotJson)?;
        if value.get() != "null" && body::scalar(value).is_err() {
            return Err(Rejection::Nested);
        }
        if !may_set(key) {
            return Err(Rejection::Key);
        }
        if text.len() > 1 {
            text.push(',');
        }
        push_string(&mut text, key);
        text.push(':');
        // The raw text, since parsing and printing a number may change it.
        text.push_str(value.get());
    }
    text.push('}');
    match text.len() {
        2 => Err(Rejection::Empty),
        length if length > MAX_BODY => Err(Rejection::TooLarge),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn set(values: &[&str]) -> Result<Option<Change>, Rejection> {
        read(values.iter().map(|value| value.as_bytes()), [].into_iter(), &|key| key != "role")
    }

    fn body(values: &[&str]) -> String {
        match set(values) {
            Ok(Some(Change::Set(body))) => body,
            other => panic!("{values:?} was read as {other:?}"),
        }
    }

    #[test]
    fn without_a_value_there_is_no_change() {
        assert_eq!(set(&[]), Ok(None));
    }

    #[test]
    fn raw_values_are_passed_on_unchanged() {
        for (value, expected) in [
            (r#"{"cart":3,"tmp":null}"#, r#"{"cart":3,"tmp":null}"#),
            (
                r#" { "a" : 1.10 , "b" : -0 , "c":12345678901234567890123 } "#,
                r#"{"a":1.10,"b":-0,"c":12345678901234567890123}"#,
            ),
            (r#"{"t":true,"f":false,"s":"\u00fc \"x\" \/"}"#, r#"{"f":false,"s":"\u00fc \"x\" \/","t":true}"#),
            ("{\"n\":\"Zo\u{eb} \u{1F600}\",\"k\u{e9}y\":1}", "{\"k\\u00e9y\":1,\"n\":\"Zo\u{eb} \u{1F600}\"}"),
            (r#"{"":1}"#, r#"{"":1}"#),
        ] {
            assert_eq!(body(&[value]), expected);
        }
    }

    #[test]
    fn several_values_merge_in_their_order() {
        let merged = r#"{"a":3,"b":null,"c":1}"#;
        assert_eq!(body(&[r#"{"a":1,"b":2}"#, r#"{"b":null,"c":1}"#, r#"{"a":3}"#]), merged);
        assert_eq!(body(&[r#"{"a":1,"b":2}, {"b":null,"c":1}"#, r#"{"a":3}"#]), merged);
        assert_eq!(body(&["{}", r#"{"a":1}"#]), r#"{"a":1}"#);
    }

    #[test]
    fn a_change_is_ignored_as_a_whole() {
        for (values, why) in [
            (&["{"][..], Rejection::NotJson),
            (&["null"], Rejection::NotJson),
            (&["[]"], Rejection::NotJson),
            (&["1"], Rejection::NotJson),
            (&[r#"{"a":1}]"#], Rejection::NotJson),
            (&[r#"{"a":1},"#], Rejection::NotJson),
            (&[r#"{"a":1}{"b":2}"#], Rejection::NotJson),
            (&[r#"{"a":01}"#], Rejection::NotJson),
            (&[r#"{"a":1,"a":2}"#], Rejection::NotJson),
            (&[r#"{"a":1}"#, "junk"], Rejection::NotJson),
            (&[r#"{"a":{}}"#], Rejection::Nested),
            (&[r#"{"a":1,"b":[1]}"#], Rejection::Nested),
            (&[r#"{"a":"\ud800"}"#], Rejection::Nested),
            (&["{}"], Rejection::Empty),
            (&["{}", " { } "], Rejection::Empty),
            (&[r#"{"role":"admin"}"#], Rejection::Key),
            (&[r#"{"a":1,"\u0072ole":"admin"}"#], Rejection::Key),
            (&[r#"{"a":1}"#, r#"{"role":null}"#], Rejection::Key),
        ] {
            assert_eq!(set(values), Err(why), "{values:?}");
        }
        assert_eq!(set(&[""]), Err(Rejection::Empty));
        assert_eq!(read([&b"{\"a\":\"\xff\"}"[..]].into_iter(), [].into_iter(), &|_| true), Err(Rejection::NotJson));
    }

    #[test]
    fn a_body_may_have_as_many_bytes_as_rest_sessions_takes() {
        let with = |length: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(length - 8));
        assert_eq!(body(&[&with(60_000)]).len(), 60_000);
        assert_eq!(set(&[&with(60_001)]), Err(Rejection::TooLarge));
        assert_eq!(body(&[&format!("{}     ", with(60_000))]).len(), 60_000, "spaces do not go along");
    }

    #[test]
    fn ending_a_session_takes_1_and_wins_over_setting() {
        let kills = |kills: &[&'static str]| {
            read([&b"{\"a\":1}"[..]].into_iter(), kills.iter().map(|value| value.as_bytes()), &|_| true)
        };
        assert_eq!(kills(&["1"]), Ok(Some(Change::Kill)));
        assert_eq!(kills(&["0", "1"]), Ok(Some(Change::Kill)));
        for other in ["0", "", "true", "11", "1, 1"] {
            assert_eq!(kills(&[other]), Err(Rejection::Kill), "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(values in proptest::collection::vec(any::<Vec<u8>>(), 0..4)) {
            let _ = read(values.iter().map(Vec::as_slice), [].into_iter(), &|_| true);
        }

        #[test]
        fn the_body_is_the_merge_of_the_objects(
            objects in proptest::collection::vec(
                proptest::collection::btree_map("[a-cé\"]{0,2}", prop_oneof![
                    Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from),
                    ".{0,4}".prop_map(Value::from),
                ], 0..4),
                1..4,
            )
        ) {
            let mut expected = Map::new();
            let mut values = Vec::new();
            for object in objects {
                let object: Map<String, Value> = object.into_iter().collect();
                values.push(Value::Object(object.clone()).to_string());
                expected.extend(object);
            }
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            if expected.is_empty() {
                prop_assert_eq!(set(&values), Err(Rejection::Empty));
            } else {
                let sent: Value = serde_json::from_str(&body(&values)).unwrap();
                prop_assert_eq!(sent, Value::Object(expected));
            }
        }
    }
}
