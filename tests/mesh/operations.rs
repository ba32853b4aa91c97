//! How Envoy calls a rest-sessions that asks who calls: the clusters of envoy/envoy.yaml and
//! docs/operations.md as they are written there, with the addresses and files of the test.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use session_filter::yaml::{self, Dialect};
use tempfile::TempDir;
use test_support::http1::Request;
use test_support::process::Process;
use test_support::redis::RedisServer;
use test_support::rest_sessions::RestSessions;
use test_support::wait;

use crate::harness::envoy::{Cluster, Listener};
use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::sessions::{APP, program};
use crate::harness::upstream::UpstreamResponse;

pub const CLUSTER: &str = "rest-sessions";
const BOOTSTRAP: &str = "envoy/envoy.yaml";
const PAGE: &str = "docs/operations.md";
const SECRET: &str = "the-first-secret-of-this-test";
/// The folder of Envoy's files in the page.
const FILES: &str = "/etc/envoy/rest-sessions";
const SOCKET: &str = "/run/rest-sessions/socket";
/// The name in the certificate of rest-sessions.
const SERVER_NAME: &str = "rest-sessions.internal";
const HTTP_OPTIONS: &str = "/typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A YAML document as Envoy reads it.
fn parsed(text: &str) -> Value {
    let mut node = yaml::documents(text).expect("the text is YAML").remove(0);
    Dialect::Envoy.resolve(&mut node);
    serde_json::from_str(&node.to_json()).expect("a document can be written as JSON")
}

/// The blocks in a language below a heading of the page.
fn shown(heading: &str, language: &str) -> Vec<String> {
    let page = read(PAGE);
    let (_, section) = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("{PAGE}: no {heading}"));
    let section = section.split("\n#").next().unwrap_or_default();
    let opening = format!("```{language}\n");
    let blocks = section.split(&opening).skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap_or_default().to_owned()).collect()
}

fn only<T>(mut all: Vec<T>) -> T {
    assert_eq!(all.len(), 1, "one is expected");
    all.remove(0)
}

/// The cluster that ships, with other endpoints.
pub fn shipped_cluster(endpoints: &[SocketAddr]) -> Value {
    let bootstrap = parsed(&read(BOOTSTRAP));
    let clusters = bootstrap["static_resources"]["clusters"].as_array().expect("a list of clusters");
    let cluster = clusters.iter().find(|cluster| cluster["name"] == CLUSTER).expect("the cluster ships");
    with_endpoints(cluster.clone(), endpoints)
}

fn with_endpoints(mut cluster: Value, endpoints: &[SocketAddr]) -> Value {
    let endpoint = |address: &SocketAddr| {
        let address = json!({"socket_address": {"address": address.ip(), "port_value": address.port()}});
        json!({"endpoint": {"address": address}})
    };
    cluster["load_assignment"]["endpoints"] =
        json!([{"lb_endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>()}]);
    cluster
}

/// A rest-sessions over a Redis that others share.
pub fn start(redis: &RedisServer, listen: &str, options: &[&str]) -> RestSessions {
    let mut command = Command::new(program());
    command.args(["--listen", listen, "--store", &redis.url()]).args(options);
    RestSessions::start(command)
}

/// A Redis, and a rest-sessions on it that everybody may call, where tests make their sessions.
fn open_service() -> (RedisServer, RestSessions) {
    let redis = RedisServer::start();
    let open = start(&redis, "127.0.0.1:0", &[]);
    (redis, open)
}

pub fn cluster(definition: Value) -> Cluster {
    Cluster::defined(CLUSTER, definition)
}

fn member(sessions: &RestSessions) -> Request {
    Request::get("/").session(&sessions.create(APP, "user1", &Value::Null))
}

fn assert_passes(mesh: &Mesh, request: &Request) {
    assert_eq!(mesh.passes(request).header("x-session-user").as_deref(), Some("user1"));
}

#[test]
fn the_shipped_cluster_sends_the_secret_in_envoys_environment() {
    let (redis, open) = open_service();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    fs::write(&file, SECRET).unwrap();
    let closed = start(&redis, "127.0.0.1:0", &["--secret-file", file.to_str().unwrap()]);
    assert_eq!(closed.call("GET", &format!("/{APP}/activity?dt=600"), "").status, 401);
    for (secret, passes) in [(Some(SECRET), true), (Some("another-secret-of-this-test"), false), (None, false)] {
        let mut setup = Setup::new(plugin(json!({}))).cluster(cluster(shipped_cluster(&[closed.address()])));
        if let Some(secret) = secret {
            setup = setup.variable("REST_SESSIONS_SECRET", secret);
        }
        let mesh = setup.start();
        // The client's own header does not reach rest-sessions.
        let request = member(&open).header("authorization", format!("Bearer {SECRET}"));
        if passes {
            assert_passes(&mesh, &request);
        } else {
            mesh.denies(&request, 503, "sessions_unavailable");
            assert_eq!(mesh.counter("call_failures_status_total"), 1);
        }
        assert!(!mesh.envoy.log().contains("secret-of-this-test"));
    }
    assert!(!closed.log().contains("secret-of-this-test"));
}

#[test]
fn the_shipped_cluster_without_a_secret_calls_a_rest_sessions_without_one() {
    let (_redis, open) = open_service();
    let mesh = Setup::new(plugin(json!({}))).cluster(cluster(shipped_cluster(&[open.address()]))).start();
    assert_passes(&mesh, &member(&open));
}

#[test]
fn the_header_of_the_page_is_the_one_of_the_shipped_cluster() {
    let shipped = shipped_cluster(&[]);
    let filters = shipped.pointer(HTTP_OPTIONS).expect("options")["http_filters"].as_array().expect("filters").clone();
    assert_eq!(parsed(&shown("### A secret", "yaml")[0]), filters[0]);
}

#[test]
fn the_credential_injector_of_the_page_takes_a_new_secret_without_a_restart() {
    const NEXT: &str = "the-second-secret-of-this-test";
    let (redis, open) = open_service();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let here = |text: &str| text.replace(FILES, folder.path().to_str().unwrap());
    let [_, injector, sds] = <[String; 3]>::try_from(shown("### A secret", "yaml")).expect("three blocks");
    fs::write(path("secret"), SECRET).unwrap();
    fs::write(path("authorization"), format!("Bearer {SECRET}")).unwrap();
    fs::write(path("sds.yaml"), here(&sds)).unwrap();
    let closed = start(&redis, "127.0.0.1:0", &["--secret-file", path("secret").to_str().unwrap()]);
    let mut definition = shipped_cluster(&[closed.address()]);
    definition.pointer_mut(HTTP_OPTIONS).expect("options")["http_filters"][0] = parsed(&here(&injector));
    let mesh = Setup::new(plugin(json!({}))).cluster(cluster(definition)).start();
    let request = member(&open);
    assert_passes(&mesh, &request);

    // Both are taken until Envoy has the new one.
    fs::write(path("secret.new"), format!("{NEXT}\n{SECRET}\n")).unwrap();
    fs::rename(path("secret.new"), path("secret")).unwrap();
    fs::write(path("authorization.new"), format!("Bearer {NEXT}")).unwrap();
    fs::rename(path("authorization.new"), path("authorization")).unwrap();
    let accepts = |secret: &str| {
        let call = Request::get(&format!("/{APP}/activity?dt=600")).host(CLUSTER);
        call.header("authorization", format!("Bearer {secret}")).send_to(closed.address()).status == 200
    };
    wait::until_true("the new secret to be accepted", || accepts(NEXT));
    assert!(accepts(SECRET));
    fs::write(path("secret.new"), NEXT).unwrap();
    wait::until_true("Envoy to send the new secret", || {
        // Only the new one is accepted from here on.
        if path("secret.new").exists() {
            fs::rename(path("secret.new"), path("secret")).unwrap();
        }
        !accepts(SECRET) && mesh.send(&request).status == 200
    });
}

#[test]
fn the_cluster_of_the_page_with_a_client_certificate_is_limited_to_the_verbs_of_its_role() {
    let (redis, open) = open_service();
    let folder = certificates();
    let server = folder.path().to_str().unwrap();
    let access = folder.path().join("access.toml");
    fs::write(&access, only(shown("### Client certificates", "toml"))).unwrap();
    fs::write(folder.path().join("operators-secret"), SECRET).unwrap();
    let option = |name: &str| format!("{server}/{name}");
    let closed = start(
        &redis,
        "127.0.0.1:0",
        &[
            ["--tls-cert", &option("server.crt")],
            ["--tls-key", &option("server.key")],
            ["--client-ca", &option("ca.crt")],
            ["--access-file", access.to_str().unwrap()],
        ]
        .concat(),
    );
    let text = only(shown("### Client certificates", "yaml")).replace(FILES, server);
    let definition = with_endpoints(parsed(&text)[0].clone(), &[closed.address()]);
    let mut without_certificate = definition.clone();
    let context = &mut without_certificate["transport_socket"]["typed_config"]["common_tls_context"];
    context.as_object_mut().expect("a context").remove("tls_certificates");
    let direct = plugin(json!({"default": {"session": "off"}}));
    let mesh = Setup::new(plugin(json!({"write_back": {}})))
        .cluster(cluster(definition))
        .listener(Listener { route_to: CLUSTER, ..Listener::new("direct", direct) })
        .start();

    let request = member(&open);
    mesh.upstream.respond_with(|_| UpstreamResponse::default().header("x-session-set", r#"{"cart":1}"#));
    assert_passes(&mesh, &request);
    mesh.upstream.respond_with(|_| UpstreamResponse::default().header("x-session-kill", "1"));
    assert_eq!(mesh.passes(&request).header("x-session-data").as_deref(), Some(r#"{"cart":1}"#));
    mesh.denies(&request, 401, "session_required");
    for (method, target) in [("PUT", "create/user1?ip=127.0.0.1"), ("DELETE", "killall"), ("GET", "soid/user1")] {
        let refused = mesh.send_at("direct", &Request::new(method, &format!("/{APP}/{target}")).host(CLUSTER));
        assert_eq!(refused.status, 403, "{method} {target}: {}", refused.text());
    }

    let without = Setup::new(plugin(json!({}))).cluster(cluster(without_certificate)).start();
    without.denies(&member(&open), 503, "sessions_unavailable");
}

/// The files of an authority, of a server and of a client, each a certificate and its key.
fn certificates() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // A certificate with the name of its issuer would count as signed by itself.
    authority.distinguished_name.push(DnType::CommonName, "authority");
    fs::write(folder.path().join("ca.crt"), authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    for (file, name) in [("server", SERVER_NAME), ("tls", "envoy.internal")] {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        fs::write(folder.path().join(file).with_extension("crt"), certificate.pem()).unwrap();
        fs::write(folder.path().join(file).with_extension("key"), key.serialize_pem()).unwrap();
    }
    folder
}

#[test]
fn the_cluster_of_the_page_calls_over_a_unix_socket() {
    let (redis, open) = open_service();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let here = |text: String| text.replace(SOCKET, socket.to_str().unwrap());
    let line = here(only(shown("### A Unix socket", "sh")));
    let mut command = Command::new(program());
    command.args(line.split_whitespace().skip(1)).args(["--store", &redis.url()]);
    let _server = Process::start("rest-sessions", command);
    wait::until_true("rest-sessions to listen", || UnixStream::connect(&socket).is_ok());

    let definition = parsed(&here(only(shown("### A Unix socket", "yaml"))))[0].clone();
    let mesh = Setup::new(plugin(json!({}))).cluster(cluster(definition)).start();
    assert_passes(&mesh, &member(&open));
}

#[test]
fn the_clusters_of_the_page_differ_from_the_shipped_one_in_what_they_are_for() {
    let shipped = shipped_cluster(&[]);
    for heading in ["### Client certificates", "### A Unix socket"] {
        let mut shown = with_endpoints(parsed(&only(shown(heading, "yaml")))[0].clone(), &[]);
        shown.as_object_mut().expect("a cluster").remove("transport_socket");
        let filters = shipped.pointer(HTTP_OPTIONS).expect("options")["http_filters"].clone();
        shown.pointer_mut(HTTP_OPTIONS).expect("options")["http_filters"] = filters;
        assert_eq!(shown, shipped, "{heading}");
    }
}
