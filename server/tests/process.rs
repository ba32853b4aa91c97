//! The program: its start, its log, malformed and slow clients.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output};

use proptest::prelude::*;
use support::process::{Server, command};
use test_support::ports;
use test_support::redis::RedisServer;
use test_support::wait::until_true;

/// The one line that a command writes that must not start.
fn refusal(mut command: Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn it_logs_one_line_with_its_address_when_it_listens() {
    let server = Server::start(&[]);
    assert_eq!(server.call("GET", "/ping", ""), (200, "PONG".to_owned()));
    let log = server.log();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.trim_end().ends_with(&format!("listening address={} store=memory", server.address())), "{log}");
}

#[test]
fn an_invalid_option_is_refused_in_one_line_that_says_what_is_expected() {
    for (flags, expected) in [
        (&["--listen", "nowhere"][..], r#"--listen: "nowhere" is not HOST:PORT or unix:PATH; expected"#),
        (&["--listen", "unix:"], r#"--listen: "unix:" is not HOST:PORT or unix:PATH; expected"#),
        (&["--admin-listen", "unix:x"], r#"--admin-listen: "unix:x" is not HOST:PORT; expected"#),
        (&["--listen", "unix:x", "--tls-cert", "c", "--tls-key", "k"], "--tls-cert: a Unix socket has no TLS"),
        (&["--client-ca", "a"], "--client-ca needs --tls-cert and --tls-key"),
        (&["--allowed-host", "http://a"], r#"--allowed-host: "http://a" is not a host"#),
        (&["--log-format", "xml"], r#"--log-format: "xml" is not a format; expected text or json"#),
        (&["--drain-delay", "301"], "301 is not in 0..=300"),
        (&["--max-session-bytes", "2047"], "2047 is not in 2048..=1048576"),
        (&["--listen", "127.0.0.1:99999"], "is not HOST:PORT"),
        (&["--listen", ":3000"], "is not HOST:PORT"),
        (&["--store", "mysql://u:secret@h"], "--store: expected memory, redis://…, rediss://…"),
        (&["--store", "redis://u:secret@h:port"], "--store: expected memory, redis://…, rediss://…"),
        (&["redis://u:secret@h"], "unexpected argument"),
        (&["--listen", "redis://:secret@h"], "--listen: (a URL) is not HOST:PORT"),
        (&["--store", "redis+sentinel://u:1/secret@h"], "--store: expected memory"),
        (&["--log-level", "loud"], r#"--log-level: "loud" is not a level; expected none, error"#),
        (&["--namespace", "a b"], r#"--namespace: "a b" is not a namespace"#),
        (&["--sweep-interval", "soon"], "invalid value 'soon' for '--sweep-interval <SECONDS>'"),
        (&["--store-timeout", "0"], "0 is not in 1..=60000"),
        (&["--unknown"], "unexpected argument '--unknown'"),
    ] {
        let line = refusal(command(flags));
        assert!(line.starts_with("rest-sessions: ") && line.contains(expected), "{flags:?}: {line}");
        assert!(!line.contains("secret"), "{line}");
    }
}

#[test]
fn an_invalid_variable_is_refused_by_name() {
    for (variable, value, expected) in [
        ("RS_PORT", "http", r#"RS_PORT: "http" is not a port"#),
        ("RS_REDISPORT", "x", r#"RS_REDISPORT: "x" is not a port"#),
        ("RS_REDISHOST", "a/b", r#"RS_REDISHOST: "a/b" is not a host name"#),
        ("RS_REDISURL", "http://u:secret@h", "RS_REDISURL: expected memory, redis://"),
        ("RS_NAMESPACE", "ä", "RS_NAMESPACE: \"ä\" is not a namespace"),
        ("RS_LOGLEVEL", "loud", r#"RS_LOGLEVEL: "loud" is not a level"#),
    ] {
        let mut command = command(&[]);
        command.env(variable, value);
        let line = refusal(command);
        assert!(line.contains(expected) && !line.contains("secret"), "{line}");
    }
}

#[test]
fn a_port_in_use_is_refused_in_one_line() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = refusal(command(&["--listen", &address]));
    assert!(line.starts_with(&format!("rest-sessions: cannot listen on {address}: ")), "{line}");
}

#[test]
fn help_names_units_defaults_and_the_missing_authentication() {
    let output = command(&["--help"]).env("RS_REDISURL", "redis://:hidden-word@h").output().unwrap();
    let wrapped = String::from_utf8(output.stdout).unwrap();
    let text = wrapped.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(output.status.success());
    for expected in [
        "Never expose it to the outside",
        "127.0.0.1:3000",
        "<SECONDS>",
        "<MILLISECONDS>",
        "RS_NAMESPACE",
        "[default: 600]",
    ] {
        assert!(text.contains(expected), "{expected} is missing from:\n{text}");
    }
    assert!(!text.contains("hidden-word"));
}

#[test]
fn variables_choose_port_store_and_namespace_and_flags_win() {
    let redis = RedisServer::start();
    let port = ports::non_ephemeral().port().to_string();
    let redis_port = redis.address().port().to_string();
    let variables =
        [("RS_PORT", port.as_str()), ("RS_REDISPORT", &redis_port), ("RS_NAMESPACE", "mine"), ("RS_LOGLEVEL", "")];
    let mut by_variables = command(&[]);
    by_variables.envs(variables);
    let server = Server::start_command(by_variables);
    assert_eq!(server.address().to_string(), format!("127.0.0.1:{port}"));
    assert!(server.log().contains(&format!("store=redis://127.0.0.1:{redis_port}/0")));
    server.create();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut redis.connection()).unwrap();
    assert!(keys.iter().all(|key| key.starts_with("mine:")) && keys.len() == 5, "{keys:?}");

    let mut by_flags = command(&["--listen", "127.0.0.1:0", "--store", "memory"]);
    by_flags.envs(variables);
    let server = Server::start_command(by_flags);
    assert_ne!(server.address().port().to_string(), port);
    assert!(server.log().contains("store=memory"));
}

#[test]
fn tokens_users_and_passwords_are_never_logged() {
    let redis = RedisServer::start_with(&["--requirepass", "top-secret-word"]);
    let url = format!("redis://:top-secret-word@{}/3", redis.address());
    let server = Server::start(&["--store", &url, "--log-level", "trace", "--store-timeout", "300"]);
    let token = server.create();
    for (method, path) in [("GET", "get"), ("POST", "set"), ("DELETE", "kill"), ("GET", "kill"), ("GET", "unknown")] {
        server.call(method, &format!("/app1/{path}/{token}"), r#"{"b":2}"#);
        server.call(method, &format!("/app1/{path}/{token}"), "{");
    }
    let token = server.create();
    redis.pause();
    assert_eq!(server.call("GET", &format!("/app1/get/{token}"), "").0, 503);
    drop(redis);
    assert_eq!(server.call("GET", &format!("/app1/get/{token}"), "").0, 503);
    until_true("requests are logged", || server.log().matches("status=503").count() == 2);
    let log = server.log();
    assert!(log.contains(r#"route="/{app}/get/{token}""#), "{log}");
    for secret in [&token[..55], "top-secret-word", "some-user"] {
        assert!(!log.contains(secret), "{secret} was logged");
    }
    let wrong = RedisServer::start_with(&["--requirepass", "top-secret-word"]);
    let url = format!("redis://:wrong-word@{}", wrong.address());
    let server = Server::start(&["--store", &url, "--log-level", "trace"]);
    assert_eq!(server.call("GET", "/ping", "").0, 503);
    until_true("the failure is logged", || server.log().contains("redis fails"));
    assert!(!server.log().contains("wrong-word"), "{}", server.log());
}

#[test]
fn slow_clients_are_disconnected() {
    let server = Server::start(&["--client-timeout", "1"]);
    let mut head = server.connect();
    head.write_all(b"GET /ping HTTP/1.1\r\nhost:").unwrap();
    let mut body = server.connect();
    body.write_all(
        b"PUT /app1/create/u?ip=1 HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n{",
    )
    .unwrap();
    let mut answer = String::new();
    body.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let mut silent = server.connect();
    let mut idle = server.connect();
    idle.write_all(b"GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    for stream in [&mut head, &mut silent, &mut idle] {
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
    assert_eq!(server.call("GET", "/ping", "").0, 200);
}

#[test]
fn a_client_that_closes_its_sending_side_is_answered() {
    let redis = RedisServer::start();
    let server = Server::start(&["--store", &redis.url()]);
    let mut stream = server.connect();
    stream.write_all(b"PUT /app1/create/u?ip=1 HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(r#"{"token":""#), "{answer}");
}

#[test]
fn malformed_requests_are_refused_and_others_are_still_served() {
    let server = Server::start(&[]);
    let long_header = format!("GET /ping HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "a".repeat(1_000_000));
    let many_headers = format!("GET /ping HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(1000));
    let long_path = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(1_000_000));
    for raw in [
        &b"\x00\xff\xfe junk\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET /ping HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /app1/get/\xc3\x28 HTTP/1.1\r\nhost: \xff\r\nx: \xff\xfe\r\n\r\n",
        b"POST /app1/set/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST /app1/set/x HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ncontent-type: application/json\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        b"CONNECT h:1 HTTP/1.1\r\nhost: h:1\r\nconnection: close\r\n\r\n",
        b"GET http://x:y@[::1]:99/../ping?%ff HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        long_header.as_bytes(),
        many_headers.as_bytes(),
        long_path.as_bytes(),
    ] {
        let mut stream = server.connect();
        // The server may have closed the connection before it has read everything.
        stream.write_all(raw).ok();
        stream.shutdown(std::net::Shutdown::Write).ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        let answer = String::from_utf8_lossy(&answer);
        let refused = ["HTTP/1.1 4", "HTTP/1.1 5"].iter().any(|start| answer.starts_with(start));
        assert!(
            refused || answer.is_empty(),
            "{:?} was answered {answer}",
            String::from_utf8_lossy(&raw[..raw.len().min(100)])
        );
        assert_eq!(server.call("GET", "/ping", "").0, 200);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn no_request_crashes_it(
        requests in prop::collection::vec(
            ("(GET|PUT|POST|DELETE)", "/[a-c1%_.:]{1,6}/(create|get|set|renew|kill|soid|killsoid|activity)/?[!-~]{0,70}", "[{\\[\" a-c:,0-9eE.+nulltrue\\]}-]{0,60}"),
            8,
        )
    ) {
        let server = Server::start(&[]);
        for (method, path, body) in &requests {
            let (status, answer) = server.call(method, path, body);
            prop_assert!([200, 400, 404, 500].contains(&status), "{method} {path} {body}: {status} {answer}");
        }
        prop_assert_eq!(server.call("GET", "/ping", "").0, 200);
    }
}
