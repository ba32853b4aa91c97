//! A document as it was written: every entry of it in its order, repeated keys included, so that they can be reported.

/// A value, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub value: Value,
    /// Counted from 1; absent where nobody counted.
    pub line: Option<usize>,
    /// What was written, where YAML makes something else of it: `off` is the boolean false.
    pub written: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// As JSON writes it.
    Number(String),
    Text(String),
    /// A word of YAML without quotes, of which it is not known yet who reads it.
    Plain(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    #[must_use]
    pub fn new(value: Value) -> Self {
        Self { value, line: None, written: None }
    }

    /// The entry of an object; of repeated ones the last, which most readers take.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Object(entries) => entries.iter().rev().find(|(found, _)| found == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The entry of an object, of an object, …
    #[must_use]
    pub fn at(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) | Value::Plain(text) => Some(text),
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
            Value::Text(text) | Value::Plain(text) => push_string(text, json),
            Value::List(items) => {
                json.push('[');
                for (place, item) in items.iter().enumerate() {
                    json.push_str(if place == 0 { "" } else { "," });
                    item.push_json(json);
                }
                json.push(']');
            }
            Value::Object(entries) => {
                json.push('{');
                for (place, (key, node)) in entries.iter().enumerate() {
                    json.push_str(if place == 0 { "" } else { "," });
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
            ("a\"".into(), Node::new(Value::List(vec![Node::new(Value::Null), Node::new(Value::Bool(false))]))),
            ("b".into(), Node::new(Value::Text("é\n".into()))),
        ]));
        assert_eq!(node.to_json(), r#"{"a\"":1.10,"a\"":[null,false],"b":"é\n"}"#);
    }
}
