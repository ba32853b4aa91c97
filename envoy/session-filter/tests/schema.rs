//! The configuration's JSON Schema, held against the filter: it takes what the filter takes, and refuses each mistake
//! that a schema can tell.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use std::fs;

use jsonschema::Validator;
use rest_sessions_filter::config::{Config, schema};
use serde_json::{Value, json};
use session_filter::find;
use support::{root, run};

const FILE: &str = "envoy/session-filter/schema.json";

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema::of_configuration()).unwrap()
}

/// What a configuration comes to, all of it; the order of headers that were written as a map means nothing.
fn compiled(config: &Value) -> Result<String, String> {
    let config = Config::parse(config.to_string().as_bytes()).map_err(|list| format!("{list:#?}"))?;
    Ok(format!("{config:?}").replace(
        r#"("x-session-user", Id), ("x-session-data", Data)"#,
        r#"("x-session-data", Data), ("x-session-user", Id)"#,
    ))
}

/// Every key that there is.
fn everything() -> Value {
    json!({
        "app": "mywebapp",
        "rest_sessions": {"cluster": "outbound|3000||rs.internal", "authority": "[::1]:3000", "path_prefix": "/at/rs",
            "timeout": "60000ms", "retries": 3, "max_in_flight": 100_000,
            "breaker": {"failures": 1, "open_for": "1m"}},
        "hosts": ["shop.example.com", "*.example.org", "127.0.0.1", "[2001:db8::1]"],
        "token_from": [{"cookie": "session-cookie"}, {"header": "Authorization", "prefix": "Bearer "},
            {"query": "täken", "any": true}],
        "forward_token": false,
        "rules": [
            {"name": "Überall", "match": {"hosts": ["shop.example.com."], "methods": ["GET", "M-SEARCH"],
                "paths": ["/", "/static/*", "/a.b/~c/", "/*"]}, "session": "off"},
            {"match": {"paths": ["/b"]}, "session": "required", "app": "backoffice",
                "rest_sessions": {"cluster": "other", "breaker": "off"}, "token_from": [{"header": "x-token"}],
                "annotate": {"headers": {"x-role": "d.role", "x-odd": "d.a b.\u{e9}"}, "max_bytes": 1}, "failure_mode": "deny",
                "origins": ["https://shop.example.com", "capacitor://localhost", "http://[::1]:8080"],
                "max_staleness": "0s", "on_forbidden": "login", "login": {"url": "https://login.example.com:8443/?next={url}#x"},
                "recheck": "30d", "shadow": true,
                "require": [{"field": "d.role", "one_of": ["admin", 1, true, -1.5]}, {"field": "id", "equals": "u1"},
                    {"field": "d", "present": true}, {"field": "age", "at_most": "12h"},
                    {"field": "ttl", "at_least": 1.5}, {"field": "d.auth_time", "within": "365d"},
                    {"field": "ip", "is_client": true}]},
            {"match": {"paths": ["/c"]}, "session": "optional", "origins": [], "login": "off", "failure_mode": "allow"},
            {"match": {"paths": ["/login"]}, "session": "off"}
        ],
        "default": {"session": "required"},
        "path_case": "exact",
        "annotate": {"headers": {"X-User": "id", "x_data": "d"}, "max_bytes": 1_048_576},
        "failure_mode": "allow",
        "cors_preflight": "pass",
        "remove_headers": ["x-rewrite-url"],
        "filter_state": true,
        "cache": {"ttl": "100ms", "negative_ttl": "0ms", "stale_if_error": "30d", "max_bytes": 65536, "shared": false},
        "limits": {"idle": "1s", "age": "365d"},
        "login": {"url": "/login?next={url}"},
        "logout": {"path": "/logout", "methods": ["POST", "GET"], "redirect": "https://www.example.com/bye",
            "cookie": {"path": "/", "secure": true, "same_site": "None", "domain": ".example.com"}},
        "shadow": false
    })
}

#[test]
fn what_is_kept_in_the_repository_is_what_the_types_say() {
    let kept = fs::read_to_string(root().join(FILE)).unwrap_or_default();
    let made = run(&["schema"], "");
    assert_eq!((made.code, made.err.as_str()), (0, ""));
    assert!(kept == made.out, "{FILE} is not what the types say: `make schema` writes it anew");
}

#[test]
fn it_is_a_schema_of_draft_2020_12() {
    let schema = schema::of_configuration();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    jsonschema::draft202012::meta::validate(&schema).unwrap();
}

#[test]
fn every_configuration_of_the_repository_fits() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = readme.split("```json\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned());
    let files = ["envoy/envoy.yaml", "envoy/istio/wasm-plugin.yaml", "envoy/istio/traffic-extension.yaml"];
    let texts = blocks.chain(files.iter().map(|file| fs::read_to_string(root().join(file)).unwrap()));
    let mut fitting = 0;
    for text in texts {
        for found in find::configurations(&text).unwrap() {
            let config: Value = serde_json::from_str(&found.node.to_json()).unwrap();
            if compiled(&config).is_ok() {
                validator()
                    .validate(&config)
                    .unwrap_or_else(|wrong| panic!("{}: {wrong}\n{text}", wrong.instance_path()));
                fitting += 1;
            }
        }
    }
    assert!(fitting >= 4, "{fitting}");
}

#[test]
fn every_key_fits_with_all_that_it_can_be() {
    let config = everything();
    compiled(&config).unwrap();
    validator().validate(&config).unwrap_or_else(|wrong| panic!("{}: {wrong}", wrong.instance_path()));
    // None was forgotten here.
    let mut left = Vec::new();
    keys_without_example(&schema::of_configuration(), &schema::of_configuration(), &config, "", &mut left);
    // These are the same objects as at the top.
    left.retain(|key| !key.starts_with("rules.rest_sessions.") && !key.starts_with("rules.token_from."));
    assert_eq!(left, [""; 0]);
}

/// The object that a schema is about, through references and alternatives.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(name) = schema["$ref"].as_str() {
        return root.pointer(name.strip_prefix('#').unwrap()).unwrap();
    }
    match schema["anyOf"].as_array().and_then(|all| all.iter().find(|one| one["$ref"].is_string())) {
        Some(object) => resolved(root, object),
        None => schema,
    }
}

fn keys_without_example(root: &Value, schema: &Value, example: &Value, at: &str, left: &mut Vec<String>) {
    let schema = resolved(root, schema);
    let all = match example {
        Value::Array(items) => items.iter().collect(),
        other => vec![other],
    };
    let schema = if schema["items"].is_object() { resolved(root, &schema["items"]) } else { schema };
    for (key, of_key) in schema["properties"].as_object().into_iter().flatten() {
        let examples: Vec<Value> = all.iter().filter_map(|item| item.get(key)).cloned().collect();
        match examples.as_slice() {
            // What holds where no rule matches is a rule.
            [] if at == "default." => {}
            [] => left.push(format!("{at}{key}")),
            _ => {
                let flat: Vec<Value> = examples
                    .into_iter()
                    .flat_map(|one| match one {
                        Value::Array(items) => items,
                        other => vec![other],
                    })
                    .collect();
                keys_without_example(root, of_key, &Value::from(flat), &format!("{at}{key}."), left);
            }
        }
    }
}

#[test]
fn each_mistake_that_a_schema_can_tell_is_refused_by_both() {
    let validator = validator();
    let mistakes = [
        ("/app", json!("my app")),
        ("/app", json!(5)),
        ("/rest_sessions", json!({})),
        ("/rest_sessions/cluster", json!("")),
        ("/rest_sessions/authority", json!("a b")),
        ("/rest_sessions/path_prefix", json!("/a/")),
        ("/rest_sessions/timeout", json!("0ms")),
        ("/rest_sessions/timeout", json!("61s")),
        ("/rest_sessions/timeout", json!("60001ms")),
        ("/rest_sessions/timeout", json!("2m")),
        ("/rest_sessions/timeout", json!("1.5s")),
        ("/rest_sessions/timeout", json!("5")),
        ("/rest_sessions/timeout", json!(500)),
        ("/rest_sessions/retries", json!(4)),
        ("/rest_sessions/retries", json!(-1)),
        ("/rest_sessions/retries", json!(1.5)),
        ("/rest_sessions/max_in_flight", json!(0)),
        ("/rest_sessions/breaker", json!("on")),
        ("/rest_sessions/breaker/failures", json!(1001)),
        ("/rest_sessions/breaker/open_for", json!("99ms")),
        ("/rest_sessions/clutser", json!("a")),
        ("/hosts", json!([])),
        ("/hosts", json!("a")),
        ("/hosts/0", json!("shop.example.com:80")),
        ("/token_from", json!([])),
        ("/token_from/0", json!({"cookie": "a", "header": "b"})),
        ("/token_from/0", json!({})),
        ("/token_from/0", json!({"cookie": "a", "prefix": "b"})),
        ("/token_from/0", json!({"cookie": "a", "any": true})),
        ("/token_from/0/cookie", json!("a=b")),
        ("/forward_token", json!("true")),
        ("/rule", json!([])),
        ("/rules/0/session", json!("requierd")),
        ("/rules/0/session", json!(false)),
        ("/rules/0/match/paths", json!([])),
        ("/rules/0/match/paths/0", json!("/a*")),
        ("/rules/0/match/paths/0", json!("*.ico")),
        ("/rules/0/match/paths/0", json!("/a/../b")),
        ("/rules/0/match/paths/0", json!("/a%2fb")),
        ("/rules/0/match/methods/0", json!("get")),
        ("/rules/0/match/hosts/0", json!("a/b")),
        ("/rules/0/name", json!("")),
        ("/rules/0/require", json!([{"field": "id", "present": true}])),
        ("/rules/1/require", json!([])),
        ("/rules/1/require/0", json!({"field": "id"})),
        ("/rules/1/require/0", json!({"field": "id", "present": true, "equals": 1})),
        ("/rules/1/require/0", json!({"present": true})),
        ("/rules/1/require/0", json!({"field": "name", "present": true})),
        ("/rules/1/require/0", json!({"field": "idle", "present": true})),
        ("/rules/1/require/0", json!({"field": "id", "one_of": []})),
        ("/rules/1/require/0", json!({"field": "id", "equals": null})),
        ("/rules/1/require/0", json!({"field": "id", "equals": 9_007_199_254_740_993_u64})),
        ("/rules/1/require/0", json!({"field": "age", "at_most": "12"})),
        ("/rules/1/require/0", json!({"field": "age", "within": "999ms"})),
        ("/rules/1/require/0", json!({"field": "id", "is_client": true})),
        ("/rules/1/require/0", json!({"field": "ip", "is_client": false})),
        ("/rules/1/failure_mode", json!("allow")),
        ("/rules/1/origins/0", json!("https://shop.example.com/")),
        ("/rules/1/max_staleness", json!("31d")),
        ("/rules/1/on_forbidden", json!("redirect")),
        ("/rules/1/recheck", json!("500ms")),
        ("/rules/1/login/url", json!("//evil.example/")),
        ("/rules/1/annotate/headers", json!({"x y": "id"})),
        ("/rules/1/annotate/headers", json!({"x-user": "name"})),
        ("/rules/1/annotate/max_bytes", json!(0)),
        ("/default/match", json!({})),
        ("/default/name", json!("a")),
        ("/default", json!({})),
        ("/path_case", json!("Ignore")),
        ("/cors_preflight", json!("all")),
        ("/remove_headers/0", json!("a b")),
        ("/cache", json!({})),
        ("/cache/ttl", json!("99ms")),
        ("/cache/ttl", json!("61m")),
        ("/cache/max_bytes", json!(65_535)),
        ("/limits/idle", json!("999ms")),
        ("/login", json!("off")),
        ("/login/url", json!("/login?next={url}{url}")),
        ("/login/url", json!("login")),
        ("/logout/path", json!("/logout/*")),
        ("/logout/methods", json!([])),
        ("/logout/redirect", json!("/bye?{url}")),
        ("/logout/cookie/same_site", json!("lax")),
        ("/logout/cookie/domain", json!("example.com/")),
        ("/logout/cookie/path", json!("a")),
        ("/shadow", json!(null)),
    ];
    for (at, value) in mistakes {
        let mut config = everything();
        let (parent, key) = at.rsplit_once('/').unwrap();
        match config.pointer_mut(parent).unwrap() {
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = value.clone(),
            object => object[key] = value.clone(),
        }
        assert!(compiled(&config).is_err(), "the filter takes {value} at {at}");
        assert!(!validator.is_valid(&config), "the schema takes {value} at {at}");
    }
    for required in ["app", "rest_sessions"] {
        let mut config = everything();
        config.as_object_mut().unwrap().remove(required);
        assert!(compiled(&config).is_err() && !validator.is_valid(&config), "{required}");
    }
}

/// Texts of all kinds, near the edges of what any key takes.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        "a",
        "ab",
        "abc",
        "a-b_C9",
        "a b",
        "ä",
        "id",
        "d",
        "d.",
        "d.x y",
        "ttl",
        "idle",
        "GET",
        "get",
        "M-SEARCH",
        "/",
        "//",
        "/a",
        "/a/",
        "/a//b",
        "/a/*",
        "/*",
        "/a*",
        "/a/.",
        "/..",
        "/a/..b",
        "/a/.b/*",
        "/a/b.",
        "/~a/-_.!$&'()+,=:@",
        "/a;b",
        "/a%20b",
        "/a\\b",
        "/a?b",
        "/a#b",
        "/a?b#c",
        "/a?b={url}",
        "/{url}",
        "{url}",
        "/a{b",
        "/a|b",
        "/a\"b",
        "/a<b>",
        "/a^b`c",
        "a.b",
        "a..b",
        "a.b.",
        "a.b..",
        "*.a",
        "*.a.b",
        "*.",
        "*",
        "a.*",
        "1.2.3.4",
        "1.2.3",
        "1.2.3.4.",
        "[::1]",
        "[::1",
        "[v1]",
        "::1",
        "a:1",
        "a:",
        "a:65535",
        "a:65536",
        "a:123456",
        "[::1]:80",
        "a_b",
        "-a",
        "a@b",
        "https://a",
        "https://a/",
        "https://a/b?c",
        "http://a:80/",
        "https://a:x/",
        "https://[::1]/x",
        "https://a b/",
        "https://a//b",
        "https:///",
        "ftp://a/",
        "capacitor://localhost",
        "https://a.b:8443",
        "a://b",
        "1a://b",
        "https://{url}/",
        "https://a/{url}",
        "https://a/?{url}&b",
        "javascript:x",
        "null",
        ".a.b",
        "..a",
        "localhost",
        "example.com",
        "Bearer ",
        " ",
        "\t",
        "\u{7f}",
        "a\nb",
        "outbound|3000||rs",
        "é|",
        "x-session-user",
        "!#$%&'*+-.^_`|~",
        "a=b",
        "a;b",
        "a,b",
        "a(b)",
        "/a;",
        "/ ",
        "/é",
        "Strict",
        "strict",
        "off",
        "on",
        "required",
        "0",
        "0s",
        "0ms",
        "00s",
        "1ms",
        "001s",
        "99ms",
        "100ms",
        "999ms",
        "1s",
        "59s",
        "60s",
        "61s",
        "1m",
        "01m",
        "2m",
        "59m",
        "60m",
        "61m",
        "1h",
        "2h",
        "24h",
        "719h",
        "720h",
        "721h",
        "1d",
        "30d",
        "31d",
        "364d",
        "365d",
        "366d",
        "60000ms",
        "60001ms",
        "2592000000ms",
        "2592000001ms",
        "31536000s",
        "31536001s",
        "5 s",
        "5S",
        "-5s",
        "+5s",
        "1.5s",
        "5sm",
        "99999999999999999999s",
    ]
    .map(ToOwned::to_owned)
    .into();
    texts.extend([3, 20, 21, 63, 64, 127, 128, 129].map(|length| "a".repeat(length)));
    texts
}

/// Every text in a configuration.
fn places(value: &Value, at: &str, places: &mut Vec<String>) {
    match value {
        Value::String(_) => places.push(at.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| self::places(item, &format!("{at}/{n}"), places))
        }
        Value::Object(entries) => {
            entries.iter().for_each(|(key, item)| self::places(item, &format!("{at}/{key}"), places))
        }
        _ => {}
    }
}

#[test]
fn no_text_that_the_filter_takes_is_refused_and_of_the_others_nearly_all_are() {
    let validator = validator();
    let everything = everything();
    let mut all = Vec::new();
    places(&everything, "", &mut all);
    // One of each list is enough.
    let of_kind = |at: &str| at.replace(|character: char| character.is_ascii_digit(), "");
    all.sort_by_key(|at| of_kind(at));
    all.dedup_by_key(|at| of_kind(at));
    assert!(all.len() > 40, "{}", all.len());
    let (mut refused, mut missed) = (0, Vec::new());
    for at in all {
        for text in texts() {
            let mut config = everything.clone();
            *config.pointer_mut(&at).unwrap() = text.clone().into();
            match (compiled(&config), validator.is_valid(&config)) {
                (Ok(_), fits) => assert!(fits, "the filter takes {text:?} at {at}, and the schema does not"),
                (Err(_), false) => refused += 1,
                // Of those, what keys mean to each other is the filter's alone to know.
                (Err(_), true) => missed.push(format!("{at} {text:?}")),
            }
        }
    }
    assert!(missed.len() * 20 < refused, "{refused} are refused, but not these {}: {missed:#?}", missed.len());
}

#[test]
fn defaults_are_what_holds_where_a_key_is_left_out() {
    let minimal = json!({"app": "mywebapp", "rest_sessions": {"cluster": "rs"}, "rules": [{"session": "required"}]});
    let nested = json!({
        "app": "mywebapp",
        "rest_sessions": {"cluster": "rs", "breaker": {}},
        "cache": {"ttl": "5s"},
        "annotate": {},
        "logout": {"path": "/logout", "cookie": {}},
        "token_from": [{"query": "t"}],
        "login": {"url": "/login"},
        "rules": [{"match": {"paths": ["/login"]}, "session": "off"}, {"session": "required", "login": {"url": "/login"}}],
        "default": {"session": "optional"},
    });
    let schema = schema::of_configuration();
    let mut seen = Vec::new();
    for base in [minimal, nested] {
        let expected = compiled(&base).unwrap();
        defaults(&schema, &schema, &base, "", &mut |at, key, default| {
            let mut config = base.clone();
            config.pointer_mut(at).unwrap()[key] = default.clone();
            assert_eq!(compiled(&config).unwrap(), expected, "{at}/{key} is not {default} where it is left out");
            config.pointer_mut(at).unwrap()[key] = other_than(default);
            // Another value makes another configuration, so this test can tell.
            assert_ne!(compiled(&config).ok(), Some(expected.clone()), "{at}/{key}: {}", other_than(default));
            seen.push(format!("{at}/{key}"));
        });
    }
    assert!(seen.len() >= 30, "{seen:#?}");
}

/// Calls back for every key with a default that an example leaves out.
fn defaults(root: &Value, schema: &Value, example: &Value, at: &str, each: &mut dyn FnMut(&str, &str, &Value)) {
    let schema = resolved(root, schema);
    if let Some(items) = example.as_array() {
        items
            .iter()
            .enumerate()
            .for_each(|(n, item)| defaults(root, &schema["items"], item, &format!("{at}/{n}"), each));
    }
    for (key, of_key) in schema["properties"].as_object().into_iter().flatten() {
        match (example.get(key), of_key.get("default")) {
            (Some(inner), _) => defaults(root, of_key, inner, &format!("{at}/{key}"), each),
            (None, Some(default)) if example.is_object() => each(at, key, default),
            _ => {}
        }
    }
}

fn other_than(value: &Value) -> Value {
    match value {
        Value::Bool(flag) => Value::from(!flag),
        Value::Number(number) => Value::from(number.as_u64().unwrap() + 1),
        Value::String(text) => match text.as_str() {
            "ignore" => "exact",
            "deny" => "allow",
            "listed" => "pass",
            "Lax" => "Strict",
            "" | "/" => "/x",
            _ => "7s",
        }
        .into(),
        Value::Array(items) if items.is_empty() => json!([{"session": "off", "match": {"methods": ["PUT"]}}]),
        Value::Array(items) if items[0].is_string() => json!(["PUT"]),
        Value::Array(_) => json!([{"cookie": "other"}]),
        Value::Object(entries) if entries.contains_key("session") => json!({"session": "off"}),
        Value::Object(entries) if entries.contains_key("failures") => json!({"failures": 7}),
        Value::Object(entries) if entries.is_empty() => json!({"methods": ["PUT"]}),
        _ => json!({"x-other": "id"}),
    }
}
