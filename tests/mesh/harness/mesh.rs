//! Envoy with the filter and its upstream. Requests are counted as they are sent, so that every test also checks the
//! filter's counters.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json};
use test_support::http1::{Connection, Request, Response};
use test_support::wait;

use super::envoy::{Cluster, Envoy, Listener};
use test_support::outcomes::OUTCOMES;

use super::http2::{self, ConcurrentRequests};
use super::sessions::APP;
use super::upstream::{RECEIPT, Upstream, UpstreamRequest};

/// All other counters.
pub const COUNTERS: [&str; 20] = [
    "conflicts_total",
    "coalesced_total",
    "calls_total",
    "call_failures_timeout_total",
    "call_failures_connect_total",
    "call_failures_status_total",
    "call_failures_invalid_total",
    "call_failures_dispatch_total",
    "call_failures_breaker_total",
    "cache_hits_total",
    "cache_shared_hits_total",
    "cache_misses_total",
    "cache_negative_hits_total",
    "cache_stale_total",
    "cache_evictions_total",
    "ends_total",
    "recheck_closed_total",
    "write_backs_total",
    "write_back_failures_total",
    "write_back_dropped_total",
];

const MAIN: &str = "main";

/// A plugin configuration for the app and the cluster `rest-sessions`, with these keys added or replaced.
pub fn plugin(keys: Value) -> Value {
    let mut plugin = json!({"app": APP, "rest_sessions": {"cluster": "rest-sessions", "timeout": "5s"}});
    let (Value::Object(all), Value::Object(keys)) = (&mut plugin, keys) else {
        panic!("a plugin's configuration is an object");
    };
    all.extend(keys);
    plugin
}

/// Describes what to start for a test.
#[derive(Default)]
pub struct Setup {
    listeners: Vec<Listener>,
    clusters: Vec<Cluster>,
    concurrency: Option<u32>,
    upstream: Option<SocketAddr>,
    environment: Vec<(&'static str, String)>,
}

impl Setup {
    /// Starts with one listener with this plugin configuration.
    pub fn new(plugin: Value) -> Self {
        Self::default().listener(Listener::new(MAIN, plugin))
    }

    /// Adds a listener.
    pub fn listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Adds a cluster that the filter may call.
    pub fn cluster(mut self, cluster: Cluster) -> Self {
        self.clusters.push(cluster);
        self
    }

    /// Adds the cluster `rest-sessions` at this address.
    pub fn sessions(self, address: SocketAddr) -> Self {
        self.cluster(Cluster::new("rest-sessions", address))
    }

    /// Sets the number of Envoy's workers; one by default.
    pub fn workers(mut self, workers: u32) -> Self {
        self.concurrency = Some(workers);
        self
    }

    /// Replaces the upstream.
    pub fn upstream(mut self, address: SocketAddr) -> Self {
        self.upstream = Some(address);
        self
    }

    /// Sets a variable in Envoy's environment.
    pub fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    pub fn start(self) -> Mesh {
        let upstream = Upstream::start();
        let workers = self.concurrency.unwrap_or(1);
        let address = self.upstream.unwrap_or(upstream.address());
        let envoy = Envoy::start(&self.listeners, &self.clusters, address, workers, &self.environment);
        Mesh { envoy, upstream, sent: AtomicU64::new(0), _clusters: self.clusters }
    }
}

/// A running Envoy with its upstream. Dropping it checks the invariants of every test: each request is counted exactly
/// once, no VM was reloaded, the filter did not panic, and no token is in the log.
pub struct Mesh {
    pub envoy: Envoy,
    pub upstream: Upstream,
    sent: AtomicU64,
    /// Held for their refusing ports.
    _clusters: Vec<Cluster>,
}

impl Mesh {
    /// The address of the only listener.
    pub fn address(&self) -> SocketAddr {
        self.envoy.address(MAIN)
    }

    /// The number of requests sent to Envoy.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Counts a request that the test sends itself.
    pub fn count_one(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends a request and reads its response.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Response {
        self.count_one();
        request.send_to(self.address())
    }

    /// Sends a request over HTTP/2 and reads its response.
    #[track_caller]
    pub fn send_h2(&self, request: &Request) -> Response {
        self.count_one();
        http2::send(self.address(), request)
    }

    /// Sends a request to one of several listeners and reads its response.
    #[track_caller]
    pub fn send_at(&self, listener: &str, request: &Request) -> Response {
        self.count_one();
        request.send_to(self.envoy.address(listener))
    }

    /// Sends a request and leaves its response for later.
    #[track_caller]
    pub fn begin(&self, request: &Request) -> Connection {
        self.count_one();
        Connection::open(self.address()).send(request)
    }

    /// Sends `count` copies of a request at the same time over one HTTP/2 connection, and leaves the responses for
    /// later.
    #[track_caller]
    pub fn send_concurrently(&self, request: &Request, count: usize) -> ConcurrentRequests {
        (0..count).for_each(|_| self.count_one());
        ConcurrentRequests::send(self.address(), request, count)
    }

    /// The request as the upstream received it. `response` has to be the upstream's.
    #[track_caller]
    pub fn upstream_request(&self, request: &Request, response: &Response) -> UpstreamRequest {
        let Some(receipt) = response.header(RECEIPT) else {
            panic!("a response of the upstream was expected, not: {} {}\n{request}", response.status, response.text());
        };
        self.upstream.received(receipt.parse().expect("a receipt is a number"))
    }

    /// Sends a request that must reach the upstream, and returns it as received there.
    #[track_caller]
    pub fn passes(&self, request: &Request) -> UpstreamRequest {
        self.upstream_request(request, &self.send(request))
    }

    /// Sends a request to a listener that must reach the upstream, and returns it as received there.
    #[track_caller]
    pub fn passes_at(&self, listener: &str, request: &Request) -> UpstreamRequest {
        self.upstream_request(request, &self.send_at(listener, request))
    }

    /// Sends a request that the filter must deny with this status and error.
    #[track_caller]
    pub fn denies(&self, request: &Request, status: u16, error: &str) -> Response {
        let response = self.send(request);
        assert_denied(request, &response, status, error);
        response
    }

    /// Sends a request to a listener whose filter must deny it with this status and error.
    #[track_caller]
    pub fn denies_at(&self, listener: &str, request: &Request, status: u16, error: &str) -> Response {
        let response = self.send_at(listener, request);
        assert_denied(request, &response, status, error);
        response
    }

    /// One of the filter's counters or gauges.
    #[track_caller]
    pub fn counter(&self, name: &str) -> u64 {
        let name = format!("wasmcustom.rest_sessions.{name}");
        let stats = self.envoy.stats(&name);
        *stats.get(&name).unwrap_or_else(|| panic!("{name} is not a statistic of Envoy; there are {stats:?}"))
    }

    /// The outcome counters that are not 0.
    pub fn outcomes(&self) -> BTreeMap<String, u64> {
        self.counts_among(&OUTCOMES)
    }

    /// Waits until the outcome counters that are not 0 are exactly these.
    #[track_caller]
    pub fn expect_outcomes(&self, expected: &[(&str, u64)]) {
        wait::until_equal("the outcomes of all requests", &named(expected), || self.outcomes());
    }

    /// Waits until the other counters that are not 0 are exactly these.
    #[track_caller]
    pub fn expect_counters(&self, expected: &[(&str, u64)]) {
        wait::until_equal("the counters beside the outcomes", &named(expected), || self.counts_among(&COUNTERS));
    }

    fn counts_among(&self, names: &[&str]) -> BTreeMap<String, u64> {
        let stats = self.envoy.stats("wasmcustom.rest_sessions");
        let count = |name: &&str| stats.get(&format!("wasmcustom.rest_sessions.{name}")).copied().unwrap_or(0);
        names.iter().map(|name| ((*name).to_owned(), count(name))).filter(|(_, count)| *count > 0).collect()
    }

    #[track_caller]
    fn assert_invariants(&self) {
        wait::until_equal("every request to be counted exactly once", &self.sent(), || self.outcomes().values().sum());
        let reloads = self.envoy.stats("vm_reload");
        assert!(reloads.contains_key("wasm.rest_sessions.vm_reload"), "Envoy counts no reloads: {reloads:?}");
        assert!(reloads.values().all(|count| *count == 0), "the filter's VM was reloaded: {reloads:?}");
        let log = self.envoy.log();
        assert!(!log.contains("panicked at"), "the filter panicked");
        let word = log.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| word.len() == 64);
        assert_eq!(word, None, "a token is in the log");
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.assert_invariants();
        }
    }
}

fn named(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// Asserts that a response is the filter's local reply with this status and error.
#[track_caller]
pub fn assert_denied(request: &Request, response: &Response, status: u16, error: &str) {
    assert_eq!(response.header(RECEIPT), None, "the upstream was reached; {status} {error} was expected\n{request}");
    assert_eq!((response.status, response.error().as_str()), (status, error), "{}\n{request}", response.text());
    assert_eq!(response.header("content-type").as_deref(), Some("application/json"), "{request}");
    assert_eq!(response.header("cache-control").as_deref(), Some("no-store"), "{request}");
}
