//! Parses YAML and resolves plain scalars as Kubernetes or Envoy does.
//!
//! - Kubernetes follows YAML 1.1 (<https://yaml.org/type/bool.html>): `off` is false, `0x10` is 16, `1.5` is a number.
//! - Envoy has the same booleans. Of numbers it knows only integers of 32 bits; all others are strings.
//!
//! The dialect is known only after parsing, so scalars must be parsed unresolved. `saphyr-parser` reports them as events,
//! with their style and line.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::document::{Node, Value};

/// Whose rules resolve plain scalars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Kubernetes,
    Envoy,
}

/// The maximum number of values. With aliases, a small file could expand to any size.
const MAX_NODES: usize = 500_000;

/// The maximum depth of nesting.
const MAX_DEPTH: usize = 100;

/// The documents of a file, with plain scalars unresolved.
///
/// # Errors
///
/// The syntax error or exceeded limit, with its line.
pub fn documents(text: &str) -> Result<Vec<Node>, String> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| format!("line {}: {}", error.marker().line(), error.info()))?;
        builder.handle(event, span).map_err(|error| format!("line {}: {error}", span.start.line()))?;
    }
    Ok(builder.documents)
}

/// A collection whose end has not been reached.
enum Open {
    Array { items: Vec<Node>, anchor: usize, line: usize },
    Object { entries: Vec<(String, Node)>, key: Option<Key>, anchor: usize, line: usize },
}

struct Key {
    text: String,
    /// Tagged `!ignore`: Envoy skips the entry.
    ignored: bool,
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: Vec<(usize, Node)>,
    nodes: usize,
}

impl Builder {
    fn handle(&mut self, event: Event<'_>, span: Span) -> Result<(), &'static str> {
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if let Some(Open::Object { key: key @ None, .. }) = self.open.last_mut() {
                    let ignored = tag.is_some_and(|tag| tag.handle == "!" && tag.suffix == "ignore");
                    *key = Some(Key { text: text.into_owned(), ignored });
                    return Ok(());
                }
                let is_string = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let value = match style {
                    ScalarStyle::Plain if !is_string => Value::PlainScalar(text.into_owned()),
                    _ => Value::String(text.into_owned()),
                };
                self.push_value(Node { value, line: Some(line), source_text: None }, anchor)
            }
            Event::Alias(anchor) => {
                let known = self.anchors.iter().rev().find(|(known, _)| *known == anchor);
                let node = known.map(|(_, node)| node.clone()).ok_or("an alias of an unknown anchor")?;
                self.nodes = self.nodes.saturating_add(size(&node));
                self.push_value(node, 0)
            }
            Event::SequenceStart(anchor, _) => self.open_collection(Open::Array { items: Vec::new(), anchor, line }),
            Event::MappingStart(anchor, _) => {
                self.open_collection(Open::Object { entries: Vec::new(), key: None, anchor, line })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (value, anchor, line) = match self.open.pop() {
                    Some(Open::Array { items, anchor, line }) => (Value::Array(items), anchor, line),
                    Some(Open::Object { entries, anchor, line, .. }) => (Value::Object(entries), anchor, line),
                    None => return Ok(()),
                };
                self.push_value(Node { value, line: Some(line), source_text: None }, anchor)
            }
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => Ok(()),
        }
    }

    fn open_collection(&mut self, open: Open) -> Result<(), &'static str> {
        if let Some(Open::Object { key: None, .. }) = self.open.last() {
            return Err("a key is a list or an object; expected a string");
        }
        if self.open.len() >= MAX_DEPTH {
            return Err("values are nested too deeply");
        }
        self.open.push(open);
        Ok(())
    }

    /// Adds a complete value to the open collection, or as a document.
    fn push_value(&mut self, node: Node, anchor: usize) -> Result<(), &'static str> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > MAX_NODES {
            return Err("too many values");
        }
        if anchor != 0 {
            self.anchors.push((anchor, node.clone()));
        }
        match self.open.last_mut() {
            None => self.documents.push(node),
            Some(Open::Array { items, .. }) => items.push(node),
            Some(Open::Object { entries, key, .. }) => match key.take() {
                Some(Key { ignored: true, .. }) => {}
                Some(Key { text, .. }) => entries.push((text, node)),
                None => return Err("a key is an alias; expected a string"),
            },
        }
        Ok(())
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::Array(items) => items.iter().map(size).fold(1, usize::saturating_add),
        Value::Object(entries) => entries.iter().map(|(_, node)| size(node)).fold(1, usize::saturating_add),
        _ => 1,
    }
}

impl Dialect {
    /// Resolves the plain scalars of a document, and YAML 1.1 merge keys for Kubernetes.
    pub fn resolve(self, node: &mut Node) {
        match &mut node.value {
            Value::PlainScalar(text) => {
                let text = std::mem::take(text);
                node.value = self.resolve_scalar(&text);
                node.source_text = (!matches!(node.value, Value::String(_))).then_some(text);
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.resolve(item)),
            Value::Object(entries) => {
                entries.iter_mut().for_each(|(_, node)| self.resolve(node));
                if self == Self::Kubernetes {
                    merge(entries);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn resolve_scalar(self, text: &str) -> Value {
        if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
            return Value::Null;
        }
        if let Some(flag) = boolean(text) {
            return Value::Bool(flag);
        }
        match (self, integer(text)) {
            (Self::Envoy, Some(number)) if i32::try_from(number).is_ok() => Value::Number(number.to_string()),
            (Self::Envoy, Some(number)) => Value::String(number.to_string()),
            (Self::Kubernetes, Some(number)) => Value::Number(number.to_string()),
            (Self::Kubernetes, None) => match fraction(text) {
                Some(number) => Value::Number(number.to_string()),
                None => Value::String(text.to_owned()),
            },
            (Self::Envoy, None) => Value::String(text.to_owned()),
        }
    }
}

/// A boolean of YAML 1.1: in lower case, in upper case, or capitalized.
fn boolean(word: &str) -> Option<bool> {
    let rest = word.get(1..)?;
    let one_case =
        rest.bytes().all(|byte| byte.is_ascii_lowercase()) || word.bytes().all(|byte| byte.is_ascii_uppercase());
    match word.to_ascii_lowercase().as_str() {
        "y" | "yes" | "true" | "on" if one_case => Some(true),
        "n" | "no" | "false" | "off" if one_case => Some(false),
        _ => None,
    }
}

/// Decimal, `0x…`, or octal with a leading zero.
fn integer(word: &str) -> Option<i64> {
    let (sign, digits) = match word.as_bytes().first()? {
        b'-' => ("-", word.get(1..)?),
        b'+' => ("", word.get(1..)?),
        _ => ("", word),
    };
    let (base, digits) = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(digits) => (16, digits),
        None if digits.len() > 1 && digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    // `from_str_radix` accepts another sign.
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), base).ok()
}

fn fraction(word: &str) -> Option<f64> {
    let known = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    (word.bytes().all(known)).then(|| word.parse().ok()).flatten().filter(|number: &f64| number.is_finite())
}

/// Replaces the merge key `<<` with the entries of its object whose keys are absent
/// (<https://yaml.org/type/merge.html>).
fn merge(entries: &mut Vec<(String, Node)>) {
    while let Some(index) = entries.iter().position(|(key, node)| key == "<<" && matches!(node.value, Value::Object(_)))
    {
        let (_, Node { value, .. }) = entries.remove(index);
        if let Value::Object(others) = value {
            for other in others {
                if !entries.iter().any(|(key, _)| *key == other.0) {
                    entries.push(other);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resolved(text: &str, dialect: Dialect) -> String {
        let mut documents = documents(text).unwrap();
        documents.iter_mut().for_each(|document| dialect.resolve(document));
        documents.iter().map(Node::to_json).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn both_dialects_have_the_booleans_of_yaml_1_1() {
        for dialect in [Dialect::Kubernetes, Dialect::Envoy] {
            assert_eq!(
                resolved("[off, Off, OFF, no, n, N, false]", dialect),
                "[false,false,false,false,false,false,false]"
            );
            assert_eq!(resolved("[on, Yes, y, TRUE]", dialect), "[true,true,true,true]");
            assert_eq!(
                resolved("[oFF, yEs, 'off', \"on\", offer, !!str off]", dialect),
                r#"["oFF","yEs","off","on","offer","off"]"#
            );
            assert_eq!(resolved("[~, null, 'null']", dialect), r#"[null,null,"null"]"#);
        }
    }

    #[test]
    fn envoy_resolves_only_integers_of_32_bits_to_numbers() {
        let words = "[1, -2, 0x10, 010, 2147483648, 1.5, 1e3, 5s, 1.2.3.4, '7', +, --1]";
        assert_eq!(
            resolved(words, Dialect::Envoy),
            r#"[1,-2,16,8,"2147483648","1.5","1e3","5s","1.2.3.4","7","+","--1"]"#
        );
        assert_eq!(
            resolved(words, Dialect::Kubernetes),
            r#"[1,-2,16,8,2147483648,1.5,1000,"5s","1.2.3.4","7","+","--1"]"#
        );
    }

    #[test]
    fn anchors_merge_keys_and_several_documents_are_parsed() {
        assert_eq!(
            resolved("a: &x {b: 1}\nc: *x\n---\n- 2\n", Dialect::Kubernetes),
            r#"{"a":{"b":1},"c":{"b":1}} [2]"#
        );
        assert_eq!(
            resolved("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", Dialect::Kubernetes),
            r#"{"a":{"b":1,"c":2},"d":{"c":3,"b":1}}"#
        );
        assert_eq!(resolved("!ignore a: 1\nb: 2", Dialect::Envoy), r#"{"b":2}"#);
        assert_eq!(resolved("a: 1\na: 2", Dialect::Envoy), r#"{"a":1,"a":2}"#);
    }

    #[test]
    fn values_have_their_lines_and_their_source_text() {
        let mut documents = documents("a:\n  - off\n  - x\n").unwrap();
        Dialect::Envoy.resolve(&mut documents[0]);
        let Value::Array(items) = &documents[0].get("a").unwrap().value else { panic!() };
        assert_eq!((items[0].line, items[0].source_text.as_deref()), (Some(2), Some("off")));
        assert_eq!((items[1].line, items[1].source_text.as_deref()), (Some(3), None));
    }

    #[test]
    fn invalid_yaml_is_refused_with_its_line() {
        assert!(documents("a: [1\nb: 2").unwrap_err().starts_with("line "));
        assert!(documents("{[1]: 2}").unwrap_err().contains("expected a string"));
        assert!(documents(&format!("{}x", "- ".repeat(150))).unwrap_err().contains("nested"));
        assert!(documents(&"[".repeat(100_000)).is_err());
        let mut bomb = "a0: &a0 [x]\n".to_owned();
        for level in 1..12 {
            let items = format!("*a{},", level - 1).repeat(9);
            bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert!(documents(&bomb).unwrap_err().contains("too many values"));
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in ".*", words in "[a-z0-9:,&*!<>'\"{}\\[\\]\\- \n]{0,60}") {
            for text in [text, words] {
                for mut document in documents(&text).unwrap_or_default() {
                    Dialect::Kubernetes.resolve(&mut document);
                    serde_json::from_str::<Node>(&document.to_json()).unwrap();
                }
            }
        }
    }
}
