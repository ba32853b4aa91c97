//! The JSON Schema of an object: its keys, and how they depend on each other.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

/// A key of an object.
pub struct Key {
    pub name: &'static str,
    /// The lines of its doc comment.
    pub about: &'static [&'static str],
    pub schema: Schema,
    pub mark: Option<Mark>,
    /// The default, as JSON text.
    pub default: Option<&'static str>,
}

/// What else the schema says of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The key may not be absent.
    Required,
    /// A list that may not be empty.
    Filled,
    /// An object whose keys have defaults, so that its own default `{}` is not shown.
    Nested,
}

/// An object of these keys and no others.
pub fn object(about: &[&str], keys: Vec<Key>, generator: &SchemaGenerator) -> Schema {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for Key { name, about, mut schema, mark, default } in keys {
        let form = schema.remove("description");
        let about = [Some(paragraph(about)), form.as_ref().and_then(Value::as_str).map(str::to_owned)];
        schema.insert("description".to_owned(), about.into_iter().flatten().collect::<Vec<_>>().join(" ").into());
        if let Some(default) = default.filter(|_| mark != Some(Mark::Nested)) {
            schema.insert("default".to_owned(), complete(default, &schema, generator));
        }
        match mark {
            Some(Mark::Required) => required.push(name),
            Some(Mark::Filled) => {
                schema.insert("minItems".to_owned(), 1.into());
            }
            Some(Mark::Nested) | None => {}
        }
        properties.insert(name.to_owned(), schema.to_value());
    }
    let mut schema = json_schema!({
        "type": "object",
        "description": paragraph(about),
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    schema
}

/// The value of a default. `{}` becomes the defaults of the object's keys.
fn complete(default: &str, schema: &Schema, generator: &SchemaGenerator) -> Value {
    let mut default: Value = serde_json::from_str(default).unwrap_or_default();
    if let Some(entries) = default.as_object_mut().filter(|entries| entries.is_empty()) {
        let reference = schema.get("$ref").or_else(|| schema.pointer("/anyOf/0/$ref")).and_then(Value::as_str);
        let name = reference.and_then(|reference| reference.rsplit('/').next());
        let definition = name.and_then(|name| generator.definitions().get(name));
        let keys = definition.and_then(|of_type| of_type.get("properties")).and_then(Value::as_object);
        for (key, of_key) in keys.into_iter().flatten() {
            entries.extend(of_key.get("default").map(|default| (key.clone(), default.clone())));
        }
    }
    default
}

fn paragraph(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// Requires exactly one of these keys.
fn one_of(schema: &mut Schema, keys: &[&str]) {
    let each: Vec<Value> = keys.iter().map(|key| json!({"required": [key]})).collect();
    schema.insert("oneOf".to_owned(), each.into());
}

/// A token source has one place, and `prefix` and `any` depend on it.
pub fn one_source(mut schema: Schema) -> Schema {
    one_of(&mut schema, &["cookie", "header", "query"]);
    schema.insert("dependentRequired".to_owned(), json!({"prefix": ["header"], "any": ["query"]}));
    schema
}

/// A requirement has one condition, and `is_client` needs the field `ip`.
pub fn one_condition(mut schema: Schema) -> Schema {
    one_of(&mut schema, &["one_of", "equals", "present", "at_most", "at_least", "within", "is_client"]);
    if let Some(is_client) = schema.pointer_mut("/properties/is_client").and_then(Value::as_object_mut) {
        is_client.insert("const".to_owned(), true.into());
    }
    schema.insert("dependentSchemas".to_owned(), json!({"is_client": {"properties": {"field": {"const": "ip"}}}}));
    schema.insert("properties".to_owned(), with_fit_field(schema.get("properties")));
    schema
}

/// Excludes the fields that every lookup resets.
fn with_fit_field(properties: Option<&Value>) -> Value {
    let mut properties = properties.cloned().unwrap_or_default();
    if let Some(field) = properties.get_mut("field").and_then(Value::as_object_mut) {
        field.insert("not".to_owned(), json!({"enum": ["idle", "r", "w"]}));
    }
    properties
}

/// `require` needs `session: required` and `failure_mode: deny`.
pub fn require_is_for_required(mut schema: Schema) -> Schema {
    schema.insert(
        "dependentSchemas".to_owned(),
        json!({"require": {"properties": {"session": {"const": "required"}, "failure_mode": {"const": "deny"}}}}),
    );
    schema
}
