//! A serde deserializer over [`Json`] that goes on after a mistake and keeps a list of all of them.
//!
//! serde stops at the first error, but whoever writes a configuration wants to see every one. So a value is read into
//! a [`Field`], which stands for a mistake as well; what was wrong has been noted by then, with the path to it. Keys
//! that a struct does not know are noted too, without any attribute on the struct.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, Unexpected, VariantAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use super::json::Json;

/// One mistake in a configuration, with the JSON path to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub path: String,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// Where the mistakes are collected.
#[derive(Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub fn note(&self, path: &Path<'_>, message: impl Into<String>) {
        self.0.borrow_mut().push(Problem { path: path.to_string(), message: message.into() });
    }

    pub fn into_list(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// The way from the root of a configuration to one of its values, such as `rules[2].session`.
#[derive(Clone, Copy)]
pub enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    #[must_use]
    pub fn key(&'a self, key: &'a str) -> Self {
        Path::Key(self, key)
    }

    #[must_use]
    pub fn index(&'a self, index: usize) -> Self {
        Path::Index(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Path::Key(parent, key) if key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => match parent {
                Path::Root => f.write_str(key),
                _ => write!(f, "{parent}.{key}"),
            },
            Path::Key(parent, key) => write!(f, "{parent}[{key:?}]"),
        }
    }
}

/// A value that may be missing, or may have been a mistake, which has then been noted.
#[derive(Debug, Default)]
pub enum Field<T> {
    #[default]
    Absent,
    Mistaken,
    Given(T),
}

impl<T> Field<T> {
    /// The value, if one was given and was right.
    pub fn given(self) -> Option<T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Mistaken => None,
        }
    }

    pub fn as_given(&self) -> Option<&T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Mistaken => None,
        }
    }

    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The value, or what stands for it where it is absent; `None` after a mistake.
    pub fn or_default(self, default: T) -> Option<T> {
        match self {
            Self::Absent => Some(default),
            Self::Mistaken => None,
            Self::Given(value) => Some(value),
        }
    }

    /// The value, or that it is absent; `None` after a mistake.
    pub fn or_absent(self) -> Option<Option<T>> {
        match self {
            Self::Absent => Some(None),
            Self::Mistaken => None,
            Self::Given(value) => Some(Some(value)),
        }
    }

    /// The value, or a note that it is missing.
    pub fn required(self, path: &Path<'_>, expected: &str, problems: &Problems) -> Option<T> {
        if self.is_absent() {
            problems.note(path, format!("is missing; expected {expected}"));
        }
        self.given()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(T::deserialize(deserializer).map_or(Self::Mistaken, Self::Given))
    }
}

/// Reads a value out of the tree; `None` and a note if it is not a `T` at all.
pub fn read<'de, T: Deserialize<'de>>(json: &'de Json, problems: &Problems) -> Option<T> {
    T::deserialize(Reader { json, at: &Path::Root, problems }).ok()
}

/// What serde is told: either what is wrong, still to be noted with its path, or that this has been done.
#[derive(Debug)]
pub enum Mistake {
    Message(String),
    Noted,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) => f.write_str(message),
            Self::Noted => f.write_str("already noted"),
        }
    }
}

impl std::error::Error for Mistake {}

impl de::Error for Mistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Message(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_value(found, expected)
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match found {
            Unexpected::Str(text) => quoted(text),
            Unexpected::Bool(flag) => flag.to_string(),
            Unexpected::Unsigned(number) => number.to_string(),
            Unexpected::Float(number) => number.to_string(),
            Unexpected::Unit | Unexpected::Option => "null".to_owned(),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Map => "an object".to_owned(),
            other => other.to_string(),
        };
        // serde names its own types; whoever writes JSON knows them by other names.
        let expected = match expected.to_string().as_str() {
            "a sequence" => "a list".to_owned(),
            "a map" => "an object".to_owned(),
            "a boolean" => "true or false".to_owned(),
            other => other.to_owned(),
        };
        Self::Message(format!("found {found}, expected {expected}"))
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        Self::Message(format!("{} is none of {}", quoted(found), expected.join(", ")))
    }
}

/// A text in quotes, cut where it is too long to be read.
pub fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

#[derive(Clone, Copy)]
struct Reader<'de, 'p> {
    json: &'de Json,
    at: &'p Path<'p>,
    problems: &'p Problems,
}

impl<'de> Reader<'de, '_> {
    /// Notes that something else was expected here.
    fn unexpected(self, expected: &dyn de::Expected) -> Mistake {
        let found = match self.json {
            Json::Null => Unexpected::Unit,
            Json::Bool(flag) => Unexpected::Bool(*flag),
            Json::Number(number) => Unexpected::Float(*number),
            Json::Text(text) => Unexpected::Str(text),
            Json::List(_) => Unexpected::Seq,
            Json::Object(_) => Unexpected::Map,
        };
        self.note(de::Error::invalid_type(found, expected))
    }

    /// Notes a mistake here, unless it was noted further down.
    fn note(self, mistake: Mistake) -> Mistake {
        if let Mistake::Message(message) = mistake {
            self.problems.note(self.at, message);
        }
        Mistake::Noted
    }

    fn entries<V: Visitor<'de>>(
        self,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let Json::Object(entries) = self.json else { return Err(self.unexpected(&visitor)) };
        visitor.visit_map(Entries { reader: self, fields, entries, next: 0, value: None }).map_err(|m| self.note(m))
    }
}

/// A number without a fraction: all numbers are doubles, as in a `Struct`, where 6144 is 6144.0.
fn whole(number: f64) -> Option<u64> {
    /// Above it, a double has no place for every integer.
    const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, positive and within 2^53")]
    (number.fract() == 0.0 && (0.0..=MAX_EXACT).contains(&number)).then_some(number as u64)
}

/// Each kind of value is read by a method of its own: one method for all would be compiled, whole, for every type of
/// the configuration, and the module is loaded by every worker.
impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.json {
            Json::Null => visitor.visit_unit().map_err(|mistake| self.note(mistake)),
            Json::Bool(_) => self.deserialize_bool(visitor),
            Json::Number(number) => visitor.visit_f64(*number).map_err(|mistake| self.note(mistake)),
            Json::Text(_) => self.deserialize_str(visitor),
            Json::List(_) => self.deserialize_seq(visitor),
            Json::Object(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let Json::Bool(flag) = self.json else { return Err(self.unexpected(&visitor)) };
        visitor.visit_bool(*flag).map_err(|mistake| self.note(mistake))
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.json {
            Json::Number(number) => match whole(*number) {
                Some(whole) => visitor.visit_u64(whole).map_err(|mistake| self.note(mistake)),
                None => Err(self.unexpected(&visitor)),
            },
            _ => Err(self.unexpected(&visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let Json::Text(text) = self.json else { return Err(self.unexpected(&visitor)) };
        visitor.visit_borrowed_str(text).map_err(|mistake| self.note(mistake))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let Json::List(items) = self.json else { return Err(self.unexpected(&visitor)) };
        let items = Items { reader: self, rest: items.iter().enumerate() };
        visitor.visit_seq(items).map_err(|mistake| self.note(mistake))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.entries(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.entries(Some(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let Json::Text(text) = self.json else { return Err(self.unexpected(&OneOf(variants))) };
        visitor.visit_enum(Variant(text)).map_err(|mistake| self.note(mistake))
    }

    /// What may be left out is a [`Field`]; an option is what may be switched off, in a word that leaves no doubt.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.json {
            Json::Text(text) if text == "off" => visitor.visit_none(),
            Json::Object(_) => visitor.visit_some(self),
            _ => Err(self.unexpected(&visitor)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char string bytes byte_buf unit unit_struct tuple
        tuple_struct identifier ignored_any
    }
}

/// What an enum expects where its value is not even a string.
struct OneOf(&'static [&'static str]);

impl de::Expected for OneOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of {}", self.0.join(", "))
    }
}

struct Items<'de, 'p> {
    reader: Reader<'de, 'p>,
    rest: std::iter::Enumerate<std::slice::Iter<'de, Json>>,
}

impl<'de> de::SeqAccess<'de> for Items<'de, '_> {
    type Error = Mistake;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mistake> {
        let Some((index, json)) = self.rest.next() else { return Ok(None) };
        let at = self.reader.at.index(index);
        seed.deserialize(Reader { json, at: &at, ..self.reader }).map(Some)
    }
}

struct Entries<'de, 'p> {
    reader: Reader<'de, 'p>,
    /// The keys that a struct knows; absent for a map, which takes any.
    fields: Option<&'static [&'static str]>,
    entries: &'de [(String, Json)],
    next: usize,
    value: Option<&'de (String, Json)>,
}

impl<'de> de::MapAccess<'de> for Entries<'de, '_> {
    type Error = Mistake;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mistake> {
        while let Some(entry @ (key, _)) = self.entries.get(self.next) {
            let seen = self.entries.iter().take(self.next).any(|(earlier, _)| earlier == key);
            self.next = self.next.saturating_add(1);
            let at = self.reader.at.key(key);
            if seen {
                self.reader.problems.note(&at, "is given twice; expected once");
                continue;
            }
            if let Some(fields) = self.fields.filter(|fields| !fields.contains(&key.as_str())) {
                self.reader.problems.note(&at, format!("unknown key; expected one of {}", fields.join(", ")));
                continue;
            }
            self.value = Some(entry);
            return seed.deserialize(de::value::StrDeserializer::new(key)).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Mistake> {
        let (key, json) = self.value.take().ok_or(Mistake::Noted)?;
        let at = self.reader.at.key(key);
        seed.deserialize(Reader { json, at: &at, ..self.reader })
    }
}

/// The name of one of an enum's variants, none of which holds a value.
struct Variant<'de>(&'de str);

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Mistake;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Mistake> {
        Ok((seed.deserialize(de::value::BorrowedStrDeserializer::new(self.0))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Mistake;

    fn unit_variant(self) -> Result<(), Mistake> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _seed: S) -> Result<S::Value, Mistake> {
        Err(de::Error::invalid_type(Unexpected::Str(self.0), &"an object"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Mistake> {
        Err(de::Error::invalid_type(Unexpected::Str(self.0), &"a list"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _fields: &'static [&'static str], _: V) -> Result<V::Value, Mistake> {
        Err(de::Error::invalid_type(Unexpected::Str(self.0), &"an object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Outer {
        size: Field<u64>,
        mode: Field<Mode>,
        items: Field<Vec<Field<Outer>>>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        Soft,
        Hard,
    }

    fn problems_of(json: &str) -> Vec<String> {
        let json: Json = serde_json::from_str(json).unwrap();
        let problems = Problems::default();
        let _: Option<Outer> = read(&json, &problems);
        problems.into_list().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_mistake_is_reported_with_its_path() {
        assert_eq!(
            problems_of(
                r#"{"size": "big", "mode": "sfot", "x-y": 1,
                    "items": [{"mode": 7}, 5, {"size": -1, "size": 1, "items": {}}, []]}"#
            ),
            [
                r#"size: found "big", expected u64"#,
                r#"mode: "sfot" is none of soft, hard"#,
                r#"["x-y"]: unknown key; expected one of size, mode, items"#,
                "items[0].mode: found 7, expected one of soft, hard",
                "items[1]: found 5, expected struct Outer",
                "items[2].size: found -1, expected u64",
                "items[2].size: is given twice; expected once",
                "items[2].items: found an object, expected a list",
                "items[3]: found a list, expected struct Outer",
            ]
        );
    }

    #[test]
    fn a_double_without_a_fraction_is_an_integer() {
        assert_eq!(problems_of(r#"{"size": 6144.0}"#), [""; 0]);
        assert_eq!(problems_of(r#"{"size": 1.5}"#), ["size: found 1.5, expected u64"]);
    }

    #[test]
    fn a_missing_value_is_told_from_a_mistaken_one() {
        let problems = Problems::default();
        let field: Field<u8> = Field::Absent;
        assert_eq!(field.required(&Path::Root.key("a"), "a number", &problems), None);
        let field: Field<u8> = Field::Mistaken;
        assert_eq!(field.required(&Path::Root.key("b"), "a number", &problems), None);
        let list = problems.into_list();
        assert_eq!(list.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a: is missing; expected a number"]);
    }
}
