//! The tables of keys in docs/configuration.md, held against the JSON Schema: they list every key and no other, with its
//! type, its default and its range.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use std::collections::BTreeMap;
use std::fs;

use rest_sessions_core::config::schema;
use serde_json::Value;
use support::root;

/// The rows of the table below a heading: the keys of the first cell, and what the second one says.
fn rows(heading: &str) -> BTreeMap<String, String> {
    let reference = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let section = reference.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_default();
    let lines = section.lines().skip_while(|line| !line.starts_with("| ---")).skip(1);
    let mut rows = BTreeMap::new();
    for line in lines.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        for key in quoted(cells[0]) {
            rows.insert(key, cells[1].trim().to_owned());
        }
    }
    rows
}

/// The texts between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
}

/// The keys of a schema, those of nested objects by their paths. An object that may be `"off"` has its own row too.
fn keys(schema: &Value, prefix: &str, into: &mut BTreeMap<String, Value>) {
    let root = schema::of_configuration();
    for (name, of_key) in properties(&root, schema) {
        let path = format!("{prefix}{name}");
        // Rules, sources and requirements have their own tables; keys that a rule shares with the top level are
        // described at the top level.
        let shared =
            ["rest_sessions", "annotate", "login", "cookie"].contains(&name.as_str()) && into.contains_key("session");
        let inner = if name == "default" || shared { BTreeMap::new() } else { properties(&root, &of_key) };
        if inner.is_empty() || of_key["anyOf"].is_array() {
            into.insert(path.clone(), of_key.clone());
        }
        if !inner.is_empty() {
            keys(&of_key, &format!("{path}."), into);
        }
    }
}

fn properties(root: &Value, schema: &Value) -> BTreeMap<String, Value> {
    let reference = schema["$ref"]
        .as_str()
        .or_else(|| schema["anyOf"].as_array().and_then(|all| all.iter().find_map(|one| one["$ref"].as_str())));
    let schema = reference.map_or(schema, |name| root.pointer(name.strip_prefix('#').unwrap()).unwrap());
    let entries = schema["properties"].as_object().into_iter().flatten();
    entries.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn of_definition(name: &str) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    if name == "Rule" {
        // Marks a rule: keys that it shares with the top level are not expanded.
        all.insert("session".to_owned(), Value::Null);
    }
    let schema = schema::of_configuration();
    let schema = if name.is_empty() { schema } else { schema["$defs"][name].clone() };
    keys(&schema, "", &mut all);
    all
}

/// The keys that a table lacks, and the rows that are no keys.
fn differences(heading: &str, keys: &BTreeMap<String, Value>) -> Vec<String> {
    let rows = rows(heading);
    let missing =
        keys.keys().filter(|key| !rows.contains_key(*key)).map(|key| format!("## {heading}: no row for {key}"));
    let unknown = rows.keys().filter(|row| !keys.contains_key(*row)).map(|row| format!("## {heading}: no key {row}"));
    missing.chain(unknown).collect()
}

#[test]
fn the_tables_list_the_keys_of_the_schema() {
    let mut all = differences("Keys", &of_definition(""));
    all.extend(differences("Rules", &of_definition("Rule")));
    all.extend(differences("Token sources", &of_definition("TokenFrom")));
    all.extend(differences("Requirements", &of_definition("Requirement")));
    // Its pattern is an alternative of all fields.
    let headers = &schema::of_configuration()["$defs"]["Annotate"]["properties"]["headers"];
    let pattern = headers["additionalProperties"]["pattern"].as_str().unwrap().replace("d\\.[\\s\\S]+", "d.KEY");
    let fields = pattern.trim_start_matches("^(?:").trim_end_matches(")$").split('|');
    let fields: BTreeMap<String, Value> = fields.map(|field| (field.to_owned(), Value::Null)).collect();
    all.extend(differences("Fields", &fields));
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn the_tables_say_the_defaults_and_ranges_of_the_schema() {
    let mut wrong = Vec::new();
    for (heading, definition) in [("Keys", ""), ("Rules", "Rule"), ("Requirements", "Requirement")] {
        let keys = of_definition(definition);
        let rows = rows(heading);
        for (key, of_key) in keys {
            let Some(said) = rows.get(&key).filter(|said| !said.starts_with("as at the top level")) else { continue };
            for expected in expectations(&of_key) {
                if !said.contains(&expected) {
                    wrong.push(format!("## {heading}: {key} says {said:?}, and nothing of {expected:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a row has to say of a key.
fn expectations(of_key: &Value) -> Vec<String> {
    let mut all = Vec::new();
    match &of_key["default"] {
        Value::Null => {}
        // In the order in which a person writes it.
        Value::Object(entries) => all.extend(entries.keys().cloned()),
        Value::String(word) if of_key["enum"].is_array() => all.push(format!("`{word}`")),
        Value::Array(items) if items.is_empty() => all.push("`[]`".to_owned()),
        Value::Array(items) => all.extend(items.iter().map(|item| item.to_string().replace(':', ": "))),
        default => all.push(format!("`{default}`")),
    }
    let words = of_key["enum"].as_array().into_iter().flatten();
    all.extend(words.map(|word| format!("`{}`", word.as_str().unwrap())));
    if let (Some(least), Some(most)) = (of_key["minimum"].as_u64(), of_key["maximum"].as_u64()) {
        all.push(format!("{least} to {most}"));
    }
    if let Some((_, range)) = of_key["description"].as_str().and_then(|text| text.split_once("A duration from ")) {
        let (least, rest) = range.split_once(" to ").unwrap();
        let most = rest.split_once(',').unwrap().0;
        // The tables write `60 s` for `1m`.
        let spaced = |text: &str| {
            let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
            format!("{digits} {}", &text[digits.len()..])
        };
        all.push(match most {
            "1m" => format!("{} to 60 s", spaced(least)),
            most => format!("{} to {}", spaced(least), spaced(most)),
        });
    }
    all
}
