//! Reads values out of the tree, and goes on after a mistake, since whoever writes a configuration wants to see every
//! one. So a value is read into a [`Field`], which stands for a mistake as well; what was wrong has been noted by then,
//! with the path to it.
//!
//! serde's derive does as much for 31 KB more: it compiles a reader for every type of the configuration,
//! and the module is loaded by every worker. Here a type says no more than its keys, and one reader serves them all.

use std::fmt;
use std::ops::Deref;

use super::json::Json;
use super::problems::{Path, Problems, quoted, rounded};

/// What can be read out of the tree.
pub trait Read: Sized {
    /// `None` after a mistake, which has been noted.
    fn read(node: Node<'_>) -> Option<Self>;
}

/// A value of the tree, with the way to it.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    json: &'a Json,
    at: Path<'a>,
    problems: &'a Problems,
}

impl<'a> Node<'a> {
    pub fn root(json: &'a Json, problems: &'a Problems) -> Self {
        Self { json, at: Path::Root, problems }
    }

    pub fn json(self) -> &'a Json {
        self.json
    }

    pub fn note(self, message: impl Into<String>) {
        self.problems.note(&self.at, message);
    }

    /// Notes that something else was expected here.
    pub fn unexpected(self, expected: &dyn fmt::Display) {
        let found = match self.json {
            Json::Null => "null".to_owned(),
            Json::Bool(flag) => flag.to_string(),
            Json::Number(number) => rounded(*number),
            Json::Text(text) => quoted(text),
            Json::List(_) => "a list".to_owned(),
            Json::Object(_) => "an object".to_owned(),
        };
        self.note(format!("found {found}, expected {expected}"));
    }

    pub fn text(self, expected: &dyn fmt::Display) -> Option<&'a str> {
        match self.json {
            Json::Text(text) => Some(text),
            _ => {
                self.unexpected(expected);
                None
            }
        }
    }

    /// A number without a fraction: all numbers are doubles, as in a `Struct`, where 6144 is 6144.0.
    pub fn integer(self, min: u64, max: u64) -> Option<u64> {
        let whole = match self.json {
            Json::Number(number) => whole(*number).filter(|whole| (min..=max).contains(whole)),
            _ => None,
        };
        if whole.is_none() {
            self.unexpected(&format_args!("an integer from {min} to {max}"));
        }
        whole
    }

    /// Which of the words stands here.
    pub fn word(self, words: &[&str]) -> Option<usize> {
        let text = self.text(&format_args!("one of {}", words.join(", ")))?;
        let place = words.iter().position(|word| *word == text);
        if place.is_none() {
            self.note(format!("{} is none of {}", quoted(text), words.join(", ")));
        }
        place
    }

    /// The entries of an object, but for repeated ones, which are noted.
    pub fn entries(self, expected: &str) -> Option<Vec<&'a (String, Json)>> {
        let Json::Object(entries) = self.json else {
            self.unexpected(&expected);
            return None;
        };
        let mut once: Vec<&(String, Json)> = Vec::new();
        for entry @ (key, _) in entries {
            if once.iter().any(|(earlier, _)| earlier == key) {
                self.problems.note(&self.at.key(key), "is given twice; expected once");
            } else {
                once.push(entry);
            }
        }
        Some(once)
    }

    /// An object that knows these keys; others are noted.
    pub fn object(self, keys: &[&str], expected: &str) -> Option<Object<'a>> {
        let mut entries = self.entries(expected)?;
        entries.retain(|(key, _)| {
            let known = keys.contains(&key.as_str());
            if !known {
                let message = format!("unknown key; expected one of {}", keys.join(", "));
                self.problems.note(&self.at.key(key), message);
            }
            known
        });
        Some(Object { node: self, entries })
    }

    pub fn entry<'b>(&'b self, (key, json): &'b (String, Json)) -> Node<'b> {
        Node { json, at: self.at.key(key), problems: self.problems }
    }

    fn item<'b>(&'b self, (index, json): (usize, &'b Json)) -> Node<'b> {
        Node { json, at: self.at.index(index), problems: self.problems }
    }
}

/// A number without a fraction.
fn whole(number: f64) -> Option<u64> {
    /// Above it, a double has no place for every integer.
    const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, positive and within 2^53")]
    (number.fract() == 0.0 && (0.0..=MAX_EXACT).contains(&number)).then_some(number as u64)
}

/// An object of known keys.
pub struct Object<'a> {
    node: Node<'a>,
    entries: Vec<&'a (String, Json)>,
}

impl Object<'_> {
    pub fn field<T: Read>(&self, key: &str) -> Field<T> {
        self.find(key).map_or(Field::Absent, Field::of)
    }

    /// The value of a key with a default, which is JSON. `None` if the default cannot be read: the tests read them all.
    pub fn defaulted<T: Read>(&self, key: &str, default: &str) -> Option<Defaulted<T>> {
        let mut value = None;
        let presence = self.read_or_default(key, default, &mut |node| {
            value = T::read(node);
            value.is_some()
        });
        value.map(|value| Defaulted { value, presence })
    }

    /// Not inlined, since it is the same for every type.
    #[inline(never)]
    fn read_or_default(&self, key: &str, default: &str, read: &mut dyn FnMut(Node<'_>) -> bool) -> Presence {
        let presence = match self.find(key) {
            Some(node) if read(node) => return Presence::Given,
            Some(_) => Presence::Invalid,
            None => Presence::Absent,
        };
        if let Ok(json) = serde_json::from_str(default) {
            read(Node::root(&json, &Problems::default()));
        }
        presence
    }

    /// Not inlined, since it is the same for every type.
    #[inline(never)]
    fn find(&self, key: &str) -> Option<Node<'_>> {
        self.entries.iter().find(|(found, _)| found == key).map(|entry| self.node.entry(entry))
    }
}

/// A value that may be missing, or may have been a mistake, which has then been noted.
#[derive(Debug, Default)]
pub enum Field<T> {
    #[default]
    Absent,
    Invalid,
    Given(T),
}

impl<T> Field<T> {
    pub fn of(node: Node<'_>) -> Self
    where
        T: Read,
    {
        T::read(node).map_or(Self::Invalid, Self::Given)
    }

    /// The value, if one was given and was right.
    pub fn as_given(&self) -> Option<&T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Invalid => None,
        }
    }

    pub fn copied(&self) -> Option<T>
    where
        T: Copy,
    {
        self.as_given().copied()
    }

    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The value, or a note that it is missing.
    pub fn required(&self, path: &Path<'_>, expected: &str, problems: &Problems) -> Option<&T> {
        if self.is_absent() {
            problems.note(path, format!("is missing; expected {expected}"));
        }
        self.as_given()
    }
}

/// The value of a key with a default: what was written, or the default if that is missing or was a mistake.
#[derive(Debug)]
pub struct Defaulted<T> {
    value: T,
    presence: Presence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Absent,
    Invalid,
    Given,
}

impl<T> Defaulted<T> {
    /// Whether the key is left out.
    pub fn is_absent(&self) -> bool {
        self.presence == Presence::Absent
    }

    /// Whether the value is not in place of a mistaken one.
    pub fn is_valid(&self) -> bool {
        self.presence != Presence::Invalid
    }

    /// The value, if it was written and is not the default.
    pub fn as_given(&self) -> Option<&T> {
        (self.presence == Presence::Given).then_some(&self.value)
    }
}

impl<T> Deref for Defaulted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl Read for bool {
    fn read(node: Node<'_>) -> Option<Self> {
        match node.json {
            Json::Bool(flag) => Some(*flag),
            _ => {
                node.unexpected(&"true or false");
                None
            }
        }
    }
}

/// A list, whose items are judged one by one.
impl<T: Read> Read for Vec<Field<T>> {
    fn read(node: Node<'_>) -> Option<Self> {
        let Json::List(items) = node.json else {
            node.unexpected(&"a list");
            return None;
        };
        Some(items.iter().enumerate().map(|item| Field::of(node.item(item))).collect())
    }
}

/// Declares a type that is written as an object: its keys are its fields' names, or what stands after `as`. What else
/// is said of a key goes into the JSON Schema alone: `[Required]`, `[Filled]` for a list that may not be empty, and
/// after `=` what holds where it is left out.
macro_rules! object {
    (
        $(#[doc = $about:literal])*
        $(#[expected($expected:literal)])?
        $(#[refined($refined:path)])?
        pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $field:ident $(as $key:literal)?: $type:ty $([$mark:ident])? $(= $default:tt)?,
            )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug)]
        pub struct $name {
            $($(#[doc = $doc])* pub $field: object!(@type $type $(, $default)?),)*
        }

        impl $name {
            const KEYS: &[&str] = &[$(object!(@key $field $($key)?)),*];

            /// Reads it as an object that knows these keys.
            fn read_with(node: Node<'_>, keys: &[&str]) -> Option<Self> {
                let object = node.object(keys, object!(@expected $($expected)?))?;
                Some(Self { $($field: object!(@read object, object!(@key $field $($key)?) $(, $default)?),)* })
            }
        }

        impl Read for $name {
            fn read(node: Node<'_>) -> Option<Self> {
                Self::read_with(node, Self::KEYS)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                use $crate::config::object_schema;
                let schema = object_schema::object(&[$($about),*], vec![$(object_schema::Key {
                    name: object!(@key $field $($key)?),
                    about: &[$($doc),*],
                    schema: generator.subschema_for::<$type>(),
                    mark: None$(.or(Some(object_schema::Mark::$mark)))?,
                    default: None$(.or(Some(stringify!($default))))?,
                }),*], generator);
                $(let schema = $refined(schema);)?
                schema
            }
        }
    };
    (@type $type:ty) => { $crate::config::reader::Field<$type> };
    (@type $type:ty, $default:tt) => { $crate::config::reader::Defaulted<$type> };
    (@read $object:ident, $key:expr) => { $object.field($key) };
    (@read $object:ident, $key:expr, $default:tt) => { $object.defaulted($key, stringify!($default))? };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    (@expected) => { "an object" };
    (@expected $expected:literal) => { $expected };
}
pub(super) use object;

/// Says which word stands for which value of a type.
macro_rules! words {
    ($type:ident: $($word:literal => $value:ident),+) => {
        impl Read for $type {
            fn read(node: Node<'_>) -> Option<Self> {
                node.word(&[$($word),+]).and_then(|place| [$($type::$value),+].get(place).copied())
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "enum": [$($word),+]})
            }
        }
    };
}
pub(super) use words;

#[cfg(test)]
mod tests {
    use super::super::values::Integer;
    use super::*;

    object! {
        pub struct Outer {
            size: Size,
            mode as "type": Mode,
            items: Vec<Field<Outer>>,
        }
    }

    type Size = Integer<0, 10_000>;

    #[derive(Clone, Copy, Debug, PartialEq)]
    pub enum Mode {
        Soft,
        Hard,
    }

    words!(Mode: "soft" => Soft, "hard" => Hard);

    fn problems_of(json: &str) -> Vec<String> {
        let json: Json = serde_json::from_str(json).unwrap();
        let problems = Problems::default();
        let _ = Outer::read(Node::root(&json, &problems));
        problems.into_list().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_right_is_read_and_what_is_left_out_is_absent() {
        let json: Json = serde_json::from_str(r#"{"type": "hard", "items": [{"size": 2}, 1]}"#).unwrap();
        let problems = Problems::default();
        let outer = Outer::read(Node::root(&json, &problems)).unwrap();
        assert!(outer.size.is_absent());
        assert_eq!(outer.mode.as_given(), Some(&Mode::Hard));
        let items = outer.items.as_given().unwrap();
        assert_eq!(items[0].as_given().and_then(|inner| inner.size.as_given()).map(|size| size.0), Some(2));
        assert!(items[1].as_given().is_none() && !items[1].is_absent());
    }

    #[test]
    fn a_default_holds_where_a_key_is_left_out_or_mistaken() {
        object! {
            pub struct WithDefaults {
                size: Size = 7,
                mode: Mode = "hard",
                items: Vec<Field<Size>> = [1, 2],
            }
        }
        let json: Json = serde_json::from_str(r#"{"size": -1, "mode": "soft"}"#).unwrap();
        let problems = Problems::default();
        let read = WithDefaults::read(Node::root(&json, &problems)).unwrap();
        assert_eq!((read.size.0, *read.mode, read.items.len()), (7, Mode::Soft, 2));
        assert!(!read.size.is_valid() && !read.size.is_absent() && read.size.as_given().is_none());
        assert!(read.mode.is_valid() && read.mode.as_given() == Some(&Mode::Soft));
        assert!(read.items.is_valid() && read.items.is_absent() && read.items.as_given().is_none());
        assert_eq!(problems.into_list().len(), 1);
    }

    #[test]
    fn every_mistake_is_reported_with_its_path() {
        assert_eq!(
            problems_of(
                r#"{"size": "big", "type": "sfot", "mode": 1, "x-y": 1,
                    "items": [{"type": 7}, 5, {"size": -1, "size": 1, "items": {}}, []]}"#
            ),
            [
                "mode: unknown key; expected one of size, type, items",
                r#"["x-y"]: unknown key; expected one of size, type, items"#,
                r#"size: found "big", expected an integer from 0 to 10000"#,
                r#"type: "sfot" is none of soft, hard"#,
                "items[0].type: found 7, expected one of soft, hard",
                "items[1]: found 5, expected an object",
                "items[2].size: is given twice; expected once",
                "items[2].size: found -1, expected an integer from 0 to 10000",
                "items[2].items: found an object, expected a list",
                "items[3]: found a list, expected an object",
            ]
        );
    }

    #[test]
    fn a_double_without_a_fraction_is_an_integer() {
        assert_eq!(problems_of(r#"{"size": 6144.0}"#), [""; 0]);
        assert_eq!(problems_of(r#"{"size": 1.5}"#), ["size: found 1.5, expected an integer from 0 to 10000"]);
    }

    #[test]
    fn a_missing_value_is_told_from_a_mistaken_one() {
        let problems = Problems::default();
        let field: Field<u8> = Field::Absent;
        assert_eq!(field.required(&Path::Root.key("a"), "a number", &problems), None);
        let field: Field<u8> = Field::Invalid;
        assert_eq!(field.required(&Path::Root.key("b"), "a number", &problems), None);
        let list = problems.into_list();
        assert_eq!(list.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a: is missing; expected a number"]);
    }
}
