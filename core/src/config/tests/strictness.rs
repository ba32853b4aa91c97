//! Unknown keys, missing keys and values of a wrong type are refused, all of them at once.

use super::*;

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
             failure_mode, origins, max_staleness, require, on_forbidden, login, cookie, recheck, touch, write_back, shadow",
        "sessions: unknown key; expected one of app, rest_sessions, max_pending_bytes, hosts, token_from, forward_token, \
             rules, default, path_case, annotate, failure_mode, cors_preflight, remove_headers, filter_state, cache, limits, login, \
             cookie, logout, write_back, shadow",
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
fn unknown_keys_are_refused() {
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
fn missing_required_keys_are_reported() {
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
        "logout": {"path": "/a", "methods": ["GET"], "redirect": "/"},
        "cookie": {"path": "/", "secure": false, "http_only": true, "same_site": "Lax", "domain": "a.b",
        "partitioned": false}
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
