//! Traps of the filter's VM, on purpose: Envoy reloads it, nothing passes unchecked, nothing waits for long, and what the
//! workers share stays sound. The module is built with the feature `traps`; that which ships has none of it.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use serde_json::{Value, json};
use test_support::{token, wait};

use crate::harness::envoy::{Cluster, Envoy, Listener, shipped_module};
use crate::harness::mesh::plugin;
use crate::harness::stub::{CalloutResponse, Latch, Stub};
use crate::harness::upstream::{Upstream, UpstreamResponse};

const KINDS: [&str; 4] = ["panic", "abort", "stack-overflow", "out-of-memory"];

/// Paused streams of a VM that has trapped end after this time.
const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// What a loaded machine may add.
const MARGIN: Duration = Duration::from_secs(8);

fn module_with_traps() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let module = target.join("traps/rest_sessions_filter.wasm");
    assert!(module.is_file(), "{} is missing; `make test-rust` builds it before it runs these tests", module.display());
    module
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// An Envoy whose filter traps where requests ask for it.
struct Edge {
    envoy: Envoy,
    upstream: Upstream,
}

impl Edge {
    fn start(keys: Value, sessions: SocketAddr, workers: u32) -> Self {
        let upstream = Upstream::start();
        upstream.respond_with(|request| match request.target.as_str() {
            "/set" => UpstreamResponse::default().header("x-session-set", r#"{"cart":1}"#),
            _ => UpstreamResponse::default(),
        });
        let listener =
            Listener { module: module_with_traps(), stream_idle_timeout: "2s", ..Listener::new("main", plugin(keys)) };
        let clusters = [Cluster::new("rest-sessions", sessions)];
        let envoy = Envoy::start(&[listener], &clusters, upstream.address(), workers, &[]);
        Self { envoy, upstream }
    }

    fn address(&self) -> SocketAddr {
        self.envoy.address("main")
    }

    fn send(&self, request: &Sent) -> Option<u16> {
        request.begin(self.address()).finish().0
    }

    /// The status of a request with this session and nothing else; `None` if the connection ended without.
    fn status(&self, token: &str) -> Option<u16> {
        self.send(&Sent::with(token))
    }

    fn reloads(&self) -> u64 {
        self.stat("wasm.rest_sessions.vm_reload_success")
    }

    fn panics(&self) -> usize {
        self.envoy.log().matches("panicked at").count()
    }

    fn stat(&self, name: &str) -> u64 {
        self.envoy.stats(name).get(name).copied().unwrap_or_else(|| panic!("{name} is no statistic"))
    }

    /// Waits until the filter decides again, on each of the workers that serve so many new connections.
    #[track_caller]
    fn wait_until_it_decides(&self, token: &str, connections: usize) {
        let decides = || self.status(token) == Some(200) && self.send(&Sent::default()) == Some(401);
        wait::until_true("the filter to decide again", || (0..connections).all(|_| decides()));
    }

    /// Whether a request without a session has reached the upstream.
    fn let_through(&self) -> bool {
        (0..self.upstream.count()).any(|receipt| self.upstream.received(receipt).header("x-without-session").is_some())
    }
}

/// A request on a connection of its own.
#[derive(Clone, Default)]
struct Sent {
    method: Option<&'static str>,
    target: Option<&'static str>,
    token: Option<String>,
    trap: Option<String>,
}

impl Sent {
    fn with(token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..Self::default() }
    }

    fn to(self, method: &'static str, target: &'static str) -> Self {
        Self { method: Some(method), target: Some(target), ..self }
    }

    /// Arms a trap, see tests/traps/module.rs.
    fn trap(self, kind: &str, event: &str, calls: u32) -> Self {
        Self { trap: Some(format!("{kind} {event} {calls}")), ..self }
    }

    fn begin(&self, address: SocketAddr) -> Waiting {
        let mut stream = TcpStream::connect(address).expect("Envoy accepts connections");
        let (method, target) = (self.method.unwrap_or("GET"), self.target.unwrap_or("/"));
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: shop.example.com\r\nconnection: close\r\n");
        match &self.token {
            Some(token) => head.push_str(&format!("cookie: session-cookie={token}\r\n")),
            None => head.push_str("x-without-session: 1\r\n"),
        }
        if let Some(trap) = &self.trap {
            head.push_str(&format!("x-trap: {trap}\r\n"));
        }
        if method == "POST" {
            head.push_str("content-length: 0\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).expect("Envoy takes a request");
        Waiting { stream, since: Instant::now() }
    }
}

/// A request whose response is to come.
struct Waiting {
    stream: TcpStream,
    since: Instant,
}

impl Waiting {
    /// The status of the response, and how long it took. `None`: the connection has ended without one.
    ///
    /// Nothing after the head is read: Envoy closes a connection up to a second after a response of its own.
    fn finish(mut self) -> (Option<u16>, Duration) {
        self.stream.set_read_timeout(Some(wait::PATIENCE)).expect("a socket takes this option");
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            match self.stream.read(&mut byte) {
                Ok(0) => return (None, self.since.elapsed()),
                Ok(_) => head.extend(byte),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return (None, self.since.elapsed()),
                Err(error) => panic!("a request is not answered: {error}"),
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let status = head.split(' ').nth(1).map(|status| status.parse().expect("a status is a number"));
        (status, self.since.elapsed())
    }

    /// Whether there is something to read: a response, or the end of the connection.
    fn is_over(&self) -> bool {
        self.stream.set_nonblocking(true).expect("a socket takes this option");
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("a socket takes this option");
        !peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

/// Ends a thread, also if the test fails.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn configuration() -> Value {
    json!({
        "cache": {"ttl": "60s"},
        "write_back": {},
        "logout": {"path": "/logout"},
        "default": {"session": "required", "recheck": "1s"},
    })
}

#[test]
fn the_shipped_module_has_no_traps() {
    let has_traps = |module: PathBuf| {
        let module = fs::read(module).expect("the module can be read");
        ["x-trap", "stack-overflow"].map(|word| module.windows(word.len()).any(|bytes| bytes == word.as_bytes()))
    };
    assert_eq!(has_traps(module_with_traps()), [true, true]);
    assert_eq!(has_traps(shipped_module()), [false, false]);
}

#[test]
fn after_a_trap_of_any_kind_in_any_callback_envoy_reloads_the_vm_and_nothing_passes_unchecked() {
    let stub = Stub::with_active_session();
    let edge = Edge::start(configuration(), stub.address(), 1);
    let token = token::fresh();
    edge.wait_until_it_decides(&token, 1);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // Requests without a session, all the time.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert_ne!(edge.send(&Sent::default()), Some(200));
            }
        });
        let _done = SetWhenDropped(&done);
        for kind in KINDS {
            for event in ["request-headers", "callout-response", "response-headers", "tick"] {
                let before = edge.reloads();
                let status = edge.send(&Sent::with(&token::fresh()).to("GET", "/set").trap(kind, event, 0));
                println!("{kind} in {event}: {status:?}");
                if matches!(event, "request-headers" | "callout-response") {
                    assert_ne!(status, Some(200), "{kind} in {event}");
                }
                edge.wait_until_it_decides(&token, 1);
                wait::until_true("a reload", || {
                    // It is a new stream that reloads the VM.
                    edge.status(&token);
                    edge.reloads() > before
                });
                edge.wait_until_it_decides(&token, 1);
            }
        }
    });
    assert!(!edge.let_through());
    assert_eq!(edge.stat("wasm.rest_sessions.vm_reload_failure"), 0);
}

#[test]
fn the_paused_streams_of_a_vm_that_traps_end_within_the_idle_timeout_and_reach_no_upstream() {
    const PAUSED: usize = 16;
    let latch = Latch::default();
    let held = latch.clone();
    let stub = Stub::start(move |_| CalloutResponse::After(held.clone(), Box::new(CalloutResponse::session())));
    let mut keys = configuration();
    keys["rest_sessions"] = json!({"cluster": "rest-sessions", "timeout": "15s"});
    let edge = Edge::start(keys, stub.address(), 1);
    let mut paused: Vec<_> = (0..PAUSED).map(|_| Sent::with(&token::fresh()).begin(edge.address())).collect();
    // Several that wait for one lookup.
    let shared = Sent::with(&token::fresh());
    paused.extend((0..PAUSED).map(|_| shared.begin(edge.address())));
    stub.wait_for_calls(PAUSED + 1);
    paused.push(Sent::with(&token::fresh()).trap("panic", "request-headers", 0).begin(edge.address()));
    let trapped = Instant::now();
    for waiting in paused {
        let (status, _) = waiting.finish();
        assert!(!matches!(status, Some(200..400)), "{status:?}");
    }
    assert!(trapped.elapsed() < STREAM_IDLE_TIMEOUT + MARGIN, "they took {:?}", trapped.elapsed());
    assert_eq!(edge.upstream.count(), 0);
    latch.open();
    edge.wait_until_it_decides(&token::fresh(), 1);
}

/// The trap springs at each host call of a logout in turn: while slots are read and written, before and after the epoch is
/// raised, between the call and its response. The first logout that makes fewer calls than the trap needs ends each row.
#[test]
fn a_logout_whose_vm_traps_at_any_host_call_succeeds_for_all_workers_or_not_at_all() {
    const CONNECTIONS: usize = 12;
    /// More than a logout makes, its call's response included; a logout makes some 30.
    const MOST_HOST_CALLS: u32 = 100;
    let ended = Arc::new(Mutex::new(HashSet::new()));
    let at_service = Arc::clone(&ended);
    let stub = Stub::start(move |call| {
        if call.path.contains("/kill/") {
            at_service.lock().unwrap().insert(call.token().to_owned());
            CalloutResponse::text(200, r#"{"kill":1}"#)
        } else if at_service.lock().unwrap().contains(call.token()) {
            CalloutResponse::none()
        } else {
            CalloutResponse::session()
        }
    });
    let edge = Edge::start(configuration(), stub.address(), 2);
    let log_out = |token: &str| Sent::with(token).to("POST", "/logout");
    // A trap may still be armed from before, and spring in one of these requests.
    let served = |token: &str| (0..CONNECTIONS).all(|_| edge.status(token) == Some(200));
    let both_workers_serve = |token: &str| wait::until_true("both workers to serve the session", || served(token));
    let nobody_serves = |token: &str, when: &str| {
        for _ in 0..CONNECTIONS {
            assert_ne!(edge.status(token), Some(200), "{when}");
        }
    };
    let mut traps = 0;
    for event in ["request-headers", "callout-response"] {
        let withstood = (1..=MOST_HOST_CALLS).find(|calls| {
            let when = format!("a trap {calls} host calls into {event}");
            let token = token::fresh();
            both_workers_serve(&token);
            let before = edge.panics();
            let logout = log_out(&token).trap("panic", event, *calls).begin(edge.address());
            // A logout that was paused when its VM trapped is answered only at the idle timeout.
            wait::until_true("an answer or a trap", || logout.is_over() || edge.panics() > before);
            if logout.is_over() && logout.finish().0 == Some(204) {
                nobody_serves(&token, &when);
                return true;
            }
            traps += 1;
            let has_ended = || ended.lock().unwrap().contains(&token);
            wait::until_true("both workers to serve the session, or its end", || has_ended() || served(&token));
            if has_ended() {
                nobody_serves(&token, &when);
            }
            // What the workers share tells them of the next logout.
            let next = token::fresh();
            both_workers_serve(&next);
            assert_eq!(edge.send(&log_out(&next)), Some(204), "after {when}");
            nobody_serves(&next, &when);
            false
        });
        assert!(withstood.is_some(), "a logout makes more than {MOST_HOST_CALLS} host calls after {event}");
    }
    println!("{traps} traps");
    assert!(traps > 20, "only {traps} host calls of a logout were found");
    assert!(edge.reloads() >= traps, "{} reloads after {traps} traps", edge.reloads());
}

#[test]
fn the_gauges_lose_what_the_vm_that_trapped_had_added() {
    const CACHED: u64 = 5;
    const IN_FLIGHT: usize = 3;
    let latch = Latch::default();
    let held = latch.clone();
    let stub = Stub::start(move |call| {
        let session = CalloutResponse::session();
        if call.token().starts_with('H') { CalloutResponse::After(held.clone(), Box::new(session)) } else { session }
    });
    let mut keys = configuration();
    keys["rest_sessions"] = json!({"cluster": "rest-sessions", "timeout": "15s"});
    let edge = Edge::start(keys, stub.address(), 1);
    let gauges = || ["in_flight", "cache_entries"].map(|name| edge.stat(&format!("wasmcustom.rest_sessions.{name}")));
    for _ in 0..CACHED {
        assert_eq!(edge.status(&token::fresh()), Some(200));
    }
    let held_tokens = (0..IN_FLIGHT).map(|number| format!("H{number}{}", "x".repeat(62)));
    let waiting: Vec<_> = held_tokens.map(|token| Sent::with(&token).begin(edge.address())).collect();
    stub.wait_for_calls(CACHED as usize + IN_FLIGHT);
    wait::until_equal("the gauges", &[IN_FLIGHT as u64, CACHED], gauges);
    assert_eq!(edge.send(&Sent::with(&token::fresh()).trap("panic", "request-headers", 0)), Some(503));
    for request in waiting {
        assert_ne!(request.finish().0, Some(200));
    }
    latch.open();
    let token = token::fresh();
    edge.wait_until_it_decides(&token, 1);
    wait::until_equal("the gauges to be those of the new VM", &[0, 1], gauges);
}
