//! Any interleaving of requests, call responses, disconnects and time: no request gets another session than its own, no
//! request stays paused, every request is counted once.

use super::emulator::{FinalCallbackOrder, Request, Root, Stream, StreamDestruction, Vm};
use super::{NONE, three_routes, token};
use proptest::prelude::*;
use serde_json::json;
use std::collections::HashMap;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Required,
    /// Required, with `max_staleness` 0s.
    Uncached,
    Optional,
    Off,
}

/// What a client, the upstream, rest-sessions or the clock does. An `index` selects among the candidates, modulo their
/// number.
#[derive(Clone, Debug)]
enum Event {
    Request {
        route: Route,
        tokens: Vec<u32>,
        body: bool,
        /// The worker that serves it.
        worker: usize,
    },
    /// A new stream with the context id of a stream that is gone.
    ReusedId {
        index: usize,
        token: u32,
    },
    CallOutcome {
        index: usize,
        outcome: CallOutcome,
    },
    Disconnect {
        index: usize,
    },
    Body {
        index: usize,
    },
    Trailers {
        index: usize,
    },
    UpstreamResponse {
        index: usize,
    },
    Advance {
        ms: u64,
    },
}

#[derive(Clone, Copy, Debug)]
enum CallOutcome {
    /// The session of the token in the call.
    Active,
    None,
    Invalid,
    ServerError,
    ConnectionRefused,
    Reset,
}

fn event() -> impl Strategy<Value = Event> {
    let route = prop_oneof![
        3 => Just(Route::Required),
        1 => Just(Route::Uncached),
        1 => Just(Route::Optional),
        1 => Just(Route::Off),
    ];
    let outcome = prop_oneof![
        4 => Just(CallOutcome::Active),
        2 => Just(CallOutcome::None),
        1 => Just(CallOutcome::Invalid),
        1 => Just(CallOutcome::ServerError),
        1 => Just(CallOutcome::ConnectionRefused),
        1 => Just(CallOutcome::Reset),
    ];
    let index = any::<usize>();
    let token = 0u32..4;
    let tokens = prop_oneof![
        1 => Just(0..=0usize),
        3 => Just(1..=1),
        1 => Just(2..=3),
    ];
    let tokens = tokens.prop_flat_map(|count| proptest::sample::subsequence(vec![0, 1, 2, 3], count)).prop_shuffle();
    prop_oneof![
        6 => (route, tokens, any::<bool>(), any::<usize>())
            .prop_map(|(route, tokens, body, worker)| Event::Request { route, tokens, body, worker }),
        3 => (index, token).prop_map(|(index, token)| Event::ReusedId { index, token }),
        6 => (index, outcome).prop_map(|(index, outcome)| Event::CallOutcome { index, outcome }),
        3 => index.prop_map(|index| Event::Disconnect { index }),
        2 => index.prop_map(|index| Event::Body { index }),
        2 => index.prop_map(|index| Event::Trailers { index }),
        2 => index.prop_map(|index| Event::UpstreamResponse { index }),
        2 => (0u64..400).prop_map(|ms| Event::Advance { ms }),
    ]
}

/// A client with one request.
struct Client {
    stream: Stream,
    route: Route,
    tokens: Vec<u32>,
    /// Whether its request is incomplete.
    sending: bool,
    /// The step in which it arrived.
    arrived: usize,
    /// When it was first observed to have passed.
    passed: Option<Timestamp>,
}

/// A step in the order of events, and the time on the clock then.
#[derive(Clone, Copy, Debug, Default)]
struct Timestamp {
    step: usize,
    ms: u64,
}

/// When a call was dispatched, and the step in which it ended.
#[derive(Clone, Copy, Debug, Default)]
struct Lookup {
    dispatched: Timestamp,
    ended: Option<usize>,
}

/// Where a request goes.
enum Target {
    Worker(usize),
    /// To a new stream with the context id of this one, which is gone.
    ReusedId(Stream),
}

struct Simulation {
    vm: Vm,
    /// One root context for each worker; they share the host's shared data.
    workers: Vec<Root>,
    clients: Vec<Client>,
    now: Timestamp,
    /// The time on the host's clock at the start.
    started_ms: u64,
    calls: HashMap<u32, Lookup>,
    /// The published ends of sessions: the token's number, and the step.
    ends: Vec<(u32, usize)>,
}

impl Simulation {
    fn new(vm: Vm, workers: Vec<Root>) -> Self {
        let (clients, calls, ends) = (Vec::new(), HashMap::new(), Vec::new());
        let started_ms = vm.now().as_millis() as u64;
        Self { vm, workers, clients, now: Timestamp::default(), started_ms, calls, ends }
    }

    fn request(&mut self, route: Route, tokens: Vec<u32>, body: bool, target: Target) {
        let path = match route {
            Route::Required => "/a",
            Route::Uncached => "/now/a",
            Route::Optional => "/optional/a",
            Route::Off => "/off/a",
        };
        let mut request = Request::new(if body { "POST" } else { "GET" }, path).header("X_Session.User", "forged");
        for number in &tokens {
            request = request.token(&token(*number));
        }
        let stream = match target {
            Target::ReusedId(gone) => self.vm.request_reusing_id(gone, request),
            Target::Worker(_) if body => self.vm.request_with_body(request),
            Target::Worker(worker) => self.vm.request_on(self.workers[worker % self.workers.len()], request),
        };
        let arrived = self.now.step;
        self.clients.push(Client { stream, route, tokens, sending: body, arrived, passed: None });
    }

    fn select(&mut self, index: usize, is_candidate: impl Fn(&Client) -> bool) -> Option<&mut Client> {
        let mut candidates: Vec<_> = self.clients.iter_mut().filter(|client| is_candidate(client)).collect();
        let count = candidates.len();
        (count > 0).then(|| candidates.swap_remove(index % count))
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Request { route, ref tokens, body, worker } => {
                self.request(route, tokens.clone(), body, Target::Worker(worker));
            }
            Event::ReusedId { index, token } => {
                let in_use: Vec<_> =
                    self.clients.iter().filter(|c| !c.stream.is_gone()).map(|c| c.stream.context()).collect();
                // A call response may still arrive for the id of a stream that was paused when its client disconnected.
                let was_paused = |c: &Client| !c.stream.passed() && c.stream.local_reply().is_none();
                let gone = self
                    .select(index, |c| c.stream.is_gone() && was_paused(c) && !in_use.contains(&c.stream.context()));
                if let Some(gone) = gone.map(|client| client.stream) {
                    self.request(Route::Required, vec![token], false, Target::ReusedId(gone));
                }
            }
            Event::CallOutcome { index, outcome } => self.end_call(index, outcome),
            Event::Disconnect { index } => {
                if let Some(client) = self.select(index, |client| !client.stream.is_gone()) {
                    client.stream.disconnect();
                }
            }
            Event::Body { index } => {
                if let Some(client) = self.select(index, |client| client.sending && !client.stream.is_gone()) {
                    client.stream.send_body(b"chunk", false);
                }
            }
            Event::Trailers { index } => {
                if let Some(client) = self.select(index, |client| client.sending && !client.stream.is_gone()) {
                    client.sending = false;
                    client.stream.send_trailers([("x-session-data", "forged"), ("x-kept", "1")]);
                }
            }
            Event::UpstreamResponse { index } => {
                let can_respond =
                    |client: &Client| !client.stream.is_gone() && client.stream.passed() && !client.sending;
                if let Some(client) = self.select(index, can_respond) {
                    client.stream.upstream_responds(200);
                }
            }
            Event::Advance { ms } => self.advance(ms),
        }
        self.observe();
    }

    /// Advances the clock. What happens meanwhile is recorded with the time before, so that no session appears older than
    /// it was.
    fn advance(&mut self, ms: u64) {
        self.vm.advance(Duration::from_millis(ms));
        self.observe();
        self.now.ms += ms;
    }

    /// Records the calls and the passed requests after an event.
    fn observe(&mut self) {
        let now = self.now;
        for call in self.vm.calls() {
            let dispatched = Timestamp { ms: call.started.as_millis() as u64 - self.started_ms, ..now };
            self.calls.entry(call.id).or_insert(Lookup { dispatched, ended: None });
        }
        for client in self.clients.iter_mut().filter(|client| client.passed.is_none() && client.stream.passed()) {
            client.passed = Some(now);
        }
        self.now.step += 1;
    }

    fn end_call(&mut self, index: usize, outcome: CallOutcome) {
        let calls = self.vm.calls();
        let Some(call) = (!calls.is_empty()).then(|| &calls[index % calls.len()]) else { return };
        let number = (0..4)
            .find(|number| call.path().ends_with(&token(*number)))
            .expect("the path of a call ends with its token");
        let ends = self.vm.counter("ends_total");
        self.calls.entry(call.id).or_default().ended = Some(self.now.step);
        match outcome {
            // `r` identifies the call.
            CallOutcome::Active => {
                let session = json!({"id": format!("user{number}"), "r": call.id, "w": 1, "ttl": 7200, "idle": 3});
                self.vm.respond(call, 200, session.to_string());
            }
            CallOutcome::None => self.vm.respond(call, 200, NONE),
            CallOutcome::Invalid => self.vm.respond(call, 200, "junk"),
            CallOutcome::ServerError => self.vm.respond(call, 500, "{}"),
            CallOutcome::ConnectionRefused => self.vm.refuse_connection(call),
            CallOutcome::Reset => self.vm.reset(call),
        }
        if self.vm.counter("ends_total") > ends {
            self.ends.push((number, self.now.step));
        }
    }

    /// Asserts that each request got at most its own session and passed only as its route allows.
    fn assert_isolated(&self) {
        for client in &self.clients {
            let Client { stream, route, tokens, .. } = client;
            let required = matches!(route, Route::Required | Route::Uncached);
            if stream.passed() {
                let user = stream.upstream_header("x-session-user");
                let own: Vec<_> = tokens.iter().map(|number| format!("user{number}")).collect();
                assert!(
                    user.iter().all(|user| own.contains(user)),
                    "the user {user:?} was annotated, one of {own:?} or none was expected"
                );
                assert!(*route != Route::Off || user.is_none());
                assert!(!required || user.is_some(), "a request passed without its required session");
                assert!(stream.upstream_headers().iter().all(|(_, value)| value != b"forged"));
            } else {
                assert!(stream.upstream_body().is_empty() && stream.upstream_trailers().is_none());
            }
            assert!(stream.local_reply().is_none() || required, "only a required session is denied");
            let trailers = stream.upstream_trailers().unwrap_or_default();
            assert!(trailers.iter().all(|(_, value)| value != b"forged"));
        }
    }

    /// Asserts that every served session is at most this old and had not ended, as far as any worker knew. While a request
    /// with several tokens waits for the others, the session that it has found may age and end.
    fn assert_fresh(&self, oldest_ms: u64) {
        for client in &self.clients {
            let Some(passed) = client.passed else { continue };
            let Some(call) = client.stream.upstream_header("x-session-reads") else { continue };
            let user = client.stream.upstream_header("x-session-user");
            let has_session = |number: &&u32| user == Some(format!("user{number}"));
            let number = *client.tokens.iter().find(has_session).expect("it has one of its own sessions");
            let (decided, oldest_ms) = match client.tokens.len() {
                1 => (passed.step, oldest_ms),
                _ => (client.arrived, oldest_ms + TIMEOUT_MS),
            };
            let lookup = self.calls[&call.parse::<u32>().expect("x-session-reads is a call's id")];
            let ended = self
                .ends
                .iter()
                .find(|(token, end)| *token == number && lookup.dispatched.step < *end && *end < decided);
            assert_eq!(ended, None, "an ended session was served at {passed:?}, from {lookup:?}");
            assert!(
                passed.ms - lookup.dispatched.ms <= oldest_ms,
                "a session older than {oldest_ms} ms was served at {passed:?}, from {lookup:?}"
            );
            if client.route == Route::Uncached {
                assert!(lookup.ended >= Some(client.arrived), "a cached session was served despite max_staleness 0s");
            }
        }
    }

    /// Times out every call in flight, and asserts that no request is left paused.
    fn finish(&mut self) {
        self.advance(TIMEOUT_MS);
        self.assert_isolated();
        assert!(self.vm.calls().is_empty());
        assert!(self.clients.iter().all(|client| !client.stream.is_paused()));
        assert_eq!(self.vm.gauge("in_flight"), 0);
    }
}

/// How long a request is paused at most.
const TIMEOUT_MS: u64 = 500;

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_isolates_sessions_and_completes_every_request(
        events in proptest::collection::vec(event(), 1..60),
        destruction in prop_oneof![Just(StreamDestruction::Immediate), Just(StreamDestruction::Deferred), Just(StreamDestruction::Manual)],
        order in prop_oneof![Just(FinalCallbackOrder::LogFirst), Just(FinalCallbackOrder::DoneFirst)],
        keep_deleted_contexts in any::<bool>(),
        max_in_flight in 1u32..6,
    ) {
        let mut config = three_routes();
        config["rest_sessions"]["max_in_flight"] = max_in_flight.into();
        let mut vm = Vm::with_config(config);
        vm.set_stream_destruction(destruction);
        vm.set_final_callback_order(order);
        if keep_deleted_contexts {
            vm.keep_deleted_contexts();
        }
        let worker = vm.root();
        let mut simulation = Simulation::new(vm, vec![worker]);
        for event in &events {
            simulation.apply(event);
            simulation.assert_isolated();
            prop_assert!(simulation.vm.gauge("in_flight") == simulation.vm.calls().len() as u64);
        }
        simulation.finish();
    }

    #[test]
    fn any_interleaving_serves_only_sessions_that_are_recent_and_have_not_ended(
        events in proptest::collection::vec(event(), 1..120),
        destruction in prop_oneof![Just(StreamDestruction::Immediate), Just(StreamDestruction::Deferred)],
        shared in any::<bool>(),
        stale_ms in prop_oneof![Just(0u64), Just(600)],
        breaker in any::<bool>(),
    ) {
        const TTL_MS: u64 = 300;
        let oldest_ms = TIMEOUT_MS.max(TTL_MS + stale_ms);
        let mut config = three_routes();
        config["cache"] = json!({"ttl": format!("{TTL_MS}ms"), "stale_if_error": format!("{stale_ms}ms"),
                                 "negative_ttl": "100ms", "shared": shared});
        config["rules"].as_array_mut().expect("rules are a list").push(
            json!({"match": {"paths": ["/now/*"]}, "session": "required", "max_staleness": "0s"}),
        );
        config["annotate"]["headers"]["x-session-reads"] = "r".into();
        if !breaker {
            config["rest_sessions"]["breaker"] = "off".into();
        }
        let mut vm = Vm::with_config(config.clone());
        vm.set_stream_destruction(destruction);
        let mut workers = vec![vm.root()];
        // Without a shared cache, a worker does not learn of the other's ends.
        if shared {
            workers.push(vm.configure(config).expect("the configuration is accepted a second time"));
        }
        let mut simulation = Simulation::new(vm, workers);
        for event in &events {
            simulation.apply(event);
            simulation.assert_isolated();
            simulation.assert_fresh(oldest_ms);
        }
        simulation.finish();
        simulation.assert_fresh(oldest_ms);
    }
}
