//! How Redis is reached: passwords, users, schemes, and a clock that is wrong.

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
use crate::users::assert_everything_works;

over_redis_versions! {
    a_wrong_password_opens_few_connections_and_a_right_one_is_found
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
