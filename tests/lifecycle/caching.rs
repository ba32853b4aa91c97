//! Answers that are kept: by one worker, and by two that share what they know. A second configuration of the same VM
//! stands for a second worker: it has a cache of its own, and the host's shared data in common with the first.

use super::emulator::{Call, Request, Stream, Vm};
use super::{NONE, SESSION, assert_counters, config, token};
use serde_json::{Value, json};
use std::time::Duration;

fn cached(cache: Value) -> Value {
    config(json!({
        "cache": cache,
        "rules": [
            {"match": {"paths": ["/now/*"]}, "session": "required", "max_staleness": "0s"},
            {"match": {"paths": ["/lately/*"]}, "session": "required", "max_staleness": "2s"},
            {"match": {"paths": ["/patient/*"]}, "session": "required",
             "rest_sessions": {"cluster": "rest-sessions", "timeout": "10s"}},
        ],
    }))
}

fn five_seconds() -> Value {
    cached(json!({"ttl": "5s"}))
}

fn get(vm: &mut Vm, path: &str) -> Stream {
    vm.request(Request::get(path).token(&token(1)))
}

/// A request that asks, is answered with this, and is over.
fn asks(vm: &mut Vm, path: &str, body: &str) -> Stream {
    let stream = get(vm, path);
    assert!(stream.is_paused(), "it did not ask");
    let call = vm.call();
    vm.respond(&call, 200, body);
    stream
}

fn status(stream: Stream) -> u32 {
    stream.denial().map_or(200, |(status, _)| status)
}

#[track_caller]
fn served(vm: &mut Vm, path: &str) {
    let stream = get(vm, path);
    assert_eq!(stream.upstream_header("x-session-user").as_deref(), Some("user123"), "{:?}", stream.local_reply());
}

#[track_caller]
fn must_ask(vm: &mut Vm, path: &str) -> Call {
    let stream = get(vm, path);
    assert!(stream.is_paused(), "it was served from the cache");
    vm.call()
}

#[test]
fn a_kept_answer_serves_without_a_call_until_its_time_is_over() {
    let mut vm = Vm::with_config(five_seconds());
    asks(&mut vm, "/", SESSION);
    assert_eq!(vm.gauge("cache_entries"), 1);
    served(&mut vm, "/");
    vm.advance(Duration::from_millis(4_999));
    served(&mut vm, "/");
    assert_eq!(vm.counter("calls_total"), 1);
    assert_counters(&vm, &[("allowed_total", 3), ("cache_misses_total", 1), ("cache_hits_total", 2)]);
    vm.advance(Duration::from_millis(1));
    let call = must_ask(&mut vm, "/");
    vm.respond(&call, 200, SESSION);
}

#[test]
fn that_there_is_no_session_is_kept_for_its_own_time() {
    let mut vm = Vm::with_config(cached(json!({"ttl": "5s", "negative_ttl": "300ms"})));
    asks(&mut vm, "/", NONE);
    assert_eq!(status(get(&mut vm, "/")), 401);
    assert_counters(
        &vm,
        &[("denied_no_session_total", 2), ("cache_misses_total", 1), ("cache_negative_hits_total", 1)],
    );
    vm.advance(Duration::from_millis(300));
    let call = must_ask(&mut vm, "/");
    vm.respond(&call, 200, NONE);
}

#[test]
fn outages_and_bad_answers_are_not_kept() {
    let mut vm = Vm::with_config(five_seconds());
    for (code, body) in [(500, "{}"), (404, "{}"), (200, "junk")] {
        let call = must_ask(&mut vm, "/");
        vm.respond(&call, code, body);
    }
    assert_eq!(vm.gauge("cache_entries"), 0);
    asks(&mut vm, "/", SESSION);
}

#[test]
fn a_session_that_does_not_slide_is_not_served_past_its_end_even_in_an_outage() {
    let mut vm = Vm::with_config(cached(json!({"ttl": "5s", "stale_if_error": "1m"})));
    asks(&mut vm, "/", r#"{"id":"user123","ttl":2,"no_resave":true}"#);
    vm.advance(Duration::from_millis(1_999));
    served(&mut vm, "/");
    vm.advance(Duration::from_millis(1));
    let stream = get(&mut vm, "/");
    let call = vm.call();
    vm.refuse_connection(&call);
    assert_eq!(status(stream), 503);
}

#[test]
fn a_session_that_slides_is_asked_for_before_half_of_its_time_is_over() {
    let mut vm = Vm::with_config(five_seconds());
    asks(&mut vm, "/", r#"{"id":"user123","ttl":4}"#);
    vm.advance(Duration::from_millis(1_999));
    served(&mut vm, "/");
    vm.advance(Duration::from_millis(1));
    asks(&mut vm, "/", SESSION);
}

#[test]
fn an_answer_past_its_time_serves_in_an_outage_and_no_longer_than_allowed() {
    let mut vm = Vm::with_config(cached(json!({"ttl": "1s", "stale_if_error": "3s"})));
    asks(&mut vm, "/", SESSION);
    vm.advance(Duration::from_secs(2));
    let stream = get(&mut vm, "/");
    let strict = get(&mut vm, "/now/a");
    let call = vm.call();
    vm.refuse_connection(&call);
    assert_eq!(stream.upstream_header("x-session-user").as_deref(), Some("user123"));
    assert_eq!(status(strict), 503, "it takes nothing that is older than now");
    vm.advance(Duration::from_millis(1_999));
    let last = get(&mut vm, "/");
    let call = vm.call();
    vm.respond(&call, 500, "{}");
    assert!(last.passed());
    vm.advance(Duration::from_millis(1));
    let late = get(&mut vm, "/");
    let call = vm.call();
    vm.respond(&call, 500, "{}");
    assert_eq!(status(late), 503);
    assert_eq!(vm.counter("cache_stale_total"), 2);
}

#[test]
fn a_bad_answer_is_no_outage_and_brings_nothing_stale_back() {
    let mut vm = Vm::with_config(cached(json!({"ttl": "1s", "stale_if_error": "1h"})));
    asks(&mut vm, "/", SESSION);
    vm.advance(Duration::from_secs(2));
    assert_eq!(status(asks(&mut vm, "/", "junk")), 503);
}

#[test]
fn a_rule_may_take_fresh_answers_alone() {
    let mut vm = Vm::with_config(five_seconds());
    asks(&mut vm, "/", SESSION);
    asks(&mut vm, "/now/a", SESSION);
    vm.advance(Duration::from_secs(2));
    served(&mut vm, "/lately/a");
    vm.advance(Duration::from_millis(1));
    let call = must_ask(&mut vm, "/lately/a");
    let joined = get(&mut vm, "/now/a");
    assert!(joined.is_paused());
    vm.respond(&call, 200, SESSION);
    assert!(joined.passed(), "to join a call that is under way is asking");
    assert_eq!(vm.counter("calls_total"), 3);
}

#[test]
fn a_session_that_is_found_gone_is_not_served_any_more() {
    let mut vm = Vm::with_config(five_seconds());
    asks(&mut vm, "/", SESSION);
    assert_eq!(status(asks(&mut vm, "/now/a", NONE)), 401);
    assert_eq!(status(get(&mut vm, "/")), 401);
    assert_eq!(vm.counter("ends_total"), 1);
}

#[test]
fn a_token_that_nobody_knew_is_no_end() {
    let mut vm = Vm::with_config(five_seconds());
    asks(&mut vm, "/", NONE);
    assert_eq!(vm.counter("ends_total"), 0);
}

#[test]
fn junk_tokens_do_not_push_a_session_out() {
    let mut vm = Vm::with_config(cached(json!({"ttl": "5s", "max_bytes": 65_536})));
    asks(&mut vm, "/", SESSION);
    for junk in 2..300 {
        vm.request(Request::get("/").token(&token(junk)));
        let call = vm.call();
        vm.respond(&call, 200, NONE);
    }
    served(&mut vm, "/");
    assert!(vm.gauge("cache_bytes") <= 65_536);
    assert!(vm.counter("cache_evictions_total") > 200);
}

#[test]
fn what_is_kept_goes_with_its_configuration() {
    let mut vm = Vm::with_config(five_seconds());
    let root = vm.root();
    asks(&mut vm, "/", SESSION);
    assert!(vm.gauge("cache_bytes") > 0);
    vm.configure(config(json!({}))).unwrap();
    vm.retire(root);
    assert_eq!((vm.gauge("cache_bytes"), vm.gauge("cache_entries")), (0, 0));
}

#[test]
fn after_outages_in_a_row_nobody_asks_until_one_tries() {
    let mut vm = Vm::with_config(config(json!({})));
    for _ in 0..5 {
        let call = must_ask(&mut vm, "/");
        vm.respond(&call, 500, "{}");
    }
    assert_eq!(status(get(&mut vm, "/")), 503);
    vm.advance(Duration::from_secs(1));
    let call = must_ask(&mut vm, "/");
    assert_eq!(status(vm.request(Request::get("/").token(&token(2)))), 503, "one tries alone");
    vm.respond(&call, 200, SESSION);
    assert!(vm.request(Request::get("/").token(&token(2))).is_paused());
    let call = vm.call();
    vm.respond(&call, 200, NONE);
    assert_eq!(vm.counter("call_failures_breaker_total"), 2);
    assert_eq!(vm.counter("calls_total"), 7);
}

/// Runs a request on one of the workers.
type Get = dyn Fn(&mut Vm, usize, &str) -> Stream;

/// Two of them.
struct Workers {
    vm: Vm,
    get: Box<Get>,
}

impl Workers {
    fn new(configuration: &Value) -> Self {
        let mut vm = Vm::with_config(configuration.clone());
        let first = vm.root();
        let roots = [first, vm.configure(configuration.clone()).unwrap()];
        let get = move |vm: &mut Vm, worker: usize, path: &str| {
            vm.request_on(roots[worker], Request::get(path).token(&token(1)))
        };
        Self { vm, get: Box::new(get) }
    }

    fn get(&mut self, worker: usize, path: &str) -> Stream {
        (self.get)(&mut self.vm, worker, path)
    }

    fn asks(&mut self, worker: usize, path: &str, body: &str) -> Stream {
        let stream = self.get(worker, path);
        assert!(stream.is_paused(), "it did not ask");
        let call = self.vm.call();
        self.vm.respond(&call, 200, body);
        stream
    }
}

#[test]
fn an_answer_that_one_worker_asked_for_serves_the_other() {
    let mut workers = Workers::new(&five_seconds());
    workers.asks(0, "/", SESSION);
    for _ in 0..2 {
        assert_eq!(workers.get(1, "/").upstream_header("x-session-user").as_deref(), Some("user123"));
    }
    let vm = &workers.vm;
    assert_eq!(vm.counter("calls_total"), 1);
    assert_counters(
        vm,
        &[("allowed_total", 3), ("cache_misses_total", 1), ("cache_shared_hits_total", 1), ("cache_hits_total", 1)],
    );
    workers.vm.advance(Duration::from_secs(5));
    // It is no fresher there than where it was asked for.
    workers.asks(1, "/", SESSION);
}

#[test]
fn an_end_that_one_worker_learns_of_is_seen_by_the_other_from_the_next_request_on() {
    let mut workers = Workers::new(&cached(json!({"ttl": "1h", "stale_if_error": "1h"})));
    workers.asks(0, "/", SESSION);
    assert!(workers.get(1, "/").passed());
    assert_eq!(status(workers.asks(1, "/now/a", NONE)), 401);
    let next = workers.get(0, "/");
    assert!(next.is_paused(), "it must ask");
    let call = workers.vm.call();
    workers.vm.refuse_connection(&call);
    assert_eq!(status(next), 503, "nor may it serve in an outage");
    assert_eq!(workers.vm.counter("ends_total"), 1);
}

#[test]
fn a_worker_that_holds_nothing_itself_still_tells_those_who_may() {
    let mut workers = Workers::new(&five_seconds());
    workers.asks(0, "/", SESSION);
    assert_eq!(status(workers.asks(1, "/now/a", NONE)), 401);
    workers.asks(0, "/", NONE);
    assert_eq!(workers.vm.counter("ends_total"), 1);
}

#[test]
fn who_waits_for_a_call_that_began_before_an_end_asks_again() {
    let mut workers = Workers::new(&five_seconds());
    workers.asks(1, "/", SESSION);
    let waiting = workers.get(0, "/now/a");
    let early = workers.vm.call();
    let gone = workers.get(1, "/now/a");
    let learns = workers.vm.calls().into_iter().find(|call| call.id != early.id).unwrap();
    workers.vm.respond(&learns, 200, NONE);
    assert_eq!(status(gone), 401);

    let later = workers.get(0, "/now/a");
    assert_eq!(workers.vm.calls().len(), 2, "a request after the end does not join the call from before");
    workers.vm.respond(&early, 200, SESSION);
    assert!(waiting.is_paused(), "what was true before the end is told to nobody");
    let again = workers.vm.call();
    workers.vm.respond(&again, 200, NONE);
    assert_eq!((status(waiting), status(later)), (401, 401));
    assert_eq!(status(workers.get(0, "/")), 401);
}

#[test]
fn who_asks_again_waits_no_longer_than_its_timeout() {
    let mut workers = Workers::new(&five_seconds());
    workers.asks(1, "/", SESSION);
    let waiting = workers.get(0, "/now/a");
    let early = workers.vm.call();
    workers.vm.advance(Duration::from_millis(300));
    workers.asks_beside(&early);
    workers.vm.respond(&early, 200, SESSION);
    assert!(waiting.is_paused());
    workers.vm.advance(Duration::from_millis(200));
    assert_eq!(status(waiting), 503);
}

impl Workers {
    /// The second worker learns that the session is gone, while another call is under way.
    fn asks_beside(&mut self, other: &Call) {
        let gone = self.get(1, "/now/a");
        let call = self.vm.calls().into_iter().find(|call| call.id != other.id).unwrap();
        self.vm.respond(&call, 200, NONE);
        assert_eq!(status(gone), 401);
    }
}

#[test]
fn workers_that_share_nothing_ask_for_themselves() {
    let mut workers = Workers::new(&cached(json!({"ttl": "5s", "shared": false})));
    workers.asks(0, "/", SESSION);
    workers.asks(1, "/", SESSION);
    assert!(workers.get(0, "/").passed());
    assert_eq!(workers.vm.counter("calls_total"), 2);
}

#[test]
fn a_shared_answer_of_another_app_or_service_serves_nobody() {
    let mut workers = Workers::new(&five_seconds());
    workers.asks(0, "/", SESSION);
    for other in [json!({"app": "other"}), json!({"rest_sessions": {"cluster": "rest-sessions", "path_prefix": "/b"}})]
    {
        let mut configuration = five_seconds();
        for (key, value) in other.as_object().unwrap() {
            configuration[key] = value.clone();
        }
        let root = workers.vm.configure(configuration).unwrap();
        let stream = workers.vm.request_on(root, Request::get("/").token(&token(1)));
        assert!(stream.is_paused());
        let call = workers.vm.call();
        workers.vm.respond(&call, 200, NONE);
    }
    assert_eq!(workers.vm.counter("ends_total"), 0, "they are other sessions");
    assert!(workers.get(0, "/").passed());
}
