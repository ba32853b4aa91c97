//! The plugin's configuration: read strictly, every mistake reported with its place, nothing half-applied.

mod compile;
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

use crate::cache::settings;
use crate::http::authority::HostPattern;
use crate::http::reserved::ReservedHeaders;
use crate::policy::limits::Limits;
use crate::policy::logout::Logout;
use crate::policy::rules::{CorsPreflight, Rules};
use crate::policy::write_back::WriteBack;
use json::Json;
use problems::{Path, Problems};
use reader::{Node, Read};

pub use problems::Problem;

/// A configuration that holds together.
#[derive(Debug)]
pub struct Config {
    /// The hosts that are served; absent: all.
    pub hosts: Option<Vec<HostPattern>>,
    pub rules: Rules,
    /// Whether upstreams may see the token.
    pub forward_token: bool,
    pub cors_preflight: CorsPreflight,
    /// What is taken out of every request.
    pub reserved: ReservedHeaders,
    pub filter_state: bool,
    /// Absent: no answer is kept.
    pub cache: Option<settings::Settings>,
    pub limits: Limits,
    /// Absent: nobody logs out here.
    pub logout: Option<Logout>,
    /// Absent: no response changes a session, and none is looked at.
    pub write_back: Option<WriteBack>,
    /// The hosts that are known to be served here, in `hosts` or by rules: people may be brought back to them.
    pub known_hosts: Vec<HostPattern>,
}

/// The first byte of a binary `google.protobuf.Struct` that is not empty: field 1, length-delimited.
const STRUCT_START: u8 = 0x0A;

impl Config {
    /// Reads a configuration, from JSON text or a binary `google.protobuf.Struct`; otherwise says everything that is
    /// wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Vec<Problem>> {
        let json = tree(bytes).map_err(|problem| vec![problem])?;
        let problems = Problems::default();
        let config = raw::Plugin::read(Node::root(&json, &problems)).map(|raw| compile::compile(&raw, &problems));
        let list = problems.into_list();
        config.filter(|_| list.is_empty()).ok_or(list)
    }

    /// How often it is to be looked whether a request has been open for long, in milliseconds; absent: never.
    #[must_use]
    pub fn tick_ms(&self) -> Option<u32> {
        let shortest_ms = self.rules.iter().filter_map(|rule| rule.recheck_ms).min()?;
        // A tenth is how late a look may be.
        u32::try_from((shortest_ms / 10).clamp(100, 1_000)).ok()
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
        Err(error) => Err(format!("it is no UTF-8 from byte {} on", error.valid_up_to())),
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
