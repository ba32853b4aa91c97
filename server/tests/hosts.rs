//! Names of this service: which `Host` of a request is its own.

mod support;

use std::fs;

use support::process::{Server, command};
use test_support::http1::{Connection, Request};

fn status(server: &Server, request: &Request) -> u16 {
    request.send_to(server.address()).status
}

#[test]
fn a_host_that_is_not_its_own_is_answered_421() {
    let server = Server::start(&["--allowed-host", "*.example.com", "--allowed-host", "sessions.test"]);
    let own = server.address().to_string();
    for (host, expected) in [
        (Some("localhost"), 200),
        (Some(own.as_str()), 200),
        (Some("rest-sessions"), 200),
        (Some("Sessions.Test.:80"), 200),
        (Some("a.example.com"), 200),
        (None, 421),
        (Some(""), 421),
        (Some("evil.test"), 421),
        (Some("example.com"), 421),
        (Some("localhost.evil.test"), 421),
        (Some("192.0.2.1"), 421),
    ] {
        let mut request = Request::get("/app1/activity?dt=60").without_host();
        request.host = host.map(str::to_owned);
        let answer = request.send_to(server.address());
        assert_eq!(answer.status, expected, "{host:?}");
        if expected == 421 {
            assert!(answer.text().starts_with(r#"{"name":"misdirectedRequest","message":""#), "{}", answer.text());
        }
        request.target = "/ping".to_owned();
        assert_eq!(status(&server, &request), 200, "{host:?}");
    }
    let ask = Request::get("/app1/activity?dt=60").host("localhost");
    assert_eq!(status(&server, &ask.clone().header("host", "localhost")), 421);
    assert_eq!(status(&server, &ask.clone().header("host", "evil.test")), 421);
    let mut absolute = ask.clone();
    absolute.target = "http://evil.test/app1/activity?dt=60".to_owned();
    assert_eq!(status(&server, &absolute), 421);
    let mut old = Connection::open(server.address());
    old.write(b"GET /app1/killall HTTP/1.0\r\n\r\n");
    assert_eq!(old.read(false).status, 421);
}

#[test]
fn on_a_wildcard_address_every_address_is_its_own_and_it_warns_unless_callers_are_known() {
    let warning = "WARN every client that reaches this address can read, change and end every session";
    let any = |flags: &[&str]| Server::start_command(command(&[&["--listen", "0.0.0.0:0"], flags].concat()));
    let server = any(&[]);
    assert!(server.log().contains(warning), "{}", server.log());
    assert!(server.log().trim_end().ends_with("store=memory"));
    let ask = |host: &str| {
        let loopback = (std::net::Ipv4Addr::LOCALHOST, server.address().port()).into();
        Request::get("/app1/activity?dt=60").host(host).send_to(loopback).status
    };
    assert_eq!([ask("192.0.2.1"), ask("[2001:db8::1]:3000"), ask("evil.test")], [200, 200, 421]);

    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "owner-owner-owner-owner").unwrap();
    let server = any(&["--secret-file", secret.to_str().unwrap()]);
    assert!(!server.log().contains("WARN"), "{}", server.log());
    assert!(!Server::start(&[]).log().contains("WARN"));
}
