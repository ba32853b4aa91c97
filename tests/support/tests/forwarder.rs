//! The forwarder of the support library, in front of a real Redis.

use std::time::{Duration, Instant};

use redis::{Client, Connection};
use test_support::forwarder::Forwarder;
use test_support::redis::RedisServer;
use test_support::wait::{PATIENCE, until_true};

fn connect(forwarder: &Forwarder) -> Connection {
    let connection = Client::open(forwarder.url()).unwrap().get_connection_with_timeout(PATIENCE).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    connection
}

fn ping(connection: &mut Connection) -> bool {
    redis::cmd("PING").exec(connection).is_ok()
}

#[test]
fn open_connections_stay_at_the_old_target_and_new_ones_go_to_the_new() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let forwarder = Forwarder::start(old.address());
    let mut before = connect(&forwarder);
    forwarder.switch_to(new.address());
    let mut after = connect(&forwarder);
    for (connection, server) in [(&mut before, &old), (&mut after, &new)] {
        redis::cmd("SET").arg("where").arg(server.address().to_string()).exec(connection).unwrap();
        assert_eq!(server.query::<String>(&["GET", "where"]), server.address().to_string());
    }
    forwarder.cut();
    assert!(!ping(&mut before) && !ping(&mut after));
    assert!(ping(&mut connect(&forwarder)));
    assert_eq!(forwarder.accepted(), 3);
    let address = forwarder.address();
    drop(forwarder);
    until_true("the forwarder is closed", || std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_round_trip_takes_its_delay() {
    let server = RedisServer::start();
    let forwarder = Forwarder::start(server.address());
    let mut connection = connect(&forwarder);
    forwarder.delay(Duration::from_millis(50));
    let began = Instant::now();
    assert!(ping(&mut connection));
    assert!(began.elapsed() >= Duration::from_millis(50), "{:?}", began.elapsed());
    // Commands in flight together are delayed together.
    let began = Instant::now();
    let mut pipe = redis::pipe();
    for _ in 0..100 {
        pipe.cmd("PING");
    }
    pipe.exec(&mut connection).unwrap();
    assert!(began.elapsed() < Duration::from_millis(1000), "{:?}", began.elapsed());
}

#[test]
fn a_silent_connection_stays_open_and_new_ones_work() {
    let server = RedisServer::start();
    let forwarder = Forwarder::start(server.address());
    let mut silent = connect(&forwarder);
    silent.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    forwarder.silence();
    let error = redis::cmd("PING").exec(&mut silent).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(ping(&mut connect(&forwarder)));
}

#[test]
fn a_command_whose_answer_is_swallowed_is_executed_and_its_connection_is_cut() {
    let server = RedisServer::start();
    let forwarder = Forwarder::start(server.address());
    for delay in [0, 20] {
        forwarder.delay(Duration::from_millis(delay));
        let mut connection = connect(&forwarder);
        forwarder.swallow_answers_to("incr", 1);
        assert!(ping(&mut connection), "another command is answered");
        let mut pipe = redis::pipe();
        pipe.cmd("PING").cmd("INCR").arg("n");
        pipe.exec(&mut connection).unwrap_err();
        assert!(!ping(&mut connection));
        redis::cmd("INCR").arg("n").exec(&mut connect(&forwarder)).unwrap();
    }
    assert_eq!(server.query::<i64>(&["GET", "n"]), 4);
    assert_eq!(forwarder.swallowed(), 2);
}
