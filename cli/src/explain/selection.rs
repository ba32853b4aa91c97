//! Which rule decides, how the path is read, and why the rules before it do not match.

use std::rc::Rc;

use rest_sessions_core::config::Config;
use rest_sessions_core::exchange::Request;
use rest_sessions_core::http::headers::Headers;
use rest_sessions_core::policy::matching::{Match, Mismatch, Target};
use rest_sessions_core::policy::rules::{Rule, SessionMode};
use rest_sessions_core::policy::selection::Paths;
use serde::Serialize;

/// How the rule is selected.
#[derive(Debug, Default, Serialize)]
pub struct Selection {
    /// Every way in which a server might read the path, with the rule that it selects. Empty if nothing depends on the
    /// path, or if it is refused.
    pub readings: Vec<Reading>,
    /// Why the path is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ambiguity: Option<String>,
    pub passed_over: Vec<PassedOver>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Reading {
    pub path: String,
    pub rule: String,
}

/// A rule before the one that decides.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    pub rule: String,
    pub because: Vec<String>,
}

/// A rule as it is shown.
#[derive(Debug, Serialize)]
pub struct RuleShown {
    pub label: String,
    /// Its place in the list; absent for the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
    pub session: &'static str,
    pub app: String,
    pub shadow: bool,
}

impl RuleShown {
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

/// How the filter's own selection comes to a rule, and the rule, if it comes to one.
#[must_use]
pub fn select<'c>(config: &'c Config, headers: &Headers) -> (Selection, Option<&'c Rc<Rule>>) {
    let mut selection = Selection::default();
    let request = Request::new(headers.clone());
    let (selector, line) = (config.selector(), request.line());
    // A refused host leaves the readings of the path to be shown, matched as if rules named no hosts.
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
    let Ok(selected) = selector.select(line) else { return (selection, None) };
    let target = Target { host: host.as_ref(), method: line.method, path: paths.first().map(Vec::as_slice) };
    let earlier =
        config.rules.matches().zip(config.rules.iter()).take_while(|(_, other)| !Rc::ptr_eq(other, selected.rule));
    selection.passed_over = earlier
        .map(|(matches, other)| PassedOver { rule: other.label.to_string(), because: reasons(matches, target, config) })
        .collect();
    (selection, Some(selected.rule))
}

fn reasons(matches: &Match, target: Target<'_>, config: &Config) -> Vec<String> {
    let misses = matches.mismatches(target, config.rules.path_case());
    let reason = |miss: Mismatch| match miss {
        Mismatch::Host => format!("the host is none of {}", list(matches.hosts.as_deref())),
        Mismatch::Method => format!("the method is none of {}", list(matches.methods.as_deref())),
        Mismatch::Path if target.path.is_none() => "the request has no path".to_owned(),
        Mismatch::Path => format!("the path is none of {}", list(matches.paths.as_deref())),
    };
    misses.into_iter().map(reason).collect()
}

fn list(patterns: Option<&[impl ToString]>) -> String {
    patterns.unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
