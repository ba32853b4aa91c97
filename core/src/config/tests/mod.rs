//! Which configurations are taken, what they come to, and what is said of the others.

mod cache;
mod login_logout;
mod require;
mod write_back;

use super::*;
use crate::cache::Settings;
use crate::policy::annotation::Field;
use crate::policy::matching::Target;
use crate::policy::rules::{CorsPreflight, FailureMode, OnForbidden, Rule, SessionMode};
use crate::policy::token_source::Source;
use crate::rest_sessions::breaker;
use proptest::prelude::*;
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
fn services_that_differ_only_in_how_they_are_asked_hold_the_same_sessions() {
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
fn every_mistake_is_reported_at_once() {
    let mut found = problems(json!({
        "app": "my app",
        "rest_sessions": {"cluster": "a|", "timeout": "0ms", "retries": 4, "nope": 1},
        "rules": [
            {"match": {"paths": ["/a*"], "methods": []}, "session": "requierd"},
            {"name": "x", "match": {"paths": ["/x"]}},
            {"match": {"paths": ["/y"]}, "session": "off", "token_from": [{"cookie": "a", "query": "b"}, {"cookie": "a", "any": true}]}
        ],
        "default": {"session": "required", "match": {}},
        "sessions": {}
    }));
    found.sort();
    let mut expected = [
        r#"app: found "my app", expected 3 to 20 letters, digits, `_` or `-`"#,
        r#"rest_sessions.timeout: found "0ms", expected a duration from 1ms to 1m, such as "250ms", "5s", "10m""#,
        "rest_sessions.retries: found 4, expected an integer from 0 to 3",
        "rest_sessions.nope: unknown key; expected one of cluster, authority, path_prefix, timeout, retries, \
             max_in_flight, breaker",
        r#"rules[0].match.paths[0]: found "/a*", expected "/exact" or "/prefix/*" of letters, digits and -._~!$&'()*+,=:@/ (without empty or dot segments, and `*` only as the last segment)"#,
        r#"rules[0].session: "requierd" is none of required, optional, off"#,
        "default.match: unknown key; expected one of session, app, rest_sessions, token_from, annotate, \
             failure_mode, origins, max_staleness, require, on_forbidden, login, recheck, write_back, shadow",
        "sessions: unknown key; expected one of app, rest_sessions, hosts, token_from, forward_token, rules, default, \
             path_case, annotate, failure_mode, cors_preflight, remove_headers, filter_state, cache, limits, login, \
             logout, write_back, shadow",
        r#"rest_sessions.authority: is missing; "" is no host, so it cannot be taken from cluster"#,
        "rules[0].match.methods: found an empty list, expected at least one entry, or the key left out",
        "rules[1].session: is missing; expected one of required, optional, off",
        "rules[2].token_from[0]: expected exactly one of cookie, header, query",
        "rules[2].token_from[1].any: belongs to query alone",
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn keys_that_do_not_work_are_refused() {
    for key in ["breaker", "cachee"] {
        let found = problems(json!({key: {}}));
        assert_eq!(found.len(), 1, "{key}: {found:?}");
        assert!(found[0].starts_with(&format!("{key}: unknown key")), "{found:?}");
    }
    for key in ["limits", "logout"] {
        let found = problems(json!({"default": {"session": "required", key: []}}));
        assert!(found[0].starts_with(&format!("default.{key}: unknown key")), "{found:?}");
    }
}

#[test]
fn what_is_required_is_asked_for() {
    assert_eq!(
        problems_of(b"{}"),
        [
            "app: is missing; expected the rest-sessions app",
            "rest_sessions: is missing; expected an object with at least cluster",
        ]
    );
    assert_eq!(
        problems(json!({"rest_sessions": {}, "default": {}})),
        [
            "rest_sessions.cluster: is missing; expected the name of Envoy's cluster",
            "default.session: is missing; expected one of required, optional, off",
        ]
    );
}

#[test]
fn wrong_types_are_refused_everywhere() {
    let right = json!({
        "app": "myapp", "rest_sessions": {"cluster": "a", "authority": "a", "path_prefix": "", "timeout": "1s",
        "retries": 1, "max_in_flight": 1, "breaker": {"failures": 1, "open_for": "1s"}}, "hosts": ["a.b"], "token_from": [{"header": "a", "prefix": "b"}],
        "forward_token": true, "rules": [{"name": "n", "match": {"hosts": ["a.b"], "methods": ["GET"], "paths": ["/"]},
        "session": "off", "origins": [], "max_staleness": "1s"}], "default": {"session": "required", "max_staleness": "1s",
        "require": [{"field": "d.a", "one_of": ["a", 1, true]}, {"field": "d", "present": false},
        {"field": "age", "at_most": "1s"}, {"field": "d.b", "within": "1s"}, {"field": "ip", "is_client": true}],
        "on_forbidden": "login", "login": {"url": "https://a.b/x"}, "recheck": "1s", "shadow": true}, "path_case": "ignore",
        "annotate": {"headers": {"x-a": "id"}, "max_bytes": 1}, "failure_mode": "deny", "cors_preflight": "pass",
        "remove_headers": ["a"], "filter_state": true, "cache": {"ttl": "1s", "negative_ttl": "1s",
        "stale_if_error": "1s", "max_bytes": 65536, "shared": true},
        "limits": {"idle": "2s", "age": "1h"}, "login": {"url": "https://a.b/"}, "shadow": true,
        "logout": {"path": "/a", "methods": ["GET"], "redirect": "/", "cookie": {"path": "/", "secure": false,
        "same_site": "Lax", "domain": "a.b"}}
    });
    Config::parse(right.to_string().as_bytes()).unwrap();
    let mut pointers = Vec::new();
    collect_pointers(&right, String::new(), &mut pointers);
    for pointer in pointers {
        for wrong in [json!(null), json!(-1), json!(1.5), json!([[]]), json!({"?": {}}), json!(""), json!(true)] {
            let mut config = right.clone();
            let place = config.pointer_mut(&pointer).unwrap();
            if std::mem::discriminant(place) == std::mem::discriminant(&wrong) && *place != json!(1) {
                continue;
            }
            // Any scalar will do there, or any number.
            let scalar = !(wrong.is_null() || wrong.is_array() || wrong.is_object());
            if pointer.contains("/one_of/") && scalar || pointer.ends_with("/at_most") && wrong.is_number() {
                continue;
            }
            *place = wrong.clone();
            assert!(Config::parse(config.to_string().as_bytes()).is_err(), "{pointer} took {wrong}");
        }
    }
}

fn collect_pointers(json: &Value, at: String, pointers: &mut Vec<String>) {
    match json {
        Value::Object(entries) => {
            entries.iter().for_each(|(key, value)| collect_pointers(value, format!("{at}/{key}"), pointers));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| collect_pointers(item, format!("{at}/{i}"), pointers));
        }
        _ => {}
    }
    if !at.is_empty() {
        pointers.push(at);
    }
}

#[test]
fn a_repeated_key_is_refused() {
    let json = r#"{"app": "myapp", "app": "other", "rest_sessions": {"cluster": "a"},
                   "annotate": {"headers": {"x-a": "id", "x-a": "ip"}}}"#;
    assert_eq!(
        problems_of(json.as_bytes()),
        ["app: is given twice; expected once", r#"annotate.headers["x-a"]: is given twice; expected once"#]
    );
}

#[test]
fn nothing_junk_and_other_json_are_refused_with_a_reason() {
    assert_eq!(problems_of(b""), ["found no configuration, expected an object with at least app and rest_sessions"]);
    assert_eq!(problems_of(b"[]"), ["found a list, expected an object"]);
    assert_eq!(problems_of(b"\"x\""), ["found \"x\", expected an object"]);
    assert!(
        problems_of(b"{\"app\"")[0].starts_with("found something that is not JSON (it breaks off at line 1, column 6)")
    );
    assert!(problems_of(b"\x0a\xff\xff")[0].starts_with("found neither JSON ("));
    assert!(problems_of(b"\xff\xfe")[0].starts_with("found something that is not JSON ("));
}

#[test]
fn json_may_begin_with_a_line_break_although_a_struct_does_too() {
    let json = format!("\n{}", with(json!({})));
    assert!(Config::parse(json.as_bytes()).is_ok());
}

#[test]
fn a_binary_struct_is_taken() {
    // {"app": "myapp", "rest_sessions": {"cluster": "rs", "retries": 2.0}}, as protoc encodes it.
    let mut inner = b"\x0a\x0f\x0a\x07cluster\x12\x04\x1a\x02rs".to_vec();
    inner.extend(b"\x0a\x14\x0a\x07retries\x12\x09\x11\x00\x00\x00\x00\x00\x00\x00\x40");
    let mut bytes = b"\x0a\x0e\x0a\x03app\x12\x07\x1a\x05myapp\x0a".to_vec();
    let value_length = u8::try_from(inner.len() + 2).unwrap();
    bytes.push(value_length + 2 + 15);
    bytes.extend(b"\x0a\x0drest_sessions\x12");
    bytes.push(value_length);
    bytes.push(0x2a);
    bytes.push(value_length - 2);
    bytes.extend(&inner);
    let config = Config::parse(&bytes).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(&*fallback(&config).backend.service.cluster, "rs");
    assert_eq!(fallback(&config).backend.service.retries, 2);
}

#[test]
fn names_that_annotations_may_not_have_are_refused() {
    for name in [
        ":path",
        "host",
        "Cookie",
        "content-type",
        "content-length",
        "connection",
        "te",
        "upgrade",
        "transfer-encoding",
        "keep-alive",
        "proxy-connection",
        "trailer",
        "x-session-set",
        "x_session_kill",
        "a b",
        "",
        "ä",
        "x-token",
        "X_Token",
        "x-other-token",
    ] {
        let found = problems(json!({
            "annotate": {"headers": {name: "id"}},
            "token_from": [{"header": "x-token"}],
            "rules": [{"session": "off", "match": {"paths": ["/a"]}, "token_from": [{"header": "x-other-token"}]}]
        }));
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert!(found[0].starts_with("annotate.headers"), "{found:?}");
    }
    let found = problems(json!({"annotate": {"headers": {"x-a": "id", "x_a": "ip"}}}));
    assert_eq!(found, ["annotate.headers.x_a: reads like x-a to servers that take `-` for `_`; expected one of them"]);
}

#[test]
fn a_token_cannot_come_from_a_header_that_is_always_taken_out() {
    for name in ["x-session-user", "X_Session_Data", "x-session-set", "x-session-kill", "cookie"] {
        let found = problems(json!({"token_from": [{"header": name}]}));
        assert!(found[0].starts_with("token_from[0].header: "), "{found:?}");
    }
}

#[test]
fn a_hidden_rule_is_refused_and_both_are_named() {
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
fn removed_headers_are_those_that_would_undo_what_rules_decided() {
    let reserved = |config: &Config, name: &str| config.reserved.contains(name.as_bytes());
    let plain = parsed(json!({}));
    let methods = parsed(json!({"rules": [{"session": "off", "match": {"methods": ["GET"]}}]}));
    let paths = parsed(json!({"rules": [{"session": "off", "match": {"paths": ["/a"]}}]}));
    let own = parsed(json!({"rules": [{"session": "off", "match": {"paths": ["/a"], "methods": ["GET"]}}],
                            "remove_headers": ["X-Mine"]}));
    for name in ["x-http-method-override", "X-HTTP-Method", "x_method_override"] {
        assert!(
            reserved(&methods, name) && !reserved(&plain, name) && !reserved(&paths, name) && !reserved(&own, name)
        );
    }
    for name in ["x-original-url", "x-rewrite-url"] {
        assert!(
            reserved(&paths, name) && !reserved(&plain, name) && !reserved(&methods, name) && !reserved(&own, name)
        );
    }
    assert!(reserved(&own, "x-mine"));
}

#[test]
fn forged_names_are_those_of_every_annotation_and_the_default_ones() {
    let config = parsed(json!({
        "annotate": {"headers": {"x-who": "id"}},
        "rules": [{"session": "off", "match": {"paths": ["/a"]}, "annotate": {"headers": {"x-rule": "id"}}}],
        "default": {"session": "off", "annotate": {"headers": {"x-default": "id"}}}
    }));
    for name in ["x-who", "x-rule", "x-default", "x-session-user", "x-session-data", "x-session-set", "x-session-kill"]
    {
        assert!(config.reserved.contains(name.as_bytes()), "{name}");
    }
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

proptest! {
    #[test]
    fn any_bytes_are_taken_or_refused_with_a_reason(bytes in any::<Vec<u8>>()) {
        if let Err(problems) = Config::parse(&bytes) {
            prop_assert!(!problems.is_empty());
        }
    }

    #[test]
    fn a_configuration_broken_anywhere_is_refused_with_a_reason(cut in 0usize..400, byte in any::<u8>()) {
        let mut bytes = with(json!({"rules": [{"name": "a", "match": {"paths": ["/x"]}, "session": "off"}],
            "token_from": [{"cookie": "c"}], "annotate": {"headers": {"x-a": "id"}}})).to_string().into_bytes();
        let place = cut % bytes.len();
        bytes[place] = byte;
        if let Err(problems) = Config::parse(&bytes) {
            prop_assert!(!problems.is_empty());
            prop_assert!(problems.iter().all(|problem| !problem.message.is_empty()));
        }
    }
}
