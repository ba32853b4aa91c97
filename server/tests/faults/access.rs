//! How Redis is reached: passwords, users, schemes, and a clock that is wrong.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use test_support::forwarder::Forwarder;
use test_support::over_redis_versions;
use test_support::ports::RefusingPort;
use test_support::process::program_or_skip;
use test_support::redis::{RedisServer, RedisVersion};
use test_support::wait::until_true;

use crate::support::load::beside;
use crate::support::process::{Server, command};

over_redis_versions! {
    a_wrong_password_opens_few_connections_and_a_right_one_is_found
    a_user_with_the_documented_commands_can_do_everything
    a_socket_and_the_scheme_of_valkey_reach_redis
    a_wrong_clock_of_one_instance_ends_no_session
}

/// Callers that ask all the time, for 2 seconds.
fn ask(server: &Server) {
    let call = |client: &mut crate::support::load::Client, _: usize, _: usize| {
        let answer = client.call("GET", "/ping", "");
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.took < Duration::from_millis(2500), "{answer:?}");
    };
    beside(server, 4, call, || thread::sleep(Duration::from_secs(2)));
}

fn a_wrong_password_opens_few_connections_and_a_right_one_is_found(version: RedisVersion) {
    let redis = RedisServer::start_version(version, &["--requirepass", "first-word"]);
    let forwarder = Forwarder::start(redis.address());
    let url = format!("redis://:second-word@{}", forwarder.address());
    let server = Server::start(&["--store", &url]);
    ask(&server);
    let opened = forwarder.accepted();
    assert!((1..20).contains(&opened), "{opened} connections in 2 s");
    assert!(!server.log().contains("second-word"), "{}", server.log());
    let mut client = redis.connection();
    redis::cmd("AUTH").arg("first-word").exec(&mut client).unwrap();
    redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("second-word").exec(&mut client).unwrap();
    until_true("the password is accepted", || server.call("GET", "/ping", "").0 == 200);
}

#[test]
fn a_redis_that_is_away_is_asked_for_few_connections() {
    let nobody = RefusingPort::reserve();
    let forwarder = Forwarder::start(nobody.address());
    let server = Server::start(&["--store", &forwarder.url()]);
    ask(&server);
    assert!((1..40).contains(&forwarder.accepted()), "{} connections in 2 s", forwarder.accepted());
}

/// Uses every endpoint once, and waits for a sweep.
fn assert_everything_works(server: &Server, redis: impl Fn(&[&str]) -> i64) {
    let token = server.create();
    let other = server.create();
    let read = |method: &str, path: &str| {
        let (status, body) = server.call(method, path, r#"{"b":2}"#);
        assert_eq!(status, 200, "{method} {path}: {body}");
        body
    };
    assert_eq!(read("GET", "/ping"), "PONG");
    assert_eq!(read("GET", "/readyz"), r#"{"status":"ready"}"#);
    assert!(read("GET", &format!("/app1/get/{token}")).contains("some-user"));
    assert!(read("GET", &format!("/app1/get/{token}?touch=0")).contains("some-user"));
    assert!(read("GET", &format!("/app1/get/{token}?max_idle=100")).contains("some-user"));
    assert!(read("POST", &format!("/app1/set/{token}")).ends_with(r#""d":{"a":1,"b":2}}"#));
    assert_eq!(read("GET", "/app1/activity?dt=600"), r#"{"activity":1}"#);
    assert!(read("GET", "/app1/soapp?dt=600").contains("some-user"));
    assert!(read("GET", "/app1/soid/some-user").contains("some-user"));
    assert_eq!(read("DELETE", &format!("/app1/kill/{token}")), r#"{"kill":1}"#);
    assert_eq!(read("DELETE", "/app1/killsoid/some-user"), r#"{"kill":1}"#);
    assert_eq!(read("GET", &format!("/app1/get/{other}")), "{}");
    server.create();
    assert_eq!(read("DELETE", "/app1/killall"), r#"{"kill":1}"#);
    let swept = server.create();
    redis(&["HSET", &format!("rs:app1:{swept}"), "la", "1"]);
    redis(&["ZADD", "rs:SESSIONS", "1", &format!("app1:{swept}:some-user")]);
    until_true("it is swept", || redis(&["EXISTS", &format!("rs:app1:{swept}")]) == 0);
}

fn a_user_with_the_documented_commands_can_do_everything(version: RedisVersion) {
    let redis = RedisServer::start_version(version, &[]);
    let rules = documented_acl();
    // The user's name is the first word of the rules.
    redis.query::<()>(
        &[&["ACL", "SETUSER"], &rules.iter().map(String::as_str).collect::<Vec<_>>()[..], &["on", ">word"]].concat(),
    );
    let url = format!("redis://{}:word@{}", rules[0], redis.address());
    let server = Server::start(&["--store", &url, "--sweep-interval", "1"]);
    assert_everything_works(&server, |words| redis.query(words));
    let refused: Vec<Vec<String>> = {
        let log: Vec<Vec<redis::Value>> = redis.query(&["ACL", "LOG"]);
        log.iter().map(|entry| entry.iter().map(|value| format!("{value:?}")).collect()).collect()
    };
    assert!(refused.is_empty(), "Redis refused {refused:?}");
}

/// The words after `ACL SETUSER` in the code block of README between `<!-- acl -->` and `<!-- /acl -->`, without the
/// password.
fn documented_acl() -> Vec<String> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let marked = readme.split_once("<!-- acl -->").and_then(|(_, rest)| rest.split_once("<!-- /acl -->"));
    let (block, _) = marked.expect("server/README.md has a block between <!-- acl --> and <!-- /acl -->");
    let words = block.lines().filter(|line| !line.starts_with("```")).flat_map(str::split_whitespace);
    let words: Vec<_> = words.filter(|word| *word != "\\" && !word.starts_with('>')).map(str::to_owned).collect();
    let rules = words.strip_prefix(&["ACL".to_owned(), "SETUSER".to_owned()]);
    rules.expect("the block is a command ACL SETUSER …").to_vec()
}

fn a_socket_and_the_scheme_of_valkey_reach_redis(version: RedisVersion) {
    let redis = RedisServer::start_version(version, &[]);
    for url in [format!("unix://{}", redis.socket().display()), format!("valkey://{}", redis.address()), redis.url()] {
        let server = Server::start(&["--store", &url, "--sweep-interval", "1"]);
        assert_everything_works(&server, |words| redis.query(words));
    }
}

fn a_wrong_clock_of_one_instance_ends_no_session(version: RedisVersion) {
    let Some(library) = program_or_skip("FAKETIME_LIB", "a_wrong_clock_of_one_instance_ends_no_session") else {
        return;
    };
    let redis = RedisServer::start_version(version, &[]);
    let right = Server::start(&["--store", &redis.url()]);
    let token = right.create();
    let get = |server: &Server| server.call("GET", &format!("/app1/get/{token}"), "");
    for offset in ["+1d", "-1d"] {
        let mut command = command(&["--listen", "127.0.0.1:0", "--store", &redis.url(), "--sweep-interval", "1"]);
        command.env("LD_PRELOAD", &library).env("FAKETIME", offset).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let wrong = Server::start_command(command);
        assert!(get(&wrong).1.contains("some-user"), "{offset}: {:?}", get(&wrong));
        let set = wrong.call("POST", &format!("/app1/set/{token}"), r#"{"b":2}"#);
        assert!(set.1.ends_with(r#""d":{"a":1,"b":2}}"#), "{offset}: {set:?}");
        let made = wrong.create();
        // Two sweeps by the wrong clock.
        thread::sleep(Duration::from_millis(2500));
        assert!(get(&right).1.contains("some-user"), "{offset}: {:?}", get(&right));
        let made = right.call("GET", &format!("/app1/get/{made}"), "");
        assert!(made.1.contains("some-user") && made.1.contains(r#""idle":"#), "{offset}: {made:?}");
        let listed = wrong.call("GET", "/app1/soapp?dt=600", "").1;
        assert!(listed.contains("some-user"), "{offset}: {listed}");
    }
}
