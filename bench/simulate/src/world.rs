//! A world of users, Envoys and a session service on a virtual clock. Only the cache in the workers is real.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rest_sessions_core::cache::board::OwnBoard;
use rest_sessions_core::cache::desk::{Asked, Desk, Note, Settled, Wanted};
use rest_sessions_core::cache::flights::{Airborne, Flight, Waiter};
use rest_sessions_core::cache::settings::Settings;
use rest_sessions_core::cache::trip::Who;
use rest_sessions_core::config::Config;
use rest_sessions_core::http::headers::Headers;
use rest_sessions_core::policy::limits::Limits;
use rest_sessions_core::rest_sessions::response::{Answer, Body};
use rest_sessions_core::session::lookup::Lookup;
use rest_sessions_core::session::token::Token;
use rest_sessions_core::telemetry::Counter;

/// One point of the grid.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub envoys: u32,
    pub workers: u32,
    /// Zero: no cache.
    pub ttl_ms: u64,
    pub shared: bool,
}

/// What came of it.
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
/// Half of it passes before rest-sessions looks, half after.
const CALL_MS: u64 = 6;
/// A user whose session ended logs in again, under a new token.
const ENDS_A_SECOND: u64 = 2;

const START_MS: u64 = 1_760_000_000_000;
const SESSION: &[u8] = br#"{"id":"user123","r":1,"w":1,"ttl":7200,"idle":3,"ip":"192.0.2.1","d":{"cart":2}}"#;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Page,
    End,
    Request {
        user: usize,
        envoy: u32,
        worker: u32,
    },
    /// rest-sessions looks whether there is such a session.
    Look {
        call: u32,
    },
    Answer {
        call: u32,
        active: bool,
    },
}

struct Worker {
    desk: Desk<OwnBoard>,
}

struct World {
    now_ms: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    random: SmallRng,
    config: Config,
    setting: Setting,
    boards: HashMap<u32, OwnBoard>,
    workers: HashMap<(u32, u32), Worker>,
    /// Each user's token is of this number.
    logins: Vec<u32>,
    /// When the earlier sessions of a user ended.
    ended: HashMap<(usize, u32), u64>,
    calls: HashMap<u32, (u32, u32, usize, u32)>,
    outcome: Outcome,
    next: u32,
}

fn token(user: usize, login: u32) -> String {
    format!("{user:030}{login:034}")
}

/// Runs one point of the grid.
pub fn run(setting: Setting) -> Outcome {
    let config = br#"{"app": "myapp", "rest_sessions": {"cluster": "rest-sessions", "max_in_flight": 100000}}"#;
    let Ok(config) = Config::parse(config) else { unreachable!("the configuration holds") };
    let mut world = World {
        now_ms: START_MS,
        events: BinaryHeap::new(),
        random: SmallRng::seed_from_u64(1),
        config,
        setting,
        boards: HashMap::new(),
        workers: HashMap::new(),
        logins: vec![0; USERS],
        ended: HashMap::new(),
        calls: HashMap::new(),
        outcome: Outcome::default(),
        next: 0,
    };
    world.at(0, Event::Page);
    world.at(0, Event::End);
    while let Some(Reverse((at_ms, _, event))) = world.events.pop() {
        if at_ms >= START_MS + SECONDS * 1_000 {
            break;
        }
        world.now_ms = at_ms;
        world.happens(event);
    }
    world.outcome
}

impl World {
    fn at(&mut self, after_ms: u64, event: Event) {
        self.next += 1;
        self.events.push(Reverse((self.now_ms + after_ms, self.next.into(), event)));
    }

    /// A user by activity: the second is half as active as the first, the third a third (Zipf).
    fn somebody(&mut self) -> usize {
        let share: f64 = self.random.random();
        (((USERS as f64).ln() * share).exp() as usize - 1).min(USERS - 1)
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Page => {
                let user = self.somebody();
                // A page comes over one connection, which one worker serves.
                let envoy = self.random.random_range(0..self.setting.envoys);
                let worker = self.random.random_range(0..self.setting.workers);
                for _ in 0..REQUESTS_A_PAGE {
                    let after_ms = self.random.random_range(0..PAGE_MS);
                    self.at(after_ms, Event::Request { user, envoy, worker });
                }
                let pause_ms = self.random.random_range(0..2_000 / PAGES_A_SECOND);
                self.at(pause_ms, Event::Page);
            }
            Event::End => {
                let user = self.somebody();
                self.ended.insert((user, self.logins[user]), self.now_ms);
                self.at(1_000 / ENDS_A_SECOND, Event::End);
                // The browser goes on with the old cookie for a while, as one whose session was ended elsewhere does.
                if self.random.random_bool(0.5) {
                    self.logins[user] += 1;
                }
            }
            Event::Request { user, envoy, worker } => self.request(user, envoy, worker),
            Event::Look { call } => {
                let Some((_, _, user, login)) = self.calls.get(&call).copied() else { return };
                let active = !self.ended.contains_key(&(user, login));
                self.at(CALL_MS / 2, Event::Answer { call, active });
            }
            Event::Answer { call, active } => {
                let Some((envoy, worker, user, login)) = self.calls.remove(&call) else { return };
                let body = if active { SESSION } else { b"{}" }.to_vec();
                let answer = Answer::Complete { status: 200, from_service: true, body: Body::Read(body) };
                let now_ms = self.now_ms;
                let desk = &mut self.worker(envoy, worker).desk;
                let Some(Airborne::Flight(flight)) = desk.landed(call) else { return };
                let settled = desk.answered(*flight, &answer, now_ms, &|_| ());
                self.settled(settled, (envoy, worker, user, login));
            }
        }
    }

    fn worker(&mut self, envoy: u32, worker: u32) -> &mut Worker {
        let Setting { ttl_ms, shared, .. } = self.setting;
        let board = if shared { self.boards.entry(envoy).or_default().clone() } else { OwnBoard::default() };
        self.workers.entry((envoy, worker)).or_insert_with(|| {
            let settings =
                Settings { ttl_ms, negative_ttl_ms: 1_000, stale_if_error_ms: 0, max_bytes: 1 << 20, shared };
            let random = [1, 2, u64::from(envoy), u64::from(worker)];
            let Ok(desk) = Desk::new((ttl_ms > 0).then_some(&settings), Limits::default(), board, random) else {
                unreachable!("a board in memory always works")
            };
            Worker { desk }
        })
    }

    fn request(&mut self, user: usize, envoy: u32, worker: u32) {
        self.outcome.requests += 1;
        let now_ms = self.now_ms;
        let login = self.logins[user];
        let Some(rule) = self.config.rules.iter().next().cloned() else { return };
        let Some(token) = Token::parse(token(user, login).as_bytes(), &|| now_ms) else { return };
        let Some(headers) = Headers::parse(vec![0; 4]) else { return };
        self.next += 1;
        let who = Who { stream: self.next, ticket: now_ms };
        let waiter = Waiter { who, oldest_ms: u64::MAX, deadline_ms: now_ms + 500, shadow: false };
        let hit = Cell::new(false);
        let note = |note: Note<'_>| {
            let hits = [Counter::CacheHits, Counter::CacheSharedHits, Counter::CacheNegativeHits];
            if let Note::Count(counter) = note {
                hit.set(hit.get() || hits.contains(&counter));
            }
        };
        let wanted = Wanted { rule: &rule, token };
        let asked = self.worker(envoy, worker).desk.ask(wanted, waiter, &headers, now_ms, &note);
        self.outcome.hits += u64::from(hit.get());
        match asked {
            Asked::Answered(lookup) => self.told(&lookup, now_ms, user, login),
            Asked::Waiting => {}
            Asked::Call(flight) => self.call(*flight, (envoy, worker, user, login)),
        }
    }

    fn call(&mut self, flight: Flight, who: (u32, u32, usize, u32)) {
        self.outcome.calls += 1;
        self.next += 1;
        let call = self.next;
        self.calls.insert(call, who);
        self.worker(who.0, who.1).desk.departed(call, Airborne::Flight(Box::new(flight)));
        self.at(CALL_MS / 2, Event::Look { call });
    }

    fn settled(&mut self, settled: Settled, who: (u32, u32, usize, u32)) {
        for (waiter, lookup) in settled.told {
            self.told(&lookup, waiter.who.ticket, who.2, who.3);
        }
        if let Some(flight) = settled.again {
            self.call(*flight, who);
        }
    }

    /// A request that came then was served, or not.
    fn told(&mut self, lookup: &Lookup, came_ms: u64, user: usize, login: u32) {
        if let (Lookup::Active(_), Some(ended_ms)) = (lookup, self.ended.get(&(user, login))) {
            self.outcome.late_ms = self.outcome.late_ms.max(came_ms.saturating_sub(*ended_ms));
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
