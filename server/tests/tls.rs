//! The listener with TLS, and clients known by their certificates: attacks with certificates, and files that change.

mod support;

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use support::certificates::{Authority, Identity, client_params, dns, uri};
use support::process::{Server, command};
use tempfile::TempDir;
use test_support::process::Signal;
use test_support::wait::until_true;

/// A folder with the server's files.
struct Files(TempDir);

impl Files {
    fn new(authority: &Authority) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("ca", &authority.pem);
        files.write_server(&authority.server());
        files
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    fn write_server(&self, identity: &Identity) {
        self.write("cert", &identity.cert);
        self.write("key", &identity.key);
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn start(&self, flags: &[&str]) -> Server {
        Server::start(&[&["--tls-cert", &self.path("cert"), "--tls-key", &self.path("key")], flags].concat())
    }

    fn start_with_client_ca(&self, flags: &[&str]) -> Server {
        self.start(&[&["--client-ca", &self.path("ca")], flags].concat())
    }
}

fn client(authority: &Authority, identity: Option<&Identity>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { cert, key }) => {
            let chain = CertificateDer::pem_slice_iter(cert.as_bytes()).collect::<Result<_, _>>().unwrap();
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn connect(server: &Server, config: &Arc<ClientConfig>) -> Stream {
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), server.connect())
}

/// The answer to a request over a connection of its own; an error if the server refuses the connection.
fn call(server: &Server, config: &Arc<ClientConfig>, method: &str, target: &str, headers: &str) -> io::Result<String> {
    let mut stream = connect(server, config);
    write!(stream, "{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn status(server: &Server, config: &Arc<ClientConfig>, method: &str, target: &str) -> io::Result<u16> {
    let answer = call(server, config, method, target, "")?;
    Ok(answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"))
}

#[test]
fn it_serves_http_1_1_over_tls_and_nothing_without() {
    let authority = Authority::new();
    let server = Files::new(&authority).start(&[]);
    let config = client(&authority, None);
    let mut stream = connect(&server, &config);
    stream.write_all(b"GET /app1/activity?dt=60 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(r#"{"activity":0}"#), "{answer}");
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));

    let mut plain = server.connect();
    plain.write_all(b"GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).ok();
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
}

#[test]
fn only_a_certificate_of_the_authority_is_let_in() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Files::new(&authority).start_with_client_ca(&[]);
    let names = [dns("filter.internal")];
    let mut expired = client_params(&names);
    (expired.not_before, expired.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
    let mut for_servers = client_params(&names);
    for_servers.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let self_signed =
        Identity { cert: client_params(&names).self_signed(&key).unwrap().pem(), key: key.serialize_pem() };
    // Issued by a client, whose certificate is no authority's.
    let client_key = KeyPair::generate().unwrap();
    let client_cert = client_params(&names).signed_by(&client_key, &authority.issuer).unwrap().pem();
    let by_client = Authority { pem: String::new(), issuer: Issuer::new(client_params(&names), client_key) };
    let mut chained = by_client.client(&names);
    chained.cert.push_str(&client_cert);

    let good = client(&authority, Some(&authority.client(&names)));
    assert_eq!(status(&server, &good, "DELETE", "/app1/killall").unwrap(), 200);
    for (what, identity) in [
        ("none", None),
        ("of another authority", Some(other.client(&names))),
        ("self-signed", Some(self_signed)),
        ("expired", Some(authority.issue(&expired))),
        ("of a server", Some(authority.issue(&for_servers))),
        ("issued by a client", Some(chained)),
    ] {
        let config = client(&authority, identity.as_ref());
        assert!(call(&server, &config, "GET", "/ping", "").is_err(), "a certificate that is {what} is let in");
    }
    assert_eq!(status(&server, &good, "GET", "/ping").unwrap(), 200);
    assert!(!server.log().contains("WARN"), "{}", server.log());
}

const ROLES: &str = r#"
[[caller]]
name = "filters"
certificate = "spiffe://example.org/filter"
apps = ["app1"]
verbs = ["get", "set", "kill"]

[[caller]]
name = "login"
certificate = "login.internal"
verbs = ["create", "killsoid"]

[[caller]]
name = "operators"
secret_file = "secret"
"#;

#[test]
fn a_name_in_the_certificate_identifies_a_caller_exactly() {
    let authority = Authority::new();
    let files = Files::new(&authority);
    files.write("secret", "operator-secret-word");
    files.write("access.toml", ROLES);
    let server = files.start_with_client_ca(&["--access-file", &files.path("access.toml")]);
    let token = "a".repeat(64);
    let (get, create) = (format!("/app1/get/{token}"), "/app1/create/u?ip=1");
    let filter = "spiffe://example.org/filter";
    let mut common_name = client_params(&[dns("other.internal")]);
    common_name.distinguished_name.push(rcgen::DnType::CommonName, "login.internal");
    for (identity, expected_get, expected_create) in [
        (authority.client(&[uri(filter)]), 200, 403),
        (authority.client(&[dns("login.internal")]), 403, 200),
        (authority.client(&[dns("x.internal"), dns("login.internal"), uri(filter)]), 200, 200),
        (authority.client(&[]), 401, 401),
        (authority.client(&[dns("sub.login.internal")]), 401, 401),
        (authority.client(&[dns("login.internal.evil.test")]), 401, 401),
        (authority.client(&[dns("*.internal")]), 401, 401),
        (authority.client(&[uri("login.internal")]), 401, 401),
        (authority.client(&[uri("spiffe://example.org/filter/")]), 401, 401),
        (authority.client(&[uri("spiffe://example.org/filter2")]), 401, 401),
        (authority.client(&[uri("spiffe://EXAMPLE.org/filter")]), 401, 401),
        (authority.client(&[SanType::Rfc822Name("login.internal".try_into().unwrap())]), 401, 401),
        (authority.issue(&common_name), 401, 401),
    ] {
        let config = client(&authority, Some(&identity));
        let found =
            [status(&server, &config, "GET", &get), status(&server, &config, "PUT", create)].map(Result::unwrap);
        assert_eq!(found, [expected_get, expected_create], "{}", identity.cert);
        // What a proxy would say of its client's certificate says nothing here.
        let forged = "x-forwarded-client-cert: URI=spiffe://example.org/filter;DNS=login.internal\r\n";
        let answer = call(&server, &config, "GET", &get, forged).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected_get} ")), "{answer}");
        // A secret adds what its caller may do.
        let secret = "authorization: Bearer operator-secret-word\r\n";
        let answer = call(&server, &config, "GET", "/app1/activity?dt=60", secret).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(status(&server, &config, "GET", "/ping").unwrap(), 200);
    }
    let filter = client(&authority, Some(&authority.client(&[uri(filter)])));
    assert_eq!(status(&server, &filter, "GET", &format!("/app2/get/{token}")).unwrap(), 403);
    assert_eq!(status(&server, &filter, "DELETE", &format!("/app1/kill/{token}")).unwrap(), 200);
    assert_eq!(status(&server, &filter, "DELETE", "/app1/killall").unwrap(), 403);
}

/// The certificate that the server shows.
fn shown(server: &Server, config: &Arc<ClientConfig>) -> Option<Vec<u8>> {
    let mut stream = connect(server, config);
    stream.write_all(b"GET /ping HTTP/1.1\r\nconnection: close\r\n\r\n").ok()?;
    stream.read_to_end(&mut Vec::new()).ok()?;
    stream.conn.peer_certificates().and_then(<[_]>::first).map(|certificate| certificate.to_vec())
}

fn der(identity: &Identity) -> Option<Vec<u8>> {
    CertificateDer::from_pem_slice(identity.cert.as_bytes()).ok().map(|certificate| certificate.to_vec())
}

#[test]
fn files_that_change_are_used_for_new_connections_and_bad_ones_are_not() {
    let (authority, next) = (Authority::new(), Authority::new());
    let files = Files::new(&authority);
    let server = files.start_with_client_ca(&["--log-level", "trace"]);
    let config = client(&authority, Some(&authority.client(&[])));
    assert!(shown(&server, &config).is_some());

    let renewed = authority.server();
    files.write_server(&renewed);
    until_true("the new certificate is shown", || shown(&server, &config) == der(&renewed));

    for (name, content, error) in [
        ("key", authority.server().key, "--tls-cert and --tls-key: "),
        ("key", "no key".to_owned(), "is no private key in PEM"),
        ("key", renewed.key.clone(), "changed files are in use"),
        ("cert", String::new(), "cert has no certificate; expected one or more in PEM"),
        ("cert", renewed.cert.clone(), "changed files are in use"),
        ("ca", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(), "--client-ca: "),
        ("ca", String::new(), "ca has no certificate"),
    ] {
        let before = server.log().matches(error).count();
        files.write(name, &content);
        until_true(error, || server.log().matches(error).count() > before);
        assert_eq!(shown(&server, &config), der(&renewed), "{error}");
    }
    for secret in ["PRIVATE KEY", renewed.key.lines().nth(1).unwrap()] {
        assert!(!server.log().contains(secret), "{}", server.log());
    }

    let mut kept = connect(&server, &config);
    let request = b"GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n";
    kept.write_all(request).unwrap();
    let mut first = [0; 15];
    kept.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");

    // The client keeps sessions to resume, and may not use them to pass by the new authority.
    files.write("ca", &next.pem);
    until_true("the old authority is refused", || call(&server, &config, "GET", "/ping", "").is_err());
    for _ in 0..5 {
        assert!(call(&server, &config, "GET", "/ping", "").is_err());
    }
    let config = client(&authority, Some(&next.client(&[])));
    assert_eq!(status(&server, &config, "GET", "/ping").unwrap(), 200);
    kept.write_all(request).unwrap();
    let mut rest = String::new();
    kept.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("connection: close\r\n"), "a connection of the old authority stays open: {rest}");
}

#[test]
fn a_handshake_that_does_not_end_is_ended_and_holds_nothing() {
    let authority = Authority::new();
    let files = Files::new(&authority);
    let server = files.start(&["--client-timeout", "1"]);
    let mut half = server.connect();
    half.write_all(b"\x16\x03\x01\x02\x00").unwrap();
    for mut stream in [server.connect(), half] {
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    }
    let mut server = files.start(&["--shutdown-timeout", "600", "--drain-delay", "0"]);
    let mut half = server.connect();
    half.write_all(b"\x16\x03\x01\x02\x00").unwrap();
    assert_eq!(status(&server, &client(&authority, None), "GET", "/ping").unwrap(), 200);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_exit(), Some(0));
}

#[test]
fn beyond_the_limit_of_connections_it_answers_503_over_tls() {
    let authority = Authority::new();
    let server = Files::new(&authority).start(&["--max-connections", "1"]);
    let config = client(&authority, None);
    let mut open = connect(&server, &config);
    open.write_all(b"GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    open.read_exact(&mut [0; 16]).unwrap();
    let began = Instant::now();
    assert_eq!(status(&server, &config, "GET", "/ping").unwrap(), 503);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn files_with_mistakes_are_refused_at_start_in_one_line() {
    let authority = Authority::new();
    let files = Files::new(&authority);
    files.write("empty", "");
    files.write("other-key", &authority.server().key);
    for (cert, key, ca, expected) in [
        ("missing", "key", "ca", "missing cannot be read: No such file"),
        ("empty", "key", "ca", "empty has no certificate; expected one or more in PEM"),
        ("key", "key", "ca", "key has no certificate"),
        ("cert", "cert", "ca", "cert is no private key in PEM"),
        ("cert", "other-key", "ca", "--tls-cert and --tls-key: "),
        ("cert", "key", "empty", "--client-ca: "),
    ] {
        let [cert, key, ca] = [cert, key, ca].map(|name| files.path(name));
        let flags = ["--listen", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key, "--client-ca", &ca];
        let Output { status, stderr, .. } = command(&flags).output().unwrap();
        let text = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), text.lines().count()), (Some(1), 1), "{text}");
        assert!(text.starts_with("rest-sessions: --") && text.contains(expected), "{expected}: {text}");
    }
}
