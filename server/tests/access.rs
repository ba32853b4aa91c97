//! Who may call: attacks on secrets and roles.

mod support;

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::process::Output;

use axum::body::Body;
use axum::http::Request;
use proptest::prelude::*;
use rest_sessions::access::{AccessFiles, Callers, Guard};
use support::Service;
use support::process::{Server, command};
use tempfile::TempDir;
use test_support::http1;
use test_support::wait::until_true;

const OWNER: &str = "owner-owner-owner-owner";
const FILTER: &str = "filter-filter-filter";
const NOBODY: &str = "nobody-nobody-nobody";

const ROLES: &str = r#"
[[caller]]
name = "owner"
secret_file = "owner"

[[caller]]
name = "filters"
secret_file = "filter"
apps = ["app1"]
verbs = ["get", "set"]

[[caller]]
name = "the same filters elsewhere"
secret_file = "filter"
apps = ["app3"]
verbs = ["activity", "renew"]

[[caller]]
name = "nobody"
secret_file = "nobody"
apps = ["none"]
verbs = ["activity"]
"#;

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [("owner", OWNER), ("filter", FILTER), ("nobody", NOBODY), ("access.toml", ROLES)] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn roles(folder: &Path) -> Guard {
    let from = AccessFiles { secret_file: None, access_file: Some(folder.join("access.toml")), has_client_ca: false };
    Guard { hosts: None, callers: Callers::watch(from).unwrap() }
}

/// The service, and the same behind the roles.
struct Both {
    open: Service,
    guarded: Service,
    _folder: TempDir,
}

impl Both {
    fn new() -> Self {
        let folder = folder();
        let open = Service::memory();
        Self { guarded: open.guarded(roles(folder.path())), open, _folder: folder }
    }

    async fn status(&self, secret: &str, method: &str, uri: &str) -> Option<u16> {
        let request = Request::builder().method(method).uri(uri).header("authorization", format!("Bearer {secret}"));
        let request = request.header("content-type", "application/json").body(Body::from(r#"{"x":1}"#)).ok()?;
        Some(self.guarded.send(request).await.status)
    }

    /// The sessions of both apps with their counters. Listing is no use, and the clock stands.
    async fn sessions(&self) -> [String; 2] {
        [self.open.ok("GET", "/app1/soid/user").await, self.open.ok("GET", "/app2/soid/user").await]
    }
}

#[tokio::test]
async fn a_caller_may_do_what_one_of_its_entries_permits() {
    let both = Both::new();
    let token = both.open.create("/app1/create/user?ip=1", "").await;
    for (secret, method, uri, expected) in [
        (FILTER, "GET", format!("/app1/get/{token}"), 200),
        (FILTER, "GET", format!("/%61pp1/GET/{token}/"), 200),
        (FILTER, "POST", format!("/app1/set/{token}"), 200),
        (FILTER, "GET", "/app3/activity?dt=60".to_owned(), 200),
        (FILTER, "GET", "/app1/activity?dt=60".to_owned(), 403),
        (FILTER, "GET", format!("/app3/get/{token}"), 403),
        (FILTER, "POST", format!("/app1/renew/{token}"), 403),
        (FILTER, "POST", format!("/app3/Renew/{token}?others=1"), 200),
        (FILTER, "DELETE", format!("/app1/kill/{token}"), 403),
        (FILTER, "PUT", "/app1/create/user?ip=1".to_owned(), 403),
        (OWNER, "PUT", "/app1/create/user?ip=1".to_owned(), 200),
        (OWNER, "GET", "/unknown".to_owned(), 404),
        (FILTER, "GET", "/unknown".to_owned(), 403),
        (OWNER, "DELETE", format!("/app1/kill/{token}"), 200),
    ] {
        assert_eq!(both.status(secret, method, &uri).await, Some(expected), "{secret} {method} {uri}");
    }
}

#[tokio::test]
async fn no_spelling_of_a_path_reaches_a_forbidden_verb_or_app() {
    let both = Both::new();
    let own = both.open.create("/app1/create/user?ip=1", "").await;
    let foreign = both.open.create("/app2/create/user?ip=1", "").await;
    let before = both.sessions().await;
    for path in [
        format!("/app1/kill/{own}"),
        format!("/app1/KILL/{own}/"),
        format!("/app1/Kill/{own}?x=/app1/get/{own}"),
        format!("/app1/k%69ll/{own}"),
        format!("/app1/%6b%69%6c%6c/{own}"),
        format!("//app1/kill/{own}"),
        format!("/app1//kill/{own}"),
        format!("/app1/kill//{own}"),
        format!("/app1/kill/{own}//"),
        format!("/app1/get/../kill/{own}"),
        format!("/app1/get/%2e%2e/kill/{own}"),
        format!("/./app1/kill/{own}"),
        format!("/app1/get%2f..%2fkill/{own}"),
        format!("/app1/kill%00/{own}"),
        format!("/app1/kill;get/{own}"),
        format!("/app1%2fkill/{own}"),
        format!("/app1/kill%2f{own}"),
        format!("/app2/get/{foreign}"),
        format!("/%61pp2/get/{foreign}"),
        format!("/%2561pp2/get/{foreign}"),
        format!("/app%32/get/{foreign}/"),
        format!("/app2%00/get/{foreign}"),
        format!("/app1/../app2/get/{foreign}"),
        format!("/app1%2f..%2fapp2/get/{foreign}"),
        format!("/app1,app2/get/{foreign}"),
        format!("/APP2/get/{foreign}"),
        format!("/app1/renew/{own}"),
        format!("/app1/RENEW/{own}/?others=1"),
        format!("/app3/../app1/renew/{own}"),
        "/app1/killall".to_owned(),
        "/app1/KillAll/".to_owned(),
        "/app1/killsoid/user".to_owned(),
        "/app1/killsoid/%75ser/".to_owned(),
        format!("http://app1/app2/get/{foreign}"),
        format!("http://app1/app1/kill/{own}"),
    ] {
        for method in ["GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS", "delete"] {
            let status = both.status(FILTER, method, &path).await;
            assert!(status.is_none_or(|status| [403, 404, 400, 500].contains(&status)), "{method} {path}: {status:?}");
            assert_eq!(both.sessions().await, before, "{method} {path}");
        }
    }
}

/// The guard reads a path by itself. Here it is held against the router: nothing that the router answers passes the
/// guard for a caller who may do none of it.
#[test]
fn whatever_the_router_serves_is_refused_to_a_caller_without_permission() {
    let both = Both::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let segment = prop::sample::select(vec![
        "app1",
        "%61pp1",
        "APP1",
        "get",
        "GET",
        "k\u{131}ll",
        "kill",
        "kIll",
        "killall",
        "killsoid",
        "set",
        "renew",
        "Renew",
        "soid",
        "soapp",
        "Activity",
        "create",
        "ping",
        "Livez",
        "readyz",
        "metrics",
        "k%69ll",
        "user",
        "",
        "%2f",
        "%",
        "%00",
        ".",
        "..",
        ";",
        "\\",
        "\u{212a}ill",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ]);
    let path = prop::collection::vec(segment, 1..5).prop_map(|segments| segments.join("/"));
    let end = prop::sample::select(vec!["", "", "/", "//", "?dt=60&ip=1", "/?dt=60&ip=1", "#", ";x"]);
    let served = Cell::new(0);
    let config = ProptestConfig { cases: 5000, ..ProptestConfig::default() };
    proptest!(config, |(method in "(GET|GET|PUT|POST|DELETE|HEAD|PATCH)", path in path, end in end)| {
        let uri = format!("/{path}{end}");
        let Ok(request) = Request::builder().method(method.as_str()).uri(&uri).body(Body::empty()) else {
            return Ok(());
        };
        let path = request.uri().path().to_lowercase();
        let path = path.strip_suffix('/').unwrap_or(&path);
        let open = runtime.block_on(both.open.send(request));
        let guarded = runtime.block_on(both.status(NOBODY, &method, &uri));
        served.set(served.get() + u32::from(open.status != 404));
        if !["/ping", "/livez", "/readyz", "/metrics"].contains(&path) {
            prop_assert_eq!(guarded, Some(403), "{} {} is {:?} without the guard", method, uri, open);
        }
    });
    assert!(served.get() > 40, "only {} of the paths are served", served.get());
}

#[tokio::test]
async fn a_request_without_a_known_secret_is_answered_401_and_changes_nothing() {
    let both = Both::new();
    let token = both.open.create("/app1/create/user?ip=1", "").await;
    both.open.create("/app2/create/user?ip=1", "").await;
    let before = both.sessions().await;
    let bearer = format!("Bearer {OWNER}");
    for headers in [
        &[][..],
        &[("authorization", "Bearer ")],
        &[("authorization", "Bearer wrong-wrong-wrong-wrong")],
        &[("authorization", OWNER)],
        &[("authorization", &format!("Basic {OWNER}"))],
        &[("authorization", &format!("Bearer {}", &OWNER[..OWNER.len() - 1]))],
        &[("authorization", &format!("Bearer {OWNER}0"))],
        &[("authorization", &format!("Bearer {}", OWNER.to_uppercase()))],
        &[("authorization", &format!("Bearer {OWNER} {OWNER}"))],
        &[("authorization", &bearer), ("authorization", &bearer)],
        &[("authorization", "Bearer wrong-wrong-wrong-wrong"), ("authorization", &bearer)],
        &[("proxy-authorization", &bearer)],
        &[("x-authorization", &bearer)],
        &[("cookie", &bearer)],
    ] {
        for (method, uri) in [
            ("GET", format!("/app1/get/{token}")),
            ("POST", format!("/app1/set/{token}")),
            ("DELETE", format!("/app1/kill/{token}?authorization=Bearer%20{OWNER}")),
            ("DELETE", "/app1/killall".to_owned()),
            ("GET", "/app1/soapp?dt=60".to_owned()),
            ("GET", "/metrics".to_owned()),
            ("GET", "/unknown".to_owned()),
        ] {
            let mut request = Request::builder().method(method).uri(&uri);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let reply = both.guarded.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(reply.status, 401, "{headers:?} {method} {uri}");
            assert!(reply.body.starts_with(r#"{"name":"unauthorized","message":""#), "{reply:?}");
        }
    }
    assert_eq!(both.sessions().await, before);
    assert_eq!(both.guarded.ok("GET", "/ping").await, "PONG");
}

fn secret_request(method: &str, target: &str, secret: &str) -> http1::Request {
    http1::Request::new(method, target).host("localhost").header("authorization", format!("Bearer {secret}"))
}

fn status(server: &Server, request: &http1::Request) -> u16 {
    request.send_to(server.address()).status
}

#[test]
fn a_secret_that_changes_is_used_without_a_restart_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secrets");
    fs::write(&file, OWNER).unwrap();
    let server = Server::start(&["--secret-file", file.to_str().unwrap(), "--log-level", "trace"]);
    let is_accepted = |secret: &str| match status(&server, &secret_request("GET", "/app1/activity?dt=60", secret)) {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    };
    assert!(is_accepted(OWNER) && !is_accepted(FILTER));
    fs::write(&file, format!("{FILTER}\n{OWNER}\n")).unwrap();
    until_true("both secrets are accepted", || is_accepted(FILTER) && is_accepted(OWNER));
    fs::write(&file, FILTER).unwrap();
    until_true("the old secret is refused", || !is_accepted(OWNER));
    assert!(is_accepted(FILTER));

    fs::write(&file, "too-short").unwrap();
    let error = format!("--secret-file: {} line 1 has 9 bytes; expected 16 to 256", file.display());
    until_true("the mistake is logged", || server.log().contains(&error));
    assert!(is_accepted(FILTER) && !is_accepted("too-short"));
    fs::remove_file(&file).unwrap();
    until_true("the missing file is logged", || server.log().contains("secrets cannot be read: No such file"));
    assert!(is_accepted(FILTER));
    fs::write(&file, OWNER).unwrap();
    until_true("the next valid file is used", || is_accepted(OWNER) && !is_accepted(FILTER));

    let unauthorized = http1::Request::get("/app1/killall").host("localhost").send_to(server.address());
    assert_eq!(unauthorized.header("www-authenticate").as_deref(), Some("Bearer"));
    for secret in [OWNER, FILTER, "too-short"] {
        assert!(!server.log().contains(secret), "{}", server.log());
    }
}

#[test]
fn roles_that_change_are_used_without_a_restart_and_bad_ones_are_not() {
    let folder = folder();
    let file = folder.path().join("access.toml");
    let server = Server::start(&["--access-file", file.to_str().unwrap()]);
    let activity = secret_request("GET", "/app1/activity?dt=60", FILTER);
    assert_eq!(status(&server, &activity), 403);
    fs::write(&file, "[[caller]]\nname = \"filters\"\nsecret_file = \"filter\"\nverbs = [\"activity\"]\n").unwrap();
    until_true("the new role is used", || status(&server, &activity) == 200);
    assert_eq!(status(&server, &secret_request("GET", "/app1/activity?dt=60", OWNER)), 401);
    fs::write(&file, "[[caller]]\nname = \"filters\"\nsecret_file = \"filter\"\nverb = [\"get\"]\n").unwrap();
    until_true("the mistake is logged", || server.log().contains("access.toml: line 4: unknown field `verb`"));
    assert_eq!(status(&server, &activity), 200);
    fs::write(folder.path().join("filter"), "another-secret-of-the-filter").unwrap();
    fs::write(&file, "[[caller]]\nname = \"filters\"\nsecret_file = \"filter\"\n").unwrap();
    until_true("the secret of the role is replaced", || status(&server, &activity) == 401);
}

#[test]
fn files_with_mistakes_are_refused_at_start_in_one_line() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(folder.path().join("short"), "short").unwrap();
    fs::write(folder.path().join("certificate.toml"), "[[caller]]\nname = \"a\"\ncertificate = \"b\"\n").unwrap();
    for (flags, expected) in [
        (["--secret-file", &path("short")], "--secret-file: "),
        (["--secret-file", &path("missing")], "missing cannot be read: No such file"),
        (["--access-file", &path("owner")], "owner: line 1: "),
        (["--access-file", &path("certificate.toml")], r#"caller "a": certificate needs --client-ca"#),
    ] {
        let Output { status, stderr, .. } = command(&flags).output().unwrap();
        let text = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), text.lines().count()), (Some(1), 1), "{text}");
        assert!(text.starts_with("rest-sessions: --") && text.contains(expected), "{text}");
        assert!(!text.contains(OWNER));
    }
}
