//! Responses that change and end sessions: the calls that they wait for, in whatever order these are done and answered.

use super::emulator::{Call, Request, Root, Stream, StreamDestruction, Vm};
use super::{NONE, SESSION, config, token, waiting};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const SET: (&str, &str) = ("x-session-set", r#"{"cart":3}"#);
const KILL: (&str, &str) = ("x-session-kill", "1");
const NO_TRAILERS: Option<[(&str, &str); 0]> = None;

fn writing() -> Value {
    config(json!({"write_back": {}, "cache": {"ttl": "1h"}}))
}

/// A request that has gone upstream with the session of the first token.
fn served(vm: &mut Vm) -> Stream {
    let stream = vm.request(Request::get("/").token(&token(1)));
    if stream.is_paused() {
        let call = vm.call();
        vm.respond(&call, 200, SESSION);
    }
    assert!(stream.passed());
    stream
}

fn responds(stream: Stream, headers: &[(&str, &str)]) {
    let status = [(":status", "200"), ("x-other", "stays")];
    stream.upstream_responds_with(status.iter().chain(headers).copied(), b"upstream", NO_TRAILERS);
}

fn client_values(stream: Stream, name: &str) -> Vec<String> {
    let headers = stream.client_headers();
    let values = headers.iter().filter(|(found, _)| found == name.as_bytes());
    values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
}

#[test]
fn the_response_waits_for_its_change_and_shows_nothing_of_it() {
    for ending in [StreamDestruction::Immediate, StreamDestruction::Deferred] {
        let mut vm = Vm::with_config(writing());
        vm.set_stream_destruction(ending);
        let stream = served(&mut vm);
        responds(stream, &[SET]);
        let call = vm.call();
        assert!(call.path().contains("/set/") && stream.client_body().is_empty());
        vm.respond(&call, 200, r#"{"id":"user123","ttl":7200,"d":{"cart":3}}"#);
        assert_eq!(
            (client_values(stream, "x-session-set"), client_values(stream, "x-other")),
            (vec![], vec!["stays".to_owned()])
        );
        assert_eq!(stream.client_body(), b"upstream");
        // What the change was answered with serves from now on.
        let next = vm.request(Request::get("/").token(&token(1)));
        assert_eq!(next.upstream_header("x-session-data").as_deref(), Some(r#"{"cart":3}"#));
        assert_eq!((vm.counter("write_backs_total"), vm.gauge("in_flight")), (1, 0));
    }
}

#[test]
fn whatever_becomes_of_the_call_the_response_goes_on_and_no_old_answer_serves() {
    type End = fn(&mut Vm, &Call);
    let ends: [(End, bool); 8] = [
        (|vm, call| vm.respond(call, 200, SESSION), true),
        (|vm, call| vm.respond(call, 200, NONE), true),
        (|vm, call| vm.respond(call, 200, "junk"), false),
        (|vm, call| vm.respond(call, 413, ""), false),
        (|vm, call| vm.respond(call, 500, ""), false),
        (|vm, call| vm.refuse_connection(call), false),
        (|vm, call| vm.reset(call), false),
        (|vm, call| vm.time_out(call), false),
    ];
    for (number, (end, done)) in ends.into_iter().enumerate() {
        let mut vm = Vm::with_config(writing());
        let stream = served(&mut vm);
        responds(stream, &[SET]);
        let call = vm.call();
        end(&mut vm, &call);
        assert_eq!(stream.client_body(), b"upstream", "end {number}");
        assert_eq!(vm.counter("write_backs_total"), u64::from(done), "end {number}");
        assert_eq!(vm.counter("write_back_failures_total"), u64::from(!done), "end {number}");
        let next = vm.request(Request::get("/").token(&token(1)));
        match number {
            0 => assert!(next.passed()),
            1 => assert!(next.denial_status() == Some(401)),
            _ => {
                assert!(next.is_paused(), "end {number}: nobody knows what the session holds now");
                let call = vm.call();
                vm.respond(&call, 200, SESSION);
            }
        }
    }
}

#[test]
fn a_failure_replaces_the_response_where_the_configuration_says_so() {
    let mut configuration = writing();
    configuration["write_back"] = json!({"on_failure": "deny"});
    let mut vm = Vm::with_config(configuration);
    let stream = served(&mut vm);
    responds(stream, &[SET]);
    let call = vm.call();
    vm.respond(&call, 500, "");
    assert_eq!(stream.denial(), Some((503, "sessions_unavailable".to_owned())));
    // The host takes no call at all.
    let stream = served(&mut vm);
    vm.set_cluster("rest-sessions", None);
    responds(stream, &[SET]);
    assert_eq!(stream.denial(), Some((503, "sessions_unavailable".to_owned())));
}

#[test]
fn a_client_that_leaves_first_is_told_nothing_and_nobody_else_is_in_its_stead() {
    let mut vm = Vm::with_config(writing());
    let gone = served(&mut vm);
    responds(gone, &[KILL]);
    let kill = vm.call();
    gone.disconnect();
    let heir = vm.request_reusing_id(gone, Request::get("/").token(&token(2)));
    let asks = vm.calls().into_iter().find(|call| call.path().contains("/get/")).expect("it asks");
    vm.respond(&asks, 200, SESSION);
    responds(heir, &[SET]);
    let set = vm.calls().into_iter().find(|call| call.path().contains("/set/")).expect("it changes its session");
    vm.respond(&kill, 200, r#"{"kill":1}"#);
    assert!(heir.client_body().is_empty(), "it waits for its own change");
    vm.respond(&set, 200, SESSION);
    assert_eq!(heir.client_body(), b"upstream");
    assert!(client_values(heir, "set-cookie").is_empty());
    let (next, call) = waiting(&mut vm, "/");
    vm.respond(&call, 200, NONE);
    assert!(next.denial().is_some());
}

#[test]
fn a_response_that_the_filter_does_not_get_to_see_does_not_reach_the_client() {
    let mut vm = Vm::with_config(writing());
    let stream = served(&mut vm);
    vm.refuse_header_changes();
    responds(stream, &[SET]);
    assert_eq!(stream.denial_status(), Some(503));
    assert!(vm.calls().is_empty());
}

#[test]
fn an_open_request_may_change_its_session_and_is_watched_all_the_same() {
    let mut configuration = writing();
    configuration["default"] = json!({"session": "required", "recheck": "10s", "max_staleness": "0s"});
    let mut vm = Vm::with_config(configuration);
    vm.set_stream_destruction(StreamDestruction::Manual);
    let stream = served(&mut vm);
    responds(stream, &[SET]);
    let set = vm.call();
    vm.advance(Duration::from_millis(100));
    vm.respond(&set, 200, SESSION);
    assert!(!stream.client_body().is_empty() && !stream.is_gone());
    vm.advance(Duration::from_secs(10));
    let call = vm.call();
    vm.respond(&call, 200, NONE);
    assert!(stream.is_gone());
    assert_eq!(vm.counter("recheck_closed_total"), 1);
}

/// rest-sessions with one session, which does each call at one time and answers it at another.
struct Store {
    /// How often the session was changed; nothing once it has ended.
    version: Option<u64>,
    /// Calls that are done, and the version that each left behind.
    done: BTreeMap<u32, Option<u64>>,
}

impl Store {
    fn does(&mut self, call: &Call) {
        if call.path().contains("/kill/") {
            self.version = None;
        } else if call.path().contains("/set/") {
            self.version = self.version.map(|version| version + 1);
        }
        self.done.insert(call.id, self.version);
    }

    fn answer(call: &Call, version: Option<u64>) -> String {
        match version {
            _ if call.path().contains("/kill/") => r#"{"kill":1}"#.to_owned(),
            Some(version) => json!({"id": "user123", "ttl": 7200, "w": version}).to_string(),
            None => NONE.to_owned(),
        }
    }
}

#[derive(Clone, Debug)]
enum Happening {
    /// A request at a worker; its response changes the session, ends it, or says nothing.
    Begins {
        worker: usize,
        says: Option<(&'static str, &'static str)>,
    },
    /// The upstream of one of them answers.
    Responds {
        place: usize,
    },
    Does {
        place: usize,
    },
    Answers {
        place: usize,
    },
    /// A call is lost, done or not.
    Fails {
        place: usize,
    },
}

fn happening() -> impl Strategy<Value = Happening> {
    let says = prop_oneof![8 => Just(None), 8 => Just(Some(SET)), 1 => Just(Some(KILL))];
    prop_oneof![
        4 => (0usize..2, says).prop_map(|(worker, says)| Happening::Begins { worker, says }),
        4 => any::<usize>().prop_map(|place| Happening::Responds { place }),
        4 => any::<usize>().prop_map(|place| Happening::Does { place }),
        4 => any::<usize>().prop_map(|place| Happening::Answers { place }),
        1 => any::<usize>().prop_map(|place| Happening::Fails { place }),
    ]
}

struct Client {
    stream: Stream,
    says: Option<(&'static str, &'static str)>,
    responded: bool,
    /// The version that responses had brought about when it came, or that the session had ended.
    least: Option<u64>,
}

struct Storm {
    vm: Vm,
    workers: Vec<Root>,
    store: Store,
    clients: Vec<Client>,
    /// What whoever comes now must see.
    least: Option<u64>,
}

impl Storm {
    fn happens(&mut self, what: &Happening) {
        let any = |calls: Vec<Call>, place: usize| (!calls.is_empty()).then(|| calls[place % calls.len()].clone());
        let calls = self.vm.calls();
        match *what {
            Happening::Begins { worker, says } => {
                let stream = self.vm.request_on(self.workers[worker], Request::get("/").token(&token(1)));
                self.clients.push(Client { stream, says, responded: false, least: self.least });
            }
            Happening::Responds { place } => {
                let ready = self.clients.iter_mut().filter(|client| client.stream.passed() && !client.responded);
                let mut ready: Vec<_> = ready.collect();
                let count = ready.len();
                if count > 0 {
                    let client = ready.swap_remove(place % count);
                    client.responded = true;
                    responds(client.stream, client.says.as_slice());
                }
            }
            Happening::Does { place } => {
                let undone = calls.into_iter().filter(|call| !self.store.done.contains_key(&call.id)).collect();
                if let Some(call) = any(undone, place) {
                    self.store.does(&call);
                }
            }
            Happening::Answers { place } => {
                let done = calls.into_iter().filter(|call| self.store.done.contains_key(&call.id)).collect();
                if let Some(call) = any(done, place) {
                    let version = self.store.done.remove(&call.id).expect("it is done");
                    self.vm.respond(&call, 200, Store::answer(&call, version));
                    // The response that waited for a change has gone out with it.
                    match version {
                        _ if call.path().contains("/get/") => {}
                        Some(version) => self.least = self.least.map(|least| least.max(version)),
                        None => self.least = None,
                    }
                }
            }
            Happening::Fails { place } => {
                if let Some(call) = any(calls, place) {
                    self.store.done.remove(&call.id);
                    self.vm.reset(&call);
                }
            }
        }
        for Client { stream, least, .. } in &self.clients {
            if stream.passed() {
                let shown: u64 =
                    stream.upstream_header("x-session-writes").expect("a version").parse().expect("a number");
                assert!(least.is_some_and(|least| shown >= least), "{shown} was shown, and {least:?} before");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_comes_after_a_response_sees_its_change_and_never_a_session_that_it_ended(
        happenings in proptest::collection::vec(happening(), 1..120),
        ending in prop_oneof![Just(StreamDestruction::Immediate), Just(StreamDestruction::Deferred)],
    ) {
        let mut configuration = writing();
        configuration["rest_sessions"]["timeout"] = "60s".into();
        configuration["rest_sessions"]["breaker"] = "off".into();
        configuration["annotate"] = json!({"headers": {"x-session-writes": "w"}});
        let mut vm = Vm::with_config(configuration.clone());
        vm.set_stream_destruction(ending);
        let workers = vec![vm.root(), vm.configure(configuration).expect("the configuration is accepted once more")];
        let store = Store { version: Some(0), done: BTreeMap::new() };
        let mut storm = Storm { vm, workers, store, clients: Vec::new(), least: Some(0) };
        for happening in &happenings {
            storm.happens(happening);
        }
        // All calls are done and answered, and all responses go out.
        for _ in 0..400 {
            for last in [Happening::Does { place: 0 }, Happening::Answers { place: 0 }, Happening::Responds { place: 0 }] {
                storm.happens(&last);
            }
        }
        prop_assert!(storm.vm.calls().is_empty());
        prop_assert!(storm.clients.iter().all(|client| !client.stream.is_paused()));
        // What both workers show now is what the store holds.
        for worker in storm.workers.clone() {
            let stream = storm.vm.request_on(worker, Request::get("/").token(&token(1)));
            for call in storm.vm.calls() {
                storm.store.does(&call);
                storm.vm.respond(&call, 200, Store::answer(&call, storm.store.version));
            }
            let shown = stream.passed().then(|| stream.upstream_header("x-session-writes").expect("a version"));
            prop_assert_eq!(shown, storm.store.version.map(|version| version.to_string()));
        }
    }
}
