//! A real Envoy with a generated bootstrap: one listener per configuration, ports chosen by the kernel, and without the
//! hardening of an edge listener, so that tests see what the filter itself prevents.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::http1::{Connection, Request, Response};
use test_support::ports::RefusingPort;
use test_support::process::{Process, program_from};
use test_support::wait;

/// The protobuf type of the plugin's configuration.
#[derive(Clone, Copy, Default)]
pub enum Packing {
    /// `Struct`, as in a YAML bootstrap.
    #[default]
    Struct,
    /// `StringValue` with JSON, as Istio sends it.
    Text,
}

/// A listener with the filter and one upstream.
#[derive(Clone)]
pub struct Listener {
    pub name: &'static str,
    /// The plugin's configuration.
    pub plugin: Value,
    pub packing: Packing,
    pub buffer_limit: Option<u32>,
    /// The cluster that requests are routed to: `upstream`, `upstream-h2` or one that the filter may call.
    pub route_to: &'static str,
    /// Further keys of the action of the route to `route_to`, such as `internal_redirect_policy`.
    pub route_action: Value,
    /// Routes that are tried before the one to `route_to`.
    pub routes: Vec<Value>,
    /// The HTTP filters that run before this one.
    pub filters_before: Vec<Value>,
    /// The format of an access log, one line per request.
    pub access_log: Option<&'static str>,
    /// Whether the filter comes by ECDS, from a file that may change while Envoy runs.
    pub discovered: bool,
    /// The module, that which ships by default.
    pub module: PathBuf,
    pub stream_idle_timeout: &'static str,
}

impl Listener {
    pub fn new(name: &'static str, plugin: Value) -> Self {
        Self {
            name,
            plugin,
            packing: Packing::default(),
            buffer_limit: None,
            route_to: "upstream",
            route_action: json!({}),
            routes: Vec::new(),
            filters_before: Vec::new(),
            access_log: None,
            discovered: false,
            module: shipped_module(),
            stream_idle_timeout: "15s",
        }
    }
}

/// A cluster that the filter may call.
pub struct Cluster {
    pub name: &'static str,
    pub endpoint: Option<SocketAddr>,
    /// `max_requests` and `max_pending_requests` of the circuit breaker; 0 keeps it open.
    pub max_requests: u32,
    /// The whole cluster as Envoy reads it, in place of one with these settings.
    definition: Option<Value>,
    /// Held while the cluster may be called, so that connections to it are refused.
    _reserved: Option<RefusingPort>,
}

impl Cluster {
    pub fn new(name: &'static str, endpoint: SocketAddr) -> Self {
        Self { endpoint: Some(endpoint), ..Self::without_endpoints(name) }
    }

    /// With every setting given.
    pub fn defined(name: &'static str, definition: Value) -> Self {
        assert_eq!(definition["name"], name);
        Self { definition: Some(definition), ..Self::without_endpoints(name) }
    }

    /// At an address that refuses connections.
    pub fn refusing(name: &'static str) -> Self {
        let port = RefusingPort::reserve();
        Self { endpoint: Some(port.address()), _reserved: Some(port), ..Self::without_endpoints(name) }
    }

    pub fn without_endpoints(name: &'static str) -> Self {
        Self { name, endpoint: None, max_requests: 1024, definition: None, _reserved: None }
    }

    pub fn with_open_breaker(name: &'static str, endpoint: SocketAddr) -> Self {
        Self::with_max_requests(name, endpoint, 0)
    }

    /// With a circuit breaker for so many requests at once.
    pub fn with_max_requests(name: &'static str, endpoint: SocketAddr, max_requests: u32) -> Self {
        Self { max_requests, ..Self::new(name, endpoint) }
    }
}

/// A running Envoy. Dropping it ends it.
pub struct Envoy {
    folder: TempDir,
    admin: SocketAddr,
    listeners: BTreeMap<String, SocketAddr>,
    process: Process,
}

impl Envoy {
    /// Starts Envoy and waits until it serves. The filter logs at level debug.
    pub fn start(
        listeners: &[Listener],
        clusters: &[Cluster],
        upstream: SocketAddr,
        concurrency: u32,
        environment: &[(&'static str, String)],
    ) -> Self {
        Self::start_at_level("debug", listeners, clusters, upstream, concurrency, environment)
    }

    /// Starts Envoy, whose filter logs at this level, and waits until it serves.
    pub fn start_at_level(
        level: &str,
        listeners: &[Listener],
        clusters: &[Cluster],
        upstream: SocketAddr,
        concurrency: u32,
        environment: &[(&'static str, String)],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let bootstrap = write_bootstrap(folder.path(), listeners, clusters, upstream);
        let admin_path = folder.path().join("admin-address");
        let mut command = Command::new(program_from("ENVOY_BIN"));
        command
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .args([
                "--disable-hot-restart",
                "--log-level",
                "warning",
                "--component-log-level",
                &format!("wasm:{level}"),
            ])
            .args(["--concurrency", &concurrency.to_string(), "--file-flush-interval-msec", "20"])
            .arg("--config-path")
            .arg(bootstrap)
            .arg("--admin-address-path")
            .arg(&admin_path);
        let mut process = Process::start("envoy", command);
        let admin = wait::until("Envoy's admin address", || {
            process.assert_running();
            fs::read_to_string(&admin_path).ok()?.trim().parse().ok()
        });
        wait::until("Envoy to be ready", || {
            process.assert_running();
            (admin_get(admin, "/ready").status == 200).then_some(())
        });
        let listening: Value = serde_json::from_slice(&admin_get(admin, "/listeners?format=json").body)
            .expect("Envoy lists its listeners as JSON");
        let listeners = listening["listener_statuses"]
            .as_array()
            .expect("a list of listeners")
            .iter()
            .map(|status| {
                let address = &status["local_address"]["socket_address"];
                let port = address["port_value"].as_u64().and_then(|port| u16::try_from(port).ok());
                let name = status["name"].as_str().expect("a listener has a name").to_owned();
                (name, SocketAddr::from(([127, 0, 0, 1], port.expect("a listener has a port"))))
            })
            .collect();
        Self { folder, admin, listeners, process }
    }

    #[track_caller]
    pub fn address(&self, listener: &str) -> SocketAddr {
        *self.listeners.get(listener).unwrap_or_else(|| panic!("there is no listener {listener}"))
    }

    /// Statistics whose names match a regular expression.
    pub fn stats(&self, filter: &str) -> BTreeMap<String, u64> {
        let text = admin_get(self.admin, &format!("/stats?filter={filter}")).text();
        let number =
            |line: &str| line.split_once(": ").and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        text.lines().filter_map(number).collect()
    }

    /// Whether a statistic of any type has this name as prefix.
    pub fn has_stat(&self, name: &str) -> bool {
        admin_get(self.admin, &format!("/stats?filter={name}")).text().lines().any(|line| line.starts_with(name))
    }

    pub fn log(&self) -> String {
        self.process.output()
    }

    /// What Linux tells of the process: a file of `/proc/PID`.
    pub fn proc_file(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.process.pid())).expect("Linux tells of a running process")
    }

    /// The memory of all VMs, in bytes. V8 reserves 8 GiB or more for the memory of a module, of which it makes the first
    /// part accessible as the module grows.
    pub fn vm_bytes(&self) -> u64 {
        const RESERVED: u64 = 4 << 30;
        let maps = self.proc_file("maps");
        let mappings: Vec<(u64, u64, &str)> = maps.lines().filter_map(mapping).collect();
        let memories = mappings.windows(2).filter_map(|pair| match pair {
            [(start, end, "rw-p"), (next, last, "---p")] if end == next && last - next >= RESERVED => Some(end - start),
            _ => None,
        });
        let bytes = memories.sum();
        assert!(bytes > 0, "no VM was found in the mappings");
        bytes
    }

    /// Updates the configuration of a listener whose filter is discovered.
    pub fn reconfigure(&self, listener: &Listener) {
        write_discovery(self.folder.path(), listener);
    }

    /// The lines of a listener's access log so far.
    pub fn access_log(&self, listener: &str) -> Vec<String> {
        let text = fs::read_to_string(access_log_path(self.folder.path(), listener)).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }
}

/// Runs `envoy --mode validate` with this listener.
pub fn validate(listener: &Listener, clusters: &[Cluster]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let bootstrap = write_bootstrap(folder.path(), std::slice::from_ref(listener), clusters, nowhere);
    Command::new(program_from("ENVOY_BIN"))
        .args(["--mode", "validate", "--disable-hot-restart", "--log-level", "error", "--config-path"])
        .arg(bootstrap)
        .output()
        .expect("Envoy can be run")
}

/// Start, end and permissions of a line of `/proc/PID/maps`.
fn mapping(line: &str) -> Option<(u64, u64, &str)> {
    let mut words = line.split(' ');
    let (start, end) = words.next()?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(start)?, number(end)?, words.next()?))
}

fn admin_get(admin: SocketAddr, target: &str) -> Response {
    Connection::open(admin).send(&Request::get(target)).read(false)
}

/// The module that ships.
pub fn shipped_module() -> PathBuf {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/rest_sessions_filter.wasm");
    assert!(module.is_file(), "{} is missing; `make test` builds it before it runs these tests", module.display());
    module
}

fn access_log_path(folder: &Path, listener: &str) -> PathBuf {
    folder.join(format!("access-{listener}.log"))
}

/// Writes the discovered filter by renaming a file, as Envoy expects: it watches for moves.
fn write_discovery(folder: &Path, listener: &Listener) {
    let discovered = json!({"resources": [{
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": "rest_sessions",
        "typed_config": plugin(listener),
    }]});
    let path = discovery_path(folder, listener.name);
    let written = path.with_extension("new");
    fs::write(&written, discovered.to_string()).expect("the discovered filter can be written");
    fs::rename(written, path).expect("the discovered filter can be moved into place");
}

fn discovery_path(folder: &Path, listener: &str) -> PathBuf {
    folder.join(format!("filter-{listener}.json"))
}

fn write_bootstrap(folder: &Path, listeners: &[Listener], clusters: &[Cluster], upstream: SocketAddr) -> PathBuf {
    let mut all_clusters = vec![
        upstream_cluster("upstream", upstream, &json!({"http_protocol_options": {"enable_trailers": true}})),
        upstream_cluster("upstream-h2", upstream, &json!({"http2_protocol_options": {}})),
    ];
    all_clusters.extend(clusters.iter().map(cluster));
    let bootstrap = json!({
        "node": {"id": "mesh", "cluster": "mesh"},
        "admin": {"address": loopback(0)},
        "static_resources": {
            "listeners": listeners.iter().map(|each| listener(each, folder)).collect::<Vec<_>>(),
            "clusters": all_clusters,
        },
    });
    let path = folder.join("bootstrap.json");
    fs::write(&path, bootstrap.to_string()).expect("the bootstrap can be written");
    path
}

fn listener(listener: &Listener, folder: &Path) -> Value {
    let router = json!({"name": "envoy.filters.http.router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
    }});
    let http_filters = [&listener.filters_before[..], &[filter(listener, folder), router]].concat();
    let mut action = listener.route_action.clone();
    action["cluster"] = listener.route_to.into();
    let everything = [
        json!({"match": {"prefix": "/"}, "route": action}),
        json!({"match": {"connect_matcher": {}}, "route": {"cluster": listener.route_to}}),
    ];
    let routes: Vec<Value> = listener.routes.iter().cloned().chain(everything).collect();
    let access_log = listener.access_log.map(|format| {
        json!({
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": access_log_path(folder, listener.name),
                "log_format": {"text_format_source": {"inline_string": format!("{format}\n")}},
            },
        })
    });
    let mut value = json!({
        "name": listener.name,
        "address": loopback(0),
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": listener.name,
                "stream_idle_timeout": listener.stream_idle_timeout,
                "upgrade_configs": [{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}],
                "http2_protocol_options": {"allow_connect": true},
                "http_protocol_options": {"enable_trailers": true},
                "access_log": access_log.into_iter().collect::<Vec<_>>(),
                "http_filters": http_filters,
                "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
            },
        }]}],
    });
    if let Some(limit) = listener.buffer_limit {
        value["per_connection_buffer_limit_bytes"] = limit.into();
    }
    value
}

fn filter(listener: &Listener, folder: &Path) -> Value {
    if !listener.discovered {
        return json!({"name": "rest_sessions", "typed_config": plugin(listener)});
    }
    write_discovery(folder, listener);
    json!({"name": "rest_sessions", "config_discovery": {
        "config_source": {"path_config_source": {"path": discovery_path(folder, listener.name)}},
        "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"],
    }})
}

fn plugin(listener: &Listener) -> Value {
    let configuration = match listener.packing {
        Packing::Struct => json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": listener.plugin}),
        Packing::Text => json!({
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": listener.plugin.to_string(),
        }),
    };
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": "rest_sessions",
            "root_id": "rest_sessions",
            "failure_policy": "FAIL_RELOAD",
            "reload_config": {"backoff": {"base_interval": "0.1s"}},
            "vm_config": {
                "vm_id": "rest_sessions",
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": listener.module}},
            },
            "configuration": configuration,
        },
    })
}

fn cluster(cluster: &Cluster) -> Value {
    if let Some(definition) = &cluster.definition {
        return definition.clone();
    }
    let endpoints: Vec<Value> = cluster.endpoint.iter().map(endpoint).collect();
    json!({
        "name": cluster.name,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": cluster.name, "endpoints": [{"lb_endpoints": endpoints}]},
        "circuit_breakers": {"thresholds": [{
            "max_requests": cluster.max_requests,
            "max_pending_requests": cluster.max_requests,
            "max_retries": 128,
        }]},
        "typed_extension_protocol_options": protocol(&json!({"http_protocol_options": {}}), &json!({"idle_timeout": "4s"})),
    })
}

fn upstream_cluster(name: &str, address: SocketAddr, explicit: &Value) -> Value {
    json!({
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint(&address)]}]},
        // Envoy's default is 1,024 each.
        "circuit_breakers": {"thresholds": [{"max_connections": 4096, "max_requests": 4096, "max_pending_requests": 4096}]},
        "typed_extension_protocol_options": protocol(explicit, &json!({})),
    })
}

fn protocol(explicit: &Value, common: &Value) -> Value {
    json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": explicit,
        "common_http_protocol_options": common,
    }})
}

fn endpoint(address: &SocketAddr) -> Value {
    json!({"endpoint": {"address": loopback(address.port())}})
}

fn loopback(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}
