//! Reads typed values from the JSON tree and goes on after an invalid one, so that all problems are reported at once.
//!
//! A value is read into a [`Field`], or a [`Defaulted`] if its key has a default. An invalid value has been noted with
//! its path by then.
//!
//! serde's derive does the same for 31 KB more: it compiles a reader for every type of the configuration, and every worker
//! loads the module. Here a type lists its keys, and one reader serves them all.

use std::fmt;
use std::ops::Deref;

use super::json::Json;
use super::problems::{Path, Problems, quoted, rounded};

/// A type that can be read from the JSON tree.
pub trait Read: Sized {
    /// Reads the value. `None` if it is invalid; the problem has been noted.
    fn read(node: Node<'_>) -> Option<Self>;
}

/// A value of the JSON tree, with its path.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    json: &'a Json,
    at: Path<'a>,
    problems: &'a Problems,
}

impl<'a> Node<'a> {
    /// The root of a tree.
    pub fn root(json: &'a Json, problems: &'a Problems) -> Self {
        Self { json, at: Path::Root, problems }
    }

    /// The value.
    pub fn json(self) -> &'a Json {
        self.json
    }

    /// Notes a problem with this value.
    pub fn note(self, message: impl Into<String>) {
        self.problems.note(&self.at, message);
    }

    /// Notes what was found and what was expected.
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

    /// A string.
    pub fn text(self, expected: &dyn fmt::Display) -> Option<&'a str> {
        match self.json {
            Json::Text(text) => Some(text),
            _ => {
                self.unexpected(expected);
                None
            }
        }
    }

    /// An integer in a range. All numbers are doubles, as in a `Struct`: 6144 is 6144.0.
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

    /// The index of the string in `words`.
    pub fn word(self, words: &[&str]) -> Option<usize> {
        let text = self.text(&format_args!("one of {}", words.join(", ")))?;
        let place = words.iter().position(|word| *word == text);
        if place.is_none() {
            self.note(format!("{} is none of {}", quoted(text), words.join(", ")));
        }
        place
    }

    /// The entries of an object. Repeated keys are noted; the first one counts.
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

    /// An object with these keys. Unknown keys are noted.
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

    /// The value of an entry.
    pub fn entry<'b>(&'b self, (key, json): &'b (String, Json)) -> Node<'b> {
        Node { json, at: self.at.key(key), problems: self.problems }
    }

    fn item<'b>(&'b self, (index, json): (usize, &'b Json)) -> Node<'b> {
        Node { json, at: self.at.index(index), problems: self.problems }
    }
}

/// The number as an integer, if it has no fraction.
fn whole(number: f64) -> Option<u64> {
    /// 2^53: above it, doubles cannot represent every integer.
    const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, positive and within 2^53")]
    (number.fract() == 0.0 && (0.0..=MAX_EXACT).contains(&number)).then_some(number as u64)
}

/// An object without unknown keys.
pub struct Object<'a> {
    node: Node<'a>,
    entries: Vec<&'a (String, Json)>,
}

impl Object<'_> {
    /// The value of a key without a default.
    pub fn field<T: Read>(&self, key: &str) -> Field<T> {
        self.find(key).map_or(Field::Absent, Field::of)
    }

    /// The value of a key with a default, which is JSON. `None` if the default is invalid: the tests read every default.
    pub fn defaulted<T: Read>(&self, key: &str, default: &str) -> Option<Defaulted<T>> {
        let mut value = None;
        let presence = self.read_or_default(key, default, &mut |node| {
            value = T::read(node);
            value.is_some()
        });
        value.map(|value| Defaulted { value, presence })
    }

    /// Reads the value; if it is absent or invalid, the default. Not inlined, since it is the same for every type.
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

    /// The value of a key. Not inlined, since it is the same for every type.
    #[inline(never)]
    fn find(&self, key: &str) -> Option<Node<'_>> {
        self.entries.iter().find(|(found, _)| found == key).map(|entry| self.node.entry(entry))
    }
}

/// The value of a key without a default. An invalid value has been noted.
#[derive(Debug, Default)]
pub enum Field<T> {
    #[default]
    Absent,
    Invalid,
    Given(T),
}

impl<T> Field<T> {
    /// Reads a value that is there.
    pub fn of(node: Node<'_>) -> Self
    where
        T: Read,
    {
        T::read(node).map_or(Self::Invalid, Self::Given)
    }

    /// The value, if it is given and valid.
    pub fn as_given(&self) -> Option<&T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Invalid => None,
        }
    }

    /// A copy of the value, if it is given and valid.
    pub fn copied(&self) -> Option<T>
    where
        T: Copy,
    {
        self.as_given().copied()
    }

    /// Whether the key is absent.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The value. Notes a problem if it is absent.
    pub fn required(&self, path: &Path<'_>, expected: &str, problems: &Problems) -> Option<&T> {
        if self.is_absent() {
            problems.note(path, format!("is missing; expected {expected}"));
        }
        self.as_given()
    }
}

/// The value of a key with a default: the given value, or the default if that is absent or invalid.
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
    /// Whether the key is absent.
    pub fn is_absent(&self) -> bool {
        self.presence == Presence::Absent
    }

    /// Whether the key is absent, or its value valid.
    pub fn is_valid(&self) -> bool {
        self.presence != Presence::Invalid
    }

    /// The value, if it is given and valid.
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

/// A list whose items are read one by one.
impl<T: Read> Read for Vec<Field<T>> {
    fn read(node: Node<'_>) -> Option<Self> {
        let Json::List(items) = node.json else {
            node.unexpected(&"a list");
            return None;
        };
        Some(items.iter().enumerate().map(|item| Field::of(node.item(item))).collect())
    }
}

/// Declares an object of the configuration: the struct, its [`Read`] and its JSON Schema.
///
/// A key is `name: Type`, or `name as "key": Type` if Rust reserves the word. It becomes a `Field<Type>`. With
/// `= default`, in JSON, it becomes a `Defaulted<Type>`. Doc comments are the schema's descriptions.
///
/// Marks are for the schema alone: `[Required]`; `[Filled]`, a list that may not be empty; `[Nested]`, an object whose
/// keys have defaults, so that its own default `{}` is not shown.
///
/// `#[expected]` is the object in messages. `#[refined]` is a function that adds to the schema how keys depend on each
/// other.
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

/// Implements [`Read`] and the JSON Schema for an enum: each word with its value.
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
    fn valid_values_are_read_and_omitted_ones_are_absent() {
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
    fn a_default_replaces_an_absent_or_invalid_value() {
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
    fn an_absent_value_is_noted_and_an_invalid_one_is_not_noted_again() {
        let problems = Problems::default();
        let field: Field<u8> = Field::Absent;
        assert_eq!(field.required(&Path::Root.key("a"), "a number", &problems), None);
        let field: Field<u8> = Field::Invalid;
        assert_eq!(field.required(&Path::Root.key("b"), "a number", &problems), None);
        let list = problems.into_list();
        assert_eq!(list.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a: is missing; expected a number"]);
    }
}
