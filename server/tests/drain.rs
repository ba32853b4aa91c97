//! The program from the signal to stop until its end.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use support::process::Server;
use test_support::http1::{Connection, Request};
use test_support::process::Signal;
use test_support::wait::{PATIENCE, until_true};

const HALF_SENT: &[u8] = b"PUT /app1/create/u?ip=1 HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n";

fn half_sent(server: &Server) -> TcpStream {
    let mut stream = server.connect();
    stream.write_all(HALF_SENT).unwrap();
    // A response on another connection shows that the server has accepted this one.
    server.call("GET", "/ping", "");
    stream
}

fn ping() -> Request {
    Request::get("/ping").host("localhost")
}

#[test]
fn requests_in_flight_are_answered_before_it_stops() {
    for (signal, flags) in [(Signal::TERM, &["--drain-delay", "0"][..]), (Signal::INT, &[])] {
        let mut server = Server::start(flags);
        let mut idle = Connection::open(server.address()).send(&ping());
        assert_eq!(idle.read(false).header("connection"), None);
        let mut busy = half_sent(&server);
        server.signal(signal);
        until_true("the server is stopping", || server.log().contains("stopping"));
        until_true("it accepts no connections", || TcpStream::connect(server.address()).is_err());
        busy.write_all(b"{\"a\":1}").unwrap();
        let mut answer = String::new();
        busy.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains(r#"{"token":""#), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert!(idle.is_closed_by_peer());
        assert_eq!(server.wait_for_exit(), Some(0));
    }
}

#[test]
fn a_request_that_never_ends_delays_the_stop_by_the_shutdown_timeout_only() {
    let mut server = Server::start(&["--shutdown-timeout", "1", "--drain-delay", "0"]);
    let _stuck = half_sent(&server);
    server.signal(Signal::TERM);
    let began = Instant::now();
    assert_eq!(server.wait_for_exit(), Some(0));
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    assert!(server.log().contains("stopped with requests in flight"));
}

#[test]
fn while_it_drains_it_accepts_and_every_answer_closes_its_connection() {
    let mut server = Server::start(&["--drain-delay", "300"]);
    let mut kept = Connection::open(server.address()).send(&ping());
    assert_eq!(kept.read(false).header("connection"), None);
    server.signal(Signal::TERM);
    until_true("the server drains", || server.log().contains("draining"));
    for mut connection in [kept, Connection::open(server.address())] {
        connection = connection.send(&ping());
        let answer = connection.read(false);
        assert_eq!((answer.status, answer.header("connection").as_deref()), (200, Some("close")));
        assert!(connection.is_closed_by_peer());
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_exit(), Some(0));
    assert!(server.log().contains("stopping"));
}

#[test]
fn the_delay_ends_by_itself() {
    let mut server = Server::start(&["--drain-delay", "1"]);
    let began = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_exit(), Some(0));
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(9), "{took:?}");
}

#[test]
fn connections_without_a_whole_head_do_not_hold_it() {
    let mut server = Server::start(&["--shutdown-timeout", "600", "--drain-delay", "0"]);
    let _silent = server.connect();
    let mut first = server.connect();
    first.write_all(b"GET /ping HTTP/1.1\r\nhost: local").unwrap();
    let mut second = Connection::open(server.address()).send(&ping());
    assert_eq!(second.read(false).status, 200);
    second.write(b"GET /ping HTTP/1.1\r\nhost: local");
    server.call("GET", "/ping", "");
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_exit(), Some(0));
}

#[test]
fn requests_that_were_sent_before_it_stops_are_answered_even_if_their_connections_were_not_accepted() {
    for _ in 0..10 {
        let mut server = Server::start(&["--drain-delay", "0"]);
        let sent: Vec<TcpStream> = (0..50)
            .map(|_| {
                let mut stream = server.connect();
                stream.write_all(b"GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
                stream
            })
            .collect();
        server.signal(Signal::TERM);
        for mut stream in sent {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer:?}");
        }
        assert_eq!(server.wait_for_exit(), Some(0));
    }
}

/// Sends requests one after the other, over one connection as long as it stays open. As a proxy with health checks does,
/// it goes elsewhere half a second after it was told to. Returns how many requests were answered and how many were not.
fn send_until_told(address: SocketAddr) -> (u32, u32) {
    let (mut answered, mut lost) = (0, 0);
    let mut told: Option<Instant> = None;
    while told.is_none_or(|told| told.elapsed() < Duration::from_millis(500)) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        loop {
            let mut answer = Vec::new();
            let sent = stream.write_all(b"GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n");
            let mut buffer = [0; 512];
            while sent.is_ok() && !answer.ends_with(b"PONG") {
                match stream.read(&mut buffer) {
                    Ok(count @ 1..) => answer.extend_from_slice(&buffer[..count]),
                    _ => break,
                }
            }
            if !answer.ends_with(b"PONG") {
                lost += 1;
                break;
            }
            answered += 1;
            if String::from_utf8_lossy(&answer).contains("connection: close") {
                told.get_or_insert_with(Instant::now);
                break;
            }
        }
    }
    (answered, lost)
}

#[test]
fn under_load_no_request_is_lost_while_it_drains_and_stops() {
    let mut server = Server::start(&["--drain-delay", "1"]);
    let address = server.address();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(move || send_until_told(address))).collect();
        until_true("it is under load", || server.call("GET", "/ping", "").0 == 200);
        server.signal(Signal::TERM);
        for client in clients {
            let (answered, lost) = client.join().unwrap();
            assert!(answered > 0 && lost == 0, "{answered} answered, {lost} lost");
        }
    });
    assert_eq!(server.wait_for_exit(), Some(0));
}
