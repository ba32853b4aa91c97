//! Users of Redis that may do what README lists, and nothing else.

use std::fs;
use std::path::Path;

use test_support::over_redis_versions;
use test_support::redis::{RedisCluster, RedisServer, RedisVersion, Sentinels};
use test_support::wait::until_true;

use crate::support::process::Server;

over_redis_versions! {
    a_user_with_the_documented_commands_can_do_everything
    with_sentinels_it_needs_the_documented_additions
    in_a_cluster_it_needs_the_documented_additions
}

/// Uses every endpoint once.
fn assert_every_call_works(server: &Server) {
    let token = server.create();
    let other = server.create();
    let read = |method: &str, path: &str| {
        let (status, body) = server.call(method, path, r#"{"b":2}"#);
        assert_eq!(status, 200, "{method} {path}: {body}");
        body
    };
    assert_eq!(read("GET", "/ping"), "PONG");
    assert_eq!(read("GET", "/readyz"), r#"{"status":"ready"}"#);
    assert!(read("GET", &format!("/app1/get/{token}")).contains("some-user"));
    assert!(read("GET", &format!("/app1/get/{token}?touch=0")).contains("some-user"));
    assert!(read("GET", &format!("/app1/get/{token}?max_idle=100")).contains("some-user"));
    assert!(read("POST", &format!("/app1/set/{token}")).ends_with(r#""d":{"a":1,"b":2}}"#));
    assert_eq!(read("GET", "/app1/activity?dt=600"), r#"{"activity":1}"#);
    assert!(read("GET", "/app1/soapp?dt=600").contains("some-user"));
    assert!(read("GET", "/app1/soid/some-user").contains("some-user"));
    server.create();
    let renewed = read("POST", &format!("/app1/renew/{token}?others=1"));
    let token = renewed[r#"{"token":""#.len()..][..64].to_owned();
    assert!(read("GET", &format!("/app1/get/{token}")).ends_with(r#""d":{"a":1,"b":2}}"#));
    assert_eq!(read("GET", &format!("/app1/get/{other}")), "{}");
    let other = server.create();
    assert_eq!(read("DELETE", &format!("/app1/kill/{token}")), r#"{"kill":1}"#);
    assert_eq!(read("DELETE", "/app1/killsoid/some-user"), r#"{"kill":1}"#);
    assert_eq!(read("GET", &format!("/app1/get/{other}")), "{}");
    server.create();
    assert_eq!(read("DELETE", "/app1/killall"), r#"{"kill":1}"#);
}

/// Uses every endpoint once, and waits for a sweep.
pub fn assert_everything_works(server: &Server, redis: impl Fn(&[&str]) -> i64) {
    assert_every_call_works(server);
    let swept = server.create();
    redis(&["HSET", &format!("rs:app1:{swept}"), "la", "1"]);
    redis(&["ZADD", "rs:SESSIONS", "1", &format!("app1:{swept}:some-user")]);
    until_true("it is swept", || redis(&["EXISTS", &format!("rs:app1:{swept}")]) == 0);
}

/// What README says of the user.
struct Documented {
    name: String,
    /// The words after the name, without the password.
    rules: Vec<String>,
    with_sentinels: Vec<String>,
    in_a_cluster: Vec<String>,
}

/// Reads the code block between `<!-- acl -->` and `<!-- /acl -->`, and the sentence before it.
fn documented() -> Documented {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (before, rest) = readme.split_once("<!-- acl -->").expect("README has <!-- acl -->");
    let (block, _) = rest.split_once("<!-- /acl -->").expect("README has <!-- /acl -->");
    let words = block.lines().filter(|line| !line.starts_with("```")).flat_map(str::split_whitespace);
    let mut words = words.filter(|word| *word != "\\" && !word.starts_with('>')).map(str::to_owned);
    assert_eq!(words.by_ref().take(2).collect::<Vec<_>>(), ["ACL", "SETUSER"], "{block}");
    let additions = |end: &str| {
        let (code, _) = before.rsplit_once(&format!("` {end}")).unwrap_or_else(|| panic!("README says: `+… {end}`"));
        let (_, code) = code.rsplit_once('`').expect("code begins with `");
        code.split_whitespace().map(str::to_owned).collect()
    };
    Documented {
        name: words.next().expect("a name follows"),
        rules: words.collect(),
        with_sentinels: additions("with Sentinel"),
        in_a_cluster: additions("in a cluster"),
    }
}

impl Documented {
    /// Makes the user at each server, and returns what stands before the addresses of a URL.
    fn make<'a>(&self, servers: impl IntoIterator<Item = &'a RedisServer>, additions: &[String]) -> String {
        let words: Vec<_> = ["ACL", "SETUSER", &self.name, "on", ">word"]
            .into_iter()
            .chain(self.rules.iter().chain(additions).map(String::as_str))
            .collect();
        servers.into_iter().for_each(|server| server.query(&words));
        format!("{}:word@", self.name)
    }
}

/// With Sentinels and in a cluster, the client says its name to each server, and goes on if that is refused.
const HARMLESS: &str = "client";

#[track_caller]
fn assert_nothing_was_refused<'a>(servers: impl IntoIterator<Item = &'a RedisServer>) {
    for server in servers {
        let log: Vec<Vec<redis::Value>> = server.query(&["ACL", "LOG"]);
        for entry in log {
            let words: Vec<String> =
                entry.iter().map(|value| redis::from_redis_value_ref(value).unwrap_or_default()).collect();
            let object = words.iter().skip_while(|word| *word != "object").nth(1).expect("an entry has its object");
            assert_eq!(object, HARMLESS, "Redis refused {words:?}");
        }
    }
}

fn a_user_with_the_documented_commands_can_do_everything(version: RedisVersion) {
    let redis = RedisServer::start_version(version, &[]);
    let user = documented().make([&redis], &[]);
    let url = format!("redis://{user}{}", redis.address());
    let server = Server::start(&["--store", &url, "--sweep-interval", "1"]);
    assert_everything_works(&server, |words| redis.query(words));
    assert_nothing_was_refused([&redis]);
}

fn with_sentinels_it_needs_the_documented_additions(version: RedisVersion) {
    let sentinels = Sentinels::start(version);
    let documented = documented();
    let user = documented.make(sentinels.servers(), &documented.with_sentinels);
    let url = sentinels.url().replace("://", &format!("://{user}"));
    let server = Server::start(&["--store", &url, "--sweep-interval", "1"]);
    assert_everything_works(&server, |words| sentinels.master().query(words));
    assert_nothing_was_refused(sentinels.servers());
}

fn in_a_cluster_it_needs_the_documented_additions(version: RedisVersion) {
    let cluster = RedisCluster::start(version);
    let documented = documented();
    let user = documented.make(cluster.nodes(), &documented.in_a_cluster);
    let url = cluster.url().replace("://", &format!("://{user}"));
    // Lists and sweeps ask every slot, which takes a busy machine seconds.
    let server = Server::start(&["--store", &url, "--sweep-interval", "1", "--store-timeout", "5000"]);
    assert_every_call_works(&server);

    let token = server.create();
    let (key, master) = cluster.keys().into_iter().find(|(key, _)| key.contains(&token)).expect("it has a key");
    let masters = cluster.masters();
    let other = masters.iter().find(|other| other.address() != master).expect("there are several masters");
    cluster.migrate_slot_and(cluster.slot(&key), other, || {
        for call in ["GET /app1/get/", "POST /app1/set/", "DELETE /app1/kill/"] {
            let (method, path) = call.split_once(' ').unwrap();
            let (status, answer) = server.call(method, &format!("{path}{token}"), r#"{"b":2}"#);
            assert!(status == 200 && answer != "{}", "{call}: {status} {answer}");
        }
    });
    assert_nothing_was_refused(cluster.nodes());
}
