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
                let at = self.at.key(key);
                let moved = MOVED.iter().find(|(before, _)| at.to_string() == *before);
                let message = match moved {
                    Some((_, now)) => format!("has moved to {now}"),
                    None => format!("unknown key; expected one of {}", keys.join(", ")),
                };
                self.problems.note(&at, message);
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

/// Keys of earlier versions, and where their values belong now.
const MOVED: [(&str, &str); 1] = [("logout.cookie", "cookie, at the top level or in a rule")];

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
