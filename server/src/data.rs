//! `d`, the data of an application in a session: a flat JSON object that keeps key order and the text of numbers.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::params::InvalidParam;
use crate::store::StoreError;

/// Values are kept as JSON text, because a float would change numbers such as `1.10`, `12345678901234567890` and
/// `1e400`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Data(IndexMap<String, Box<RawValue>>);

/// A change of `d`: for each key the new value, or `None` to remove the key.
#[derive(Debug, Clone)]
pub struct Change(Vec<(String, Option<Box<RawValue>>)>);

impl Data {
    /// Parses the text from a store. Fails if it is not a JSON object.
    pub fn from_stored(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The text from a store as an answer shows it: without white space. Parses it only if it has some, which this
    /// service does not write. Fails if it is not a JSON object.
    pub fn normalize_stored(text: String) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        if text.starts_with("{\"") && !has_space_between_tokens(&text) {
            return RawValue::from_string(text).map(Some);
        }
        Self::from_stored(&text)?.to_text()
    }

    /// Parses the text of [`Data::to_text`].
    pub fn from_text(text: Option<&RawValue>) -> Result<Self, serde_json::Error> {
        text.map_or_else(|| Ok(Self::default()), |text| Self::from_stored(text.get()))
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

    /// The text for a store and for an answer; `None` if there are no keys.
    pub fn to_text(&self) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        if self.is_empty() { Ok(None) } else { serde_json::value::to_raw_value(self).map(Some) }
    }

    /// The text, if it has at most `max` bytes; else [`StoreError::TooLarge`].
    pub fn to_bounded_text(&self, max: usize) -> Result<Option<Box<RawValue>>, StoreError> {
        let text = self.to_text().map_err(|_| StoreError::Corrupt)?;
        if text.as_ref().is_some_and(|text| text.get().len() > max) { Err(StoreError::TooLarge(max)) } else { Ok(text) }
    }
}

impl Change {
    /// The error for a change without keys, with the message of the original, its typo included.
    pub fn empty_error() -> InvalidParam {
        InvalidParam::Value("d must containt at least one key.".to_owned())
    }

    /// Fails if `body` is not an object, has no keys, or has a value that is an object or an array.
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

fn has_space_between_tokens(json: &str) -> bool {
    let (mut in_string, mut escaped) = (false, false);
    json.bytes().any(|byte| {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            return false;
        }
        in_string = byte == b'"';
        byte.is_ascii_whitespace()
    })
}

/// Writes a string as JavaScript does. A string with an unpaired surrogate can only be written with its escape, and is
/// left unchanged.
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
        data.to_text().unwrap().map(|text| text.get().to_owned())
    }

    #[test]
    fn a_change_adds_replaces_and_removes_and_leaves_the_rest() {
        assert_eq!(
            applied(r#"{"a":1,"b":"x","c":true}"#, r#"{"b":null,"a":2,"z":false}"#).unwrap(),
            r#"{"a":2,"c":true,"z":false}"#
        );
    }

    #[test]
    fn stored_text_is_answered_without_white_space() {
        let normal =
            |text: &str| Data::normalize_stored(text.to_owned()).map(|data| data.map(|data| data.get().to_owned()));
        for (stored, expected) in [
            (r#"{"a":"x y","b":"\\","c":"\" , "}"#, r#"{"a":"x y","b":"\\","c":"\" , "}"#),
            ("{ \"a\" : 1,\n\"b\":2}", r#"{"a":1,"b":2}"#),
            (r#"{"a":1 }"#, r#"{"a":1}"#),
        ] {
            assert_eq!(normal(stored).unwrap().as_deref(), Some(expected));
        }
        assert_eq!(normal("{}").unwrap(), None);
        for bad in ["nonsense", "[1]", "\"a\"", "{\"a\":1", "{\"a\":1}x", "{\"a\"}", "{\"a\":01}", ""] {
            assert!(normal(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn data_without_keys_is_not_stored() {
        assert_eq!(applied(r#"{"a":1}"#, r#"{"a":null,"b":null}"#), None);
    }

    #[test]
    fn numbers_keep_their_text() {
        let text = r#"{"a":1.10,"b":12345678901234567890,"c":1e400,"d":-0,"e":1E5}"#;
        assert_eq!(applied("{}", text).unwrap(), text);
        assert_eq!(applied(text, r#"{"x":1}"#).unwrap(), text.replace('}', r#","x":1}"#));
    }

    #[test]
    fn strings_are_written_as_javascript_writes_them() {
        assert_eq!(applied("{}", r#"{"a":"\u00fc\/\u0001\u2028"}"#).unwrap(), "{\"a\":\"ü/\\u0001\u{2028}\"}");
        assert_eq!(applied("{}", r#"{"a":"\ud800"}"#).unwrap(), r#"{"a":"\ud800"}"#);
    }

    #[test]
    fn the_last_value_of_a_repeated_key_is_used() {
        assert_eq!(applied("{}", r#"{"a":1,"b":2,"a":3}"#).unwrap(), r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn invalid_changes_have_the_messages_of_the_original() {
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
