//! JSON, parsed one level at a time: the values of members and items stay raw text.
//!
//! Every type of value is accepted, and the caller matches on it. Asking serde for a certain type compiles its error
//! messages, which nothing reads and which cost the module 13 KB.

use std::borrow::Cow;
use std::collections::BinaryHeap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A member of an object: its decoded key and the raw JSON of its value.
pub type Member<'a> = (Cow<'a, str>, &'a RawValue);

/// A JSON value, parsed one level deep.
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as a double.
    Number(f64),
    /// A string; borrowed if it has no escapes.
    Text(Cow<'a, str>),
    /// The raw items of an array.
    Items(Vec<&'a RawValue>),
    /// The members of an object. Keys may be repeated.
    Members(Vec<Member<'a>>),
}

/// Parses one value. `None` if the text is not JSON, or if anything but white space follows the value.
#[must_use]
pub fn read(text: &str) -> Option<Value<'_>> {
    serde_json::from_str(text).ok()
}

/// Parses a number (RFC 8259, section 6). `None` for any other text.
#[must_use]
pub fn number(text: &str) -> Option<f64> {
    if let Value::Number(number) = read(text)? { Some(number) } else { None }
}

/// Parses a string (RFC 8259, section 7). `None` for any other text.
#[must_use]
pub fn text(text: &str) -> Option<Cow<'_, str>> {
    if let Value::Text(text) = read(text)? { Some(text) } else { None }
}

/// Parses an object. `None` if a key is repeated.
#[must_use]
pub fn members(text: &str) -> Option<Vec<Member<'_>>> {
    let Value::Members(members) = read(text)? else { return None };
    let differ = |pair: &[(&str, usize)]| !matches!(pair, [(one, _), (next, _)] if one == next);
    in_order(&members).windows(2).all(differ).then_some(members)
}

/// The keys of members with their indexes, sorted by key, then by index.
#[must_use]
pub fn in_order<'m>(members: &'m [Member<'_>]) -> Vec<(&'m str, usize)> {
    // Heapsort compiles to an eighth of the code of `sort`, and keys are few.
    let keys: BinaryHeap<(&str, usize)> = members.iter().enumerate().map(|(at, (key, _))| (key.as_ref(), at)).collect();
    keys.into_sorted_vec()
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyVisitor;

        impl<'de> Visitor<'de> for AnyVisitor {
            type Value = Value<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Value<'de>, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Value<'de>, E> {
                Ok(Value::Bool(flag))
            }

            #[expect(clippy::cast_precision_loss, reason = "as a double, like every other number")]
            fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
                Ok(Value::Number(number as f64))
            }

            #[expect(clippy::cast_precision_loss, reason = "as a double, like every other number")]
            fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
                Ok(Value::Number(number as f64))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
                Ok(Value::Number(number))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
                Ok(Value::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
                Ok(Value::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Value::Items(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
                let mut members: Vec<Member<'de>> = Vec::new();
                while let Some(key) = map.next_key::<Value<'de>>()? {
                    // Keys are always strings.
                    if let Value::Text(key) = key {
                        members.push((key, map.next_value()?));
                    }
                }
                Ok(Value::Members(members))
            }
        }

        deserializer.deserialize_any(AnyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As another reader of JSON shows it.
    fn shown(value: &Value<'_>) -> serde_json::Value {
        let inner = |raw: &RawValue| serde_json::from_str::<serde_json::Value>(raw.get()).unwrap();
        match value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(flag) => (*flag).into(),
            Value::Number(number) => (*number).into(),
            Value::Text(text) => text.as_ref().into(),
            Value::Items(items) => items.iter().map(|item| inner(item)).collect(),
            Value::Members(members) => members.iter().map(|(key, value)| (key.to_string(), inner(value))).collect(),
        }
    }

    #[test]
    fn raw_values_are_unchanged() {
        let Some(Value::Members(members)) = read(r#" {"a" : 1.10, "b\u0063": [ 1 ], "a": "\ud83d\ude00"} "#) else {
            panic!("an object")
        };
        let members: Vec<_> = members.iter().map(|(key, value)| (key.as_ref(), value.get())).collect();
        assert_eq!(members, [("a", "1.10"), ("bc", "[ 1 ]"), ("a", r#""\ud83d\ude00""#)]);
    }

    #[test]
    fn repeated_keys_are_found_after_decoding() {
        assert!(members(r#"{"a":1,"b":2}"#).is_some() && members("{}").is_some());
        for other in [r#"{"a":1,"a":2}"#, r#"{"\u0061":1,"b":0,"a":2}"#, "[]", "null", "{", ""] {
            assert!(members(other).is_none(), "{other}");
        }
    }

    #[test]
    fn malformed_json_is_refused() {
        for text in
            ["", "{", "[1,]", "{\"a\":}", "tru", "01", "1.", "\"\u{1}\"", "\"\\ud83d\"", "{} {}", "{1:2}", "nul"]
        {
            assert!(read(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn values_are_those_of_another_parser(text in "[\\[\\]{}:,\"\\\\ a1.e-]{0,12}|null|true|-?[0-9]{1,3}(\\.[0-9]{1,3})?") {
            let meant = serde_json::from_str::<serde_json::Value>(&text).ok();
            let meant = meant.map(|value| match value {
                // Numbers are doubles here.
                serde_json::Value::Number(number) => number.as_f64().unwrap().into(),
                other => other,
            });
            // An object or a list is read one level deep; the library has looked at the rest, but for halves of surrogates.
            prop_assert_eq!(read(&text).map(|value| shown(&value)), meant);
        }
    }
}
