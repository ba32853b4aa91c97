//! `session-filter check`: every problem of every configuration in a file, with line and path.

use std::fmt::Write;

use rest_sessions_core::config::{Config, Problem};

use crate::document::{Node, Value};
use crate::json_path::nearest;
use crate::locate::{LocatedConfig, configurations};

/// The result of a check: one line per configuration and per problem.
pub struct Report {
    pub text: String,
    pub is_valid: bool,
}

/// Checks all configurations in a text. `name` is the file's name for messages.
///
/// # Errors
///
/// Why the text contains no configuration.
pub fn check(name: &str, text: &str) -> Result<Report, String> {
    let all = configurations(text).map_err(|error| format!("{name} {error}"))?;
    let mut report = Report { text: String::new(), is_valid: true };
    for found in &all {
        let problems = Config::parse(found.node.to_json().as_bytes()).err().unwrap_or_default();
        report.is_valid &= problems.is_empty();
        let count = match problems.len() {
            0 => "no problems".to_owned(),
            1 => "1 problem".to_owned(),
            count => format!("{count} problems"),
        };
        let location = if found.location.is_empty() { String::new() } else { format!("{}: ", found.location) };
        let line = found.line.filter(|_| !found.location.is_empty());
        // Writing to a string cannot fail.
        let _ = writeln!(report.text, "{}: {location}{count}", position(name, line));
        for problem in &problems {
            let node = nearest(&found.node, &problem.path);
            let _ = writeln!(report.text, "{}: {problem}{}", position(name, line_of(found, node)), hint(problem, node));
        }
    }
    Ok(report)
}

fn position(name: &str, line: Option<usize>) -> String {
    line.map_or_else(|| name.to_owned(), |line| format!("{name}:{line}"))
}

fn line_of(found: &LocatedConfig, node: &Node) -> Option<usize> {
    if found.is_json_text { found.line } else { node.line }
}

/// Explains a value that differs from its spelling in the file, because YAML or Envoy converts it.
fn hint(problem: &Problem, node: &Node) -> String {
    match (&node.value, &node.source_text) {
        (Value::Bool(flag), Some(source)) if source != "true" && source != "false" => {
            format!(" (in YAML, {source} without quotes is the boolean {flag}; write \"{source}\")")
        }
        (Value::Number(_), Some(source)) if problem.message.contains("duration") => {
            format!(" (a number has no unit; write \"{source}s\" or \"{source}ms\")")
        }
        (Value::String(text), None)
            if ["a number", "an integer"].iter().any(|kind| problem.message.contains(kind))
                && text.parse::<f64>().is_ok() =>
        {
            " (Envoy passes fractions, and integers of more than 32 bits, as strings; \
             put the configuration as JSON into a google.protobuf.StringValue)"
                .to_owned()
        }
        _ => String::new(),
    }
}
