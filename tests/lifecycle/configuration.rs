//! Configurations: JSON and Struct, refusals, and two configurations in one VM.

use super::emulator::{Level, Request, Vm};
use super::struct_value::{encode, entry, number};
use super::{NONE, SESSION, config, pending_request, session_of, three_routes, token};
use serde_json::{Value, json};
use test_support::outcomes::OUTCOMES;

/// The error lines of a configuration that must be refused.
fn refused(configuration: Value) -> Vec<String> {
    Vm::new().configure(configuration).expect_err("the configuration is invalid")
}

#[test]
fn every_problem_is_reported_on_its_own_line() {
    let lines = refused(json!({
        "app": "x",
        "rest_sessions": {"cluster": "rest-sessions", "timeout": "5 minutes"},
        "bogus": 1,
        "rules": [{"session": "off", "match": {"paths": ["/a"]}}, {"session": "requierd"}],
    }));
    assert_eq!(lines.len(), 4, "{lines:#?}");
    let named = |path: &str, found: &str| lines.iter().any(|line| line.contains(path) && line.contains(found));
    assert!(named("app", "x"), "{lines:#?}");
    assert!(named("rest_sessions.timeout", "5 minutes"), "{lines:#?}");
    assert!(named("bogus", "bogus"), "{lines:#?}");
    assert!(named("rules[1].session: \"requierd\" is none of required, optional, off", "requierd"), "{lines:#?}");
    assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:#?}");
}

#[test]
fn a_malformed_configuration_is_refused_with_one_line() {
    for junk in [&b""[..], b"{", b"[]", b"null", b"\"text\"", b"\x0a", b"\x0a\xff\xff", b"\xff\xfe", b"{}{}"] {
        let lines = Vm::new().configure_bytes(junk).expect_err("the bytes are no configuration");
        assert_eq!(lines.len(), 1, "{junk:?}: {lines:#?}");
    }
}

#[test]
fn an_unreachable_rule_is_refused_naming_both_rules() {
    let lines = refused(config(json!({"rules": [
        {"name": "shop", "match": {"paths": ["/shop/*"]}, "session": "off"},
        {"name": "cart", "match": {"paths": ["/shop/cart"], "methods": ["POST"]}, "session": "required"},
    ]})));
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("shop") && lines[0].contains("cart"), "{lines:#?}");
}

#[test]
fn a_struct_configures_the_filter_like_json() {
    let mut config = three_routes();
    config["rest_sessions"]["max_in_flight"] = json!(1);
    config["forward_token"] = json!(false);
    let mut vm = Vm::new();
    vm.configure_bytes(&encode(&config)).expect("a Struct is a configuration");
    let (stream, call) = pending_request(&mut vm, "/");
    assert_eq!(vm.request(Request::get("/").token(&token(2))).denial().unwrap().1, "sessions_busy");
    vm.respond(&call, 200, SESSION);
    assert_eq!(stream.upstream_header("x-session-user").as_deref(), Some("user123"));
    assert_eq!(stream.upstream_header("cookie"), None);
}

#[test]
fn cache_and_breaker_are_parsed_in_both_forms_and_their_errors_name_the_path() {
    let config = |ttl: Value, breaker: Value, max_staleness: &str| {
        let mut config = config(json!({
            "cache": {"ttl": ttl, "negative_ttl": "1s", "stale_if_error": "30s", "max_bytes": 65536, "shared": true},
            "default": {"session": "required", "max_staleness": max_staleness},
        }));
        config["rest_sessions"]["breaker"] = breaker;
        config
    };
    let both = |config: &Value| [config.to_string().into_bytes(), encode(config)];
    for breaker in [json!("off"), json!({}), json!({"failures": 5, "open_for": "1s"})] {
        for form in both(&config(json!("5s"), breaker, "0s")) {
            Vm::new().configure_bytes(&form).expect("the configuration is valid");
        }
    }
    for form in both(&config(json!(5), json!(false), "31d")) {
        let lines = Vm::new().configure_bytes(&form).expect_err("three values are invalid");
        assert_eq!(lines.len(), 3, "{lines:#?}");
        for expected in [
            r#"rest_sessions.breaker: found false, expected an object or "off""#,
            r#"cache.ttl: found 5, expected a duration from 100ms to 1h, such as "250ms", "5s", "10m""#,
            r#"default.max_staleness: found "31d", expected a duration from 0ms to 30d, such as "250ms", "5s", "10m""#,
        ] {
            assert!(lines.iter().any(|line| line.ends_with(expected)), "{expected}: {lines:#?}");
        }
    }
}

#[test]
fn non_integer_numbers_in_a_struct_are_refused() {
    let base = encode(&config(json!({})));
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 6144.5] {
        let annotate = encode(&json!({"headers": {}}));
        let with_number = [annotate, entry("max_bytes", &number(wrong))].concat();
        let mut nested = vec![5 << 3 | 2, u8::try_from(with_number.len()).unwrap()];
        nested.extend(&with_number);
        let lines = Vm::new().configure_bytes(&[base.clone(), entry("annotate", &nested)].concat());
        assert_eq!(lines.expect_err("the size is no integer").len(), 1, "{wrong}");
    }
}

#[test]
fn every_metric_is_zero_once_the_filter_is_configured() {
    let vm = Vm::with_config(three_routes());
    let others = [
        "conflicts_total",
        "calls_total",
        "call_failures_timeout_total",
        "call_failures_connect_total",
        "call_failures_status_total",
        "call_failures_invalid_total",
        "call_failures_dispatch_total",
        "call_failures_breaker_total",
        "coalesced_total",
        "cache_hits_total",
        "cache_shared_hits_total",
        "cache_misses_total",
        "cache_negative_hits_total",
        "cache_stale_total",
        "cache_evictions_total",
        "ends_total",
    ];
    for name in OUTCOMES.into_iter().chain(others) {
        assert_eq!(vm.counter(name), 0, "{name}");
    }
    for name in ["in_flight", "cache_bytes", "cache_entries", "ends_epoch"] {
        assert_eq!(vm.gauge(name), 0, "{name}");
    }
    assert!(vm.histogram("call_duration_ms").is_empty());
    assert!(vm.metric_names().iter().all(|name| name.starts_with("rest_sessions.")), "{:?}", vm.metric_names());
}

#[test]
fn a_refused_configuration_leaves_the_previous_one_in_force() {
    let mut vm = Vm::with_config(three_routes());
    let (stream, call) = pending_request(&mut vm, "/");
    vm.configure(config(json!({"default": {"session": "off"}, "bogus": true}))).expect_err("a key is unknown");
    vm.respond(&call, 200, NONE);
    assert_eq!(stream.local_reply_status(), Some(401));
    assert_eq!(vm.request(Request::get("/")).local_reply_status(), Some(401));
}

#[test]
fn two_configurations_in_one_vm_are_isolated() {
    let mut vm = Vm::with_config(three_routes());
    let old = vm.root();
    let (old_stream, old_call) = pending_request(&mut vm, "/");
    let new = vm
        .configure(json!({
            "app": "other", "rest_sessions": {"cluster": "rest-sessions"},
            "annotate": {"headers": {"x-user": "id"}}, "token_from": [{"header": "x-token"}],
        }))
        .unwrap();
    let new_stream = vm.request_on(new, Request::get("/").header("x-token", token(1)));
    let late_stream = vm.request_on(old, Request::get("/optional/a").token(&token(2)));
    let calls = vm.calls();
    assert_eq!(calls.len(), 3, "one token under two apps is two sessions, each with its own call");
    assert_eq!(calls[1].path(), format!("/other/get/{}", token(1)));
    assert_eq!([calls[0].root, calls[1].root, calls[2].root], [old, new, old]);

    vm.respond(&calls[1], 200, session_of("new"));
    assert!(old_stream.is_paused() && late_stream.is_paused());
    vm.respond(&old_call, 200, session_of("old"));
    vm.respond(&calls[2], 200, NONE);
    assert_eq!(new_stream.upstream_header("x-user").as_deref(), Some("new"));
    assert_eq!(new_stream.upstream_header("x-session-user"), None);
    assert_eq!(old_stream.upstream_header("x-session-user").as_deref(), Some("old"));
    assert_eq!(late_stream.upstream_header("x-session-status").as_deref(), Some("none"));

    for stream in [old_stream, late_stream, new_stream] {
        stream.upstream_responds(200);
    }
    vm.retire(old);
    let stream = vm.request(Request::get("/").header("x-token", token(3)));
    let call = vm.call();
    vm.respond(&call, 200, SESSION);
    assert!(stream.passed());
}

#[test]
fn an_accepted_configuration_logs_no_error_or_warning() {
    let vm = Vm::with_config(three_routes());
    assert_eq!((vm.log_at(Level::Error), vm.log_at(Level::Warn)), (Vec::new(), Vec::new()));
}
