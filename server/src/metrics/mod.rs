//! What the service counts. Every metric is named here, once; all labels have few values.

mod requests;
mod store;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result,
    TextEncoder,
};

pub use self::requests::RouteMetrics;
pub use self::store::MeteredStore;

/// Seconds. The filter waits for 0.5, the store by default for 0.4.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// The commit that was built, if the build named it.
const COMMIT: Option<&str> = option_env!("REST_SESSIONS_COMMIT");

/// The metrics of this process, in a registry of their own.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    store_seconds: StoreSeconds,
    store_errors: IntCounterVec,
    connections: IntGauge,
    connections_refused: IntCounter,
    created: IntCounter,
    ended: Ended,
    swept: IntCounter,
    sets: IntCounter,
    untouched: IntCounterVec,
    draining: IntGauge,
    /// Has a value only if the sessions are in memory.
    store_bytes: IntGaugeVec,
}

/// The time of each operation of the store.
struct StoreSeconds {
    create: Histogram,
    get: Histogram,
    set: Histogram,
    renew: Histogram,
    kill: Histogram,
    kill_user: Histogram,
    kill_all: Histogram,
    active_users: Histogram,
    app_sessions: Histogram,
    user_sessions: Histogram,
    sweep: Histogram,
    ping: Histogram,
    ready: Histogram,
}

/// Sessions that a caller ended, by what ended them.
struct Ended {
    renew: IntCounter,
    kill: IntCounter,
    kill_user: IntCounter,
    kill_all: IntCounter,
    max_idle: IntCounter,
}

impl Metrics {
    /// Fails only if two metrics have the same name.
    pub fn new() -> Result<Self> {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let build = add(
            &registry,
            IntGaugeVec::new(
                Opts::new("rest_sessions_build_info", "Version of the service, and its commit if the build named it."),
                &["version", "commit"],
            ),
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), COMMIT.unwrap_or_default()]).set(1);
        let seconds = |name: &str, help: &str, label: &str| {
            let options = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
            add(&registry, HistogramVec::new(options, &[label]))
        };
        let counters =
            |name: &str, help: &str, labels: &[&str]| add(&registry, IntCounterVec::new(Opts::new(name, help), labels));
        let counter = |name: &str, help: &str| add(&registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| add(&registry, IntGauge::new(name, help));
        Ok(Self {
            requests: counters(
                "rest_sessions_requests_total",
                "Requests, by the pattern of their path and the status of their response.",
                &["route", "status"],
            )?,
            request_seconds: seconds(
                "rest_sessions_request_duration_seconds",
                "Time from the head of a request to the head of its response, the body of the request included.",
                "route",
            )?,
            store_seconds: StoreSeconds::new(&seconds(
                "rest_sessions_store_duration_seconds",
                "Time of an operation of the store, failed ones included.",
                "operation",
            )?)?,
            store_errors: counters(
                "rest_sessions_store_errors_total",
                "Operations of the store that failed, by cause.",
                &["cause"],
            )?,
            connections: gauge("rest_sessions_connections", "Open connections of clients.")?,
            connections_refused: counter(
                "rest_sessions_connections_refused_total",
                "Connections refused because too many were open.",
            )?,
            created: counter("rest_sessions_sessions_created_total", "Sessions created.")?,
            ended: Ended::new(&counters(
                "rest_sessions_sessions_ended_total",
                "Sessions ended before they expired, by the call that ended them.",
                &["by"],
            )?)?,
            swept: counter("rest_sessions_sessions_swept_total", "Expired sessions removed by this process' sweeps.")?,
            sets: counter("rest_sessions_sets_total", "Changes of the data of a session.")?,
            untouched: counters(
                "rest_sessions_reads_untouched_total",
                "Reads answered although the store could not record the use, by cause.",
                &["cause"],
            )?,
            draining: gauge("rest_sessions_draining", "1 while the service is stopping, else 0.")?,
            store_bytes: add(
                &registry,
                IntGaugeVec::new(
                    Opts::new("rest_sessions_store_bytes", "Bytes that sessions take, if they are in memory."),
                    &["store"],
                ),
            )?,
            registry,
        })
    }

    /// The metrics of one route. `pattern` is a label: it must not depend on a request.
    pub fn route(&self, pattern: &'static str) -> RouteMetrics {
        RouteMetrics::new(self, pattern)
    }

    /// Counts an open connection until the guard is dropped.
    pub fn connection_opened(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }

    /// Counts a connection that was refused because too many were open.
    pub fn connection_refused(&self) {
        self.connections_refused.inc();
    }

    /// All metrics in Prometheus' text format. The values that are only known now are given.
    pub fn text(&self, draining: bool, memory_bytes: Option<usize>) -> Result<String> {
        self.draining.set(i64::from(draining));
        if let Some(bytes) = memory_bytes {
            self.store_bytes.with_label_values(&["memory"]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl StoreSeconds {
    fn new(seconds: &HistogramVec) -> Result<Self> {
        let operation = |name: &str| seconds.get_metric_with_label_values(&[name]);
        Ok(Self {
            create: operation("create")?,
            get: operation("get")?,
            set: operation("set")?,
            renew: operation("renew")?,
            kill: operation("kill")?,
            kill_user: operation("killsoid")?,
            kill_all: operation("killall")?,
            active_users: operation("activity")?,
            app_sessions: operation("soapp")?,
            user_sessions: operation("soid")?,
            sweep: operation("sweep")?,
            ping: operation("ping")?,
            ready: operation("ready")?,
        })
    }
}

impl Ended {
    fn new(ended: &IntCounterVec) -> Result<Self> {
        let by = |call: &str| ended.get_metric_with_label_values(&[call]);
        Ok(Self {
            renew: by("renew")?,
            kill: by("kill")?,
            kill_user: by("killsoid")?,
            kill_all: by("killall")?,
            max_idle: by("max_idle")?,
        })
    }
}

fn add<M: Collector + Clone + 'static>(registry: &Registry, metric: Result<M>) -> Result<M> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// An open connection, counted until this is dropped.
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
