//! Redis Cluster: the contract, spread over slots, through migrations and failovers.

mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use support::layout::half_sessions;
use support::load::{Answer, Client, beside};
use support::process::Server;
use test_support::over_redis_versions;
use test_support::redis::{RedisCluster, RedisVersion};
use test_support::wait::{until, until_true};

over_redis_versions! {
    the_contract_holds_and_an_app_is_spread_over_slots_and_masters
    migrations_and_failovers_under_load_lose_nothing_acknowledged
    sessions_work_again_after_the_end_of_a_master
}

fn ok(server: &Server, method: &str, path: &str, body: &str) -> String {
    let (status, answer) = server.call(method, path, body);
    assert_eq!(status, 200, "{method} {path}: {answer}");
    answer
}

/// The tokens, or rather the values of `n`, that a list has.
fn listed(server: &Server, path: &str) -> Vec<u64> {
    let list: Value = serde_json::from_str(&ok(server, "GET", path, "")).unwrap();
    list["sessions"].as_array().unwrap().iter().map(|session| session["d"]["n"].as_u64().unwrap()).collect()
}

fn create(server: &Server, app: &str, user: &str, n: usize) -> String {
    let created = ok(server, "PUT", &format!("/{app}/create/{user}?ip=1.2.3.4"), &format!(r#"{{"n":{n}}}"#));
    created[r#"{"token":""#.len()..][..64].to_owned()
}

fn the_contract_holds_and_an_app_is_spread_over_slots_and_masters(version: RedisVersion) {
    let cluster = RedisCluster::start(version);
    // Lists and sweeps ask every slot, which takes a busy machine seconds.
    let server = Server::start(&["--store", &cluster.url(), "--sweep-interval", "5", "--store-timeout", "5000"]);
    assert_eq!(ok(&server, "GET", "/readyz", ""), r#"{"status":"ready"}"#);
    assert_eq!(ok(&server, "GET", "/ping", ""), "PONG");
    // 300 sessions of 100 users, with a colon in their names.
    let tokens: Vec<_> = (0..300).map(|n| create(&server, "app1", &format!("u:{}", n % 100), n)).collect();
    let other = create(&server, "app2", "u:1", 1000);
    assert_eq!(half_sessions(&cluster.masters()), [""; 0]);

    let of_app: Vec<_> = cluster.keys().into_iter().filter(|(key, _)| key.contains("app1")).collect();
    let slots: BTreeSet<_> = of_app.iter().map(|(key, _)| cluster.slot(key)).collect();
    let masters: BTreeSet<_> = of_app.iter().map(|(_, master)| master).collect();
    assert!(slots.len() >= 30, "the keys of one app are in {} slots", slots.len());
    assert_eq!(masters.len(), 3);
    for (key, _) in &of_app {
        assert!(key.starts_with("rs:{") && key.contains("}:app1:"), "{key}");
    }

    let get = |token: &str| ok(&server, "GET", &format!("/app1/get/{token}"), "");
    let session = get(&tokens[7]);
    assert!(session.starts_with(r#"{"id":"u:7","r":1,"w":1,"ttl":7200,"idle":"#), "{session}");
    assert!(session.ends_with(r#","ip":"1.2.3.4","d":{"n":7}}"#), "{session}");
    assert!(get(&tokens[7]).contains(r#""r":2,"#));
    let set = ok(&server, "POST", &format!("/app1/set/{}", tokens[7]), r#"{"a":1.10,"n":null}"#);
    assert!(set.contains(r#""w":2,"#) && set.ends_with(r#""d":{"a":1.10}}"#), "{set}");
    assert_eq!(ok(&server, "GET", &format!("/app2/get/{}", tokens[7]), ""), "{}", "a session of another app");
    ok(&server, "POST", &format!("/app1/set/{}", tokens[7]), r#"{"a":null,"n":7}"#);

    assert_eq!(ok(&server, "GET", "/app1/activity?dt=600", ""), r#"{"activity":100}"#);
    assert_eq!(listed(&server, "/app1/soid/u:5").into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([5, 105, 205]));
    // Activity is kept in seconds: after one more, these were used last.
    thread::sleep(Duration::from_millis(2100));
    for n in [17, 230] {
        get(&tokens[n]);
    }
    let sessions = listed(&server, "/app1/soapp?dt=600");
    assert_eq!(sessions.len(), 300);
    assert_eq!(sessions[..2].iter().collect::<BTreeSet<_>>(), BTreeSet::from([&17, &230]));

    assert_eq!(ok(&server, "DELETE", &format!("/app1/kill/{}", tokens[8]), ""), r#"{"kill":1}"#);
    assert_eq!(ok(&server, "DELETE", &format!("/app1/kill/{}", tokens[8]), ""), r#"{"kill":0}"#);
    assert_eq!(get(&tokens[8]), "{}");
    assert_eq!(ok(&server, "DELETE", "/app1/killsoid/u:9", ""), r#"{"kill":3}"#);
    assert_eq!(ok(&server, "GET", "/app1/soid/u:9", ""), r#"{"sessions":[]}"#);
    assert_eq!(ok(&server, "GET", "/app1/activity?dt=600", ""), r#"{"activity":99}"#);
    assert_eq!(half_sessions(&cluster.masters()), [""; 0]);

    // One session expires, and is swept at whatever master it is.
    let keys = cluster.keys();
    let tag = |token: &str| keys.iter().find_map(|(key, _)| key.strip_suffix(&format!(":app1:{token}"))).unwrap();
    let (tag, hash) = (tag(&tokens[10]), format!("{}:app1:{}", tag(&tokens[10]), tokens[10]));
    cluster.query::<i64>(&hash, &["HSET", &hash, "la", "1"]);
    let expirations = format!("{tag}:SESSIONS");
    cluster.query::<i64>(&hash, &["ZADD", &expirations, "1", &format!("app1:{}:u:10", tokens[10])]);
    assert_eq!(get(&tokens[10]), "{}");
    until_true("it is swept", || cluster.query::<i64>(&hash, &["EXISTS", &hash]) == 0);

    // Renewed sessions stay in the slot of their user, where killsoid and soid find them.
    let renew = |path: &str| -> String {
        let renewed = ok(&server, "POST", &format!("/app1/renew/{path}"), r#"{"renewed":true}"#);
        renewed[r#"{"token":""#.len()..][..64].to_owned()
    };
    let renewed: Vec<_> = (20..80).map(|n| (n, renew(&tokens[n]))).collect();
    for (n, token) in &renewed {
        assert_eq!(get(&tokens[*n]), "{}");
        let session = get(token);
        assert!(session.contains(&format!(r#""id":"u:{n}","r":1,"w":1,"ttl":7200,"#)), "{session}");
        assert!(session.ends_with(&format!(r#","d":{{"n":{n},"renewed":true}}}}"#)), "{session}");
    }
    assert_eq!(listed(&server, "/app1/soid/u:20").into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([20, 120, 220]));
    for (n, token) in renewed.iter().take(20) {
        renew(&format!("{token}?others=1"));
        assert_eq!(listed(&server, &format!("/app1/soid/u:{n}")), [*n as u64]);
    }
    assert_eq!(ok(&server, "POST", &format!("/app1/renew/{}?others=1", tokens[8]), ""), "{}");
    assert_eq!(half_sessions(&cluster.masters()), [""; 0]);

    assert_eq!(ok(&server, "DELETE", "/app1/killall", ""), r#"{"kill":255}"#);
    assert_eq!(ok(&server, "GET", "/app1/soapp?dt=600", ""), r#"{"sessions":[]}"#);
    assert!(ok(&server, "GET", &format!("/app2/get/{other}"), "").contains(r#""n":1000"#));
    assert_eq!(half_sessions(&cluster.masters()), [""; 0]);
}

/// The life of a session in the load, as far as it was acknowledged.
struct Life {
    token: String,
    sets: Vec<usize>,
    end: End,
}

enum End {
    Lives,
    Killed,
    /// The kill or the renewal was answered 503.
    Unknown,
}

/// Creates a session, sets six keys, reads it, renews every third one, and ends every second one. `None` if it was not
/// created.
fn life(client: &mut Client, number: usize, n: usize) -> Option<Life> {
    let checked = |answer: Answer| {
        assert!([200, 503].contains(&answer.status), "{answer:?}");
        assert!(answer.took < Duration::from_millis(2500), "{answer:?}");
        answer
    };
    let created = checked(client.call("PUT", &format!("/app1/create/user-{number}-{}?ip=1", n % 7), r#"{"n":0}"#));
    let mut token = created.body.strip_prefix(r#"{"token":""#)?[..64].to_owned();
    let sets = (0..6).filter(|set| {
        let path = format!("/app1/set/{token}");
        let answer = checked(client.call("POST", &path, &format!(r#"{{"k{set}":{set}}}"#)));
        assert!(answer.status == 503 || answer.body.contains(&format!(r#""k{set}":{set}"#)), "{answer:?}");
        answer.status == 200
    });
    let sets: Vec<_> = sets.collect();
    let read = checked(client.call("GET", &format!("/app1/get/{token}"), ""));
    assert!(read.status == 503 || read.body.contains(r#""n":0"#), "a live session is missing: {read:?}");
    if n.is_multiple_of(3) {
        let renewed = checked(client.call("POST", &format!("/app1/renew/{token}"), ""));
        if renewed.status == 503 {
            return Some(Life { token, sets, end: End::Unknown });
        }
        token = renewed.body.strip_prefix(r#"{"token":""#).expect("a live session is renewed")[..64].to_owned();
    }
    if n.is_multiple_of(2) {
        return Some(Life { token, sets, end: End::Lives });
    }
    let killed = checked(client.call("DELETE", &format!("/app1/kill/{token}"), ""));
    assert!(killed.status == 503 || killed.body == r#"{"kill":1}"#, "{killed:?}");
    Some(Life { token, sets, end: if killed.status == 200 { End::Killed } else { End::Unknown } })
}

/// All that was acknowledged is there, and no session is in some of its keys only.
fn assert_whole(server: &Server, cluster: &RedisCluster, lives: &[Life]) {
    for Life { token, sets, end } in lives {
        let session = ok(server, "GET", &format!("/app1/get/{token}"), "");
        match end {
            End::Lives => {
                let lost: Vec<_> = sets.iter().filter(|set| !session.contains(&format!(r#""k{set}":{set}"#))).collect();
                assert!(lost.is_empty(), "k{lost:?} of {session} is lost");
            }
            End::Killed => assert_eq!(session, "{}", "a killed session lives"),
            End::Unknown => {}
        }
    }
    assert_eq!(half_sessions(&cluster.masters()), [""; 0]);
}

fn migrations_and_failovers_under_load_lose_nothing_acknowledged(version: RedisVersion) {
    move_under_load(version, 1);
}

#[test]
#[ignore = "long: run by make soak"]
fn repeated_migrations_and_failovers_under_load_lose_nothing_acknowledged() {
    for version in [RedisVersion::V6_2, RedisVersion::V7_0] {
        version.run("repeated migrations and failovers", |version| move_under_load(version, 6));
    }
}

fn move_under_load(version: RedisVersion, rounds: usize) {
    let cluster = RedisCluster::start(version);
    let server = Server::start(&["--store", &cluster.url()]);
    let ((), lives) = beside(&server, 4, life, || {
        for _ in 0..rounds {
            // The master most of whose slots are in use gives them to another, whose replica then takes over.
            let (from, slots) = until("the load to use slots", || {
                let keys = cluster.keys();
                let used = |master: SocketAddr| -> BTreeSet<u16> {
                    keys.iter().filter(|(_, of)| *of == master).map(|(key, _)| cluster.slot(key)).collect()
                };
                let of_masters = cluster.masters().into_iter().map(|master| (master.address(), used(master.address())));
                of_masters.max_by_key(|(_, slots)| slots.len()).filter(|(_, slots)| slots.len() >= 5)
            });
            let to = cluster.masters().into_iter().find(|master| master.address() != from).unwrap();
            for slot in slots.into_iter().take(20) {
                cluster.migrate_slot(slot, to);
            }
            cluster.failover(to);
            thread::sleep(Duration::from_millis(300));
        }
    });
    let lives: Vec<_> = lives.into_iter().flatten().flatten().collect();
    let acknowledged: usize = lives.iter().map(|life| life.sets.len()).sum();
    eprintln!("{} sessions, {acknowledged} of {} sets acknowledged", lives.len(), lives.len() * 6);
    assert!(acknowledged * 2 > lives.len() * 6, "most sets succeed");
    assert_whole(&server, &cluster, &lives);
}

fn sessions_work_again_after_the_end_of_a_master(version: RedisVersion) {
    let mut cluster = RedisCluster::start(version);
    let server = Server::start(&["--store", &cluster.url()]);
    let killed = cluster.masters()[0].address();
    let tokens: Vec<_> = (0..50).map(|n| create(&server, "app1", "u", n)).collect();
    let call = |client: &mut Client, number: usize, n: usize| {
        thread::sleep(Duration::from_millis(2));
        let token = &tokens[n % tokens.len()];
        match number {
            0 => client.call("GET", &format!("/app1/get/{token}"), ""),
            _ => client.call("POST", &format!("/app1/set/{token}"), r#"{"a":1}"#),
        }
    };
    let ((), answers) = beside(&server, 2, call, || {
        thread::sleep(Duration::from_millis(300));
        cluster.kill(killed);
        until_true("a replica takes over", || cluster.masters().iter().all(|master| master.address() != killed));
        cluster.wait_until_whole();
        // What the replica had not received is lost. From here on, nothing is.
        thread::sleep(Duration::from_secs(1));
    });
    for answer in answers.iter().flatten() {
        assert!([200, 503].contains(&answer.status) && answer.took < Duration::from_millis(2500), "{answer:?}");
    }
    let tokens: Vec<_> = (0..60).map(|n| create(&server, "app3", "u", n)).collect();
    for token in &tokens {
        // On a busy machine, nodes take each other for dead at times.
        let read = || Some(server.call("GET", &format!("/app3/get/{token}"), "")).filter(|(status, _)| *status == 200);
        assert!(until("the session is read", read).1.contains(r#""id":"u""#));
    }
    assert_eq!(ok(&server, "DELETE", "/app3/killsoid/u", ""), r#"{"kill":60}"#);
}
