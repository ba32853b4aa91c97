//! `d`, what an application keeps in a session: flat, in the order of its keys, with every number as it was written.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::params::InvalidParam;

/// Values are kept as JSON text, since a number that passes through a float comes out as another: `1.10`,
/// `12345678901234567890`, `1e400`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Data(IndexMap<String, Box<RawValue>>);

/// What a caller wants changed: a value to keep under a key, or `None` where the key is to go.
#[derive(Debug, Clone)]
pub struct Change(Vec<(String, Option<Box<RawValue>>)>);

impl Data {
    /// Reads what a store holds; `Err` where that is no JSON object.
    pub fn from_stored(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn apply(&mut self, change: &Change) {
        for (key, value) in &change.0 {
            match value {
                Some(value) => {
                    self.0.insert(key.clone(), value.clone());
                }
                None => {
                    self.0.shift_remove(key);
                }
            }
        }
    }

    /// How many bytes of text it holds.
    pub fn size(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len().saturating_add(value.get().len())).sum()
    }

    /// The text for a store; `None` where there is nothing to keep.
    pub fn to_stored(&self) -> Result<Option<String>, serde_json::Error> {
        if self.is_empty() { Ok(None) } else { serde_json::to_string(self).map(Some) }
    }
}

impl Change {
    /// What is wrong with a change of nothing, in the original's spelling.
    pub fn empty_error() -> InvalidParam {
        InvalidParam::Value("d must containt at least one key.".to_owned())
    }

    /// `body` is JSON text that was already found to be well formed.
    pub fn parse(body: &RawValue) -> Result<Self, InvalidParam> {
        let members: IndexMap<String, Box<RawValue>> =
            serde_json::from_str(body.get()).map_err(|_| InvalidParam::Value("d must be an object".to_owned()))?;
        if members.is_empty() {
            return Err(Self::empty_error());
        }
        members
            .into_iter()
            .map(|(key, value)| scalar(&key, value).map(|value| (key, value)))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn scalar(key: &str, value: Box<RawValue>) -> Result<Option<Box<RawValue>>, InvalidParam> {
    match value.get().as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'{' | b'[') => Err(InvalidParam::Value(format!(
            "d.{key} has a forbidden type. Only strings, numbers, boolean and null are allowed."
        ))),
        Some(b'"') => Ok(Some(normalize_string(value))),
        _ => Ok(Some(value)),
    }
}

/// Strings are written as JavaScript would write them. One with half a surrogate pair in it has no other spelling
/// than its escape, so it stays as it came.
fn normalize_string(value: Box<RawValue>) -> Box<RawValue> {
    let respelled = serde_json::from_str::<String>(value.get())
        .and_then(|text| serde_json::to_string(&text))
        .and_then(RawValue::from_string);
    respelled.unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(text: &str) -> Result<Change, InvalidParam> {
        Change::parse(&RawValue::from_string(text.to_owned()).unwrap())
    }

    fn applied(stored: &str, body: &str) -> Option<String> {
        let mut data = Data::from_stored(stored).unwrap();
        data.apply(&change(body).unwrap());
        data.to_stored().unwrap()
    }

    #[test]
    fn a_change_adds_replaces_and_removes_and_leaves_the_rest() {
        assert_eq!(
            applied(r#"{"a":1,"b":"x","c":true}"#, r#"{"b":null,"a":2,"z":false}"#).unwrap(),
            r#"{"a":2,"c":true,"z":false}"#
        );
    }

    #[test]
    fn with_its_last_key_the_data_goes() {
        assert_eq!(applied(r#"{"a":1}"#, r#"{"a":null,"b":null}"#), None);
    }

    #[test]
    fn numbers_keep_their_text() {
        let text = r#"{"a":1.10,"b":12345678901234567890,"c":1e400,"d":-0,"e":1E5}"#;
        assert_eq!(applied("{}", text).unwrap(), text);
        assert_eq!(applied(text, r#"{"x":1}"#).unwrap(), text.replace('}', r#","x":1}"#));
    }

    #[test]
    fn strings_are_spelled_as_javascript_spells_them() {
        assert_eq!(applied("{}", r#"{"a":"\u00fc\/\u0001\u2028"}"#).unwrap(), "{\"a\":\"ü/\\u0001\u{2028}\"}");
        assert_eq!(applied("{}", r#"{"a":"\ud800"}"#).unwrap(), r#"{"a":"\ud800"}"#);
    }

    #[test]
    fn of_a_repeated_key_the_last_value_counts() {
        assert_eq!(applied("{}", r#"{"a":1,"b":2,"a":3}"#).unwrap(), r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn broken_rules_have_the_messages_of_the_original() {
        for (body, message) in [
            ("[1]", "d must be an object"),
            ("5", "d must be an object"),
            ("{}", "d must containt at least one key."),
            (r#"{"a":{}}"#, "d.a has a forbidden type. Only strings, numbers, boolean and null are allowed."),
            (r#"{"ok":1,"a":[1]}"#, "d.a has a forbidden type. Only strings, numbers, boolean and null are allowed."),
        ] {
            let error = change(body).unwrap_err();
            assert_eq!((error.name(), error.to_string().as_str()), ("invalidValue", message), "{body}");
        }
    }
}
