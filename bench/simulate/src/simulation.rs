//! A discrete-event simulation of users, Envoys and rest-sessions on a virtual clock. Every Envoy worker is the filter's
//! own [`Worker`].

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::RandomState;
use std::rc::Rc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rest_sessions_core::action::{Action, StreamRef};
use rest_sessions_core::cache::shared_data::LocalData;
use rest_sessions_core::config::Config;
use rest_sessions_core::http::headers::Headers;
use rest_sessions_core::local::LocalEnvironment;
use rest_sessions_core::rest_sessions::response::{Body, CalloutResponse};
use rest_sessions_core::telemetry::Counter;
use rest_sessions_core::worker::{Event, Seeds, Worker};

/// One point of the grid.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub envoys: u32,
    pub workers: u32,
    /// 0 for no cache.
    pub ttl_ms: u64,
    pub shared: bool,
}

/// The measurements of one run.
#[derive(Debug, Default)]
pub struct Outcome {
    pub requests: u64,
    pub calls: u64,
    pub hits: u64,
    /// The longest time between the end of a session and a request that it still passed.
    pub max_late_ms: u64,
}

pub const USERS: usize = 2_000;
pub const SECONDS: u64 = 120;
pub const PAGES_PER_SECOND: u64 = 100;
pub const REQUESTS_PER_PAGE: u64 = 10;
/// The period in which the requests of a page are sent.
const PAGE_MS: u64 = 300;
/// The duration of a call. rest-sessions reads the session after half of it.
const CALL_MS: u64 = 6;
/// Half of the users whose session ended log in again, with a new token.
const ENDS_PER_SECOND: u64 = 2;

const START_MS: u64 = 1_760_000_000_000;
const SESSION: &[u8] = br#"{"id":"user123","r":1,"w":1,"ttl":7200,"idle":3,"ip":"192.0.2.1","d":{"cart":2}}"#;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// A user loads a page.
    LoadPage,
    /// A session ends.
    EndSession,
    /// A request arrives at its worker.
    Request(Request),
    /// rest-sessions reads the session.
    LookUp(Call),
    /// The response arrives; `true` if the session was active.
    Respond(Call, bool),
}

/// A request of a user, with the token of this login.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    user: usize,
    login: u32,
    worker_id: WorkerId,
    sent_ms: u64,
}

/// Identifies a worker of an Envoy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct WorkerId {
    envoy: u32,
    worker: u32,
}

/// A call, and the request that caused it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    id: u32,
    request: Request,
}

/// A worker of an Envoy.
struct EnvoyWorker {
    worker: Worker,
    environment: LocalEnvironment,
    /// The requests without a decision.
    pending: HashMap<StreamRef, Request>,
}

struct Simulation {
    now_ms: u64,
    /// By time, then in the order of their scheduling.
    steps: BinaryHeap<Reverse<(u64, u64, Step)>>,
    random: SmallRng,
    config: Rc<Config>,
    settings: Settings,
    shared_data: HashMap<u32, LocalData>,
    workers: HashMap<WorkerId, EnvoyWorker>,
    /// The number of each user's latest login.
    logins: Vec<u32>,
    /// When each ended session ended, by user and login.
    ended: HashMap<(usize, u32), u64>,
    outcome: Outcome,
    /// Numbers steps and calls.
    sequence: u32,
}

fn token(user: usize, login: u32) -> String {
    format!("{user:030}{login:034}")
}

fn config(Settings { ttl_ms, shared, .. }: Settings) -> Rc<Config> {
    let cache = if ttl_ms == 0 {
        String::new()
    } else {
        format!(r#", "cache": {{"ttl": "{ttl_ms}ms", "max_bytes": 1048576, "shared": {shared}}}"#)
    };
    let text = format!(
        r#"{{"app": "myapp", "rest_sessions": {{"cluster": "rest-sessions", "max_in_flight": 100000}}{cache}}}"#
    );
    let Ok(config) = Config::parse(text.as_bytes()) else { unreachable!("the configuration is valid") };
    Rc::new(config)
}

/// Runs one point of the grid.
pub fn run(settings: Settings) -> Outcome {
    let mut simulation = Simulation {
        now_ms: START_MS,
        steps: BinaryHeap::new(),
        random: SmallRng::seed_from_u64(1),
        config: config(settings),
        settings,
        shared_data: HashMap::new(),
        workers: HashMap::new(),
        logins: vec![0; USERS],
        ended: HashMap::new(),
        outcome: Outcome::default(),
        sequence: 0,
    };
    simulation.schedule(0, Step::LoadPage);
    simulation.schedule(0, Step::EndSession);
    while let Some(Reverse((at_ms, _, step))) = simulation.steps.pop() {
        if at_ms >= START_MS + SECONDS * 1_000 {
            break;
        }
        simulation.now_ms = at_ms;
        simulation.step(step);
    }
    simulation.outcome
}

impl Simulation {
    fn schedule(&mut self, delay_ms: u64, step: Step) {
        self.sequence += 1;
        self.steps.push(Reverse((self.now_ms + delay_ms, self.sequence.into(), step)));
    }

    /// A random user by activity: the n-th is 1/n as active as the first (Zipf).
    fn random_user(&mut self) -> usize {
        let share: f64 = self.random.random();
        (((USERS as f64).ln() * share).exp() as usize - 1).min(USERS - 1)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::LoadPage => {
                let user = self.random_user();
                // All requests of a page use one connection, which one worker serves.
                let worker_id = WorkerId {
                    envoy: self.random.random_range(0..self.settings.envoys),
                    worker: self.random.random_range(0..self.settings.workers),
                };
                for _ in 0..REQUESTS_PER_PAGE {
                    let delay_ms = self.random.random_range(0..PAGE_MS);
                    self.schedule(delay_ms, Step::Request(Request { user, login: 0, worker_id, sent_ms: 0 }));
                }
                let delay_ms = self.random.random_range(0..2_000 / PAGES_PER_SECOND);
                self.schedule(delay_ms, Step::LoadPage);
            }
            Step::EndSession => {
                let user = self.random_user();
                self.ended.insert((user, self.logins[user]), self.now_ms);
                self.schedule(1_000 / ENDS_PER_SECOND, Step::EndSession);
                // Half of the browsers keep the old cookie: the session was ended elsewhere.
                if self.random.random_bool(0.5) {
                    self.logins[user] += 1;
                }
            }
            Step::Request(request) => {
                let login = self.logins[request.user];
                self.request(Request { login, sent_ms: self.now_ms, ..request });
            }
            Step::LookUp(call) => {
                let is_active = !self.ended.contains_key(&(call.request.user, call.request.login));
                self.schedule(CALL_MS / 2, Step::Respond(call, is_active));
            }
            Step::Respond(call, is_active) => {
                let body = if is_active { SESSION } else { b"{}" }.to_vec();
                let response = CalloutResponse::Complete {
                    status: 200,
                    from_service: true,
                    max_idle_s: None,
                    body: Body::Read(body),
                };
                self.handle(Event::CalloutResponse { call: call.id, response }, call.request);
            }
        }
    }

    fn request(&mut self, request: Request) {
        self.outcome.requests += 1;
        let cookie = format!("session-cookie={}", token(request.user, request.login));
        let headers = [(":method", "GET"), (":path", "/"), (":authority", "shop.example"), ("cookie", &cookie)];
        let headers = Headers::from_pairs(&headers);
        let envoy_worker = self.envoy_worker(request.worker_id);
        let stream = envoy_worker.worker.admit(0);
        envoy_worker.pending.insert(stream, request);
        self.handle(Event::RequestHeaders { stream, headers, end_of_stream: true }, request);
    }

    fn envoy_worker(&mut self, worker_id: WorkerId) -> &mut EnvoyWorker {
        let Self { settings, shared_data, workers, config, now_ms, .. } = self;
        workers.entry(worker_id).or_insert_with(|| {
            let data = shared_data.entry(worker_id.envoy).or_default().clone();
            let environment = LocalEnvironment::new(*now_ms, None, data);
            let seeds = Seeds {
                digest_key: RandomState::new(),
                random: [1, 2, u64::from(worker_id.envoy), u64::from(worker_id.worker)],
            };
            let Ok(worker) = Worker::new(Rc::clone(config), seeds, &environment) else {
                unreachable!("data in memory is always available: {settings:?}")
            };
            EnvoyWorker { worker, environment, pending: HashMap::new() }
        })
    }

    /// Passes an event to the request's worker, and performs its actions.
    fn handle(&mut self, event: Event, request: Request) {
        let stream = match &event {
            Event::RequestHeaders { stream, .. } => Some(*stream),
            Event::Complete(completion) => Some(completion.stream),
            _ => None,
        };
        let now_ms = self.now_ms;
        let EnvoyWorker { worker, environment, .. } = self.envoy_worker(request.worker_id);
        environment.set_now_ms(now_ms);
        let mut actions = Vec::new();
        worker.handle(event, environment, &mut actions);
        for action in actions {
            match action {
                Action::Dispatch(call) => {
                    self.outcome.calls += 1;
                    self.sequence += 1;
                    let id = self.sequence;
                    self.schedule(CALL_MS / 2, Step::LookUp(Call { id, request }));
                    self.handle(Event::Dispatched { dispatched: call.accepted(id), callback: None }, request);
                }
                Action::Complete(completion) => self.handle(Event::Complete(completion), request),
                Action::Wakeup => self.handle(Event::Wakeup, request),
                Action::Count(Counter::CacheHits | Counter::CacheSharedHits | Counter::CacheNegativeHits) => {
                    self.outcome.hits += 1
                }
                Action::ContinueRequest => self.complete(request.worker_id, stream, true),
                Action::Reply(_) => self.complete(request.worker_id, stream, false),
                _ => {}
            }
        }
    }

    /// Completes a request, and measures how late an ended session was served.
    fn complete(&mut self, worker_id: WorkerId, stream: Option<StreamRef>, is_served: bool) {
        let Some(request) = stream.and_then(|stream| self.envoy_worker(worker_id).pending.remove(&stream)) else {
            return;
        };
        if let (true, Some(ended_ms)) = (is_served, self.ended.get(&(request.user, request.login))) {
            self.outcome.max_late_ms = self.outcome.max_late_ms.max(request.sent_ms.saturating_sub(*ended_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings { envoys: 3, workers: 4, ttl_ms: 5_000, shared: true };

    #[test]
    fn an_ended_session_is_never_served_for_longer_than_the_ttl() {
        for shared in [true, false] {
            let outcome = run(Settings { shared, ..SETTINGS });
            assert!(outcome.max_late_ms > 0 && outcome.max_late_ms < 5_000, "{outcome:?}");
        }
    }

    #[test]
    fn workers_with_a_shared_cache_make_fewer_calls() {
        let (shared, alone) = (run(SETTINGS), run(Settings { shared: false, ..SETTINGS }));
        assert_eq!(shared.requests, alone.requests);
        assert!(shared.calls * 10 < alone.calls * 9, "{shared:?} {alone:?}");
    }

    #[test]
    fn without_a_cache_only_concurrent_requests_share_a_call_and_no_ended_session_is_served() {
        let outcome = run(Settings { ttl_ms: 0, ..SETTINGS });
        assert_eq!(outcome.hits, 0);
        assert!(outcome.calls > outcome.requests / 2 && outcome.calls < outcome.requests, "{outcome:?}");
        assert_eq!(outcome.max_late_ms, 0);
    }
}
