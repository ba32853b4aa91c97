//! `/metrics`.

mod support;

use std::collections::BTreeSet;

use support::process::Server;
use support::{Service, metric};
use test_support::http1::{Connection, Request, Response};
use test_support::redis::RedisServer;
use test_support::wait::until_true;

async fn metrics(service: &Service) -> String {
    service.ok("GET", "/metrics").await
}

/// The names of a series without its value.
fn series(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status() {
    let service = Service::memory();
    let token = service.create("/app1/create/u?ip=1", "").await;
    for _ in 0..3 {
        service.get("app1", &token).await;
    }
    service.call("GET", "/app1/get/junk").await;
    service.call("POST", &format!("/app1/get/{token}")).await;
    let text = metrics(&service).await;
    for (status, expected) in [("200", 3), ("500", 1), ("404", 1)] {
        let sample = format!(r#"rest_sessions_requests_total{{route="/{{app}}/get/{{token}}",status="{status}"}}"#);
        assert_eq!(metric(&text, &sample), Some(expected), "{text}");
    }
    let count = r#"rest_sessions_request_duration_seconds_count{route="/{app}/get/{token}"}"#;
    assert_eq!(metric(&text, count), Some(5));
    assert_eq!(metric(&text, r#"rest_sessions_store_duration_seconds_count{operation="get"}"#), Some(3));
}

#[tokio::test]
async fn sessions_are_counted_by_what_began_changed_and_ended_them() {
    let service = Service::memory();
    let create = async |uri: &str| service.create(uri, "").await;
    let token = create("/app1/create/a?ip=1").await;
    service.set("app1", &token, r#"{"x":1}"#).await;
    service.kill("app1", &token).await;
    service.set("app1", &token, r#"{"x":1}"#).await;
    service.kill("app1", &token).await;
    create("/app1/create/b?ip=1").await;
    create("/app1/create/b?ip=1").await;
    service.ok("DELETE", "/app1/killsoid/b").await;
    for _ in 0..3 {
        create("/app2/create/c?ip=1").await;
    }
    service.ok("DELETE", "/app2/killall").await;
    let idle = create("/app1/create/d?ip=1").await;
    service.advance(100);
    assert_eq!(service.ok("GET", &format!("/app1/get/{idle}?max_idle=50")).await, "{}");
    let renewed = create("/app1/create/f?ip=1").await;
    create("/app1/create/f?ip=1").await;
    create("/app1/create/f?ip=1").await;
    let renewed = service.renew("app1", &renewed, "").await.unwrap();
    let renewed = service.renew("app1", &format!("{renewed}?others=1"), "").await.unwrap();
    service.kill("app1", &renewed).await;
    assert_eq!(service.renew("app1", &format!("{renewed}?others=1"), "").await, None);
    create("/app1/create/e?ip=1&ttl=10").await;
    service.advance(11);
    assert_eq!(service.metered.sweep().await, Ok(1));
    let text = metrics(&service).await;
    for (sample, expected) in [
        ("rest_sessions_sessions_created_total", 13),
        (r#"rest_sessions_sessions_ended_total{by="renew"}"#, 4),
        (r#"rest_sessions_sessions_ended_total{by="kill"}"#, 2),
        (r#"rest_sessions_store_duration_seconds_count{operation="renew"}"#, 3),
        (r#"rest_sessions_requests_total{route="/{app}/renew/{token}",status="200"}"#, 3),
        (r#"rest_sessions_sessions_ended_total{by="killsoid"}"#, 2),
        (r#"rest_sessions_sessions_ended_total{by="killall"}"#, 3),
        (r#"rest_sessions_sessions_ended_total{by="max_idle"}"#, 1),
        ("rest_sessions_sessions_swept_total", 1),
        ("rest_sessions_sets_total", 1),
        ("rest_sessions_draining", 0),
    ] {
        assert_eq!(metric(&text, sample), Some(expected), "{sample}: {text}");
    }
}

#[tokio::test]
async fn labels_do_not_grow_with_what_clients_send() {
    let service = Service::memory();
    let token = service.create("/app1/create/u?ip=1", "").await;
    service.call("GET", "/nowhere").await;
    service.get("app1", &token).await;
    service.renew("app2", &token, "").await;
    let before = series(&metrics(&service).await);
    for n in 0..50 {
        service.call("GET", &format!("/path{n}/{token}")).await;
        service.call(&format!("METHOD{n}"), &format!("/{n}")).await;
        service.get(&format!("app{n}"), &token).await;
        service.call("POST", &format!("/app{n}/renew/{token}")).await;
    }
    let text = metrics(&service).await;
    let after: BTreeSet<_> = series(&text);
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:?}");
    assert_eq!(metric(&text, r#"rest_sessions_requests_total{route="unknown",status="404"}"#), Some(101));
    assert!(!text.contains(&token) && !text.contains("path1"));
}

#[tokio::test]
async fn memory_is_shown_only_for_the_store_in_memory() {
    let service = Service::memory();
    let bytes = r#"rest_sessions_store_bytes{store="memory"}"#;
    let empty = metric(&metrics(&service).await, bytes);
    assert!(empty.is_some());
    service.create("/app1/create/u?ip=1", "").await;
    assert!(metric(&metrics(&service).await, bytes) > empty);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_redis_shows_no_bytes_and_counts_its_operations() {
    let redis = RedisServer::start();
    let service = Service::redis(&redis);
    service.create("/app1/create/u?ip=1", "").await;
    let text = metrics(&service).await;
    assert!(!text.contains("rest_sessions_store_bytes"), "{text}");
    assert_eq!(metric(&text, r#"rest_sessions_store_duration_seconds_count{operation="create"}"#), Some(1));
}

#[tokio::test]
async fn failures_of_the_store_are_counted_by_cause() {
    let full = Service::memory_of(100);
    for _ in 0..2 {
        assert_eq!(full.call("PUT", "/app1/create/u?ip=1").await.status, 503);
    }
    let text = metrics(&full).await;
    assert_eq!(metric(&text, r#"rest_sessions_store_errors_total{cause="storeFull"}"#), Some(2));
    let service = Service::memory();
    let token = service.create("/app1/create/u?ip=1", "").await;
    for n in 0..6 {
        let uri = format!("/app1/set/{token}");
        service.call_with("POST", &uri, format!(r#"{{"k{n}":"{}"}}"#, "x".repeat(59_000))).await;
    }
    let text = metrics(&service).await;
    assert_eq!(metric(&text, r#"rest_sessions_store_errors_total{cause="sessionTooLarge"}"#), Some(2));
}

/// The rules of `promtool check metrics`.
#[tokio::test]
async fn names_and_help_follow_the_rules_of_prometheus() {
    let service = Service::memory();
    service.call("GET", "/nowhere").await;
    let text = metrics(&service).await;
    let help: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    let mut families = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        assert!(families.insert(name), "{name} occurs twice");
        assert!(help.contains(name), "{name} has no help");
        assert!(name.starts_with("rest_sessions_") || name.starts_with("process_"), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
        assert!(!name.contains("millis") && !name.contains("micros"), "{name}");
    }
    for name in ["rest_sessions_build_info", "process_start_time_seconds", "rest_sessions_connections"] {
        assert!(families.contains(name), "{name} is missing");
    }
    assert!(text.contains(&format!(r#"version="{}"}} 1"#, env!("CARGO_PKG_VERSION"))), "{text}");
}

#[test]
fn requests_that_are_refused_are_counted_without_their_path() {
    let server = Server::start(&["--log-level", "debug"]);
    let refused = Request::get("/app1/soapp?dt=60").host("evil.example").header("x-request-id", "r-1");
    assert_eq!(refused.send_to(server.address()).status, 421);
    let text = server.call("GET", "/metrics", "").1;
    assert_eq!(metric(&text, r#"rest_sessions_requests_total{route="refused",status="421"}"#), Some(1), "{text}");
    until_true("it is logged", || server.log().contains(r#"route="refused" status=421"#));
    assert!(server.log().contains(r#"request_id="r-1""#), "{}", server.log());
}

#[test]
fn with_an_admin_listener_the_metrics_are_there_alone() {
    let server = Server::start(&["--admin-listen", "127.0.0.1:0"]);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("administration")).unwrap();
    let admin = line.rsplit_once("address=").unwrap().1.parse().unwrap();
    assert_eq!(server.call("GET", "/metrics", "").0, 404);
    assert_eq!(Request::get("/metrics").send_to(admin).status, 200);
    for path in ["/livez", "/readyz"] {
        assert_eq!(server.call("GET", path, "").0, 200);
        assert_eq!(Request::get(path).send_to(admin).status, 200);
    }
    assert_eq!(Request::get("/ping").send_to(admin).status, 404);
    assert_eq!(Request::get("/app1/soapp?dt=60").send_to(admin).status, 404);
}

/// A connection that stays open.
struct Kept(Option<Connection>);

impl Kept {
    fn open(server: &Server) -> Self {
        Self(Some(Connection::open(server.address())))
    }

    fn get(&mut self, path: &str) -> Response {
        let mut connection = self.0.take().unwrap().send(&Request::get(path).host("localhost"));
        let response = connection.read(false);
        self.0 = Some(connection);
        response
    }
}

#[test]
fn connections_are_counted_while_they_are_open_and_when_they_are_refused() {
    let server = Server::start(&["--max-connections", "2"]);
    let mut scraper = Kept::open(&server);
    let first = scraper.get("/metrics");
    assert_eq!(first.header("content-type").as_deref(), Some("text/plain; version=0.0.4"));
    assert_eq!(first.header("cache-control").as_deref(), Some("no-store"));
    let mut value = |name: &str| metric(&scraper.get("/metrics").text(), name);
    assert_eq!(value("rest_sessions_connections"), Some(1));
    let mut other = Kept::open(&server);
    assert_eq!(other.get("/ping").status, 200);
    assert_eq!(value("rest_sessions_connections"), Some(2));
    assert_eq!(value("rest_sessions_connections_refused_total"), Some(0));
    assert_eq!(Kept::open(&server).get("/ping").status, 503);
    assert_eq!(value("rest_sessions_connections_refused_total"), Some(1));
    drop(other);
    until_true("the other is closed", || value("rest_sessions_connections") == Some(1));
}
