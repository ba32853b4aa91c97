//! Users, Envoys and a session service on a virtual clock. The workers are the filter's own.

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
use rest_sessions_core::local::LocalSurroundings;
use rest_sessions_core::rest_sessions::response::{Body, CalloutResponse};
use rest_sessions_core::telemetry::Counter;
use rest_sessions_core::worker::{Event, Seeds, Worker};

/// One point of the grid.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub envoys: u32,
    pub workers: u32,
    /// Zero: no cache.
    pub ttl_ms: u64,
    pub shared: bool,
}

/// What was measured.
#[derive(Debug, Default)]
pub struct Outcome {
    pub requests: u64,
    pub calls: u64,
    pub hits: u64,
    /// The longest that a session was served after it had ended.
    pub late_ms: u64,
}

pub const USERS: usize = 2_000;
pub const SECONDS: u64 = 120;
pub const PAGES_A_SECOND: u64 = 100;
pub const REQUESTS_A_PAGE: u64 = 10;
/// From the first request of a page to its last.
const PAGE_MS: u64 = 300;
/// How long a call takes. rest-sessions looks the session up after half of it.
const CALL_MS: u64 = 6;
/// A user whose session ended logs in again, under a new token.
const ENDS_A_SECOND: u64 = 2;

const START_MS: u64 = 1_760_000_000_000;
const SESSION: &[u8] = br#"{"id":"user123","r":1,"w":1,"ttl":7200,"idle":3,"ip":"192.0.2.1","d":{"cart":2}}"#;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// A user opens a page.
    Page,
    /// A session ends.
    End,
    Request(Request),
    /// rest-sessions looks a session up.
    LookUp(Call),
    Respond(Call, bool),
}

/// A request of a user whose token is of this login.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    user: usize,
    login: u32,
    place: Place,
    sent_ms: u64,
}

/// A worker of an Envoy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place {
    envoy: u32,
    worker: u32,
}

/// A call that a request caused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    id: u32,
    request: Request,
}

/// One of Envoy's workers.
struct Running {
    worker: Worker,
    surroundings: LocalSurroundings,
    /// The requests that wait for a completion.
    waiting: HashMap<StreamRef, Request>,
}

struct World {
    now_ms: u64,
    steps: BinaryHeap<Reverse<(u64, u64, Step)>>,
    random: SmallRng,
    config: Rc<Config>,
    setting: Setting,
    shared_data: HashMap<u32, LocalData>,
    workers: HashMap<Place, Running>,
    /// The number of each user's latest login.
    logins: Vec<u32>,
    /// When the ended sessions ended.
    ended: HashMap<(usize, u32), u64>,
    outcome: Outcome,
    next: u32,
}

fn token(user: usize, login: u32) -> String {
    format!("{user:030}{login:034}")
}

fn config(Setting { ttl_ms, shared, .. }: Setting) -> Rc<Config> {
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
pub fn run(setting: Setting) -> Outcome {
    let mut world = World {
        now_ms: START_MS,
        steps: BinaryHeap::new(),
        random: SmallRng::seed_from_u64(1),
        config: config(setting),
        setting,
        shared_data: HashMap::new(),
        workers: HashMap::new(),
        logins: vec![0; USERS],
        ended: HashMap::new(),
        outcome: Outcome::default(),
        next: 0,
    };
    world.after(0, Step::Page);
    world.after(0, Step::End);
    while let Some(Reverse((at_ms, _, step))) = world.steps.pop() {
        if at_ms >= START_MS + SECONDS * 1_000 {
            break;
        }
        world.now_ms = at_ms;
        world.step(step);
    }
    world.outcome
}

impl World {
    fn after(&mut self, ms: u64, step: Step) {
        self.next += 1;
        self.steps.push(Reverse((self.now_ms + ms, self.next.into(), step)));
    }

    /// A user by activity: the second is half as active as the first, the third a third (Zipf).
    fn user(&mut self) -> usize {
        let share: f64 = self.random.random();
        (((USERS as f64).ln() * share).exp() as usize - 1).min(USERS - 1)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Page => {
                let user = self.user();
                // A page comes over one connection, which one worker serves.
                let place = Place {
                    envoy: self.random.random_range(0..self.setting.envoys),
                    worker: self.random.random_range(0..self.setting.workers),
                };
                for _ in 0..REQUESTS_A_PAGE {
                    let after_ms = self.random.random_range(0..PAGE_MS);
                    self.after(after_ms, Step::Request(Request { user, login: 0, place, sent_ms: 0 }));
                }
                let pause_ms = self.random.random_range(0..2_000 / PAGES_A_SECOND);
                self.after(pause_ms, Step::Page);
            }
            Step::End => {
                let user = self.user();
                self.ended.insert((user, self.logins[user]), self.now_ms);
                self.after(1_000 / ENDS_A_SECOND, Step::End);
                // Half of the browsers keep the old cookie, as one whose session was ended elsewhere does.
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
                self.after(CALL_MS / 2, Step::Respond(call, is_active));
            }
            Step::Respond(call, is_active) => {
                let body = if is_active { SESSION } else { b"{}" }.to_vec();
                let response = CalloutResponse::Complete { status: 200, from_service: true, body: Body::Read(body) };
                self.handle(Event::Response { call: call.id, response }, call.request);
            }
        }
    }

    fn request(&mut self, request: Request) {
        self.outcome.requests += 1;
        let cookie = format!("session-cookie={}", token(request.user, request.login));
        let headers = [(":method", "GET"), (":path", "/"), (":authority", "shop.example"), ("cookie", &cookie)];
        let headers = Headers::from_pairs(&headers);
        let running = self.running(request.place);
        let stream = running.worker.admit(0);
        running.waiting.insert(stream, request);
        self.handle(Event::RequestHeaders { stream, headers, end_of_stream: true }, request);
    }

    fn running(&mut self, place: Place) -> &mut Running {
        let Self { setting, shared_data, workers, config, now_ms, .. } = self;
        workers.entry(place).or_insert_with(|| {
            let data = shared_data.entry(place.envoy).or_default().clone();
            let surroundings = LocalSurroundings::new(*now_ms, None, data);
            let seeds = Seeds {
                digest_key: RandomState::new(),
                random: [1, 2, u64::from(place.envoy), u64::from(place.worker)],
            };
            let Ok(worker) = Worker::new(Rc::clone(config), seeds, &surroundings, &mut Vec::new()) else {
                unreachable!("data in memory is always available: {setting:?}")
            };
            Running { worker, surroundings, waiting: HashMap::new() }
        })
    }

    /// Hands an event to the worker that serves the request, and does what the worker asks for.
    fn handle(&mut self, event: Event, request: Request) {
        let stream = match &event {
            Event::RequestHeaders { stream, .. } => Some(*stream),
            Event::Complete(completion) => Some(completion.stream),
            _ => None,
        };
        let now_ms = self.now_ms;
        let Running { worker, surroundings, .. } = self.running(request.place);
        surroundings.set_now_ms(now_ms);
        let mut actions = Vec::new();
        worker.handle(event, surroundings, &mut actions);
        for action in actions {
            match action {
                Action::Dispatch(call) => {
                    self.outcome.calls += 1;
                    self.next += 1;
                    let id = self.next;
                    self.after(CALL_MS / 2, Step::LookUp(Call { id, request }));
                    self.handle(Event::Dispatched(call.accepted(id)), request);
                }
                Action::Complete(completion) => self.handle(Event::Complete(completion), request),
                Action::Wakeup => self.handle(Event::Wakeup, request),
                Action::Count(Counter::CacheHits | Counter::CacheSharedHits | Counter::CacheNegativeHits) => {
                    self.outcome.hits += 1
                }
                Action::ContinueRequest => self.concluded(request.place, stream, true),
                Action::Reply(_) => self.concluded(request.place, stream, false),
                _ => {}
            }
        }
    }

    /// A request was served, or not.
    fn concluded(&mut self, place: Place, stream: Option<StreamRef>, is_served: bool) {
        let Some(request) = stream.and_then(|stream| self.running(place).waiting.remove(&stream)) else { return };
        if let (true, Some(ended_ms)) = (is_served, self.ended.get(&(request.user, request.login))) {
            self.outcome.late_ms = self.outcome.late_ms.max(request.sent_ms.saturating_sub(*ended_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Setting = Setting { envoys: 3, workers: 4, ttl_ms: 5_000, shared: true };

    #[test]
    fn an_ended_session_is_never_served_for_longer_than_the_ttl() {
        for shared in [true, false] {
            let outcome = run(Setting { shared, ..SOME });
            assert!(outcome.late_ms > 0 && outcome.late_ms < 5_000, "{outcome:?}");
        }
    }

    #[test]
    fn workers_that_share_ask_less() {
        let (shared, alone) = (run(SOME), run(Setting { shared: false, ..SOME }));
        assert_eq!(shared.requests, alone.requests);
        assert!(shared.calls * 10 < alone.calls * 9, "{shared:?} {alone:?}");
    }

    #[test]
    fn without_a_cache_only_those_who_wait_together_share_a_call_and_nothing_is_served_late() {
        let outcome = run(Setting { ttl_ms: 0, ..SOME });
        assert_eq!(outcome.hits, 0);
        assert!(outcome.calls > outcome.requests / 2 && outcome.calls < outcome.requests, "{outcome:?}");
        assert_eq!(outcome.late_ms, 0);
    }
}
