//! The limit on connections, and the limit of open files.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use support::process::{Server, command};
use test_support::http1::{Connection, Request};
use test_support::redis::RedisServer;
use test_support::wait::until_true;

fn ping() -> Request {
    Request::get("/ping").host("localhost")
}

/// Connections that the server has accepted, each with an answered request.
fn kept(server: &Server, count: usize) -> Vec<Connection> {
    let keep = |_| {
        let mut connection = Connection::open(server.address()).send(&ping());
        assert_eq!(connection.read(false).status, 200);
        connection
    };
    (0..count).map(keep).collect()
}

#[test]
fn connections_beyond_the_limit_are_answered_503_at_once_until_one_closes() {
    let server = Server::start(&["--max-connections", "2"]);
    let mut open = kept(&server, 2);
    let began = Instant::now();
    for request in [ping(), Request::new("PUT", "/app1/create/u?ip=1").host("localhost").body(vec![b'x'; 50_000])] {
        let mut refused = Connection::open(server.address()).send(&request);
        let answer = refused.read(false);
        assert_eq!(answer.status, 503);
        assert!(answer.text().starts_with(r#"{"name":"tooManyConnections","message":""#), "{}", answer.text());
        assert_eq!(answer.header("content-type").as_deref(), Some("application/json; charset=utf-8"));
        assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
        assert_eq!(answer.header("connection").as_deref(), Some("close"));
        assert!(refused.is_closed_by_peer());
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    open.pop();
    until_true("a place is free", || server.call("GET", "/ping", "").0 == 200);
}

#[test]
fn a_refused_connection_that_sends_nothing_is_closed_soon() {
    let server = Server::start(&["--max-connections", "1"]);
    let _open = kept(&server, 1);
    let mut slow = server.connect();
    slow.write_all(b"PUT /app1/create/u?ip=1 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n").unwrap();
    let began = Instant::now();
    for mut stream in [server.connect(), slow] {
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_flood_of_silent_connections_is_closed_and_takes_no_place() {
    let server = Server::start(&["--max-connections", "1"]);
    let open = kept(&server, 1);
    let flood: Vec<TcpStream> = (0..500).map(|_| server.connect()).collect();
    for mut stream in flood {
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    }
    drop(open);
    until_true("a place is free", || server.call("GET", "/ping", "").0 == 200);
}

/// The program with at most `soft` open files, which it may raise to `hard`.
fn limited(soft: u64, hard: u64, flags: &[&str]) -> Command {
    let mut command = command(&[&["--listen", "127.0.0.1:0"], flags].concat());
    let limit = rustix::process::Rlimit { current: Some(soft), maximum: Some(hard) };
    // SAFETY: setrlimit is async-signal-safe and touches no memory of this process.
    unsafe {
        command.pre_exec(move || Ok(rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?));
    }
    command
}

#[test]
fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let server = Server::start_command(limited(64, 4096, &["--max-connections", "300"]));
    assert_eq!(kept(&server, 300).len(), 300);
    assert_eq!(server.log().lines().count(), 1, "{}", server.log());
}

#[test]
fn a_low_limit_of_open_files_is_kept_for_redis_and_refusals() {
    let redis = RedisServer::start();
    let server = Server::start_command(limited(160, 160, &["--store", &redis.url()]));
    assert!(server.log().contains("WARN the limit of open files is too low for --max-connections"), "{}", server.log());
    let mut open = Vec::new();
    let mut answers = Vec::new();
    for _ in 0..200 {
        let mut connection = Connection::open(server.address()).send(&ping());
        answers.push(connection.read(false).status);
        open.push(connection);
    }
    let served = answers.iter().filter(|status| **status == 200).count();
    assert!(served > 50 && served < 100, "{served}");
    assert!(answers[served..].iter().all(|status| *status == 503), "{answers:?}");
    // A new connection to Redis finds a file.
    let _: i64 = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").query(&mut redis.connection()).unwrap();
    let first = open.remove(0).send(&ping()).read(false);
    assert_eq!(first.status, 200);
}
