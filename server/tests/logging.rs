//! The lines that requests leave in the log, as text and as JSON, whatever clients send.

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::process::{Server, command};
use test_support::http1::Request;
use test_support::ports;
use test_support::process::Process;
use test_support::redis::RedisServer;
use test_support::wait::{until, until_true};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The program with `--log-format json`.
struct JsonServer {
    address: SocketAddr,
    process: Process,
}

impl JsonServer {
    fn start() -> Self {
        // Another test may use the port; then the program exits.
        until("rest-sessions to start", || {
            let address = ports::non_ephemeral();
            let flags = ["--listen", &address.to_string(), "--log-format", "json", "--log-level", "debug"];
            let mut process = Process::start("rest-sessions", command(&flags));
            until_true("rest-sessions to listen", || {
                !process.is_running() || process.output().contains(r#""message":"listening""#)
            });
            process.is_running().then_some(Self { address, process })
        })
    }

    /// Every line, each of which has to be one JSON object.
    fn lines(&self) -> Vec<Value> {
        let output = self.process.output();
        let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    fn request_lines(&self, count: usize) -> Vec<Value> {
        until("the requests are logged", || {
            let mut lines = self.lines();
            lines.retain(|line| line["message"] == "request");
            (lines.len() >= count).then_some(lines)
        })
    }
}

/// What a client may try.
const ATTACKS: [&str; 7] = [
    r#"","level":"ERROR","message":"forged"#,
    r#"a" status=200 route="forged"#,
    r"\u000a\n\",
    "\u{1b}[31mred",
    "a\tb",
    "ü€\u{2028}",
    "x x",
];

/// Sends `/ping` with each attack in every header that is logged. Returns how many requests arrived: a value that HTTP
/// forbids is refused before.
fn attack(address: SocketAddr) -> usize {
    let arrived = ATTACKS.map(|value| {
        let headers = ["x-request-id", "traceparent", "b3", "x-b3-traceid"];
        let request = headers.iter().fold(Request::get("/ping"), |request, header| request.header(*header, value));
        request.send_to(address).status == 200
    });
    arrived.iter().filter(|arrived| **arrived).count()
}

#[test]
fn json_lines_are_flat_and_carry_the_ids_of_the_request() {
    let server = JsonServer::start();
    let request = Request::get("/ping").header("x-request-id", "req-1").header("traceparent", TRACEPARENT);
    assert_eq!(request.send_to(server.address).status, 200);
    Request::get("/nowhere")
        .host("localhost")
        .header("b3", format!("{TRACE}-00f067aa0ba902b7-1"))
        .send_to(server.address);
    let lines = server.request_lines(2);
    assert_eq!(
        (&lines[0]["request_id"], &lines[0]["trace_id"], &lines[0]["route"], &lines[0]["status"], &lines[0]["method"]),
        (&"req-1".into(), &TRACE.into(), &"/ping".into(), &200.into(), &"GET".into())
    );
    assert!(lines[0]["micros"].is_u64() && lines[0]["timestamp"].is_string() && lines[0]["level"] == "DEBUG");
    assert_eq!((&lines[1]["request_id"], &lines[1]["trace_id"]), (&Value::Null, &TRACE.into()));
    assert_eq!(lines[1]["route"], "unknown");
}

#[test]
fn no_header_breaks_a_line_of_json() {
    let server = JsonServer::start();
    let arrived = attack(server.address);
    let lines = server.request_lines(arrived);
    assert!(arrived >= 6 && lines.len() == arrived, "{arrived} arrived: {lines:?}");
    for line in lines {
        assert_eq!(
            (&line["level"], &line["route"], &line["trace_id"]),
            (&"DEBUG".into(), &"/ping".into(), &Value::Null)
        );
        assert!(line["request_id"].as_str().is_none_or(|id| ATTACKS.contains(&id)), "{line}");
    }
}

#[test]
fn no_header_breaks_a_line_of_text() {
    let server = Server::start(&["--log-level", "debug"]);
    let arrived = attack(server.address());
    server.call("GET", "/livez", "");
    until_true("the last request is logged", || server.log().contains(r#"route="/livez""#));
    let log = server.log();
    assert_eq!(log.matches(r#"DEBUG request method=GET route="/ping" status=200 micros="#).count(), arrived, "{log}");
    assert_eq!(log.lines().count(), 1 + arrived + 1, "{log}");
    assert!(log.is_ascii() && !log.contains('\u{1b}') && !log.contains(r#""a" "#), "{log}");
}

#[test]
fn a_token_in_any_part_of_a_request_is_not_logged() {
    let server = Server::start(&["--log-level", "trace"]);
    let token = server.create();
    for header in ["x-request-id", "traceparent", "b3", "x-b3-traceid", "authorization", "cookie", "user-agent"] {
        for value in [token.clone(), format!("id={token}"), token[..60].to_owned()] {
            let path = format!("/app1/get/{token}?{token}={token}");
            assert_eq!(
                Request::get(&path).host("localhost").header(header, value).send_to(server.address()).status,
                200
            );
        }
    }
    Request::new(&token, "/ping").send_to(server.address());
    Request::new(&token, &format!("/{token}")).host(&token).send_to(server.address());
    Request::get(&format!("/{token}")).host("localhost").send_to(server.address());
    server.call("GET", "/livez", "");
    until_true("the last request is logged", || server.log().contains(r#"route="/livez""#));
    let log = server.log();
    assert!(!log.contains(&token[..41]) && !log.contains("some-user"), "{log}");
    assert!(log.contains(r#"request_id="masked""#) && log.contains("method=other"), "{log}");
}

#[test]
fn slow_requests_are_warned_of_once_a_second_with_the_number_of_the_others() {
    let redis = RedisServer::start();
    let flags = ["--store", &redis.url(), "--store-timeout", "20000", "--slow-request", "100"];
    let server = Server::start(&flags);
    let token = server.create();
    // So many requests at once that wait 0.2 s for Redis.
    let slow = |count: usize, id: &str| {
        redis.pause();
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..count {
                scope.spawn(|| {
                    let request = Request::get(&format!("/app1/get/{token}")).host("localhost");
                    let request = request.header("x-request-id", id).header("traceparent", TRACEPARENT);
                    assert_eq!(request.send_to(server.address()).status, 200);
                });
            }
            until_true("0.2 s pass", || began.elapsed() > Duration::from_millis(200));
            redis.resume();
        });
    };
    slow(8, "first");
    let warned = |log: &str| log.matches("slow request").count();
    until_true("a slow request is logged", || warned(&server.log()) > 0);
    let first = warned(&server.log());
    assert!(first < 4, "{}", server.log());
    until_true("a later one is logged too", || {
        slow(1, "later");
        warned(&server.log()) > first
    });
    let log = server.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("slow request")).collect();
    assert!(
        lines[0].contains(r#"WARN slow request method=GET route="/{app}/get/{token}" status=200 micros="#),
        "{log}"
    );
    assert!(lines[0].ends_with(&format!(r#"request_id="first" trace_id="{TRACE}" suppressed=0"#)), "{log}");
    let suppressed = lines[1].rsplit_once("suppressed=").unwrap().1;
    assert_ne!(suppressed, "0", "{log}");
}

#[test]
fn a_slow_request_of_0_warns_of_none() {
    let redis = RedisServer::start();
    let flags = ["--store", &redis.url(), "--store-timeout", "300", "--slow-request", "0", "--log-level", "debug"];
    let server = Server::start(&flags);
    server.create();
    redis.pause();
    assert_eq!(server.call("GET", "/ping", "").0, 503);
    until_true("the request is logged", || server.log().contains(r#"route="/ping" status=503"#));
    assert!(!server.log().contains("slow request"), "{}", server.log());
}

#[test]
fn failures_of_the_store_leave_few_lines_at_info() {
    let redis = RedisServer::start();
    let server = Server::start(&["--store", &redis.url(), "--slow-request", "0"]);
    let token = server.create();
    drop(redis);
    for _ in 0..10 {
        assert_eq!(server.call("GET", "/ping", "").0, 503);
        assert_eq!(server.call("GET", &format!("/app1/get/{token}"), "").0, 503);
        server.call("GET", "/readyz", "");
    }
    let log = server.log();
    assert!(log.lines().count() < 15, "{log}");
}
