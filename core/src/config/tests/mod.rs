//! What a valid configuration compiles to, and which problems are reported for an invalid one.

mod cache;
mod encoding;
mod header_names;
mod login_logout;
mod require;
mod strictness;
mod write_back;

use super::*;
use crate::cache::Settings;
use crate::policy::annotation::Field;
use crate::policy::limits::Limits;
use crate::policy::matching::Target;
use crate::policy::rules::{CorsPreflight, FailureMode, OnForbidden, Rule, SessionMode};
use crate::policy::token_source::Source;
use crate::rest_sessions::breaker;
use serde_json::{Value, json};

/// The smallest configuration, with these keys put in or, where they are null, taken out.
fn with(changes: Value) -> Value {
    let mut config = json!({"app": "myapp", "rest_sessions": {"cluster": "rest-sessions"}});
    for (key, value) in changes.as_object().unwrap() {
        if value.is_null() {
            config.as_object_mut().unwrap().remove(key);
        } else {
            config[key] = value.clone();
        }
    }
    config
}

fn parsed(changes: Value) -> Config {
    Config::parse(with(changes).to_string().as_bytes()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn fallback(config: &Config) -> &Rule {
    config.rules.iter().last().unwrap()
}

fn select<'a>(config: &'a Config, method: &[u8], path: &[u8]) -> &'a Rule {
    config.rules.select(Target { host: None, method, path: Some(path) })
}

fn problems(changes: Value) -> Vec<String> {
    problems_of(with(changes).to_string().as_bytes())
}

fn problems_of(bytes: &[u8]) -> Vec<String> {
    let problems = Config::parse(bytes).expect_err("it should be refused");
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn the_smallest_configuration_has_the_documented_defaults() {
    let config = parsed(json!({}));
    assert!(config.hosts.is_none());
    assert!(config.forward_token);
    assert!(!config.filter_state);
    assert_eq!(config.cors_preflight, CorsPreflight::Listed);
    assert_eq!(config.rules.iter().count(), 1);
    let rule = fallback(&config);
    assert_eq!(&*rule.label, "default");
    assert_eq!(rule.session, SessionMode::Required);
    assert_eq!(&*rule.backend.namespace.app, "myapp");
    assert_eq!(rule.failure_mode, FailureMode::Deny);
    assert_eq!(rule.origins, None);
    assert_eq!(rule.sources, [Source::Cookie("session-cookie".into())]);
    assert_eq!(rule.annotation.max_bytes, 6144);
    let headers: Vec<_> = rule.annotation.headers.iter().map(|(name, field)| (&**name, field)).collect();
    assert_eq!(headers, [("x-session-user", &Field::Id), ("x-session-data", &Field::Data)]);
    let service = &rule.backend.service;
    assert_eq!(&*service.cluster, "rest-sessions");
    assert_eq!(service.authority, "rest-sessions");
    assert_eq!(service.path_prefix, "");
    assert_eq!((service.timeout_ms, service.retries, service.max_in_flight), (500, 1, 256));
    assert_eq!(service.breaker, Some(breaker::Settings { failures: 5, open_for_ms: 1_000 }));
    assert_eq!(config.cache, None);
    assert_eq!(rule.max_staleness_ms, None);
    assert_eq!((config.limits, config.logout.is_none()), (Limits::default(), true));
    assert!(rule.require.is_empty() && rule.login.is_none() && !rule.shadow && rule.recheck_ms.is_none());
    assert_eq!(rule.on_forbidden, OnForbidden::Deny);
}

#[test]
fn every_key_is_taken() {
    let config = parsed(json!({
        "rest_sessions": {
            "cluster": "outbound|3000||rest-sessions.default.svc.cluster.local",
            "authority": "rs.example:3000",
            "path_prefix": "/path/to/rest-sessions",
            "timeout": "2s",
            "retries": 3,
            "max_in_flight": 1000,
            "breaker": {"failures": 10, "open_for": "250ms"}
        },
        "hosts": ["shop.example.com", "*.example.org"],
        "token_from": [
            {"cookie": "sid"},
            {"header": "Authorization", "prefix": "Bearer "},
            {"header": "x-token"},
            {"query": "token"},
            {"query": "t", "any": true}
        ],
        "forward_token": false,
        "rules": [
            {"name": "assets", "match": {"paths": ["/static/*"], "methods": ["GET"], "hosts": ["shop.example.com"]},
             "session": "off"},
            {"session": "optional", "match": {"paths": ["/"]}, "app": "other", "rest_sessions": {"cluster": "b"},
             "token_from": [{"cookie": "b"}], "annotate": {"headers": {"X-Who": "id"}, "max_bytes": 100},
             "failure_mode": "allow", "origins": ["https://a.example"], "max_staleness": "2s"}
        ],
        "default": {"session": "optional", "origins": [], "max_staleness": "0s"},
        "path_case": "exact",
        "annotate": {"headers": {"x-session-user": "id", "x-role": "d.role", "x-status": "status"}},
        "failure_mode": "allow",
        "cors_preflight": "pass",
        "remove_headers": ["x-evil"],
        "filter_state": true,
        "cache": {"ttl": "5s", "negative_ttl": "250ms", "stale_if_error": "30s", "max_bytes": 1_000_000, "shared": false}
    }));
    assert_eq!(config.hosts.as_ref().map(Vec::len), Some(2));
    assert!(!config.forward_token && config.filter_state);
    assert_eq!(config.cors_preflight, CorsPreflight::Pass);
    let rules: Vec<_> = config.rules.iter().collect();
    assert_eq!(&*select(&config, b"GET", b"/static/x").label, "default", "the host is another");
    assert_eq!((&*rules[0].label, &*rules[1].label), ("assets", "rules[1]"));
    assert_eq!(rules[0].session, SessionMode::Off);
    assert_eq!(rules[0].sources.len(), 5);
    assert_eq!(rules[0].sources[1], Source::Header { name: "authorization".into(), prefix: Some("Bearer ".into()) });
    assert_eq!((&*rules[1].backend.namespace.app, &*rules[1].backend.service.cluster), ("other", "b"));
    assert_eq!((rules[1].backend.service.timeout_ms, rules[1].annotation.max_bytes), (500, 100));
    assert_eq!(&*rules[1].annotation.headers[0].0, "x-who");
    assert_ne!(rules[0].backend.service_id, rules[1].backend.service_id);
    assert_eq!(rules[0].backend.service_id, fallback(&config).backend.service_id);
    assert_eq!(rules[0].backend.service.authority, "rs.example:3000");
    assert_eq!(fallback(&config).failure_mode, FailureMode::Allow);
    assert_eq!(fallback(&config).origins, Some(vec![]));
    assert_eq!(rules[0].backend.service.breaker, Some(breaker::Settings { failures: 10, open_for_ms: 250 }));
    assert_eq!(rules.iter().map(|rule| rule.max_staleness_ms).collect::<Vec<_>>(), [None, Some(2_000), Some(0)]);
    assert_eq!(
        config.cache,
        Some(Settings {
            ttl_ms: 5_000,
            negative_ttl_ms: 250,
            stale_if_error_ms: 30_000,
            max_bytes: 1_000_000,
            shared: false
        })
    );
}

#[test]
fn services_with_the_same_target_share_their_sessions() {
    let config = parsed(json!({"rules": [
        {"match": {"paths": ["/a"]}, "session": "required", "rest_sessions": {"cluster": "rest-sessions", "timeout": "2s"}},
        {"match": {"paths": ["/b"]}, "session": "required",
         "rest_sessions": {"cluster": "rest-sessions", "path_prefix": "/b"}},
        {"match": {"paths": ["/c"]}, "session": "required",
         "rest_sessions": {"cluster": "rest-sessions", "authority": "c"}}
    ]}));
    let ids = |rule: &Rule| (rule.backend.service_id, rule.backend.namespace.target_id);
    let (service, target) = ids(fallback(&config));
    let rules: Vec<_> = config.rules.iter().map(|rule| ids(rule)).collect();
    assert!(rules[0].0 != service && rules[0].1 == target);
    assert!(rules[1].0 != service && rules[1].1 != target);
    assert!(rules[2].1 != target && rules[2].1 != rules[1].1);
}

#[test]
fn an_unreachable_rule_is_refused_and_both_are_named() {
    let found = problems(json!({"rules": [
        {"name": "all", "match": {"paths": ["/admin/*"]}, "session": "required"},
        {"name": "open", "match": {"paths": ["/ADMIN/open", "/admin/x/*"], "methods": ["GET"]}, "session": "off"}
    ]}));
    assert_eq!(
        found,
        [
            r#"rules[1]: the rule ("open") is hidden: rules[0] ("all") matches every request that it matches; put it earlier, or leave it out"#
        ]
    );
    let exact = parsed(json!({"path_case": "exact", "rules": [
        {"match": {"paths": ["/admin/*"]}, "session": "required"},
        {"match": {"paths": ["/ADMIN/open"]}, "session": "off"}
    ]}));
    assert_eq!(&*select(&exact, b"GET", b"/ADMIN/open").label, "rules[1]");
}

#[test]
fn the_first_rule_that_matches_decides() {
    let config = parsed(json!({"rules": [
        {"name": "a", "match": {"paths": ["/x"], "methods": ["GET"]}, "session": "off"},
        {"name": "b", "match": {"paths": ["/x"]}, "session": "off"}
    ]}));
    let label = |method: &[u8], path: &[u8]| select(&config, method, path).label.to_string();
    assert_eq!(label(b"HEAD", b"/x"), "a");
    assert_eq!(label(b"POST", b"/x"), "b");
    assert_eq!(label(b"GET", b"/y"), "default");
}
