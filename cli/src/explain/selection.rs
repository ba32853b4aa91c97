//! Rule selection: the readings of the path, the selected rule, and why earlier rules do not match.

use std::rc::Rc;

use rest_sessions_core::config::Config;
use rest_sessions_core::exchange::Request;
use rest_sessions_core::http::headers::Headers;
use rest_sessions_core::policy::matching::{Match, Mismatch, Target};
use rest_sessions_core::policy::rules::{Rule, SessionMode};
use rest_sessions_core::policy::selection::Paths;
use serde::Serialize;

/// The steps of rule selection. Field names are the JSON keys of `--json`.
#[derive(Debug, Default, Serialize)]
pub struct Selection {
    /// Every reading of the path by some server, with the rule that it selects. Empty if no rule matches paths, or if
    /// the path is refused.
    pub readings: Vec<Reading>,
    /// The method that the query names beside the request's, and that some servers would take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_method: Option<OtherMethod>,
    /// Why the method is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad_method: Option<String>,
    /// Why the path is refused as ambiguous.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ambiguity: Option<String>,
    pub passed_over: Vec<SkippedRule>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Reading {
    pub path: String,
    pub rule: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct OtherMethod {
    pub method: String,
    /// The rule that it selects for the path as sent.
    pub rule: String,
}

/// A rule before the selected one.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct SkippedRule {
    pub rule: String,
    pub because: Vec<String>,
}

/// The main settings of a rule.
#[derive(Debug, Serialize)]
pub struct RuleSummary {
    pub label: String,
    /// Its index in `rules`. Absent for the default rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
    pub session: &'static str,
    pub app: String,
    pub shadow: bool,
}

impl RuleSummary {
    #[must_use]
    pub fn of(rule: &Rule, config: &Config) -> Self {
        let place = config.rules.iter().position(|other| std::ptr::eq(&raw const **other, rule));
        Self {
            label: rule.label.to_string(),
            place: place.filter(|place| *place < config.rules.matches().count()),
            session: match rule.session {
                SessionMode::Required => "required",
                SessionMode::Optional => "optional",
                SessionMode::Off => "off",
            },
            app: rule.backend.namespace.app.to_string(),
            shadow: rule.shadow,
        }
    }
}

/// Selects the rule as the filter does. The rule is `None` for an unknown host, a refused method or an ambiguous path.
#[must_use]
pub fn select<'c>(config: &'c Config, headers: &Headers) -> (Selection, Option<&'c Rc<Rule>>) {
    let mut selection = Selection::default();
    let request = Request::new(headers.clone());
    let (selector, line) = (config.selector(), request.line());
    // With a refused host, readings are still shown, matched without hosts.
    let host = selector.host(line.authority).unwrap_or_default();
    let paths = match selector.paths(line) {
        Ok(Paths::None) => Vec::new(),
        Ok(Paths::Plain(path)) => vec![path.to_vec()],
        Ok(Paths::Readings(readings)) => readings,
        Err(ambiguity) => {
            selection.ambiguity = Some(ambiguity.to_string());
            Vec::new()
        }
    };
    selection.readings = paths
        .iter()
        .map(|path| Reading {
            path: String::from_utf8_lossy(path).into_owned(),
            rule: selector.select_at(host.as_ref(), line.method, Some(path)).rule.label.to_string(),
        })
        .collect();
    let first = paths.first().map(Vec::as_slice);
    match selector.other_method(line) {
        Ok(other) => {
            selection.other_method = other.map(|method| OtherMethod {
                rule: selector.select_at(host.as_ref(), &method, first).rule.label.to_string(),
                method: String::from_utf8_lossy(&method).into_owned(),
            });
        }
        Err(bad) => selection.bad_method = Some(bad.to_string()),
    }
    let Ok(selected) = selector.select(line) else { return (selection, None) };
    let target = Target { host: host.as_ref(), method: line.method, path: first };
    let earlier =
        config.rules.matches().zip(config.rules.iter()).take_while(|(_, other)| !Rc::ptr_eq(other, selected.rule));
    selection.passed_over = earlier
        .map(|(matches, other)| SkippedRule {
            rule: other.label.to_string(),
            because: reasons(matches, target, config),
        })
        .collect();
    (selection, Some(selected.rule))
}

fn reasons(matches: &Match, target: Target<'_>, config: &Config) -> Vec<String> {
    let mismatches = matches.mismatches(target, config.rules.path_case());
    let reason = |mismatch: Mismatch| match mismatch {
        Mismatch::Host => format!("the host is none of {}", list(matches.hosts.as_deref())),
        Mismatch::Method => format!("the method is none of {}", list(matches.methods.as_deref())),
        Mismatch::Path if target.path.is_none() => "the request has no path".to_owned(),
        Mismatch::Path => format!("the path is none of {}", list(matches.paths.as_deref())),
    };
    mismatches.into_iter().map(reason).collect()
}

fn list(patterns: Option<&[impl ToString]>) -> String {
    patterns.unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
