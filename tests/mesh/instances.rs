//! Two instances of rest-sessions behind the cluster of envoy/envoy.yaml: one is restarted, killed or hangs under load.

use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use test_support::http1::Request;
use test_support::process::Signal;
use test_support::redis::RedisServer;
use test_support::rest_sessions::RestSessions;
use test_support::{ports, token, wait};

use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::sessions::APP;
use crate::harness::stub::{CalloutResponse, Stub};
use crate::harness::upstream::UpstreamResponse;
use crate::operations::{CLUSTER, cluster, shipped_cluster, start};

const CLIENTS: usize = 4;
/// Longer than two health checks.
const DRAIN: [&str; 2] = ["--drain-delay", "3"];
/// The time-out of lookups: only a call to an instance that hangs takes so long, also on a loaded machine.
const TIMEOUT: &str = "5s";
const LONGEST: Duration = Duration::from_secs(5 + 10);

/// Two instances that share a Redis, and Envoy in front of them.
struct Pair {
    redis: RedisServer,
    addresses: [SocketAddr; 2],
    instances: [RestSessions; 2],
    tokens: Vec<String>,
    mesh: Mesh,
}

/// What became of the requests of all clients.
struct Load {
    passed: u64,
    lost: u64,
    longest: Duration,
}

impl Pair {
    fn start() -> Self {
        let redis = RedisServer::start();
        let addresses = [free_address(), free_address()];
        let instances = addresses.map(|address| launch(&redis, address));
        let tokens = (0..64).map(|_| instances[0].create(APP, "user1", &Value::Null)).collect();
        let configuration = plugin(json!({
            "rest_sessions": {"cluster": CLUSTER, "timeout": TIMEOUT, "breaker": "off"},
            "write_back": {"on_failure": "deny"},
        }));
        let mut shipped = shipped_cluster(&addresses);
        // On a loaded machine, 250 ms would eject an instance that nothing is wrong with.
        shipped["connect_timeout"] = json!(TIMEOUT);
        // Then a check excludes only an instance that answers it with 503.
        shipped["health_checks"][0]["unhealthy_threshold"] = json!(1000);
        let mesh = Setup::new(configuration).cluster(cluster(shipped)).workers(2).start();
        mesh.upstream.respond_with(|request| match request.target.as_str() {
            "/set" => UpstreamResponse::default().header("x-session-set", r#"{"cart":1}"#),
            _ => UpstreamResponse::default(),
        });
        let pair = Self { redis, addresses, instances, tokens, mesh };
        pair.wait_for_healthy(2);
        pair
    }

    #[track_caller]
    fn wait_for_healthy(&self, count: u64) {
        let stat = format!("cluster.{CLUSTER}.membership_healthy");
        wait::until_equal("the instances that Envoy calls", &Some(count), || {
            self.mesh.envoy.stats(&stat).get(&stat).copied()
        });
    }

    fn cluster_stat(&self, name: &str) -> u64 {
        let name = format!("cluster.{CLUSTER}.{name}");
        self.mesh.envoy.stats(&name).get(&name).copied().unwrap_or_else(|| panic!("{name} is no statistic"))
    }

    /// Clients send requests until `during` returns. One request in `writes` changes its session.
    fn under_load(&mut self, writes: usize, during: impl FnOnce(&mut Self, &AtomicU64)) -> Load {
        let (done, passed, lost) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        let longest = Mutex::new(Duration::ZERO);
        let (tokens, address) = (self.tokens.clone(), self.mesh.address());
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (tokens, done, passed, lost, longest) = (&tokens, &done, &passed, &lost, &longest);
                scope.spawn(move || {
                    for (round, token) in tokens.iter().cycle().skip(client * 16).enumerate() {
                        if done.load(Ordering::Relaxed) {
                            return;
                        }
                        let target = if round % writes == writes - 1 { "/set" } else { "/" };
                        let sent = Instant::now();
                        let response = Request::get(target).session(token).send_to(address);
                        let counter = if response.status == 200 { passed } else { lost };
                        counter.fetch_add(1, Ordering::Relaxed);
                        let mut longest = longest.lock().unwrap();
                        *longest = sent.elapsed().max(*longest);
                    }
                });
            }
            during(self, &passed);
            done.store(true, Ordering::Relaxed);
        });
        let load = Load {
            passed: passed.into_inner(),
            lost: lost.into_inner(),
            longest: longest.into_inner().expect("no client panicked"),
        };
        println!("{} requests passed, {} were lost, the longest took {:?}", load.passed, load.lost, load.longest);
        (0..load.passed + load.lost).for_each(|_| self.mesh.count_one());
        load
    }
}

fn launch(redis: &RedisServer, address: SocketAddr) -> RestSessions {
    start(redis, &address.to_string(), &DRAIN)
}

/// An address that a program can take, and take again after its restart.
fn free_address() -> SocketAddr {
    wait::until("a free port", || {
        let address = ports::non_ephemeral();
        TcpListener::bind(address).is_ok().then_some(address)
    })
}

/// Waits until so many more requests have passed.
#[track_caller]
fn wait_for_more(passed: &AtomicU64, count: u64) {
    let enough = passed.load(Ordering::Relaxed) + count;
    wait::until_true("more requests to pass", || passed.load(Ordering::Relaxed) >= enough);
}

#[test]
fn a_rolling_restart_of_two_instances_under_load_loses_no_request() {
    let mut pair = Pair::start();
    // A change is not repeated if its connection is reset.
    let load = pair.under_load(8, |pair, passed| {
        for index in 0..2 {
            wait_for_more(passed, 200);
            pair.instances[index].signal(Signal::TERM);
            pair.wait_for_healthy(1);
            assert_eq!(pair.instances[index].wait_for_exit(), Some(0));
            pair.instances[index] = launch(&pair.redis, pair.addresses[index]);
            pair.wait_for_healthy(2);
        }
        wait_for_more(passed, 200);
    });
    assert_eq!(load.lost, 0, "of {} requests", load.passed);
}

#[test]
fn the_retry_of_a_lookup_goes_to_another_instance_so_that_a_killed_one_loses_none() {
    let mut pair = Pair::start();
    let load = pair.under_load(usize::MAX, |pair, passed| {
        wait_for_more(passed, 200);
        pair.instances[1].signal(Signal::KILL);
        pair.wait_for_healthy(1);
        wait_for_more(passed, 200);
        pair.instances[1].wait_for_exit();
        pair.instances[1] = launch(&pair.redis, pair.addresses[1]);
        pair.wait_for_healthy(2);
        wait_for_more(passed, 200);
    });
    assert_eq!(load.lost, 0, "of {} requests", load.passed);
    assert!(pair.cluster_stat("upstream_rq_retry_success") > 0, "no lookup was retried");
}

#[test]
fn the_workers_learn_at_once_which_instances_are_healthy() {
    let mut pair = Pair::start();
    // Whether the first health checks change something depends on when they end; the end of an instance does.
    pair.under_load(usize::MAX, |pair, passed| {
        wait_for_more(passed, 200);
        pair.instances[1].signal(Signal::KILL);
        pair.wait_for_healthy(1);
        pair.instances[1].wait_for_exit();
    });
    let stats = pair.mesh.envoy.stats("cluster_manager.cluster_updated");
    assert!(stats["cluster_manager.cluster_updated"] > 0, "{stats:?}");
    assert_eq!(stats["cluster_manager.cluster_updated_via_merge"], 0, "{stats:?}");
    let delayed = pair.mesh.envoy.stats("cluster_manager.update");
    assert_eq!(delayed.values().sum::<u64>(), 0, "{delayed:?}");
}

#[test]
fn an_instance_that_hangs_is_ejected_at_its_first_lookup_without_a_response() {
    let mut pair = Pair::start();
    let ejections =
        |pair: &Pair| pair.cluster_stat("outlier_detection.ejections_enforced_consecutive_local_origin_failure");
    let load = pair.under_load(usize::MAX, |pair, passed| {
        wait_for_more(passed, 200);
        assert_eq!(ejections(pair), 0);
        pair.instances[1].signal(Signal::STOP);
        wait::until_true("an ejection", || ejections(pair) > 0);
        wait_for_more(passed, 200);
        pair.instances[1].signal(Signal::CONT);
        pair.wait_for_healthy(2);
        wait_for_more(passed, 200);
    });
    // Each client waits for one lookup at a time. The ejection reaches the other worker a moment later. An instance that
    // still hangs at the end of its ejection is ejected once more.
    let most = ejections(&pair) * 2 * CLIENTS as u64;
    assert!((1..=most).contains(&load.lost), "{} of {} requests were lost", load.lost, load.passed);
    assert!(load.longest < LONGEST, "a request took {:?}", load.longest);
}

#[test]
fn an_only_instance_is_called_again_as_soon_as_it_is_back() {
    let redis = RedisServer::start();
    let address = free_address();
    let mut instance = launch(&redis, address);
    let token = instance.create(APP, "user1", &Value::Null);
    let configuration = plugin(json!({"rest_sessions": {"cluster": CLUSTER, "breaker": "off"}}));
    let mesh = Setup::new(configuration).cluster(cluster(shipped_cluster(&[address]))).start();
    let request = Request::get("/").session(&token);
    mesh.passes(&request);
    instance.signal(Signal::KILL);
    instance.wait_for_exit();
    for _ in 0..10 {
        mesh.denies(&request, 503, "sessions_unavailable");
    }
    instance = launch(&redis, address);
    // Without a health check in between: the panic threshold lets calls pass to an instance that is ejected.
    mesh.passes(&request);
    drop(instance);
}

#[test]
fn error_statuses_of_one_session_eject_no_instance() {
    let respond = |failing: &'static str| {
        Stub::start(move |call| match call.token() {
            "readyz" => CalloutResponse::text(200, ""),
            token if token.starts_with(failing) => CalloutResponse::text(500, "{}"),
            _ => CalloutResponse::session(),
        })
    };
    let stubs = [respond("A"), respond("A")];
    let addresses = stubs.each_ref().map(Stub::address);
    let configuration = plugin(json!({"rest_sessions": {"cluster": CLUSTER, "breaker": "off"}}));
    let mesh = Setup::new(configuration).cluster(cluster(shipped_cluster(&addresses))).start();
    let broken = "A".repeat(64);
    for _ in 0..20 {
        mesh.denies(&Request::get("/").session(&broken), 503, "sessions_unavailable");
    }
    mesh.passes(&Request::get("/").session(&token::fresh()));
    let ejections = format!("cluster.{CLUSTER}.outlier_detection.ejections_enforced_total");
    assert_eq!(mesh.envoy.stats(&ejections).get(&ejections), Some(&0));
}

#[test]
fn a_change_whose_connection_is_reset_is_not_repeated_at_another_instance() {
    let respond = || {
        Stub::start(|call| match call.path.as_str() {
            "/readyz" => CalloutResponse::text(200, ""),
            _ if call.method == "GET" => CalloutResponse::session(),
            _ => CalloutResponse::ResetBeforeHeaders,
        })
    };
    let stubs = [respond(), respond()];
    let addresses = stubs.each_ref().map(Stub::address);
    let configuration = plugin(json!({"rest_sessions": {"cluster": CLUSTER}, "write_back": {}}));
    let mesh = Setup::new(configuration).cluster(cluster(shipped_cluster(&addresses))).start();
    mesh.upstream.respond_with(|_| UpstreamResponse::default().header("x-session-set", r#"{"cart":1}"#));
    mesh.passes(&Request::get("/").session(&token::fresh()));
    let changes = stubs.iter().flat_map(Stub::calls).filter(|call| call.method == "POST").count();
    assert_eq!(changes, 1);
}
