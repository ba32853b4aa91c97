//! The configuration's JSON Schema (draft 2020-12), made from the types that read it, for editors and for checks that
//! stand before any filter: what it refuses, the filter refuses; what keys mean to each other, the filter alone knows.

mod ranges;
mod shapes;

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::raw::{Fallback, Plugin, Rule};
use super::reader::Field;
use super::scalars::{Bound, Scalar};
use super::values::{Entries, HeaderName, Integer, Millis, OrOff, ParseText, Text, shown};
use shapes::Shape;

/// The schema of a whole configuration.
#[must_use]
pub fn of_configuration() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Plugin>().to_value()
}

/// A key of an object.
pub(super) struct Key {
    pub name: &'static str,
    /// The lines of its documentation.
    pub about: &'static [&'static str],
    pub schema: Schema,
    pub mark: Option<Mark>,
    /// What holds where it is left out, if that is a value by itself.
    pub default: Option<Value>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Required,
    /// A list that would say nothing if it were empty.
    Filled,
}

/// An object of these keys and no others.
pub(super) fn object(about: &[&str], keys: Vec<Key>) -> Schema {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for Key { name, about, mut schema, mark, default } in keys {
        let form = schema.remove("description");
        let about = [Some(paragraph(about)), form.as_ref().and_then(Value::as_str).map(str::to_owned)];
        schema.insert("description".to_owned(), about.into_iter().flatten().collect::<Vec<_>>().join(" ").into());
        if let Some(default) = default {
            schema.insert("default".to_owned(), default);
        }
        match mark {
            Some(Mark::Required) => required.push(name),
            Some(Mark::Filled) => {
                schema.insert("minItems".to_owned(), 1.into());
            }
            None => {}
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

fn paragraph(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// Exactly one of these keys.
fn one_of(schema: &mut Schema, keys: &[&str]) {
    let each: Vec<Value> = keys.iter().map(|key| json!({"required": [key]})).collect();
    schema.insert("oneOf".to_owned(), each.into());
}

pub(super) fn one_source(mut schema: Schema) -> Schema {
    one_of(&mut schema, &["cookie", "header", "query"]);
    schema.insert("dependentRequired".to_owned(), json!({"prefix": ["header"], "any": ["query"]}));
    schema
}

pub(super) fn one_condition(mut schema: Schema) -> Schema {
    one_of(&mut schema, &["one_of", "equals", "present", "at_most", "at_least", "within", "is_client"]);
    if let Some(is_client) = schema.pointer_mut("/properties/is_client").and_then(Value::as_object_mut) {
        is_client.insert("const".to_owned(), true.into());
    }
    schema.insert("dependentSchemas".to_owned(), json!({"is_client": {"properties": {"field": {"const": "ip"}}}}));
    schema.insert("properties".to_owned(), with_fit_field(schema.get("properties")));
    schema
}

/// Fields that every lookup resets say nothing of a session.
fn with_fit_field(properties: Option<&Value>) -> Value {
    let mut properties = properties.cloned().unwrap_or_default();
    if let Some(field) = properties.get_mut("field").and_then(Value::as_object_mut) {
        field.insert("not".to_owned(), json!({"enum": ["idle", "r", "w"]}));
    }
    properties
}

pub(super) fn require_is_for_required(mut schema: Schema) -> Schema {
    schema.insert(
        "dependentSchemas".to_owned(),
        json!({"require": {"properties": {"session": {"const": "required"}, "failure_mode": {"const": "deny"}}}}),
    );
    schema
}

/// Gives a type a schema that stands wherever the type does.
macro_rules! inline {
    ([$($of:tt)*] $type:ty, |$generator:ident| $schema:expr) => {
        impl<$($of)*> JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                std::any::type_name::<Self>().into()
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

inline!([T: JsonSchema] Field<T>, |generator| generator.subschema_for::<T>());

inline!([T: ParseText + Shape] Text<T>, |_generator| {
    json_schema!({"type": "string", "pattern": T::PATTERN, "description": format!("Expected: {}.", T::EXPECTED)})
});

inline!([const MIN: u64, const MAX: u64] Integer<MIN, MAX>, |_generator| {
    json_schema!({"type": "integer", "minimum": MIN, "maximum": MAX})
});

inline!([const MIN: u64, const MAX: u64] Millis<MIN, MAX>, |_generator| {
    json_schema!({
        "type": "string",
        "pattern": ranges::durations(MIN, MAX),
        "description": format!("A duration from {} to {}, such as 250ms, 5s, 10m.", shown(MIN), shown(MAX)),
    })
});

inline!([T: JsonSchema] OrOff<T>, |generator| {
    json_schema!({"anyOf": [generator.subschema_for::<T>(), {"const": "off"}]})
});

inline!([T: JsonSchema] Entries<T>, |generator| {
    json_schema!({
        "type": "object",
        "propertyNames": {"pattern": HeaderName::PATTERN},
        "additionalProperties": generator.subschema_for::<T>(),
    })
});

inline!([] Scalar, |_generator| {
    let most = 9_007_199_254_740_991_i64;
    json_schema!({"anyOf": [
        {"type": ["string", "boolean"]},
        {"type": "number", "minimum": most.wrapping_neg(), "maximum": most},
    ]})
});

inline!([] Bound, |_generator| {
    json_schema!({
        "anyOf": [{"type": "number"}, {"type": "string", "pattern": "^[0-9]+(?:ms|s|m|h|d)$"}],
        "description": "A number, or a duration for its seconds.",
    })
});

impl JsonSchema for Fallback {
    fn schema_name() -> Cow<'static, str> {
        "Default".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Rule::json_schema(generator);
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.remove("name");
            properties.remove("match");
        }
        schema.insert("description".to_owned(), "What holds where no rule matches.".into());
        schema
    }
}
