//! The configuration's JSON Schema compared with the filter: it accepts what the filter accepts, and refuses each mistake
//! that a schema can detect.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod defaults;
#[path = "../../../tests/lifecycle/documents.rs"]
mod documents;
mod examples;
#[path = "../support/mod.rs"]
mod support;

use std::fs;

use examples::{everything, texts};
use jsonschema::Validator;
use rest_sessions_core::config::{Config, schema};
use serde_json::Value;
use session_filter::locate;
use support::{root, run};

const FILE: &str = "cli/schema.json";

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema::of_configuration()).unwrap()
}

/// The compiled configuration as text. The headers of a map are in a fixed order.
fn compiled(config: &Value) -> Result<String, String> {
    let config = Config::parse(config.to_string().as_bytes()).map_err(|list| format!("{list:#?}"))?;
    Ok(format!("{config:?}").replace(
        r#"("x-session-user", Id), ("x-session-data", Data)"#,
        r#"("x-session-data", Data), ("x-session-user", Id)"#,
    ))
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let kept = fs::read_to_string(root().join(FILE)).unwrap_or_default();
    let made = run(&["schema"], "");
    assert_eq!((made.code, made.err.as_str()), (0, ""));
    assert!(kept == made.out, "{FILE} is outdated: run `make schema`");
}

#[test]
fn the_schema_conforms_to_draft_2020_12() {
    let schema = schema::of_configuration();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    jsonschema::draft202012::meta::validate(&schema).unwrap();
}

#[test]
fn every_valid_configuration_of_the_repository_conforms_to_the_schema() {
    let pages = documents::pages(&root());
    let blocks = pages.iter().flat_map(|page| documents::configurations(page)).map(|(text, _)| text.to_owned());
    let files = [
        "envoy/envoy.yaml",
        "envoy/istio/wasm-plugin.yaml",
        "envoy/istio/traffic-extension.yaml",
        "envoy/gateway/envoy-extension-policy.yaml",
    ];
    let texts = blocks.chain(files.iter().map(|file| fs::read_to_string(root().join(file)).unwrap()));
    let mut conforming = 0;
    for text in texts {
        for found in locate::configurations(&text).unwrap() {
            let config: Value = serde_json::from_str(&found.node.to_json()).unwrap();
            if compiled(&config).is_ok() {
                validator()
                    .validate(&config)
                    .unwrap_or_else(|wrong| panic!("{}: {wrong}\n{text}", wrong.instance_path()));
                conforming += 1;
            }
        }
    }
    // 4 files, and the valid configurations of README and docs/.
    assert!(conforming >= 14, "{conforming}");
}

#[test]
fn a_configuration_with_every_key_conforms_to_the_schema() {
    let config = everything();
    compiled(&config).unwrap();
    validator().validate(&config).unwrap_or_else(|wrong| panic!("{}: {wrong}", wrong.instance_path()));
    // The example has every key of the schema.
    let mut left = Vec::new();
    keys_without_example(&schema::of_configuration(), &schema::of_configuration(), &config, "", &mut left);
    // The same objects as at the top level.
    left.retain(|key| !key.starts_with("rules.rest_sessions.") && !key.starts_with("rules.token_from."));
    assert_eq!(left, [""; 0]);
}

/// The object schema behind references and alternatives.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(name) = schema["$ref"].as_str() {
        return root.pointer(name.strip_prefix('#').unwrap()).unwrap();
    }
    match schema["anyOf"].as_array().and_then(|all| all.iter().find(|one| one["$ref"].is_string())) {
        Some(object) => resolved(root, object),
        None => schema,
    }
}

fn keys_without_example(root: &Value, schema: &Value, example: &Value, at: &str, left: &mut Vec<String>) {
    let schema = resolved(root, schema);
    let all = match example {
        Value::Array(items) => items.iter().collect(),
        other => vec![other],
    };
    let schema = if schema["items"].is_object() { resolved(root, &schema["items"]) } else { schema };
    for (key, of_key) in schema["properties"].as_object().into_iter().flatten() {
        let examples: Vec<Value> = all.iter().filter_map(|item| item.get(key)).cloned().collect();
        match examples.as_slice() {
            // `default` is a rule.
            [] if at == "default." => {}
            [] => left.push(format!("{at}{key}")),
            _ => {
                let flat: Vec<Value> = examples
                    .into_iter()
                    .flat_map(|one| match one {
                        Value::Array(items) => items,
                        other => vec![other],
                    })
                    .collect();
                keys_without_example(root, of_key, &Value::from(flat), &format!("{at}{key}."), left);
            }
        }
    }
}

#[test]
fn each_mistake_that_a_schema_can_detect_is_refused_by_both() {
    let validator = validator();
    for (at, value) in examples::mistakes() {
        let mut config = everything();
        let (parent, key) = at.rsplit_once('/').unwrap();
        match config.pointer_mut(parent).unwrap() {
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = value.clone(),
            object => object[key] = value.clone(),
        }
        assert!(compiled(&config).is_err(), "the filter accepts {value} at {at}");
        assert!(!validator.is_valid(&config), "the schema accepts {value} at {at}");
    }
    for required in ["app", "rest_sessions"] {
        let mut config = everything();
        config.as_object_mut().unwrap().remove(required);
        assert!(compiled(&config).is_err() && !validator.is_valid(&config), "{required}");
    }
}

/// The JSON pointers of all strings in a configuration.
fn string_pointers(value: &Value, at: &str, pointers: &mut Vec<String>) {
    match value {
        Value::String(_) => pointers.push(at.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| string_pointers(item, &format!("{at}/{n}"), pointers))
        }
        Value::Object(entries) => {
            entries.iter().for_each(|(key, item)| string_pointers(item, &format!("{at}/{key}"), pointers))
        }
        _ => {}
    }
}

#[test]
fn the_schema_accepts_every_text_that_the_filter_accepts_and_refuses_nearly_all_others() {
    let validator = validator();
    let everything = everything();
    let mut all = Vec::new();
    string_pointers(&everything, "", &mut all);
    // One element of each list is enough.
    let of_kind = |at: &str| at.replace(|character: char| character.is_ascii_digit(), "");
    all.sort_by_key(|at| of_kind(at));
    all.dedup_by_key(|at| of_kind(at));
    assert!(all.len() > 40, "{}", all.len());
    let (mut refused, mut missed) = (0, Vec::new());
    for at in all {
        for text in texts() {
            let mut config = everything.clone();
            *config.pointer_mut(&at).unwrap() = text.clone().into();
            match (compiled(&config), validator.is_valid(&config)) {
                (Ok(_), fits) => assert!(fits, "the filter accepts {text:?} at {at}, and the schema refuses it"),
                (Err(_), false) => refused += 1,
                // Mostly dependencies between keys, which only the filter checks.
                (Err(_), true) => missed.push(format!("{at} {text:?}")),
            }
        }
    }
    assert!(missed.len() * 20 < refused, "{refused} are refused, but these {} are not: {missed:#?}", missed.len());
}
