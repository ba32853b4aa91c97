//! The configuration's JSON Schema (draft 2020-12), generated from the types of `raw`, for editors and CI.
//!
//! The filter refuses everything that the schema refuses, and more: most dependencies between keys are not in the schema.

mod ranges;
mod shapes;

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::duration::{Millis, shown};
use super::raw::{Fallback, Plugin, Rule};
use super::reader::Field;
use super::scalars::{Bound, Scalar};
use super::values::{Entries, HeaderName, Integer, OrOff, ParseText, Text};
use shapes::Shape;

/// The schema of a whole configuration.
#[must_use]
pub fn of_configuration() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Plugin>().to_value()
}

/// Implements `JsonSchema` for a type, with a schema that is inlined at each use.
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
        schema.insert("description".to_owned(), "The rule that applies if no other rule matches.".into());
        schema
    }
}
