//! Any interleaving of requests, session changes and calls: completed changes are shown, ended sessions never.

use super::emulator::{Call, Request, Root, Stream, StreamDestruction, Vm};
use super::write_back::{KILL, SET, respond_with_headers, write_back_config};
use super::{NONE, token};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

/// rest-sessions with one session, which executes each call at one time and responds to it at another.
struct Store {
    /// The number of changes to the session; `None` once it has ended.
    version: Option<u64>,
    /// The executed calls without a response, and the version after each.
    executed: BTreeMap<u32, Option<u64>>,
}

impl Store {
    fn execute(&mut self, call: &Call) {
        if call.path().contains("/kill/") {
            self.version = None;
        } else if call.path().contains("/set/") {
            self.version = self.version.map(|version| version + 1);
        }
        self.executed.insert(call.id, self.version);
    }

    fn response_body(call: &Call, version: Option<u64>) -> String {
        match version {
            _ if call.path().contains("/kill/") => r#"{"kill":1}"#.to_owned(),
            Some(version) => json!({"id": "user123", "ttl": 7200, "w": version}).to_string(),
            None => NONE.to_owned(),
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    /// A request at a worker. Its upstream response changes the session, ends it, or does neither.
    Request { worker: usize, change: Option<(&'static str, &'static str)> },
    /// The upstream responds to a request.
    UpstreamResponse { index: usize },
    /// rest-sessions executes a call.
    Execute { index: usize },
    /// rest-sessions responds to an executed call.
    Respond { index: usize },
    /// The connection of a call is reset, executed or not.
    Fail { index: usize },
}

fn event() -> impl Strategy<Value = Event> {
    let change = prop_oneof![8 => Just(None), 8 => Just(Some(SET)), 1 => Just(Some(KILL))];
    prop_oneof![
        4 => (0usize..2, change).prop_map(|(worker, change)| Event::Request { worker, change }),
        4 => any::<usize>().prop_map(|index| Event::UpstreamResponse { index }),
        4 => any::<usize>().prop_map(|index| Event::Execute { index }),
        4 => any::<usize>().prop_map(|index| Event::Respond { index }),
        1 => any::<usize>().prop_map(|index| Event::Fail { index }),
    ]
}

struct Client {
    stream: Stream,
    change: Option<(&'static str, &'static str)>,
    responded: bool,
    /// The newest version among the responses before it; `None` if one of them had ended the session.
    min_version: Option<u64>,
}

struct Simulation {
    vm: Vm,
    workers: Vec<Root>,
    store: Store,
    clients: Vec<Client>,
    /// The version that the next request must see at least; `None` once the session must not be served.
    min_version: Option<u64>,
}

impl Simulation {
    fn apply(&mut self, event: &Event) {
        let select = |calls: Vec<Call>, index: usize| (!calls.is_empty()).then(|| calls[index % calls.len()].clone());
        let calls = self.vm.calls();
        match *event {
            Event::Request { worker, change } => {
                let stream = self.vm.request_on(self.workers[worker], Request::get("/").token(&token(1)));
                self.clients.push(Client { stream, change, responded: false, min_version: self.min_version });
            }
            Event::UpstreamResponse { index } => {
                let ready = self.clients.iter_mut().filter(|client| client.stream.passed() && !client.responded);
                let mut ready: Vec<_> = ready.collect();
                let count = ready.len();
                if count > 0 {
                    let client = ready.swap_remove(index % count);
                    client.responded = true;
                    respond_with_headers(client.stream, client.change.as_slice());
                }
            }
            Event::Execute { index } => {
                let pending = calls.into_iter().filter(|call| !self.store.executed.contains_key(&call.id)).collect();
                if let Some(call) = select(pending, index) {
                    self.store.execute(&call);
                }
            }
            Event::Respond { index } => {
                let executed = calls.into_iter().filter(|call| self.store.executed.contains_key(&call.id)).collect();
                if let Some(call) = select(executed, index) {
                    let version = self.store.executed.remove(&call.id).expect("the call is executed");
                    self.vm.respond(&call, 200, Store::response_body(&call, version));
                    // The upstream response that was held for a change has passed with it.
                    match version {
                        _ if call.path().contains("/get/") => {}
                        Some(version) => {
                            self.min_version = self.min_version.map(|min_version| min_version.max(version))
                        }
                        None => self.min_version = None,
                    }
                }
            }
            Event::Fail { index } => {
                if let Some(call) = select(calls, index) {
                    self.store.executed.remove(&call.id);
                    self.vm.reset(&call);
                }
            }
        }
        for Client { stream, min_version, .. } in &self.clients {
            if stream.passed() {
                let shown: u64 = stream
                    .upstream_header("x-session-writes")
                    .expect("the version is annotated")
                    .parse()
                    .expect("the version is a number");
                assert!(
                    min_version.is_some_and(|min_version| shown >= min_version),
                    "version {shown} was annotated, at least {min_version:?} was expected"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_shows_completed_changes_and_never_an_ended_session(
        events in proptest::collection::vec(event(), 1..120),
        destruction in prop_oneof![Just(StreamDestruction::Immediate), Just(StreamDestruction::Deferred)],
    ) {
        let mut configuration = write_back_config();
        configuration["rest_sessions"]["timeout"] = "60s".into();
        configuration["rest_sessions"]["breaker"] = "off".into();
        configuration["annotate"] = json!({"headers": {"x-session-writes": "w"}});
        let mut vm = Vm::with_config(configuration.clone());
        vm.set_stream_destruction(destruction);
        let workers = vec![vm.root(), vm.configure(configuration).expect("the configuration is accepted a second time")];
        let store = Store { version: Some(0), executed: BTreeMap::new() };
        let mut simulation = Simulation { vm, workers, store, clients: Vec::new(), min_version: Some(0) };
        for event in &events {
            simulation.apply(event);
        }
        // Every call is executed and gets its response, and every upstream response passes.
        for _ in 0..400 {
            for last in [Event::Execute { index: 0 }, Event::Respond { index: 0 }, Event::UpstreamResponse { index: 0 }] {
                simulation.apply(&last);
            }
        }
        prop_assert!(simulation.vm.calls().is_empty());
        prop_assert!(simulation.clients.iter().all(|client| !client.stream.is_paused()));
        // Both workers now annotate what the store holds.
        for worker in simulation.workers.clone() {
            let stream = simulation.vm.request_on(worker, Request::get("/").token(&token(1)));
            for call in simulation.vm.calls() {
                simulation.store.execute(&call);
                simulation.vm.respond(&call, 200, Store::response_body(&call, simulation.store.version));
            }
            let shown = stream.passed().then(|| stream.upstream_header("x-session-writes").expect("the version is annotated"));
            prop_assert_eq!(shown, simulation.store.version.map(|version| version.to_string()));
        }
    }
}
