//! Envoy with the filter and two workers, its figures during the soak, and what must hold of them at the end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use test_support::outcomes::OUTCOMES;
use test_support::wait;

use crate::harness::envoy::{Cluster, Envoy, Listener};
use crate::harness::mesh::plugin;
use crate::ledger::TTL;
use crate::memory::{Memory, Sample};
use crate::store::TIMEOUT;
use crate::tally::Tally;
use crate::upstream::START;

const WORKERS: u32 = 2;
/// The smallest cache, which has to evict.
const CACHE_BYTES: u64 = 65_536;
const METRICS: &str = "wasmcustom.rest_sessions.";

/// What every soak raises.
const HAPPENED: [&str; 17] = [
    "allowed_total",
    "anonymous_total",
    "off_total",
    "denied_no_session_total",
    "denied_unavailable_total",
    "logouts_total",
    "abandoned_total",
    "conflicts_total",
    "coalesced_total",
    "call_failures_breaker_total",
    "call_failures_connect_total",
    "call_failures_status_total",
    "cache_hits_total",
    "cache_shared_hits_total",
    "cache_negative_hits_total",
    "write_backs_total",
    "recheck_closed_total",
];

pub struct Edge {
    envoy: Envoy,
    revision: u64,
    pub memory: Memory,
}

impl Edge {
    pub fn start(upstream: SocketAddr, rest_sessions: SocketAddr) -> Self {
        let clusters = [Cluster::new("rest-sessions", rest_sessions)];
        // At level debug, each refusal would be a line of the log.
        let envoy = Envoy::start_at_level("warning", &[listener(0)], &clusters, upstream, WORKERS, &[]);
        Self { envoy, revision: 0, memory: Memory::default() }
    }

    pub fn address(&self) -> SocketAddr {
        self.envoy.address("main")
    }

    /// Replaces the filter's configuration by ECDS, and waits until it is in force.
    pub fn reconfigure(&mut self) {
        self.revision += 1;
        self.envoy.reconfigure(&listener(self.revision));
        // The first configuration counts too.
        wait::until_equal("a new configuration to be in force", &(self.revision + 1), || self.reloads());
    }

    fn reloads(&self) -> u64 {
        self.stat("extension_config_discovery.http_filter.rest_sessions.config_reload")
    }

    pub fn sample(&mut self, after: Duration) {
        let (resident, vms) = (resident_bytes(&self.envoy), self.envoy.vm_bytes());
        let invalidations = self.metric("ends_total");
        self.memory.add(Sample { after, resident, vms, invalidations });
    }

    #[track_caller]
    fn stat(&self, name: &str) -> u64 {
        *self.envoy.stats(name).get(name).unwrap_or_else(|| panic!("{name} is no statistic of Envoy"))
    }

    #[track_caller]
    fn metric(&self, name: &str) -> u64 {
        self.stat(&format!("{METRICS}{name}"))
    }

    /// All requests are over, and Envoy knows of none.
    #[track_caller]
    pub fn assert_no_stuck_stream(&mut self) {
        for name in [
            "http.main.downstream_rq_active",
            "http.main.downstream_cx_active",
            "cluster.upstream.upstream_rq_active",
            "cluster.rest-sessions.upstream_rq_active",
            "wasmcustom.rest_sessions.in_flight",
            "wasmcustom.rest_sessions.pending_bytes",
        ] {
            wait::until_equal(&format!("{name} to be 0"), &0, || self.stat(name));
        }
        let used = self.metric("cache_bytes");
        let most = u64::from(WORKERS) * CACHE_BYTES;
        assert!(used <= most, "the caches have {used} bytes, and may have {most}");
        // A worker takes back what it has added when its configuration is replaced, and adds nothing without a request.
        self.reconfigure();
        for gauge in ["in_flight", "pending_bytes", "cache_bytes", "cache_entries"] {
            wait::until_equal(&format!("the gauge {gauge} to be taken back"), &0, || self.metric(gauge));
        }
    }

    /// No VM trapped or was created again, and the log shows neither an error nor a token.
    #[track_caller]
    pub fn assert_sound(&self) {
        let reloads = self.envoy.stats("vm_reload");
        assert!(reloads.contains_key("wasm.rest_sessions.vm_reload_success"), "Envoy counts no reloads: {reloads:?}");
        assert!(reloads.values().all(|count| *count == 0), "a VM was reloaded: {reloads:?}");
        let refused = self.stat("extension_config_discovery.http_filter.rest_sessions.config_fail");
        assert_eq!(refused, 0, "a configuration was refused");
        let log = self.envoy.log();
        for sign in ["panicked at", "][error]", "][critical]", "proxy_on_"] {
            assert!(!log.contains(sign), "{sign:?} is in Envoy's log:\n{log}");
        }
        let word = log.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| word.len() == 64);
        assert_eq!(word, None, "a token is in the log");
    }

    /// The filter's outcomes, Envoy's requests and what the clients saw are the same requests.
    #[track_caller]
    pub fn assert_outcomes_add_up(&self, tally: &Tally, arrived: u64) {
        let outcomes = self.outcomes();
        let of = |names: &[&str]| names.iter().map(|name| outcomes[*name]).sum::<u64>();
        let total = tally.total();
        let counted = outcomes.values().sum::<u64>();
        assert_eq!(counted, self.stat("http.main.downstream_rq_total"), "outcomes, and requests that Envoy counted");
        assert_eq!(counted, total.sum(), "outcomes, and requests that the clients sent");

        // A request whose client left may have had any outcome.
        let within = |what: &str, counted: u64, seen: u64, more: u64| {
            assert!((seen..=seen + more).contains(&counted), "{what}: {counted} counted, {seen} seen, {more} unknown");
        };
        let failed_changes = self.metric("write_back_failures_total");
        let logouts = of(&["logouts_total"]);
        let passed = of(&["allowed_total", "anonymous_total", "off_total"]);
        // A request that passed is answered 503 if the change that its response asked for fails.
        within("passed", passed + logouts, total.passed, total.left + failed_changes);
        within("refused", of(&["denied_no_session_total"]), total.refused, total.left);
        let failed = of(&["denied_unavailable_total", "denied_busy_total", "logout_failures_total"]);
        within("failed", failed + failed_changes, total.failed, total.left);
        // What arrived has passed, and what was answered with 200 has arrived.
        assert!(arrived <= passed, "{arrived} requests arrived at the upstream, {passed} passed");
        assert!(arrived + logouts >= total.passed, "{arrived} requests arrived, {} had a response", total.passed);
        let others = counted - passed - logouts - failed - of(&["denied_no_session_total", "abandoned_total"]);
        assert_eq!(others, 0, "these outcomes were not expected: {outcomes:?}");
    }

    /// The filter's calls are those that Envoy counted at rest-sessions, and each has its reason.
    #[track_caller]
    pub fn assert_calls_add_up(&self) {
        // A miss makes a call, joins one or is refused by the breaker. Changes and ends make calls too, unless they share
        // one, and so does a lookup that an end overtakes.
        let sum = |names: &[&str]| names.iter().map(|name| self.metric(name)).sum::<u64>();
        let calls = sum(&["calls_total", "coalesced_total", "call_failures_breaker_total"]);
        let misses = self.metric("cache_misses_total");
        let changes =
            sum(&["logouts_total", "logout_failures_total", "write_backs_total", "write_back_failures_total"]);
        let repeated = u64::from(WORKERS) * self.metric("ends_total");
        let range = misses..=misses + changes + repeated;
        assert!(range.contains(&calls), "{calls} calls, joined and refused ones; {range:?} were expected");
        // Envoy counts each call once, whether it was retried or not, but none that is cut off in the middle of its response
        // or with a replaced configuration.
        let cluster = |name: &str| self.stat(&format!("cluster.rest-sessions.{name}"));
        let cut = [
            "upstream_cx_destroy_with_active_rq",
            "upstream_rq_tx_reset",
            "upstream_rq_rx_reset",
            "upstream_rq_cancelled",
        ];
        let cut = cut.map(cluster).iter().sum::<u64>();
        let sent = self.metric("calls_total") - self.metric("call_failures_dispatch_total");
        let failed = sum(&["call_failures_timeout_total", "call_failures_connect_total", "call_failures_status_total"]);
        for (what, counted, seen) in
            [("calls", sent, cluster("upstream_rq_completed")), ("failed calls", failed, cluster("upstream_rq_5xx"))]
        {
            let range = seen..=seen + cut;
            assert!(range.contains(&counted), "{what}: {counted} counted, and by Envoy {seen}, with {cut} cut off");
        }
        assert_eq!(self.metric("cache_stale_total"), 0, "there is no stale_if_error");
    }

    /// Each part of the soak has taken place.
    #[track_caller]
    pub fn assert_complete(&self) {
        for name in HAPPENED {
            assert!(self.metric(name) > 0, "{name} is 0: a part of the soak did not take place");
        }
    }

    fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        let stats = self.envoy.stats(METRICS);
        OUTCOMES.into_iter().map(|name| (name, stats[&format!("{METRICS}{name}")])).collect()
    }

    pub fn print_counters(&self) {
        for (name, count) in self.envoy.stats(METRICS).iter().filter(|(_, count)| **count > 0) {
            println!("{:<40} {count:>10}", name.trim_start_matches(METRICS));
        }
        println!("{:<40} {:>10}", "configurations", self.revision);
    }
}

/// The memory that the process holds.
fn resident_bytes(envoy: &Envoy) -> u64 {
    let status = envoy.proc_file("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of KiB") * 1024
}

/// The listener with a filter that comes by ECDS. Each revision is another configuration.
fn listener(revision: u64) -> Listener {
    let keys = json!({
        "rest_sessions": {"cluster": "rest-sessions", "timeout": format!("{}ms", TIMEOUT.as_millis())},
        "rules": [
            {"name": "off", "match": {"paths": ["/off"]}, "session": "off"},
            {"name": "open", "match": {"paths": ["/open"]}, "session": "optional"},
            {"name": "websockets", "match": {"paths": ["/ws/*"]}, "session": "required", "recheck": "1s"},
        ],
        "annotate": {"max_bytes": 6144 + revision},
        "cache": {"ttl": format!("{}ms", TTL.as_millis()), "max_bytes": CACHE_BYTES},
        "logout": {"path": "/logout"},
        "write_back": {"on_failure": "deny"},
    });
    // Microseconds since 1970.
    let start = json!({
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        "header": {"key": START, "value": "%START_TIME(%s%6f)%"},
    });
    let route = json!({
        "match": {"prefix": "/"}, "route": {"cluster": "upstream"}, "request_headers_to_add": [start],
    });
    Listener { discovered: true, routes: vec![route], ..Listener::new("main", plugin(keys)) }
}
