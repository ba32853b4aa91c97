//! Whatever happens, in whatever order: nobody gets another's session, nobody waits for ever, everybody counts once.

use super::emulator::{FinalCallbackOrder, Request, Root, Stream, StreamDestruction, Vm};
use super::{NONE, three_routes, token};
use proptest::prelude::*;
use serde_json::json;
use std::collections::HashMap;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Required,
    /// Takes nothing that is kept.
    Now,
    Optional,
    Off,
}

/// Something that a client, an upstream, rest-sessions or the clock does. Places are taken modulo what is there.
#[derive(Clone, Debug)]
enum Happening {
    Request {
        route: Route,
        token: Option<u32>,
        body: bool,
        /// Which worker serves it.
        worker: usize,
    },
    /// A new stream under the id of one that is gone.
    Heir {
        place: usize,
        token: u32,
    },
    Answer {
        place: usize,
        answer: Answer,
    },
    Leave {
        place: usize,
    },
    Body {
        place: usize,
    },
    Trailers {
        place: usize,
    },
    Upstream {
        place: usize,
    },
    Time {
        ms: u64,
    },
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    /// The session of the token that was asked for.
    Active,
    None,
    Junk,
    Failing,
    Refused,
    Reset,
}

fn happening() -> impl Strategy<Value = Happening> {
    let route = prop_oneof![
        3 => Just(Route::Required),
        1 => Just(Route::Now),
        1 => Just(Route::Optional),
        1 => Just(Route::Off),
    ];
    let answer = prop_oneof![
        4 => Just(Answer::Active),
        2 => Just(Answer::None),
        1 => Just(Answer::Junk),
        1 => Just(Answer::Failing),
        1 => Just(Answer::Refused),
        1 => Just(Answer::Reset),
    ];
    let place = any::<usize>();
    let token = 0u32..4;
    prop_oneof![
        6 => (route, proptest::option::weighted(0.8, token.clone()), any::<bool>(), any::<usize>())
            .prop_map(|(route, token, body, worker)| Happening::Request { route, token, body, worker }),
        3 => (place, token).prop_map(|(place, token)| Happening::Heir { place, token }),
        6 => (place, answer).prop_map(|(place, answer)| Happening::Answer { place, answer }),
        3 => place.prop_map(|place| Happening::Leave { place }),
        2 => place.prop_map(|place| Happening::Body { place }),
        2 => place.prop_map(|place| Happening::Trailers { place }),
        2 => place.prop_map(|place| Happening::Upstream { place }),
        2 => (0u64..400).prop_map(|ms| Happening::Time { ms }),
    ]
}

/// A request as its client knows it.
struct Client {
    stream: Stream,
    route: Route,
    token: Option<u32>,
    /// It may still send.
    open: bool,
    arrived: usize,
    /// When it was seen to have passed.
    passed: Option<Moment>,
}

/// A place in the order of what happens, and the time on the clock then.
#[derive(Clone, Copy, Debug, Default)]
struct Moment {
    step: usize,
    ms: u64,
}

/// What is known of a call.
#[derive(Clone, Copy, Debug, Default)]
struct Lookup {
    began: Moment,
    answered: Option<usize>,
}

/// Whose request it is.
enum On {
    Worker(usize),
    /// A new stream under the id of this one, which is gone.
    Heir(Stream),
}

struct Storm {
    vm: Vm,
    /// Each stands for a worker: they have the host's shared data in common.
    workers: Vec<Root>,
    clients: Vec<Client>,
    now: Moment,
    /// What the host's clock showed at first.
    started_ms: u64,
    calls: HashMap<u32, Lookup>,
    /// When sessions were found to have ended that somebody may have kept, by token.
    ends: Vec<(u32, usize)>,
}

impl Storm {
    fn over(vm: Vm, workers: Vec<Root>) -> Self {
        let (clients, calls, ends) = (Vec::new(), HashMap::new(), Vec::new());
        let started_ms = vm.now().as_millis() as u64;
        Self { vm, workers, clients, now: Moment::default(), started_ms, calls, ends }
    }

    fn begin(&mut self, route: Route, token_of: Option<u32>, body: bool, on: On) {
        let path = match route {
            Route::Required => "/a",
            Route::Now => "/now/a",
            Route::Optional => "/optional/a",
            Route::Off => "/off/a",
        };
        let mut request = Request::new(if body { "POST" } else { "GET" }, path).header("X_Session.User", "forged");
        if let Some(number) = token_of {
            request = request.token(&token(number));
        }
        let stream = match on {
            On::Heir(gone) => self.vm.request_reusing_id(gone, request),
            On::Worker(_) if body => self.vm.request_with_body(request),
            On::Worker(worker) => self.vm.request_on(self.workers[worker % self.workers.len()], request),
        };
        let arrived = self.now.step;
        self.clients.push(Client { stream, route, token: token_of, open: body, arrived, passed: None });
    }

    fn pick(&mut self, place: usize, fits: impl Fn(&Client) -> bool) -> Option<&mut Client> {
        let mut fitting: Vec<_> = self.clients.iter_mut().filter(|client| fits(client)).collect();
        let count = fitting.len();
        (count > 0).then(|| fitting.swap_remove(place % count))
    }

    fn happens(&mut self, what: &Happening) {
        match *what {
            Happening::Request { route, token, body, worker } => self.begin(route, token, body, On::Worker(worker)),
            Happening::Heir { place, token } => {
                let in_use: Vec<_> =
                    self.clients.iter().filter(|c| !c.stream.is_gone()).map(|c| c.stream.context()).collect();
                // The id of one that left while it waited is the one that an answer may still come for.
                let waited = |c: &Client| !c.stream.passed() && c.stream.local_reply().is_none();
                let gone =
                    self.pick(place, |c| c.stream.is_gone() && waited(c) && !in_use.contains(&c.stream.context()));
                if let Some(gone) = gone.map(|client| client.stream) {
                    self.begin(Route::Required, Some(token), false, On::Heir(gone));
                }
            }
            Happening::Answer { place, answer } => self.answer(place, answer),
            Happening::Leave { place } => {
                if let Some(client) = self.pick(place, |client| !client.stream.is_gone()) {
                    client.stream.disconnect();
                }
            }
            Happening::Body { place } => {
                if let Some(client) = self.pick(place, |client| client.open && !client.stream.is_gone()) {
                    client.stream.send_body(b"piece", false);
                }
            }
            Happening::Trailers { place } => {
                if let Some(client) = self.pick(place, |client| client.open && !client.stream.is_gone()) {
                    client.open = false;
                    client.stream.send_trailers([("x-session-data", "forged"), ("x-kept", "1")]);
                }
            }
            Happening::Upstream { place } => {
                let answers = |client: &Client| !client.stream.is_gone() && client.stream.passed() && !client.open;
                if let Some(client) = self.pick(place, answers) {
                    client.stream.upstream_responds(200);
                }
            }
            Happening::Time { ms } => self.pass(ms),
        }
        self.note();
    }

    /// What happens meanwhile is noted as if it were at the beginning, so that no answer seems older than it was.
    fn pass(&mut self, ms: u64) {
        self.vm.advance(Duration::from_millis(ms));
        self.note();
        self.now.ms += ms;
    }

    /// Takes note of what has come of the last happening.
    fn note(&mut self) {
        let now = self.now;
        for call in self.vm.calls() {
            let began = Moment { ms: call.started.as_millis() as u64 - self.started_ms, ..now };
            self.calls.entry(call.id).or_insert(Lookup { began, answered: None });
        }
        for client in self.clients.iter_mut().filter(|client| client.passed.is_none() && client.stream.passed()) {
            client.passed = Some(now);
        }
        self.now.step += 1;
    }

    fn answer(&mut self, place: usize, answer: Answer) {
        let calls = self.vm.calls();
        let Some(call) = (!calls.is_empty()).then(|| &calls[place % calls.len()]) else { return };
        let asked = (0..4).find(|number| call.path().ends_with(&token(*number))).expect("the call bears a token");
        let ends = self.vm.counter("ends_total");
        self.calls.entry(call.id).or_default().answered = Some(self.now.step);
        match answer {
            // The answer says which call it is to.
            Answer::Active => {
                let session = json!({"id": format!("user{asked}"), "r": call.id, "w": 1, "ttl": 7200, "idle": 3});
                self.vm.respond(call, 200, session.to_string());
            }
            Answer::None => self.vm.respond(call, 200, NONE),
            Answer::Junk => self.vm.respond(call, 200, "junk"),
            Answer::Failing => self.vm.respond(call, 500, "{}"),
            Answer::Refused => self.vm.refuse_connection(call),
            Answer::Reset => self.vm.reset(call),
        }
        if self.vm.counter("ends_total") > ends {
            self.ends.push((asked, self.now.step));
        }
    }

    fn check(&self) {
        for client in &self.clients {
            let Client { stream, route, token, .. } = client;
            let required = matches!(route, Route::Required | Route::Now);
            if stream.passed() {
                let user = stream.upstream_header("x-session-user");
                let own = token.map(|number| format!("user{number}"));
                assert!(user.is_none() || user == own, "{user:?} for {own:?}");
                assert!(*route != Route::Off || user.is_none());
                assert!(!required || user.is_some(), "a required session was passed by");
                assert!(stream.upstream_headers().iter().all(|(_, value)| value != b"forged"));
            } else {
                assert!(stream.upstream_body().is_empty() && stream.upstream_trailers().is_none());
            }
            assert!(stream.local_reply().is_none() || required, "only a required session is denied");
            let trailers = stream.upstream_trailers().unwrap_or_default();
            assert!(trailers.iter().all(|(_, value)| value != b"forged"));
        }
    }

    /// Holds every session that was served to what was known of it by then.
    fn check_age(&self, oldest_ms: u64) {
        for client in &self.clients {
            let (Some(passed), Some(number)) = (client.passed, client.token) else { continue };
            let Some(call) = client.stream.upstream_header("x-session-reads") else { continue };
            let lookup = self.calls[&call.parse::<u32>().expect("the number of a call")];
            let ended = self
                .ends
                .iter()
                .find(|(token, end)| *token == number && lookup.began.step < *end && *end < passed.step);
            assert_eq!(ended, None, "an ended session was served at {passed:?}, from {lookup:?}");
            assert!(
                passed.ms - lookup.began.ms <= oldest_ms,
                "an old answer was served at {passed:?}, from {lookup:?}"
            );
            if client.route == Route::Now {
                assert!(lookup.answered >= Some(client.arrived), "a kept answer was served to one that takes none");
            }
        }
    }

    /// Nobody waits any more, and every call has ended.
    fn is_over(&mut self) {
        // All that still waits is timed out.
        self.pass(TIMEOUT_MS);
        self.check();
        assert!(self.vm.calls().is_empty());
        assert!(self.clients.iter().all(|client| !client.stream.is_paused()));
        assert_eq!(self.vm.gauge("in_flight"), 0);
    }
}

/// How long a request waits at most, for an answer that it is then served.
const TIMEOUT_MS: u64 = 500;

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_gets_anothers_session_and_nobody_waits_for_ever(
        happenings in proptest::collection::vec(happening(), 1..60),
        ending in prop_oneof![Just(StreamDestruction::Immediate), Just(StreamDestruction::Deferred), Just(StreamDestruction::Manual)],
        final_callback_order in prop_oneof![Just(FinalCallbackOrder::LogFirst), Just(FinalCallbackOrder::DoneFirst)],
        keeps_deleted in any::<bool>(),
        max_in_flight in 1u32..6,
    ) {
        let mut config = three_routes();
        config["rest_sessions"]["max_in_flight"] = max_in_flight.into();
        let mut vm = Vm::with_config(config);
        vm.set_stream_destruction(ending);
        vm.set_final_callback_order(final_callback_order);
        if keeps_deleted {
            vm.keep_deleted_contexts();
        }
        let worker = vm.root();
        let mut storm = Storm::over(vm, vec![worker]);
        for happening in &happenings {
            storm.happens(happening);
            storm.check();
            prop_assert!(storm.vm.gauge("in_flight") == storm.vm.calls().len() as u64);
        }
        storm.is_over();
    }

    #[test]
    fn whoever_is_served_from_a_cache_gets_what_was_true_not_long_ago_and_has_not_ended_since(
        happenings in proptest::collection::vec(happening(), 1..120),
        ending in prop_oneof![Just(StreamDestruction::Immediate), Just(StreamDestruction::Deferred)],
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
        vm.set_stream_destruction(ending);
        let mut workers = vec![vm.root()];
        // Without sharing, what one worker learns the other does not.
        if shared {
            workers.push(vm.configure(config).expect("the configuration is accepted once more"));
        }
        let mut storm = Storm::over(vm, workers);
        for happening in &happenings {
            storm.happens(happening);
            storm.check();
            storm.check_age(oldest_ms);
        }
        storm.is_over();
        storm.check_age(oldest_ms);
    }
}
