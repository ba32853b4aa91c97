//! Storms: many clients at once, of whom many leave before they are answered, while sessions end. Nobody hangs, nobody
//! is told of another's session, everybody counts once.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use test_support::http1::Request;
use test_support::token;
use test_support::wait::{until, until_equal};

use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::stub::{Answer, Call, Stub};

/// Clients at the same time.
const CLIENTS: usize = 8;

/// What each of them does, one after the other.
const ROUNDS: usize = 60;

/// Requests of one connection at the same time, over HTTP/2.
const CROWD: usize = 24;

/// A service that takes its time, so that there is something to leave, and forgets sessions on command.
struct Service {
    tokens: Vec<String>,
    gone: Arc<Mutex<HashSet<String>>>,
    stub: Stub,
}

impl Service {
    fn start() -> Self {
        let gone: Arc<Mutex<HashSet<String>>> = Arc::default();
        let forgotten = Arc::clone(&gone);
        let stub = Stub::start(move |call: &Call| {
            thread::sleep(Duration::from_millis(3));
            if forgotten.lock().unwrap().contains(call.token()) {
                return Answer::none();
            }
            Answer::json(200, &json!({"id": user(call.token()), "ttl": 7200}))
        });
        Self { tokens: (0..CLIENTS).map(|_| token::fresh()).collect(), gone, stub }
    }

    fn token(&self, number: usize) -> &str {
        &self.tokens[number % self.tokens.len()]
    }

    fn kill(&self, token: &str) {
        self.gone.lock().unwrap().insert(token.to_owned());
    }
}

fn user(token: &str) -> String {
    format!("user-of-{}", &token[..12])
}

/// `/now` takes nothing that is kept.
fn mesh(cache: Option<Value>, service: &Service, workers: u32) -> Mesh {
    let mut keys = plugin(json!({
        "rules": [{"match": {"paths": ["/now"]}, "session": "required", "max_staleness": "0s"}],
    }));
    if let Some(cache) = cache {
        keys["cache"] = cache;
    }
    keys["rest_sessions"]["timeout"] = "15s".into();
    Setup::new(keys).sessions(service.stub.address()).workers(workers).start()
}

fn request(round: usize, token: &str) -> Request {
    Request::get(if round.is_multiple_of(5) { "/now" } else { "/" }).session(token)
}

/// All clients at once, each doing what `client` says; then what every storm must have left behind.
fn storm(client: fn(&Mesh, &Service, usize), cache: Option<Value>, workers: u32) {
    let service = Service::start();
    let keeps = cache.is_some();
    let mesh = mesh(cache, &service, workers);
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (mesh, service) = (&mesh, &service);
            scope.spawn(move || client(mesh, service, number));
        }
    });
    // Requests of clients that have left may still be on their way into Envoy.
    until("all calls to have arrived and ended", || {
        let arrived = mesh.counter("calls_total") as usize == service.stub.calls().len();
        (mesh.counter("in_flight") == 0 && arrived).then_some(())
    });
    let after = token::fresh();
    let seen = mesh.passes(&Request::get("/").session(&after));
    assert_eq!(seen.values("x-session-user"), [user(&after)]);
    if keeps {
        let looks = ["cache_hits_total", "cache_shared_hits_total", "cache_negative_hits_total", "cache_misses_total"];
        until_equal("each request to have looked into the cache once", &mesh.sent(), || {
            looks.iter().map(|name| mesh.counter(name)).sum::<u64>()
        });
    }
}

fn kept() -> Option<Value> {
    Some(json!({"ttl": "100ms", "stale_if_error": "1h"}))
}

fn client_of_http_1(mesh: &Mesh, service: &Service, client: usize) {
    for round in 0..ROUNDS {
        let token = service.token(client + round / 7);
        let request = request(round, token);
        let mut connection = mesh.begin(&request);
        if (client + round).is_multiple_of(3) {
            // It leaves without a word.
            continue;
        }
        let response = connection.read(false);
        if response.status == 200 {
            assert_eq!(mesh.seen_for(&request, &response).values("x-session-user"), [user(token)]);
        } else {
            assert_eq!(response.status, 401, "{response:?}");
        }
        if round == ROUNDS / 2 && client.is_multiple_of(2) {
            service.kill(service.token(client));
        }
    }
}

fn client_of_http_2(mesh: &Mesh, service: &Service, client: usize) {
    for round in 0..ROUNDS / 6 {
        let token = service.token(client + round / 3);
        let mut crowd = mesh.send_concurrently(&request(round, token), CROWD);
        // The first is among them, who has started the call.
        crowd.cancel((client + round) % CROWD);
        let statuses = crowd.statuses();
        assert!(statuses.iter().all(|status| matches!(status, 200 | 401)), "{statuses:?}");
        if round == 3 && client.is_multiple_of(2) {
            service.kill(service.token(client));
        }
    }
}

#[test]
fn clients_of_http_1_that_leave_harm_nobody_without_a_cache() {
    storm(client_of_http_1, None, 2);
}

#[test]
fn clients_of_http_1_that_leave_harm_nobody_where_answers_are_kept() {
    storm(client_of_http_1, kept(), 1);
    storm(client_of_http_1, kept(), 2);
}

#[test]
fn clients_of_http_2_that_leave_harm_nobody_without_a_cache() {
    storm(client_of_http_2, None, 2);
}

#[test]
fn clients_of_http_2_that_leave_harm_nobody_where_answers_are_kept() {
    storm(client_of_http_2, kept(), 1);
    storm(client_of_http_2, kept(), 2);
}
