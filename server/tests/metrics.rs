//! The metrics, as Prometheus' own tool judges them.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use support::process::Server;
use test_support::process::program_or_skip;
use test_support::redis::RedisServer;

#[test]
fn promtool_finds_no_fault_in_the_metrics() {
    let Some(promtool) = program_or_skip("PROMTOOL_BIN", "promtool_finds_no_fault_in_the_metrics") else { return };
    let redis = RedisServer::start();
    for store in ["memory".to_owned(), redis.url()] {
        let server = Server::start(&["--store", &store]);
        // At its start, and after each kind of call.
        check(&promtool, &server);
        let token = server.create();
        for (method, path) in [("GET", "get"), ("POST", "set"), ("DELETE", "kill"), ("GET", "unknown"), ("GET", "set")]
        {
            server.call(method, &format!("/app1/{path}/{token}"), r#"{"b":2}"#);
            server.call(method, &format!("/app1/{path}/junk"), "{");
        }
        for path in ["/ping", "/livez", "/readyz", "/app1/soapp", "/app1/activity?dt=60", "/nothing/at/all"] {
            server.call("GET", path, "");
        }
        if store != "memory" {
            redis.fill_memory();
            server.call("PUT", "/app1/create/secret-user?ip=1", r#"{"a":1}"#);
        }
        let metrics = check(&promtool, &server);
        for secret in [&token[..55], "some-user", "secret-user", "app1", "junk"] {
            assert!(!metrics.contains(secret), "{secret} is in a label: {metrics}");
        }
    }
}

/// The metrics, after promtool has found nothing to say about them.
fn check(promtool: &std::path::Path, server: &Server) -> String {
    let (status, metrics) = server.call("GET", "/metrics", "");
    assert_eq!(status, 200, "{metrics}");
    let mut command = Command::new(promtool);
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{metrics}");
    metrics
}
