//! The cache of one worker: what is cached, for how long, and what evicts it.

use super::emulator::{Call, Request, Stream, Vm};
use super::{NONE, SESSION, assert_counters, client_status, config, resolved_request, token};
use serde_json::{Value, json};
use std::time::Duration;

/// A configuration with this cache: `/now/*` accepts no cached session, `/lately/*` none older than 2 s.
pub fn cached(cache: Value) -> Value {
    config(json!({
        "cache": cache,
        "rules": [
            {"match": {"paths": ["/now/*"]}, "session": "required", "max_staleness": "0s"},
            {"match": {"paths": ["/lately/*"]}, "session": "required", "max_staleness": "2s"},
        ],
    }))
}

pub fn five_second_ttl() -> Value {
    cached(json!({"ttl": "5s"}))
}

fn request(vm: &mut Vm, path: &str) -> Stream {
    vm.request(Request::get(path).token(&token(1)))
}

#[track_caller]
fn assert_cache_hit(vm: &mut Vm, path: &str) {
    let stream = request(vm, path);
    assert_eq!(stream.upstream_header("x-session-user").as_deref(), Some("user123"), "{:?}", stream.local_reply());
}

#[track_caller]
fn assert_cache_miss(vm: &mut Vm, path: &str) -> Call {
    let stream = request(vm, path);
    assert!(stream.is_paused(), "the request was served from the cache, a call was expected");
    vm.call()
}

#[test]
fn a_cached_session_is_served_without_a_call_until_its_ttl_is_over() {
    let mut vm = Vm::with_config(five_second_ttl());
    resolved_request(&mut vm, "/", SESSION);
    assert_eq!(vm.gauge("cache_entries"), 1);
    assert_cache_hit(&mut vm, "/");
    vm.advance(Duration::from_millis(4_999));
    assert_cache_hit(&mut vm, "/");
    assert_eq!(vm.counter("calls_total"), 1);
    assert_counters(&vm, &[("allowed_total", 3), ("cache_misses_total", 1), ("cache_hits_total", 2)]);
    vm.advance(Duration::from_millis(1));
    let call = assert_cache_miss(&mut vm, "/");
    vm.respond(&call, 200, SESSION);
}

#[test]
fn an_unknown_token_is_cached_for_the_negative_ttl() {
    let mut vm = Vm::with_config(cached(json!({"ttl": "5s", "negative_ttl": "300ms"})));
    resolved_request(&mut vm, "/", NONE);
    assert_eq!(client_status(request(&mut vm, "/")), 401);
    assert_counters(
        &vm,
        &[("denied_no_session_total", 2), ("cache_misses_total", 1), ("cache_negative_hits_total", 1)],
    );
    vm.advance(Duration::from_millis(300));
    let call = assert_cache_miss(&mut vm, "/");
    vm.respond(&call, 200, NONE);
}

#[test]
fn outages_and_invalid_responses_are_not_cached() {
    let mut vm = Vm::with_config(five_second_ttl());
    for (code, body) in [(500, "{}"), (404, "{}"), (200, "junk")] {
        let call = assert_cache_miss(&mut vm, "/");
        vm.respond(&call, code, body);
    }
    assert_eq!(vm.gauge("cache_entries"), 0);
    resolved_request(&mut vm, "/", SESSION);
}

#[test]
fn a_non_sliding_session_is_not_served_after_its_expiry_even_in_an_outage() {
    let mut vm = Vm::with_config(cached(json!({"ttl": "5s", "stale_if_error": "1m"})));
    resolved_request(&mut vm, "/", r#"{"id":"user123","ttl":2,"no_resave":true}"#);
    vm.advance(Duration::from_millis(1_999));
    assert_cache_hit(&mut vm, "/");
    vm.advance(Duration::from_millis(1));
    let stream = request(&mut vm, "/");
    let call = vm.call();
    vm.refuse_connection(&call);
    assert_eq!(client_status(stream), 503);
}

#[test]
fn a_sliding_session_is_looked_up_again_after_half_of_its_ttl() {
    let mut vm = Vm::with_config(five_second_ttl());
    resolved_request(&mut vm, "/", r#"{"id":"user123","ttl":4}"#);
    vm.advance(Duration::from_millis(1_999));
    assert_cache_hit(&mut vm, "/");
    vm.advance(Duration::from_millis(1));
    resolved_request(&mut vm, "/", SESSION);
}

#[test]
fn a_stale_session_is_served_in_an_outage_only_within_stale_if_error_and_max_staleness() {
    let mut vm = Vm::with_config(cached(json!({"ttl": "1s", "stale_if_error": "3s"})));
    resolved_request(&mut vm, "/", SESSION);
    vm.advance(Duration::from_secs(2));
    let stream = request(&mut vm, "/");
    let strict = request(&mut vm, "/now/a");
    let call = vm.call();
    vm.refuse_connection(&call);
    assert_eq!(stream.upstream_header("x-session-user").as_deref(), Some("user123"));
    assert_eq!(client_status(strict), 503, "max_staleness 0s accepts no cached session");
    vm.advance(Duration::from_millis(1_999));
    let last = request(&mut vm, "/");
    let call = vm.call();
    vm.respond(&call, 500, "{}");
    assert!(last.passed());
    vm.advance(Duration::from_millis(1));
    let late = request(&mut vm, "/");
    let call = vm.call();
    vm.respond(&call, 500, "{}");
    assert_eq!(client_status(late), 503);
    assert_eq!(vm.counter("cache_stale_total"), 2);
}

#[test]
fn in_an_outage_a_session_that_another_lookup_has_just_cached_is_used_and_is_not_stale() {
    let mut configuration = config(json!({"cache": {"ttl": "5s"}}));
    configuration["rules"] = json!([
        {"match": {"paths": ["/long-timeout"]}, "session": "required",
         "rest_sessions": {"cluster": "rest-sessions", "timeout": "10s"}},
    ]);
    let mut vm = Vm::with_config(configuration);
    let fails = request(&mut vm, "/long-timeout");
    let failing = vm.call();
    let succeeds = request(&mut vm, "/");
    let [_, answered] = <[Call; 2]>::try_from(vm.calls()).expect("a shorter timeout makes a call of its own");
    vm.respond(&answered, 200, SESSION);
    assert!(succeeds.passed());
    vm.refuse_connection(&failing);
    assert!(fails.passed());
    assert_counters(&vm, &[("allowed_total", 2), ("cache_misses_total", 2), ("call_failures_connect_total", 1)]);
}

#[test]
fn an_invalid_response_does_not_serve_a_stale_session() {
    let mut vm = Vm::with_config(cached(json!({"ttl": "1s", "stale_if_error": "1h"})));
    resolved_request(&mut vm, "/", SESSION);
    vm.advance(Duration::from_secs(2));
    assert_eq!(client_status(resolved_request(&mut vm, "/", "junk")), 503);
}

#[test]
fn max_staleness_limits_the_age_of_a_cached_session_per_rule() {
    let mut vm = Vm::with_config(five_second_ttl());
    resolved_request(&mut vm, "/", SESSION);
    resolved_request(&mut vm, "/now/a", SESSION);
    vm.advance(Duration::from_secs(2));
    assert_cache_hit(&mut vm, "/lately/a");
    vm.advance(Duration::from_millis(1));
    let call = assert_cache_miss(&mut vm, "/lately/a");
    let joined = request(&mut vm, "/now/a");
    assert!(joined.is_paused());
    vm.respond(&call, 200, SESSION);
    assert!(joined.passed(), "a request with max_staleness 0s joins a call in flight");
    assert_eq!(vm.counter("calls_total"), 3);
}

#[test]
fn a_lookup_that_finds_a_session_ended_removes_it_from_the_cache() {
    let mut vm = Vm::with_config(five_second_ttl());
    resolved_request(&mut vm, "/", SESSION);
    assert_eq!(client_status(resolved_request(&mut vm, "/now/a", NONE)), 401);
    assert_eq!(client_status(request(&mut vm, "/")), 401);
    assert_eq!(vm.counter("ends_total"), 1);
}

#[test]
fn an_unknown_token_that_was_never_active_does_not_count_as_an_end() {
    let mut vm = Vm::with_config(five_second_ttl());
    resolved_request(&mut vm, "/", NONE);
    assert_eq!(vm.counter("ends_total"), 0);
}

#[test]
fn unknown_tokens_do_not_evict_a_session() {
    let mut vm = Vm::with_config(cached(json!({"ttl": "5s", "max_bytes": 65_536})));
    resolved_request(&mut vm, "/", SESSION);
    for junk in 2..300 {
        vm.request(Request::get("/").token(&token(junk)));
        let call = vm.call();
        vm.respond(&call, 200, NONE);
    }
    assert_cache_hit(&mut vm, "/");
    assert!(vm.gauge("cache_bytes") <= 65_536);
    assert!(vm.counter("cache_evictions_total") > 200);
}

#[test]
fn the_cache_is_dropped_with_its_configuration() {
    let mut vm = Vm::with_config(five_second_ttl());
    let root = vm.root();
    resolved_request(&mut vm, "/", SESSION);
    assert!(vm.gauge("cache_bytes") > 0);
    vm.configure(config(json!({}))).unwrap();
    vm.retire(root);
    assert_eq!((vm.gauge("cache_bytes"), vm.gauge("cache_entries")), (0, 0));
}
