//! The tree of a JSON or YAML document, with repeated keys, so that they can be reported.

/// A value and its position.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub value: Value,
    /// From 1. `None` for JSON, whose parser reports no lines.
    pub line: Option<usize>,
    /// The text in the file, if YAML converts it to another type: `off` is the boolean `false`.
    pub source_text: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// As JSON text.
    Number(String),
    String(String),
    /// A YAML scalar without quotes, whose type is not resolved yet.
    PlainScalar(String),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    #[must_use]
    pub fn new(value: Value) -> Self {
        Self { value, line: None, source_text: None }
    }

    /// The value of a key of an object. The last one if the key is repeated, as most parsers do.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Object(entries) => entries.iter().rev().find(|(found, _)| found == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The value at a path of keys.
    #[must_use]
    pub fn get_path(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) | Value::PlainScalar(text) => Some(text),
            _ => None,
        }
    }

    /// The value as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::new();
        self.push_json(&mut json);
        json
    }

    fn push_json(&self, json: &mut String) {
        match &self.value {
            Value::Null => json.push_str("null"),
            Value::Bool(flag) => json.push_str(if *flag { "true" } else { "false" }),
            Value::Number(number) => json.push_str(number),
            Value::String(text) | Value::PlainScalar(text) => push_string(text, json),
            Value::Array(items) => {
                json.push('[');
                for (index, item) in items.iter().enumerate() {
                    json.push_str(if index == 0 { "" } else { "," });
                    item.push_json(json);
                }
                json.push(']');
            }
            Value::Object(entries) => {
                json.push('{');
                for (index, (key, node)) in entries.iter().enumerate() {
                    json.push_str(if index == 0 { "" } else { "," });
                    push_string(key, json);
                    json.push(':');
                    node.push_json(json);
                }
                json.push('}');
            }
        }
    }
}

fn push_string(text: &str, json: &mut String) {
    json.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_and_the_text_of_numbers_survive() {
        let number = |text: &str| Node::new(Value::Number(text.to_owned()));
        let node = Node::new(Value::Object(vec![
            ("a\"".into(), number("1.10")),
            ("a\"".into(), Node::new(Value::Array(vec![Node::new(Value::Null), Node::new(Value::Bool(false))]))),
            ("b".into(), Node::new(Value::String("é\n".into()))),
        ]));
        assert_eq!(node.to_json(), r#"{"a\"":1.10,"a\"":[null,false],"b":"é\n"}"#);
    }
}
