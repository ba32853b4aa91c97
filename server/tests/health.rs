//! `/livez` and `/readyz`.

mod support;

use std::time::{Duration, Instant};

use support::process::Server;
use support::{Service, metric};
use test_support::http1::Request;
use test_support::process::Signal;
use test_support::redis::RedisServer;
use test_support::wait::until_true;

const READY: &str = r#"{"status":"ready"}"#;
const ALIVE: &str = r#"{"status":"alive"}"#;

#[tokio::test]
async fn a_service_that_can_create_sessions_is_ready() {
    let service = Service::memory();
    assert_eq!(service.ok("GET", "/readyz").await, READY);
    assert_eq!(service.ok("GET", "/LiveZ/").await, ALIVE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_over_redis_is_ready() {
    let redis = RedisServer::start();
    assert_eq!(Service::redis(&redis).ok("GET", "/readyz").await, READY);
}

#[tokio::test]
async fn a_full_store_in_memory_is_not_ready_and_the_process_is_alive() {
    let service = Service::memory_of(100);
    let reply = service.call("GET", "/readyz").await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.content_type, "application/json; charset=utf-8");
    assert_eq!(
        reply.body,
        r#"{"status":"unready","cause":"storeFull","message":"the session store is full; try again later"}"#
    );
    assert_eq!(service.ok("GET", "/livez").await, ALIVE);
    assert_eq!(service.ok("GET", "/ping").await, "PONG");
}

#[tokio::test]
async fn probes_take_no_names_from_apps() {
    let service = Service::memory();
    for app in ["livez", "readyz", "metrics", "ping"] {
        let token = service.create(&format!("/{app}/create/u?ip=1"), "").await;
        assert!(service.get(app, &token).await.starts_with(r#"{"id":"u""#), "{app}");
        assert_eq!(service.call("POST", &format!("/{app}")).await.status, 404);
    }
}

#[tokio::test]
async fn many_probes_share_few_checks() {
    let service = Service::memory();
    let began = Instant::now();
    let probes: Vec<_> = (0..200)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { service.ok("GET", "/readyz").await })
        })
        .collect();
    for probe in probes {
        assert_eq!(probe.await.unwrap(), READY);
    }
    let intervals = 1 + began.elapsed().as_millis() / 100;
    let text = service.ok("GET", "/metrics").await;
    let checks = metric(&text, r#"rest_sessions_store_duration_seconds_count{operation="ready"}"#).unwrap();
    assert!(checks >= 1 && u128::from(checks) <= intervals, "{checks} checks in {intervals} intervals");
}

#[tokio::test]
async fn a_check_is_repeated_after_a_while() {
    let service = Service::memory_of(1 << 18);
    assert_eq!(service.ok("GET", "/readyz").await, READY);
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(50_000));
    let token = service.create("/app1/create/u?ip=1", &large).await;
    while service.call("PUT", "/app1/create/u?ip=1").await.status == 200 {}
    let status = async || service.call("GET", "/readyz").await.status;
    while status().await == 200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    service.kill("app1", &token).await;
    while status().await == 503 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn probes_work_with_head_and_are_not_cached() {
    let server = Server::start(&[]);
    for (path, body) in [("/livez", ALIVE), ("/readyz", READY)] {
        let get = Request::get(path).send_to(server.address());
        assert_eq!((get.status, get.text().as_str()), (200, body));
        assert_eq!(get.header("cache-control").as_deref(), Some("no-store"));
        let head = Request::new("HEAD", path).send_to(server.address());
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), get.header("content-length"));
    }
}

#[test]
fn a_hanging_redis_is_told_by_readyz_within_the_time_of_the_store_and_not_by_livez() {
    let redis = RedisServer::start();
    let server = Server::start(&["--store", &redis.url(), "--store-timeout", "300"]);
    assert_eq!(server.call("GET", "/readyz", ""), (200, READY.to_owned()));
    redis.pause();
    until_true("the pause is noticed", || server.call("GET", "/readyz", "").0 == 503);
    let began = Instant::now();
    let (status, body) = server.call("GET", "/readyz", "");
    // Five times the timeout, because the machine may be busy with other tests.
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    assert_eq!(status, 503);
    assert!(body.starts_with(r#"{"status":"unready","cause":"timeout","message":"Redis did not answer"#), "{body}");
    assert_eq!(server.call("GET", "/livez", ""), (200, ALIVE.to_owned()));
    redis.resume();
    until_true("redis answers again", || server.call("GET", "/readyz", "").0 == 200);
}

#[test]
fn a_draining_service_is_not_ready_and_its_process_is_alive() {
    let mut server = Server::start(&["--drain-delay", "60"]);
    server.signal(Signal::TERM);
    until_true("the service drains", || server.call("GET", "/readyz", "").0 == 503);
    let draining = r#"{"status":"unready","cause":"draining","message":"the service is stopping"}"#;
    assert_eq!(server.call("GET", "/readyz", ""), (503, draining.to_owned()));
    assert_eq!(server.call("GET", "/livez", ""), (200, ALIVE.to_owned()));
    assert_eq!(metric(&server.call("GET", "/metrics", "").1, "rest_sessions_draining"), Some(1));
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_exit(), Some(0));
}
