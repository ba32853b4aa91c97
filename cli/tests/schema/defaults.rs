//! The defaults in the schema compared with the filter's behaviour without the key.

use rest_sessions_core::config::schema;
use serde_json::{Value, json};

use crate::{compiled, resolved};

#[test]
fn an_omitted_key_has_the_default_of_the_schema() {
    let minimal = json!({"app": "mywebapp", "rest_sessions": {"cluster": "rs"}, "write_back": {},
                         "rules": [{"session": "required"}]});
    let nested = json!({
        "app": "mywebapp",
        "rest_sessions": {"cluster": "rs", "breaker": {}},
        "cache": {"ttl": "5s"},
        "annotate": {},
        "cookie": {},
        "logout": {"path": "/logout"},
        "token_from": [{"query": "t"}],
        "write_back": {},
        "login": {"url": "/login"},
        "rules": [{"match": {"paths": ["/login"]}, "session": "off"}, {"session": "required", "login": {"url": "/login"}}],
        "default": {"session": "optional"},
    });
    let schema = schema::of_configuration();
    let mut seen = Vec::new();
    for base in [minimal, nested] {
        let expected = compiled(&base).unwrap();
        defaults(&schema, &schema, &base, "", &mut |at, key, default| {
            let mut config = base.clone();
            config.pointer_mut(at).unwrap()[key] = default.clone();
            assert_eq!(compiled(&config).unwrap(), expected, "{at}/{key} has a default other than {default}");
            config.pointer_mut(at).unwrap()[key] = other_than(default);
            // Another value compiles differently, so the comparison above is effective.
            assert_ne!(compiled(&config).ok(), Some(expected.clone()), "{at}/{key}: {}", other_than(default));
            seen.push(format!("{at}/{key}"));
        });
    }
    assert!(seen.len() >= 30, "{seen:#?}");
}

/// Calls `each` for every key with a default that the example omits.
fn defaults(root: &Value, schema: &Value, example: &Value, at: &str, each: &mut dyn FnMut(&str, &str, &Value)) {
    let schema = resolved(root, schema);
    if let Some(items) = example.as_array() {
        items
            .iter()
            .enumerate()
            .for_each(|(n, item)| defaults(root, &schema["items"], item, &format!("{at}/{n}"), each));
    }
    for (key, of_key) in schema["properties"].as_object().into_iter().flatten() {
        match (example.get(key), of_key.get("default")) {
            (Some(inner), _) => defaults(root, of_key, inner, &format!("{at}/{key}"), each),
            (None, Some(default)) if example.is_object() => each(at, key, default),
            _ => {}
        }
    }
}

fn other_than(value: &Value) -> Value {
    match value {
        Value::Bool(flag) => Value::from(!flag),
        Value::Number(number) => Value::from(number.as_u64().unwrap() + 1),
        Value::String(text) => match text.as_str() {
            "ignore" => "exact",
            "deny" => "allow",
            "listed" => "pass",
            "pass" => "deny",
            "Lax" => "Strict",
            "" | "/" => "/x",
            _ => "7s",
        }
        .into(),
        Value::Array(items) if items.is_empty() => json!([{"session": "off", "match": {"methods": ["PUT"]}}]),
        Value::Array(items) if items[0].is_string() => json!(["PUT"]),
        Value::Array(_) => json!([{"cookie": "other"}]),
        Value::Object(entries) if entries.contains_key("session") => json!({"session": "off"}),
        Value::Object(entries) if entries.contains_key("failures") => json!({"failures": 7}),
        Value::Object(entries) if entries.is_empty() => json!({"methods": ["PUT"]}),
        _ => json!({"x-other": "id"}),
    }
}
