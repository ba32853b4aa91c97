//! What an outage writes to the log: a line a second and cause, however many calls fail.

use std::time::Instant;

use test_support::over_redis_versions;
use test_support::redis::{RedisServer, RedisVersion};

use crate::support::load::{Client, at_once};
use crate::support::process::Server;

over_redis_versions! {
    an_unreachable_redis_is_logged_once_a_second
    a_full_redis_is_logged_once_a_second
}

/// 200 calls that fail and succeed in turn write at most one warning a second and cause. Several callers make them: each
/// may wait for its time-out.
fn assert_quiet(server: &Server, causes: usize, call: impl Fn(&mut Client, usize) + Sync) {
    let warnings = || server.log().lines().filter(|line| line.contains(" WARN ") || line.contains("ERROR")).count();
    let (before, began) = (warnings(), Instant::now());
    at_once(server, 20, |client, _| (0..10).for_each(|n| call(client, n)));
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    let written = warnings() - before;
    assert!((1..=seconds * causes + 1).contains(&written), "{written} lines in {seconds} s: {}", server.log());
}

fn an_unreachable_redis_is_logged_once_a_second(version: RedisVersion) {
    let mut redis = RedisServer::start_version(version, &[]);
    let server = Server::start(&["--store", &redis.url()]);
    let token = server.create();
    redis.stop();
    // The first call finds a closed connection, those after it a refusing port.
    assert_quiet(&server, 2, |client, n| {
        let path = if n % 2 == 0 { "/ping".to_owned() } else { format!("/app1/get/{token}") };
        assert_eq!(client.call("GET", &path, "").status, 503);
    });
    assert!(!server.log().contains(&token[..55]), "{}", server.log());
}

fn a_full_redis_is_logged_once_a_second(version: RedisVersion) {
    let redis = RedisServer::start_version(version, &[]);
    let server = Server::start(&["--store", &redis.url()]);
    let token = server.create();
    redis.fill_memory();
    assert_quiet(&server, 1, |client, n| {
        let expected = [200, 200, 503, 503][n % 4];
        let (method, path) = match n % 4 {
            0 => ("GET", "/ping".to_owned()),
            1 => ("GET", format!("/app1/get/{token}")),
            2 => ("POST", format!("/app1/set/{token}")),
            _ => ("PUT", "/app1/create/u?ip=1".to_owned()),
        };
        let answer = client.call(method, &path, r#"{"b":2}"#);
        assert_eq!(answer.status, expected, "{method} {path} {answer:?}");
    });
}
