//! How the service proves itself to Redis: files with a password, with authorities and with a client certificate.

mod support;

use std::fs;

use support::certificates::{Authority, Identity};
use support::process::Server;
use tempfile::TempDir;
use test_support::ports;
use test_support::process::program_or_skip;
use test_support::redis::{RedisServer, RedisVersion};
use test_support::wait::until_true;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes a file and returns its path.
    fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn status(server: &Server) -> u16 {
    server.call("GET", "/readyz", "").0
}

#[test]
fn a_password_file_that_changed_is_used_after_the_next_refusal() {
    let redis = RedisServer::start_with(&["--requirepass", "first-word"]);
    let folder = Folder::new();
    let file = folder.write("password", "first-word\n");
    let url = format!("redis://:word-of-the-url@{}", redis.address());
    let server = Server::start(&["--store", &url, "--store-password-file", &file]);
    assert_eq!(status(&server), 200);
    let token = server.create();

    let mut operator = redis.connection();
    redis::cmd("AUTH").arg("first-word").exec(&mut operator).unwrap();
    redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("second-word").exec(&mut operator).unwrap();
    let kill = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
    redis::cmd(kill[0]).arg(&kill[1..]).exec(&mut operator).unwrap();
    until_true("the old password is refused", || server.call("GET", "/readyz", "").1.contains("authentication"));
    folder.write("password", "second-word\n");
    until_true("the new password is used", || status(&server) == 200);
    assert!(server.call("GET", &format!("/app1/get/{token}"), "").1.contains("some-user"));
    for secret in ["first-word", "second-word", "word-of-the-url"] {
        assert!(!server.log().contains(secret), "{}", server.log());
    }
}

/// A Redis that listens with TLS and wants client certificates, and its port. `None` where there is none.
fn redis_with_tls(folder: &Folder, authority: &Authority) -> Option<(RedisServer, u16)> {
    program_or_skip("REDIS7_SERVER_BIN", "redis_is_reached_with_tls")?;
    let port = ports::non_ephemeral().port();
    let Identity { cert, key } = authority.server();
    let (cert, key) = (folder.write("redis.cert", &cert), folder.write("redis.key", &key));
    let (ca, tls_port) = (folder.write("ca", &authority.pem), port.to_string());
    let listen = ["--tls-port", &tls_port, "--tls-auth-clients", "yes"];
    let files = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
    let redis = RedisServer::start_version(RedisVersion::V7_0, &[&listen[..], &files].concat());
    Some((redis, port))
}

#[test]
fn redis_is_reached_with_tls_authorities_of_our_own_and_a_client_certificate() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let Some((_redis, port)) = redis_with_tls(&folder, &authority) else { return };
    let Identity { cert, key } = authority.client(&[]);
    let (ca, cert, key) = (folder.write("ca", &authority.pem), folder.write("cert", &cert), folder.write("key", &key));
    let url = format!("rediss://localhost:{port}");
    let server = Server::start(&["--store", &url, "--store-ca", &ca, "--store-cert", &cert, "--store-key", &key]);
    assert_eq!(status(&server), 200, "{}", server.log());
    let token = server.create();
    assert!(server.call("GET", &format!("/app1/get/{token}"), "").1.contains("some-user"));

    let stranger = folder.write("stranger", &Authority::new().pem);
    for flags in [
        &["--store", &url, "--store-ca", &ca][..],
        &["--store", &url, "--store-ca", &stranger, "--store-cert", &cert, "--store-key", &key],
        &["--store", &url, "--store-cert", &cert, "--store-key", &key],
    ] {
        let server = Server::start(flags);
        assert_eq!(status(&server), 503, "{flags:?}");
    }
}

#[test]
fn a_client_certificate_that_changed_is_used_after_the_next_refusal() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let Some((_redis, port)) = redis_with_tls(&folder, &authority) else { return };
    let Identity { cert, key } = Authority::new().client(&[]);
    let ca = folder.write("ca", &authority.pem);
    let (cert, key) = (folder.write("cert", &cert), folder.write("key", &key));
    let url = format!("rediss://localhost:{port}");
    let server = Server::start(&["--store", &url, "--store-ca", &ca, "--store-cert", &cert, "--store-key", &key]);
    assert_eq!(status(&server), 503);
    let right = authority.client(&[]);
    folder.write("cert", &right.cert);
    folder.write("key", &right.key);
    until_true("the new certificate is used", || status(&server) == 200);
}
