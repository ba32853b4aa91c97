//! The cache shared by two workers. A second configuration in the same VM stands for the second worker: it has a cache
//! of its own, and shares the host's shared data with the first.

use super::caching::{cached, five_second_ttl};
use super::emulator::{Call, Request, Root, Stream, Vm};
use super::{NONE, SESSION, assert_counters, client_status, token};
use serde_json::{Value, json};
use std::time::Duration;

/// Two workers with the same configuration.
struct Workers {
    vm: Vm,
    roots: [Root; 2],
}

impl Workers {
    fn new(configuration: &Value) -> Self {
        let mut vm = Vm::with_config(configuration.clone());
        let first = vm.root();
        let second = vm.configure(configuration.clone()).expect("the configuration is accepted a second time");
        Self { vm, roots: [first, second] }
    }

    /// A request with the first token at one of the workers.
    fn request(&mut self, worker: usize, path: &str) -> Stream {
        self.vm.request_on(self.roots[worker], Request::get(path).token(&token(1)))
    }

    /// A request that is not served from the cache, and whose lookup has this response.
    fn resolved_request(&mut self, worker: usize, path: &str, body: &str) -> Stream {
        let stream = self.request(worker, path);
        assert!(stream.is_paused(), "the request was served from the cache, a call was expected");
        let call = self.vm.call();
        self.vm.respond(&call, 200, body);
        stream
    }

    /// The second worker finds that the session has ended, while `other` is in flight.
    fn find_end_beside(&mut self, other: &Call) {
        let denied = self.request(1, "/now/a");
        let call = self.vm.calls().into_iter().find(|call| call.id != other.id).expect("a second call is in flight");
        self.vm.respond(&call, 200, NONE);
        assert_eq!(client_status(denied), 401);
    }
}

#[test]
fn a_session_looked_up_by_one_worker_is_served_by_the_other() {
    let mut workers = Workers::new(&five_second_ttl());
    workers.resolved_request(0, "/", SESSION);
    for _ in 0..2 {
        assert_eq!(workers.request(1, "/").upstream_header("x-session-user").as_deref(), Some("user123"));
    }
    let vm = &workers.vm;
    assert_eq!(vm.counter("calls_total"), 1);
    assert_counters(
        vm,
        &[("allowed_total", 3), ("cache_misses_total", 1), ("cache_shared_hits_total", 1), ("cache_hits_total", 1)],
    );
    workers.vm.advance(Duration::from_secs(5));
    // Its age counts from its lookup, at both workers.
    workers.resolved_request(1, "/", SESSION);
}

#[test]
fn an_end_found_by_one_worker_applies_to_the_next_request_of_the_other() {
    let mut workers = Workers::new(&cached(json!({"ttl": "1h", "stale_if_error": "1h"})));
    workers.resolved_request(0, "/", SESSION);
    assert!(workers.request(1, "/").passed());
    assert_eq!(client_status(workers.resolved_request(1, "/now/a", NONE)), 401);
    let next = workers.request(0, "/");
    assert!(next.is_paused(), "a call was expected after the end");
    let call = workers.vm.call();
    workers.vm.refuse_connection(&call);
    assert_eq!(client_status(next), 503, "an ended session is not served as stale");
    assert_eq!(workers.vm.counter("ends_total"), 1);
}

#[test]
fn a_worker_without_the_cached_session_still_publishes_its_end() {
    let mut workers = Workers::new(&five_second_ttl());
    workers.resolved_request(0, "/", SESSION);
    assert_eq!(client_status(workers.resolved_request(1, "/now/a", NONE)), 401);
    workers.resolved_request(0, "/", NONE);
    assert_eq!(workers.vm.counter("ends_total"), 1);
}

#[test]
fn a_lookup_dispatched_before_an_end_is_discarded_and_repeated() {
    let mut workers = Workers::new(&five_second_ttl());
    workers.resolved_request(1, "/", SESSION);
    let pending = workers.request(0, "/now/a");
    let early = workers.vm.call();
    workers.find_end_beside(&early);

    let later = workers.request(0, "/now/a");
    assert_eq!(workers.vm.calls().len(), 2, "a request after the end does not join a call from before it");
    workers.vm.respond(&early, 200, SESSION);
    assert!(pending.is_paused(), "a response to a call from before the end is discarded");
    let again = workers.vm.call();
    workers.vm.respond(&again, 200, NONE);
    assert_eq!((client_status(pending), client_status(later)), (401, 401));
    assert_eq!(client_status(workers.request(0, "/")), 401);
}

#[test]
fn a_repeated_lookup_keeps_the_timeout_of_the_request() {
    let mut workers = Workers::new(&five_second_ttl());
    workers.resolved_request(1, "/", SESSION);
    let pending = workers.request(0, "/now/a");
    let early = workers.vm.call();
    workers.vm.advance(Duration::from_millis(300));
    workers.find_end_beside(&early);
    workers.vm.respond(&early, 200, SESSION);
    assert!(pending.is_paused());
    workers.vm.advance(Duration::from_millis(200));
    assert_eq!(client_status(pending), 503);
}

#[test]
fn workers_without_a_shared_cache_each_look_the_session_up() {
    let mut workers = Workers::new(&cached(json!({"ttl": "5s", "shared": false})));
    workers.resolved_request(0, "/", SESSION);
    workers.resolved_request(1, "/", SESSION);
    assert!(workers.request(0, "/").passed());
    assert_eq!(workers.vm.counter("calls_total"), 2);
}

#[test]
fn a_shared_session_is_not_served_for_another_app_or_service() {
    let mut workers = Workers::new(&five_second_ttl());
    workers.resolved_request(0, "/", SESSION);
    for other in [json!({"app": "other"}), json!({"rest_sessions": {"cluster": "rest-sessions", "path_prefix": "/b"}})]
    {
        let mut configuration = five_second_ttl();
        for (key, value) in other.as_object().unwrap() {
            configuration[key] = value.clone();
        }
        let root = workers.vm.configure(configuration).unwrap();
        let stream = workers.vm.request_on(root, Request::get("/").token(&token(1)));
        assert!(stream.is_paused());
        let call = workers.vm.call();
        workers.vm.respond(&call, 200, NONE);
    }
    assert_eq!(workers.vm.counter("ends_total"), 0, "the ends are of other sessions");
    assert!(workers.request(0, "/").passed());
}
