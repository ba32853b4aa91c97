//! The program on a Unix socket, and its second listener.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use support::process::{Server, command};
use test_support::http1::Request;
use test_support::process::{Process, Signal};
use test_support::wait::until_true;

/// The program on the socket `path`, once it listens.
fn start(path: &Path, flags: &[&str]) -> Process {
    let listen = format!("unix:{}", path.display());
    let process = Process::start("rest-sessions", command(&[&["--listen", &listen], flags].concat()));
    let line = format!("listening address={listen} store=memory\n");
    until_true("it listens", || process.output().ends_with(&line));
    process
}

fn call(path: &Path, head: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    write!(stream, "{head}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn socket() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.sock");
    (folder, path)
}

#[test]
fn it_serves_owner_and_group_on_a_unix_socket_and_removes_it_at_its_end() {
    let (_folder, path) = socket();
    let mut server = start(&path, &["--drain-delay", "0"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    for head in ["GET /app1/activity?dt=60 HTTP/1.1", "GET /app1/activity?dt=60 HTTP/1.1\r\nhost: anything.test"] {
        let answer = call(&path, head);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(r#"{"activity":0}"#), "{answer}");
    }
    assert!(!server.output().contains("WARN"), "{}", server.output());
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_exit(), Some(0));
    assert!(!path.exists());
}

#[test]
fn a_socket_left_by_a_killed_process_is_replaced_and_a_live_one_is_refused() {
    let (_folder, path) = socket();
    drop(start(&path, &[]));
    assert!(path.exists(), "a killed process leaves its socket");
    let server = start(&path, &[]);
    let listen = format!("unix:{}", path.display());
    for _ in 0..2 {
        let refused = command(&["--listen", &listen]).output().unwrap();
        let text = String::from_utf8(refused.stderr).unwrap();
        let expected = format!("rest-sessions: cannot listen on {listen}: another process listens there\n");
        assert_eq!((refused.status.code(), text), (Some(1), expected));
        assert!(call(&path, "GET /ping HTTP/1.1").ends_with("PONG"), "{}", server.output());
    }
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let (_folder, path) = socket();
    fs::write(&path, "precious").unwrap();
    let refused = command(&["--listen", &format!("unix:{}", path.display())]).output().unwrap();
    assert!(String::from_utf8(refused.stderr).unwrap().ends_with("the file exists and is no socket\n"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_foreign_socket_that_does_not_accept_is_not_taken_for_a_stale_one() {
    let (_folder, path) = socket();
    let _live = UnixListener::bind(&path).unwrap();
    let refused = command(&["--listen", &format!("unix:{}", path.display())]).output().unwrap();
    assert!(String::from_utf8(refused.stderr).unwrap().ends_with("another process listens there\n"));
    assert!(path.exists());
}

#[test]
fn a_secret_is_needed_on_a_unix_socket_too() {
    let (folder, path) = socket();
    let secret = folder.path().join("secret");
    fs::write(&secret, "a-secret-of-the-socket").unwrap();
    let _server = start(&path, &["--secret-file", secret.to_str().unwrap()]);
    assert!(call(&path, "DELETE /app1/killall HTTP/1.1").starts_with("HTTP/1.1 401 "));
    let head = "DELETE /app1/killall HTTP/1.1\r\nauthorization: Bearer a-secret-of-the-socket";
    assert!(call(&path, head).starts_with("HTTP/1.1 200 "));
}

#[test]
fn the_second_listener_answers_for_the_process_alone() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "a-secret-of-the-socket").unwrap();
    let flags = ["--admin-listen", "127.0.0.1:0", "--secret-file", secret.to_str().unwrap(), "--max-connections", "1"];
    let mut server = Server::start(&flags);
    let log = server.log();
    let (_, rest) = log.split_once("administration address=").unwrap();
    let admin: SocketAddr = rest.split_whitespace().next().unwrap().parse().unwrap();
    let _house_is_full = server.connect();
    let ask = |target: &str| Request::get(target).host("anything.test").send_to(admin);
    assert_eq!((ask("/livez").status, ask("/livez").text()), (200, r#"{"status":"alive"}"#.to_owned()));
    assert_eq!(ask("/app1/activity?dt=60").status, 404);
    server.signal(Signal::TERM);
    until_true("it drains", || server.log().contains("draining"));
    assert_eq!(ask("/livez").header("connection").as_deref(), Some("close"));
    server.signal(Signal::INT);
    assert_eq!(server.wait_for_exit(), Some(0));
}
