//! Which rule decides, how the path was read, and why the rules before it did not match.

use std::rc::Rc;

use rest_sessions_core::config::Config;
use rest_sessions_core::http::authority::Authority;
use rest_sessions_core::http::headers::{Headers, Known};
use rest_sessions_core::http::path;
use rest_sessions_core::policy::matching::{Match, Mismatch, Target};
use rest_sessions_core::policy::rules::{Rule, SessionMode};
use serde::Serialize;

/// How the rule was found.
#[derive(Debug, Default, Serialize)]
pub struct Selection {
    /// Every way in which a server might read the path, with the rule that it falls under; none where no rule and no
    /// logout asks for the path, or where it cannot be read.
    pub readings: Vec<Reading>,
    /// Why the path cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ambiguity: Option<String>,
    pub passed_over: Vec<PassedOver>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Reading {
    pub path: String,
    pub rule: String,
}

/// A rule that stands before the one that decides.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    pub rule: String,
    pub because: Vec<String>,
}

/// A rule as it is told.
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

/// How a rule is found for a request, and the rule, if the readings of the path agree on one.
#[must_use]
pub fn select<'c>(config: &'c Config, headers: &Headers) -> (Selection, Option<&'c Rc<Rule>>) {
    let mut selection = Selection::default();
    let first = |name| headers.first_known(name).unwrap_or_default();
    let (method, target) = (first(Known::Method), first(Known::Path));
    let authority = Authority::parse(first(Known::Authority));
    let pathless = Target { host: authority.as_ref().map(|authority| &authority.host), method, path: None };
    let rule_of = |path: Option<&[u8]>| config.rules.select(Target { path, ..pathless });

    let without_path = method == b"CONNECT" || (method == b"OPTIONS" && target == b"*");
    let path = path::split_query(target).0;
    let readings = if without_path || !(config.rules.uses_paths() || config.logout.is_some()) {
        Vec::new()
    } else if path::is_plain(path) {
        vec![path.to_vec()]
    } else {
        path::readings(path).unwrap_or_else(|ambiguity| {
            selection.ambiguity = Some(ambiguity.to_string());
            Vec::new()
        })
    };
    selection.readings = readings
        .iter()
        .map(|reading| Reading {
            path: String::from_utf8_lossy(reading).into_owned(),
            rule: rule_of(Some(reading)).label.to_string(),
        })
        .collect();
    let path = readings.first().map(Vec::as_slice);
    let rule = rule_of(path);
    let agreed = readings.iter().all(|reading| Rc::ptr_eq(rule_of(Some(reading)), rule));
    if !agreed || (selection.ambiguity.is_some() && config.rules.uses_paths()) {
        return (selection, None);
    }
    let earlier = config.rules.matches().zip(config.rules.iter()).take_while(|(_, other)| !Rc::ptr_eq(other, rule));
    selection.passed_over = earlier
        .map(|(matches, other)| PassedOver {
            rule: other.label.to_string(),
            because: reasons(matches, Target { path, ..pathless }, config),
        })
        .collect();
    (selection, Some(rule))
}

fn reasons(matches: &Match, target: Target<'_>, config: &Config) -> Vec<String> {
    let misses = matches.mismatches(target, config.rules.path_case());
    let reason = |mismatch: Mismatch| match mismatch {
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
