//! Stress: many concurrent clients, of which many disconnect before their response, while sessions end. No request hangs,
//! none gets another session than its own, each is counted once.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::stub::{Call, CalloutResponse, Stub};
use test_support::http1::Request;
use test_support::token;
use test_support::wait::{until, until_equal};

/// The number of concurrent clients.
const CLIENTS: usize = 8;

/// The number of requests of each client.
const ROUNDS: usize = 60;

/// The number of concurrent requests on one HTTP/2 connection.
const CONCURRENT: usize = 24;

/// A session service with a delay, so that clients disconnect before its responses, and whose sessions can be ended.
struct Service {
    tokens: Vec<String>,
    ended: Arc<Mutex<HashSet<String>>>,
    stub: Stub,
}

impl Service {
    fn start() -> Self {
        let ended: Arc<Mutex<HashSet<String>>> = Arc::default();
        let ended_in_stub = Arc::clone(&ended);
        let stub = Stub::start(move |call: &Call| {
            thread::sleep(Duration::from_millis(3));
            if ended_in_stub.lock().unwrap().contains(call.token()) {
                return CalloutResponse::none();
            }
            CalloutResponse::json(200, &json!({"id": user(call.token()), "ttl": 7200}))
        });
        Self { tokens: (0..CLIENTS).map(|_| token::fresh()).collect(), ended, stub }
    }

    fn token(&self, number: usize) -> &str {
        &self.tokens[number % self.tokens.len()]
    }

    fn end(&self, token: &str) {
        self.ended.lock().unwrap().insert(token.to_owned());
    }
}

fn user(token: &str) -> String {
    format!("user-of-{}", &token[..12])
}

/// `/now` accepts no cached session.
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

/// Runs all clients concurrently, then asserts what must hold after every run.
fn run_clients(client: fn(&Mesh, &Service, usize), cache: Option<Value>, workers: u32) {
    let service = Service::start();
    let caches = cache.is_some();
    let mesh = mesh(cache, &service, workers);
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (mesh, service) = (&mesh, &service);
            scope.spawn(move || client(mesh, service, number));
        }
    });
    // Requests of disconnected clients may still be on their way into Envoy.
    until("all calls to have arrived and ended", || {
        let arrived = mesh.counter("calls_total") as usize == service.stub.calls().len();
        (mesh.counter("in_flight") == 0 && arrived).then_some(())
    });
    let after = token::fresh();
    let received = mesh.passes(&Request::get("/").session(&after));
    assert_eq!(received.values("x-session-user"), [user(&after)]);
    if caches {
        let lookups =
            ["cache_hits_total", "cache_shared_hits_total", "cache_negative_hits_total", "cache_misses_total"];
        until_equal("one cache lookup for each request", &mesh.sent(), || {
            lookups.iter().map(|name| mesh.counter(name)).sum::<u64>()
        });
    }
}

fn cache() -> Option<Value> {
    Some(json!({"ttl": "100ms", "stale_if_error": "1h"}))
}

fn http_1_client(mesh: &Mesh, service: &Service, client: usize) {
    for round in 0..ROUNDS {
        let token = service.token(client + round / 7);
        let request = request(round, token);
        let mut connection = mesh.begin(&request);
        if (client + round).is_multiple_of(3) {
            // The client disconnects.
            continue;
        }
        let response = connection.read(false);
        if response.status == 200 {
            assert_eq!(mesh.upstream_request(&request, &response).values("x-session-user"), [user(token)]);
        } else {
            assert_eq!(response.status, 401, "{response:?}");
        }
        if round == ROUNDS / 2 && client.is_multiple_of(2) {
            service.end(service.token(client));
        }
    }
}

fn http_2_client(mesh: &Mesh, service: &Service, client: usize) {
    for round in 0..ROUNDS / 6 {
        let token = service.token(client + round / 3);
        let mut requests = mesh.send_concurrently(&request(round, token), CONCURRENT);
        // Also the first request disconnects, which started the call.
        requests.cancel((client + round) % CONCURRENT);
        let statuses = requests.statuses();
        assert!(statuses.iter().all(|status| matches!(status, 200 | 401)), "{statuses:?}");
        if round == 3 && client.is_multiple_of(2) {
            service.end(service.token(client));
        }
    }
}

#[test]
fn disconnecting_http_1_clients_affect_no_other_request_without_a_cache() {
    run_clients(http_1_client, None, 2);
}

#[test]
fn disconnecting_http_1_clients_affect_no_other_request_with_a_cache() {
    run_clients(http_1_client, cache(), 1);
    run_clients(http_1_client, cache(), 2);
}

#[test]
fn disconnecting_http_2_clients_affect_no_other_request_without_a_cache() {
    run_clients(http_2_client, None, 2);
}

#[test]
fn disconnecting_http_2_clients_affect_no_other_request_with_a_cache() {
    run_clients(http_2_client, cache(), 1);
    run_clients(http_2_client, cache(), 2);
}
