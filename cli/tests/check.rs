//! `session-filter check` as a process: which configurations it locates, and what it reports.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use std::fs;

use support::{Ran, run};

const VALID: &str = r#"{"app": "mywebapp", "rest_sessions": {"cluster": "rest-sessions"}}"#;

fn check(input: &str) -> Ran {
    run(&["check", "-"], input)
}

#[track_caller]
fn assert_reports(input: &str, code: i32, lines: &[&str]) {
    let Ran { code: found, out, err } = check(input);
    assert_eq!((out.lines().collect::<Vec<_>>().as_slice(), found), (lines, code), "{err}");
}

#[test]
fn a_valid_configuration_has_no_problems() {
    assert_reports(VALID, 0, &["standard input: no problems"]);
    assert_reports("app: mywebapp\nrest_sessions: {cluster: rest-sessions}\n", 0, &["standard input: no problems"]);
    assert_eq!(check("{}").code, 1, "required keys are missing");
}

#[test]
fn every_problem_is_reported_with_its_path() {
    assert_reports(
        r#"{"app": "my app", "rules": [{"session": "requierd"}], "rule": 1, "app": "two"}"#,
        1,
        &[
            "standard input: 5 problems",
            "standard input: app: is given twice; expected once",
            "standard input: rule: unknown key; expected one of app, rest_sessions, max_pending_bytes, hosts, token_from, \
             forward_token, rules, default, path_case, annotate, failure_mode, cors_preflight, remove_headers, \
             filter_state, cache, limits, login, cookie, logout, write_back, shadow",
            "standard input: app: found \"my app\", expected 3 to 20 letters, digits, `_` or `-`",
            "standard input: rules[0].session: \"requierd\" is none of required, optional, off",
            "standard input: rest_sessions: is missing; expected an object with at least cluster",
        ],
    );
}

#[test]
fn messages_are_those_of_the_module() {
    // A test of the reference compares the same messages with the module's log.
    let reference = fs::read_to_string(support::root().join("docs/configuration.md")).unwrap();
    let section = reference.split("\n## Mistakes\n").nth(1).unwrap();
    let block = |language: &str| {
        let start = format!("```{language}\n");
        section.split(&start).nth(1).unwrap().split("```").next().unwrap().to_owned()
    };
    let Ran { code, out, .. } = check(&block("json"));
    assert_eq!(code, 1);
    let messages = block("text");
    assert_eq!(out.lines().count(), messages.lines().count() + 1, "{out}");
    for message in messages.lines() {
        let (start, end) = message.split_once('…').unwrap_or((message, ""));
        let found = out.lines().any(|line| line.contains(start) && line.ends_with(end));
        assert!(found, "{message}\nis not among\n{out}");
    }
}

#[test]
fn the_configurations_of_the_repository_are_located_and_valid() {
    for (file, at) in [
        ("envoy/istio/wasm-plugin.yaml", "WasmPlugin rest-sessions: spec.pluginConfig"),
        ("envoy/istio/traffic-extension.yaml", "TrafficExtension rest-sessions: spec.wasm.pluginConfig"),
        ("envoy/gateway/envoy-extension-policy.yaml", "EnvoyExtensionPolicy rest-sessions: spec.wasm[0].config"),
        (
            "envoy/envoy.yaml",
            "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[0].typed_config\
             .config.configuration.value",
        ),
    ] {
        let Ran { code, out, err } = run(&["check", file], "");
        assert_eq!(code, 0, "{out}{err}");
        assert!(out.starts_with(&format!("{file}:")) && out.ends_with(&format!("{at}: no problems\n")), "{out}");
    }
}

#[test]
fn a_problem_in_yaml_is_reported_with_its_line() {
    let manifest = "\
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: sessions}
spec:
  pluginConfig:
    app: mywebapp
    rest_sessions:
      cluster: rs
    rules:
      - session: off
        match: {paths: [/static/*]}
";
    assert_reports(
        manifest,
        1,
        &[
            "standard input:6: WasmPlugin sessions: spec.pluginConfig: 1 problem",
            "standard input:10: rules[0].session: found false, expected one of required, optional, off \
             (in YAML, off without quotes is the boolean false; write \"off\")",
        ],
    );
}

#[test]
fn a_number_instead_of_a_duration_gets_a_hint() {
    let Ran { out, .. } = check("app: mywebapp\nrest_sessions: {cluster: rs}\ncache: {ttl: 5}\n");
    assert!(out.contains("write \"5s\" or \"5ms\""), "{out}");
}

fn filter(kind: &str, value: &str) -> String {
    format!(
        "\
name: sessions
typed_config:
  '@type': type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
  config:
    configuration:
      '@type': type.googleapis.com/google.protobuf.{kind}
      value: {value}
"
    )
}

#[test]
fn envoys_wasm_filter_contains_a_struct_or_a_string() {
    let at = "standard input:7: typed_config.config.configuration.value";
    assert_reports(&filter("StringValue", &format!("'{VALID}'")), 0, &[&format!("{at}: no problems")]);
    assert_reports(
        &filter("Struct", "{app: mywebapp, rest_sessions: {cluster: rs}}"),
        0,
        &[&format!("{at}: no problems")],
    );
    assert_reports(
        &filter("StringValue", "'{\"app\": \"mywebapp\"}'"),
        1,
        &[
            &format!("{at}: 1 problem"),
            "standard input:7: rest_sessions: is missing; expected an object with at least cluster",
        ],
    );
    let Ran { code, err, .. } = check(&filter("StringValue", "'{\"app\": '"));
    assert_eq!(code, 2);
    assert!(err.contains("contains invalid JSON at "), "{err}");
    for (kind, value) in [("StringValue", "{app: mywebapp}"), ("Struct", "'{}'"), ("BytesValue", "e30=")] {
        let Ran { code, err, .. } = check(&filter(kind, value));
        assert_eq!(code, 2);
        assert!(err.contains("does not match its @type"), "{err}");
    }
}

#[test]
fn a_fraction_is_a_string_for_envoy_and_a_number_for_kubernetes() {
    let config = "{app: mywebapp, rest_sessions: {cluster: rs}, rules: [{session: required, require: \
                  [{field: d.n, at_most: 1.5}]}]}";
    assert_eq!(check(config).code, 0);
    let Ran { code, out, .. } = check(&filter("Struct", config));
    assert_eq!(code, 1);
    assert!(out.contains("found \"1.5\", expected a number, or a duration") && out.contains("StringValue"), "{out}");
}

#[test]
fn a_bootstrap_may_be_json_too() {
    let bootstrap = format!(
        r#"{{"static_resources": {{"listeners": [{{"filters": [{{"typed_config": {{
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {{"configuration": {{"@type": "type.googleapis.com/google.protobuf.Struct", "value": {VALID}}}}}
        }}}}]}}]}}}}"#
    );
    assert_reports(
        &bootstrap,
        0,
        &[
            "standard input: static_resources.listeners[0].filters[0].typed_config.config.configuration.value: no problems",
        ],
    );
}

#[test]
fn an_envoy_filter_of_istio_contains_it_anywhere_in_a_patch() {
    let manifest = "\
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: sessions}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    patch:
      operation: INSERT_BEFORE
      value:
        name: sessions
        typed_config:
          '@type': type.googleapis.com/udpa.type.v1.TypedStruct
          type_url: type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
          value:
            config:
              configuration:
                '@type': type.googleapis.com/google.protobuf.StringValue
                value: |
                  {\"app\": \"mywebapp\", \"rest_sessions\": {\"cluster\": \"rs\"}}
";
    let at = "EnvoyFilter sessions: spec.configPatches[0].patch.value.typed_config.value.config.configuration.value";
    assert_reports(manifest, 0, &[&format!("standard input:19: {at}: no problems")]);
}

#[test]
fn each_of_several_configurations_is_checked_and_other_plugins_are_skipped() {
    let manifest = "\
apiVersion: v1
kind: Service
metadata: {name: other}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyExtensionPolicy
metadata: {name: policy}
spec:
  wasm:
  - name: sessions
    config:
      app: mywebapp
      rest_sessions: {cluster: rs}
  - name: other
    config: {rate: 5}
---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: second}
spec:
  pluginConfig: {app: x, rest_sessions: {cluster: rs}}
";
    assert_reports(
        manifest,
        1,
        &[
            "standard input:12: EnvoyExtensionPolicy policy: spec.wasm[0].config: no problems",
            "standard input:21: WasmPlugin second: spec.pluginConfig: 1 problem",
            "standard input:21: app: found \"x\", expected 3 to 20 letters, digits, `_` or `-`",
        ],
    );
}

#[test]
fn a_file_without_a_configuration_is_an_error() {
    for (input, why) in [
        ("", "is empty"),
        ("apiVersion: v1\nkind: Service\n", "contains no configuration"),
        ("static_resources: {}\n", "contains no configuration"),
        ("- 1\n", "contains no configuration"),
        ("services: {app: {image: a}}\n", "contains no configuration"),
        ("{\"app\": ", "is not valid JSON: error at line 1, column 8"),
        ("a: [\n", "is neither JSON nor YAML: line 2"),
    ] {
        let Ran { code, out, err } = check(input);
        assert_eq!((code, out.as_str()), (2, ""), "{input}");
        assert!(err.contains(why), "{input:?}: {err}");
    }
    let Ran { code, err, .. } = run(&["check", "no/such/file"], "");
    assert_eq!(code, 2);
    assert!(err.starts_with("error: no/such/file cannot be read"), "{err}");
}
