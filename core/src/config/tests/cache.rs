//! The cache and the breaker: defaults, ranges, and the exact problems.

use super::*;
use crate::config::protobuf::tests::encode_struct;

#[test]
fn a_cache_needs_only_a_ttl() {
    let config = parsed(json!({"cache": {"ttl": "5s"}}));
    assert_eq!(
        config.cache,
        Some(Settings {
            ttl_ms: 5_000,
            negative_ttl_ms: 1_000,
            stale_if_error_ms: 0,
            max_bytes: 8_388_608,
            shared: true
        })
    );
}

#[test]
fn a_breaker_can_be_partial_or_off_in_every_service() {
    let breaker_of = |breaker: Value| {
        let rule = json!({"match": {"paths": ["/a"]}, "session": "off",
                          "rest_sessions": {"cluster": "b", "breaker": breaker}});
        let config = parsed(json!({"rules": [rule]}));
        let default = Some(breaker::Settings { failures: 5, open_for_ms: 1_000 });
        assert_eq!(fallback(&config).backend.service.breaker, default, "the rule's own service is another");
        select(&config, b"GET", b"/a").backend.service.breaker
    };
    let some = |failures, open_for_ms| Some(breaker::Settings { failures, open_for_ms });
    assert_eq!(breaker_of(json!("off")), None);
    assert_eq!(breaker_of(json!({})), some(5, 1_000));
    assert_eq!(breaker_of(json!({"failures": 2})), some(2, 1_000));
    assert_eq!(breaker_of(json!({"open_for": "10s"})), some(5, 10_000));
}

#[test]
fn services_with_different_breakers_share_their_sessions() {
    let config = parsed(json!({"rules": [
        {"match": {"paths": ["/a"]}, "session": "required",
         "rest_sessions": {"cluster": "rest-sessions", "breaker": "off"}}
    ]}));
    let (rule, fallback) = (select(&config, b"GET", b"/a"), fallback(&config));
    assert_ne!(rule.backend.service_id, fallback.backend.service_id);
    assert_eq!(rule.backend.namespace.id, fallback.backend.namespace.id);
}

#[test]
fn a_struct_and_json_compile_to_the_same() {
    let config = with(json!({
        "rest_sessions": {"cluster": "a", "breaker": {"failures": 7, "open_for": "2s"}},
        "cache": {"ttl": "5s", "max_bytes": 65_536, "shared": false},
        "rules": [{"match": {"paths": ["/a"]}, "session": "required", "max_staleness": "1s",
                   "rest_sessions": {"cluster": "b", "breaker": "off"}}]
    }));
    let taken = Config::parse(&as_struct(&config)).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let said = Config::parse(config.to_string().as_bytes()).unwrap();
    assert!(taken.cache.as_ref().is_some_and(|cache| cache.max_bytes == 65_536 && !cache.shared));
    assert_eq!(taken.cache, said.cache);
    for (taken, said) in taken.rules.iter().zip(said.rules.iter()) {
        assert_eq!(taken.backend.service, said.backend.service);
        assert_eq!(taken.max_staleness_ms, said.max_staleness_ms);
    }
    let wrong = with(json!({
        "rest_sessions": {"cluster": "a", "breaker": {"failures": 0.5, "open_for": true}},
        "cache": {"ttl": 5, "max_bytes": 65_536.5},
        "default": {"session": "required", "max_staleness": "1 s"}
    }));
    assert_eq!(problems_of(&as_struct(&wrong)), problems_of(wrong.to_string().as_bytes()));
}

fn as_struct(config: &Value) -> Vec<u8> {
    encode_struct(&serde_json::from_value(config.clone()).unwrap())
}

#[test]
fn ranges_are_inclusive() {
    for (breaker, cache, max_staleness) in [
        (
            json!({"failures": 1, "open_for": "100ms"}),
            json!({"ttl": "100ms", "negative_ttl": "0ms",
          "stale_if_error": "0s", "max_bytes": 65_536}),
            "0ms",
        ),
        (
            json!({"failures": 1000, "open_for": "60s"}),
            json!({"ttl": "1h", "negative_ttl": "60m",
          "stale_if_error": "30d", "max_bytes": 536_870_912}),
            "720h",
        ),
    ] {
        parsed(json!({
            "rest_sessions": {"cluster": "a", "breaker": breaker},
            "cache": cache,
            "default": {"session": "required", "max_staleness": max_staleness}
        }));
    }
}

#[test]
fn invalid_values_of_the_cache_and_the_breaker_are_reported_with_what_is_expected() {
    let breaker = |breaker: Value| json!({"rest_sessions": {"cluster": "a", "breaker": breaker}});
    let cache = |cache: Value| json!({"cache": cache});
    let with_ttl = |key: &str, value: Value| json!({"cache": {"ttl": "5s", key: value}});
    let max_staleness = |value: Value| json!({"default": {"session": "required", "max_staleness": value}});
    let duration = |range: &str| format!(r#"a duration from {range}, such as "250ms", "5s", "10m""#);
    for (changes, expected) in [
        (breaker(json!(false)), r#"rest_sessions.breaker: found false, expected an object or "off""#.to_owned()),
        (breaker(json!("on")), r#"rest_sessions.breaker: found "on", expected an object or "off""#.to_owned()),
        (breaker(json!("")), r#"rest_sessions.breaker: found "", expected an object or "off""#.to_owned()),
        (breaker(json!(null)), r#"rest_sessions.breaker: found null, expected an object or "off""#.to_owned()),
        (breaker(json!(5)), r#"rest_sessions.breaker: found 5, expected an object or "off""#.to_owned()),
        (breaker(json!([])), r#"rest_sessions.breaker: found a list, expected an object or "off""#.to_owned()),
        (
            breaker(json!({"failure": 5})),
            "rest_sessions.breaker.failure: unknown key; expected one of failures, open_for".to_owned(),
        ),
        (
            breaker(json!({"failures": 0})),
            "rest_sessions.breaker.failures: found 0, expected an integer from 1 to 1000".to_owned(),
        ),
        (
            breaker(json!({"failures": 1001})),
            "rest_sessions.breaker.failures: found 1001, expected an integer from 1 to 1000".to_owned(),
        ),
        (
            breaker(json!({"open_for": "99ms"})),
            format!(r#"rest_sessions.breaker.open_for: found "99ms", expected {}"#, duration("100ms to 1m")),
        ),
        (
            breaker(json!({"open_for": "61s"})),
            format!(r#"rest_sessions.breaker.open_for: found "61s", expected {}"#, duration("100ms to 1m")),
        ),
        (breaker(json!({"open_for": 1})), {
            format!("rest_sessions.breaker.open_for: found 1, expected {}", duration("100ms to 1m"))
        }),
        (cache(json!({})), r#"cache.ttl: is missing; expected how long a session is kept, such as "5s""#.to_owned()),
        (cache(json!(true)), "cache: found true, expected an object".to_owned()),
        (cache(json!("off")), r#"cache: found "off", expected an object"#.to_owned()),
        (cache(json!({"ttl": "99ms"})), format!(r#"cache.ttl: found "99ms", expected {}"#, duration("100ms to 1h"))),
        (cache(json!({"ttl": "61m"})), format!(r#"cache.ttl: found "61m", expected {}"#, duration("100ms to 1h"))),
        (
            with_ttl("max_size", json!(1)),
            "cache.max_size: unknown key; expected one of ttl, negative_ttl, stale_if_error, max_bytes, shared"
                .to_owned(),
        ),
        (
            with_ttl("negative_ttl", json!("2h")),
            format!(r#"cache.negative_ttl: found "2h", expected {}"#, duration("0ms to 1h")),
        ),
        (
            with_ttl("negative_ttl", json!("-1s")),
            format!(r#"cache.negative_ttl: found "-1s", expected {}"#, duration("0ms to 1h")),
        ),
        (
            with_ttl("stale_if_error", json!("31d")),
            format!(r#"cache.stale_if_error: found "31d", expected {}"#, duration("0ms to 30d")),
        ),
        (
            with_ttl("max_bytes", json!(65_535)),
            "cache.max_bytes: found 65535, expected an integer from 65536 to 536870912".to_owned(),
        ),
        (
            with_ttl("max_bytes", json!(536_870_913)),
            "cache.max_bytes: found 536870913, expected an integer from 65536 to 536870912".to_owned(),
        ),
        (with_ttl("shared", json!("yes")), r#"cache.shared: found "yes", expected true or false"#.to_owned()),
        (
            max_staleness(json!("31d")),
            format!(r#"default.max_staleness: found "31d", expected {}"#, duration("0ms to 30d")),
        ),
        (max_staleness(json!(0)), format!("default.max_staleness: found 0, expected {}", duration("0ms to 30d"))),
    ] {
        assert_eq!(problems(changes), [expected]);
    }
}

#[test]
fn every_mistake_within_a_breaker_or_a_cache_is_reported_at_once() {
    assert_eq!(
        problems(json!({
            "rest_sessions": {"cluster": "a", "breaker": {"failures": "5", "open_for": "1s", "open": 1}},
            "cache": {"max_bytes": 1, "shared": 1}
        })),
        [
            "rest_sessions.breaker.open: unknown key; expected one of failures, open_for",
            r#"rest_sessions.breaker.failures: found "5", expected an integer from 1 to 1000"#,
            "cache.max_bytes: found 1, expected an integer from 65536 to 536870912",
            "cache.shared: found 1, expected true or false",
            r#"cache.ttl: is missing; expected how long a session is kept, such as "5s""#,
        ]
    );
}

#[test]
fn what_waiting_requests_may_hold_fits_into_a_vm_together_with_the_cache() {
    let with = |pending: u64, cache: Value| problems(json!({"max_pending_bytes": pending, "cache": cache}));
    let cache = |max_bytes: u64| json!({"ttl": "5s", "max_bytes": max_bytes});
    for (pending, cache) in [(536_870_912, json!({"ttl": "5s"})), (268_435_456, cache(536_870_912))] {
        let config = parsed(json!({"max_pending_bytes": pending, "cache": cache}));
        assert_eq!(config.max_pending_bytes, pending);
    }
    assert_eq!(parsed(json!({})).max_pending_bytes, 134_217_728);
    assert_eq!(
        with(268_435_457, cache(536_870_912)),
        [
            "max_pending_bytes: is 268435457, with cache.max_bytes 805306369 together; expected at most 805306368 together, \
          since a VM of Envoy has 1 GiB"
        ]
    );
    for wrong in [1_048_575, 536_870_913] {
        let expected = format!("max_pending_bytes: found {wrong}, expected an integer from 1048576 to 536870912");
        assert_eq!(with(wrong, json!({"ttl": "5s"})), [expected]);
    }
}
