//! Reads YAML as the one who will read it does: Kubernetes and Envoy make different things of the same words.
//!
//! Kubernetes takes YAML 1.1 (<https://yaml.org/type/bool.html>): `off` is false, `0x10` is 16, `1.5` a number. Envoy's
//! reader knows the same booleans; of numbers it takes integers of 32 bits alone, and hands anything else over as text.
//! A reader of values would have decided too early, so `saphyr-parser` is used, which tells words from quoted text and
//! knows the line of each: of the maintained parsers the one that hands out events.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::document::{Node, Value};

/// Who reads a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    Kubernetes,
    Envoy,
}

/// More values than any file of a person has: aliases could make a small file endless.
const MOST_NODES: usize = 500_000;

/// How deep values may be nested.
const MOST_NESTED: usize = 100;

/// The documents of a file, their words not yet read.
///
/// # Errors
///
/// What is wrong with it, and where.
pub fn documents(text: &str) -> Result<Vec<Node>, String> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| format!("line {}: {}", error.marker().line(), error.info()))?;
        builder.take(event, span).map_err(|wrong| format!("line {}: {wrong}", span.start.line()))?;
    }
    Ok(builder.documents)
}

/// What is open while a document is read.
enum Open {
    List { items: Vec<Node>, anchor: usize, line: usize },
    Object { entries: Vec<(String, Node)>, key: Option<Key>, anchor: usize, line: usize },
}

struct Key {
    text: String,
    /// `!ignore` in front of a key makes Envoy pass over it.
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
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), &'static str> {
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if let Some(Open::Object { key: key @ None, .. }) = self.open.last_mut() {
                    let ignored = tag.is_some_and(|tag| tag.handle == "!" && tag.suffix == "ignore");
                    *key = Some(Key { text: text.into_owned(), ignored });
                    return Ok(());
                }
                let said = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let value = match style {
                    ScalarStyle::Plain if !said => Value::Plain(text.into_owned()),
                    _ => Value::Text(text.into_owned()),
                };
                self.put(Node { value, line: Some(line), written: None }, anchor)
            }
            Event::Alias(anchor) => {
                let known = self.anchors.iter().rev().find(|(known, _)| *known == anchor);
                let node = known.map(|(_, node)| node.clone()).ok_or("an alias of what is not known yet")?;
                self.nodes = self.nodes.saturating_add(size(&node));
                self.put(node, 0)
            }
            Event::SequenceStart(anchor, _) => self.begin(Open::List { items: Vec::new(), anchor, line }),
            Event::MappingStart(anchor, _) => self.begin(Open::Object { entries: Vec::new(), key: None, anchor, line }),
            Event::SequenceEnd | Event::MappingEnd => {
                let (value, anchor, line) = match self.open.pop() {
                    Some(Open::List { items, anchor, line }) => (Value::List(items), anchor, line),
                    Some(Open::Object { entries, anchor, line, .. }) => (Value::Object(entries), anchor, line),
                    None => return Ok(()),
                };
                self.put(Node { value, line: Some(line), written: None }, anchor)
            }
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => Ok(()),
        }
    }

    fn begin(&mut self, open: Open) -> Result<(), &'static str> {
        if let Some(Open::Object { key: None, .. }) = self.open.last() {
            return Err("a key that is a list or an object; expected text");
        }
        if self.open.len() >= MOST_NESTED {
            return Err("values are nested too deeply");
        }
        self.open.push(open);
        Ok(())
    }

    /// A value is complete.
    fn put(&mut self, node: Node, anchor: usize) -> Result<(), &'static str> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > MOST_NODES {
            return Err("more values than any configuration has");
        }
        if anchor != 0 {
            self.anchors.push((anchor, node.clone()));
        }
        match self.open.last_mut() {
            None => self.documents.push(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Object { entries, key, .. }) => match key.take() {
                Some(Key { ignored: true, .. }) => {}
                Some(Key { text, .. }) => entries.push((text, node)),
                None => return Err("a key that is an alias; expected text"),
            },
        }
        Ok(())
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => items.iter().map(size).fold(1, usize::saturating_add),
        Value::Object(entries) => entries.iter().map(|(_, node)| size(node)).fold(1, usize::saturating_add),
        _ => 1,
    }
}

impl Reader {
    /// Reads the words of a document.
    pub fn read(self, node: &mut Node) {
        match &mut node.value {
            Value::Plain(word) => {
                let word = std::mem::take(word);
                node.value = self.word(&word);
                node.written = (!matches!(node.value, Value::Text(_))).then_some(word);
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.read(item)),
            Value::Object(entries) => {
                entries.iter_mut().for_each(|(_, node)| self.read(node));
                if self == Self::Kubernetes {
                    merge(entries);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
        }
    }

    fn word(self, word: &str) -> Value {
        if matches!(word, "" | "~" | "null" | "Null" | "NULL") {
            return Value::Null;
        }
        if let Some(flag) = boolean(word) {
            return Value::Bool(flag);
        }
        match (self, integer(word)) {
            (Self::Envoy, Some(number)) if i32::try_from(number).is_ok() => Value::Number(number.to_string()),
            (Self::Envoy, Some(number)) => Value::Text(number.to_string()),
            (Self::Kubernetes, Some(number)) => Value::Number(number.to_string()),
            (Self::Kubernetes, None) => match fraction(word) {
                Some(number) => Value::Number(number.to_string()),
                None => Value::Text(word.to_owned()),
            },
            (Self::Envoy, None) => Value::Text(word.to_owned()),
        }
    }
}

/// Of YAML 1.1, in lower case, in capitals, or with a capital in front.
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

/// Decimal, `0x…`, or octal with a zero in front.
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
    // The parser of numbers would take one more sign.
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), base).ok()
}

fn fraction(word: &str) -> Option<f64> {
    let known = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    (word.bytes().all(known)).then(|| word.parse().ok()).flatten().filter(|number: &f64| number.is_finite())
}

/// `<<` stands for the entries of another object (<https://yaml.org/type/merge.html>), where there are no own ones.
fn merge(entries: &mut Vec<(String, Node)>) {
    while let Some(place) = entries.iter().position(|(key, node)| key == "<<" && matches!(node.value, Value::Object(_)))
    {
        let (_, Node { value, .. }) = entries.remove(place);
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

    fn read(text: &str, reader: Reader) -> String {
        let mut documents = documents(text).unwrap();
        documents.iter_mut().for_each(|document| reader.read(document));
        documents.iter().map(Node::to_json).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn both_readers_know_the_booleans_of_yaml_1_1() {
        for reader in [Reader::Kubernetes, Reader::Envoy] {
            assert_eq!(read("[off, Off, OFF, no, n, N, false]", reader), "[false,false,false,false,false,false,false]");
            assert_eq!(read("[on, Yes, y, TRUE]", reader), "[true,true,true,true]");
            assert_eq!(
                read("[oFF, yEs, 'off', \"on\", offer, !!str off]", reader),
                r#"["oFF","yEs","off","on","offer","off"]"#
            );
            assert_eq!(read("[~, null, 'null']", reader), r#"[null,null,"null"]"#);
        }
    }

    #[test]
    fn envoy_takes_small_integers_for_numbers_and_nothing_else() {
        let words = "[1, -2, 0x10, 010, 2147483648, 1.5, 1e3, 5s, 1.2.3.4, '7', +, --1]";
        assert_eq!(read(words, Reader::Envoy), r#"[1,-2,16,8,"2147483648","1.5","1e3","5s","1.2.3.4","7","+","--1"]"#);
        assert_eq!(read(words, Reader::Kubernetes), r#"[1,-2,16,8,2147483648,1.5,1000,"5s","1.2.3.4","7","+","--1"]"#);
    }

    #[test]
    fn anchors_merges_and_several_documents_are_read() {
        assert_eq!(read("a: &x {b: 1}\nc: *x\n---\n- 2\n", Reader::Kubernetes), r#"{"a":{"b":1},"c":{"b":1}} [2]"#);
        assert_eq!(
            read("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", Reader::Kubernetes),
            r#"{"a":{"b":1,"c":2},"d":{"c":3,"b":1}}"#
        );
        assert_eq!(read("!ignore a: 1\nb: 2", Reader::Envoy), r#"{"b":2}"#);
        assert_eq!(read("a: 1\na: 2", Reader::Envoy), r#"{"a":1,"a":2}"#);
    }

    #[test]
    fn values_know_their_lines_and_what_was_written() {
        let mut documents = documents("a:\n  - off\n  - x\n").unwrap();
        Reader::Envoy.read(&mut documents[0]);
        let Value::List(items) = &documents[0].get("a").unwrap().value else { panic!() };
        assert_eq!((items[0].line, items[0].written.as_deref()), (Some(2), Some("off")));
        assert_eq!((items[1].line, items[1].written.as_deref()), (Some(3), None));
    }

    #[test]
    fn what_is_no_yaml_is_refused_with_its_line() {
        assert!(documents("a: [1\nb: 2").unwrap_err().starts_with("line "));
        assert!(documents("{[1]: 2}").unwrap_err().contains("expected text"));
        assert!(documents(&format!("{}x", "- ".repeat(150))).unwrap_err().contains("nested"));
        assert!(documents(&"[".repeat(100_000)).is_err());
        let mut bomb = "a0: &a0 [x]\n".to_owned();
        for level in 1..12 {
            let items = format!("*a{},", level - 1).repeat(9);
            bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert!(documents(&bomb).unwrap_err().contains("more values"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*", words in "[a-z0-9:,&*!<>'\"{}\\[\\]\\- \n]{0,60}") {
            for text in [text, words] {
                for mut document in documents(&text).unwrap_or_default() {
                    Reader::Kubernetes.read(&mut document);
                    serde_json::from_str::<Node>(&document.to_json()).unwrap();
                }
            }
        }
    }
}
