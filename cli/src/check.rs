//! `session-filter check`: every problem of every configuration in a file, each with its place.

use std::fmt::Write;

use rest_sessions_core::config::{Config, Problem};

use crate::document::{Node, Value};
use crate::json_path::nearest;
use crate::locate::{Found, configurations};

/// What is wrong with a file, line by line, and whether nothing is.
pub struct Report {
    pub text: String,
    pub is_sound: bool,
}

/// Checks all configurations in a file of this name.
///
/// # Errors
///
/// Why there is none in it.
pub fn check(name: &str, text: &str) -> Result<Report, String> {
    let all = configurations(text).map_err(|why| format!("{name} {why}"))?;
    let mut report = Report { text: String::new(), is_sound: true };
    for found in &all {
        let problems = Config::parse(found.node.to_json().as_bytes()).err().unwrap_or_default();
        report.is_sound &= problems.is_empty();
        let count = match problems.len() {
            0 => "no problems".to_owned(),
            1 => "1 problem".to_owned(),
            count => format!("{count} problems"),
        };
        let at = if found.at.is_empty() { String::new() } else { format!("{}: ", found.at) };
        let line = found.line.filter(|_| !found.at.is_empty());
        // Writing to a string cannot fail.
        let _ = writeln!(report.text, "{}: {at}{count}", place(name, line));
        for problem in &problems {
            let node = nearest(&found.node, &problem.path);
            let _ = writeln!(report.text, "{}: {problem}{}", place(name, line_of(found, node)), hint(problem, node));
        }
    }
    Ok(report)
}

fn place(name: &str, line: Option<usize>) -> String {
    line.map_or_else(|| name.to_owned(), |line| format!("{name}:{line}"))
}

fn line_of(found: &Found, node: &Node) -> Option<usize> {
    if found.is_text { found.line } else { node.line }
}

/// What a person may not see who looks at the file: YAML makes something else of what stands there.
fn hint(problem: &Problem, node: &Node) -> String {
    match (&node.value, &node.written) {
        (Value::Bool(flag), Some(written)) if written != "true" && written != "false" => {
            format!(" (in YAML, {written} without quotes is the boolean {flag}; write \"{written}\")")
        }
        (Value::Number(_), Some(written)) if problem.message.contains("duration") => {
            format!(" (a number has no unit; write \"{written}s\" or \"{written}ms\")")
        }
        (Value::Text(text), None)
            if ["a number", "an integer"].iter().any(|kind| problem.message.contains(kind))
                && text.parse::<f64>().is_ok() =>
        {
            " (Envoy hands numbers with a fraction, or of more than 32 bits, over as text; \
             put the configuration as JSON into a google.protobuf.StringValue)"
                .to_owned()
        }
        _ => String::new(),
    }
}
