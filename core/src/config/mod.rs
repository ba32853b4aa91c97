//! The configuration: parsed strictly, every problem reported with its JSON path, applied as a whole or not at all.
//!
//! `json` or `protobuf` makes a tree of the bytes, `reader` reads the types of `raw` from it key by key, and `compile`
//! makes a [`Config`] of them.

pub(crate) mod compile;
mod compiled;
mod declare;
mod duration;
mod json;
#[cfg(feature = "schema")]
mod object_schema;
mod problems;
mod protobuf;
mod raw;
mod reader;
mod scalars;
#[cfg(feature = "schema")]
pub mod schema;
mod values;

use json::Json;
use problems::{Path, Problems};
use reader::{Node, Read};

pub use compiled::Config;
pub use problems::Problem;

/// The first byte of a non-empty binary `google.protobuf.Struct`: field 1, length-delimited.
const STRUCT_START: u8 = 0x0A;

impl Config {
    /// Parses a configuration, either JSON text or a binary `google.protobuf.Struct`.
    ///
    /// # Errors
    ///
    /// All problems of the configuration, in no particular order.
    pub fn parse(bytes: &[u8]) -> Result<Self, Vec<Problem>> {
        let json = tree(bytes).map_err(|problem| vec![problem])?;
        let problems = Problems::default();
        let config = raw::Plugin::read(Node::root(&json, &problems)).map(|raw| compile::compile(&raw, &problems));
        let list = problems.into_list();
        config.filter(|_| list.is_empty()).ok_or(list)
    }
}

fn tree(bytes: &[u8]) -> Result<Json, Problem> {
    let wrong = |message| Problem { path: Path::Root.to_string(), message };
    if bytes.is_empty() {
        return Err(wrong("found no configuration, expected an object with at least app and rest_sessions".to_owned()));
    }
    let json = match str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(text)
            .map_err(|error| format!("it breaks off at line {}, column {}", error.line(), error.column())),
        Err(error) => Err(format!("it is not UTF-8 from byte {} on", error.valid_up_to())),
    };
    json.or_else(|not_json| {
        if bytes.first() != Some(&STRUCT_START) {
            return Err(wrong(format!("found something that is not JSON ({not_json}), expected an object")));
        }
        protobuf::parse_struct(bytes).map_err(|not_struct| {
            wrong(format!(
                "found neither JSON ({not_json}) nor a google.protobuf.Struct ({not_struct}), expected one of them"
            ))
        })
    })
}

#[cfg(test)]
mod tests;
