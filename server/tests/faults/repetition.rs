//! Connections break after a command arrived and before its answer: no operation is done twice, and no answer is wrong.

use std::thread;
use std::time::Duration;

use serde_json::Value;
use test_support::forwarder::Forwarder;
use test_support::over_redis_versions;
use test_support::redis::{RedisServer, RedisVersion};
use test_support::wait::until;

use crate::support::layout::half_sessions;
use crate::support::load::{Client, at_once, beside};
use crate::support::process::Server;

over_redis_versions! {
    a_set_whose_answer_is_lost_is_counted_once
    a_kill_whose_answer_is_lost_is_not_answered_0
    a_create_whose_answer_is_lost_makes_one_session
    a_renewal_whose_answer_is_lost_is_done_once_and_loses_no_session
    renewals_survive_connections_that_are_cut_at_any_time
    sets_and_kills_survive_connections_that_are_cut_at_any_time
}

struct Setup {
    redis: RedisServer,
    forwarder: Forwarder,
    server: Server,
}

fn setup(version: RedisVersion) -> Setup {
    let redis = RedisServer::start_version(version, &[]);
    let forwarder = Forwarder::start(redis.address());
    let server = Server::start(&["--store", &forwarder.url()]);
    Setup { redis, forwarder, server }
}

/// `w` of a session, read from Redis.
fn writes(redis: &RedisServer, token: &str) -> usize {
    redis.query(&["HGET", &format!("rs:app1:{token}"), "w"])
}

fn a_set_whose_answer_is_lost_is_counted_once(version: RedisVersion) {
    let Setup { redis, forwarder, server } = setup(version);
    const SETS: usize = 40;
    // The last session has two writers.
    let own: Vec<_> = (0..3).map(|_| server.create()).collect();
    let tokens: Vec<_> = [0, 1, 2, 2].map(|session| own[session].clone()).into();
    let outcomes = at_once(&server, tokens.len(), |client, number| {
        (0..SETS)
            .map(|n| {
                let value = format!("c{number}v{n}.");
                if n % 4 == 0 {
                    // The script that writes the value is the first command that contains it.
                    forwarder.swallow_answers_to(&value, 1);
                }
                let data = format!(r#"{{"k{number}":"{value}"}}"#);
                let answer = client.call("POST", &format!("/app1/set/{}", tokens[number]), &data);
                assert!([200, 503].contains(&answer.status), "{answer:?}");
                assert!(answer.status == 503 || answer.body.contains(&value), "{answer:?}");
                answer.status
            })
            .collect::<Vec<_>>()
    });
    assert!(forwarder.swallowed() >= 20, "{} answers were lost", forwarder.swallowed());
    for token in &own {
        let of_token = tokens.iter().zip(&outcomes).filter(|(written, _)| *written == token);
        let statuses: Vec<_> = of_token.flat_map(|(_, statuses)| statuses.iter().copied()).collect();
        let acknowledged = statuses.iter().filter(|status| **status == 200).count();
        let counted = writes(&redis, token) - 1;
        eprintln!("{acknowledged} of {} sets acknowledged, {counted} counted", statuses.len());
        assert!((acknowledged..=statuses.len()).contains(&counted), "{counted} counted, {acknowledged} acknowledged");
    }
}

fn a_kill_whose_answer_is_lost_is_not_answered_0(version: RedisVersion) {
    let Setup { redis, forwarder, server } = setup(version);
    let mut client = Client::new(&server);
    for round in 0..40 {
        let token = server.create();
        forwarder.swallow_answers_to(&token, 1);
        let killed = client.call("DELETE", &format!("/app1/kill/{token}"), "");
        let truths = [(200, r#"{"kill":1}"#), (503, killed.body.as_str())];
        assert!(truths.contains(&(killed.status, &killed.body)), "round {round}: {killed:?}");
        let again = client.call("DELETE", &format!("/app1/kill/{token}"), "");
        assert_eq!((again.status, again.body.as_str()), (200, r#"{"kill":0}"#), "round {round}, after {killed:?}");
    }
    assert_eq!(forwarder.swallowed(), 40);
    assert_eq!(half_sessions(&[&redis]), [""; 0]);
}

fn a_create_whose_answer_is_lost_makes_one_session(version: RedisVersion) {
    let Setup { redis, forwarder, server } = setup(version);
    let mut client = Client::new(&server);
    for user in (0..20).map(|n| format!("user-{n}.")) {
        forwarder.swallow_answers_to(&user, 1);
        let created = client.call("PUT", &format!("/app1/create/{user}?ip=1"), r#"{"a":1}"#);
        let list = || server.call("GET", &format!("/app1/soid/{user}"), "");
        let sessions = until("the sessions of the user", || Some(list()).filter(|list| list.0 == 200));
        let sessions: Value = serde_json::from_str(&sessions.1).unwrap();
        let count = sessions["sessions"].as_array().unwrap().len();
        assert!(matches!((created.status, count), (200, 1) | (503, 0 | 1)), "{created:?}, {count} sessions");
    }
    assert_eq!(half_sessions(&[&redis]), [""; 0]);
}

/// The sessions of a user, as soon as the store answers.
fn sessions_of(server: &Server, user: &str) -> Vec<Value> {
    let list = || server.call("GET", &format!("/app1/soid/{user}"), "");
    let list = until("the sessions of the user", || Some(list()).filter(|list| list.0 == 200));
    let list: Value = serde_json::from_str(&list.1).unwrap();
    list["sessions"].as_array().unwrap().clone()
}

fn a_renewal_whose_answer_is_lost_is_done_once_and_loses_no_session(version: RedisVersion) {
    let redis = RedisServer::start_version(version, &[]);
    let forwarder = Forwarder::start(redis.address());
    // Nothing is slow here but the machine.
    let server = Server::start(&["--store", &forwarder.url(), "--store-timeout", "5000"]);
    let mut client = Client::new(&server);
    for round in 0..40 {
        let user = format!("user-{round}");
        let create = format!("/app1/create/{user}?ip=1");
        let [token, _other] = [r#"{"a":1}"#, r#"{"b":1}"#].map(|data| {
            let created = client.call("PUT", &create, data);
            created.body[r#"{"token":""#.len()..][..64].to_owned()
        });
        let (query, kept) = if round % 2 == 0 { ("?others=1", 1) } else { ("", 2) };
        let value = format!("renewed-{round}.");
        // The script that renews is the first command that contains the value.
        forwarder.swallow_answers_to(&value, 1);
        let path = format!("/app1/renew/{token}{query}");
        let renewed = client.call("POST", &path, &format!(r#"{{"v":"{value}"}}"#));
        assert_eq!(renewed.status, 200, "round {round}: {renewed:?}");
        let new = renewed.body.strip_prefix(r#"{"token":""#).unwrap_or_else(|| panic!("round {round}: {renewed:?}"));
        let session = client.call("GET", &format!("/app1/get/{}", &new[..64]), "");
        assert!(session.body.ends_with(&format!(r#""d":{{"a":1,"v":"{value}"}}}}"#)), "round {round}: {session:?}");
        assert_eq!(client.call("GET", &format!("/app1/get/{token}"), "").body, "{}", "round {round}");
        assert_eq!(sessions_of(&server, &user).len(), kept, "round {round}");
    }
    assert_eq!(forwarder.swallowed(), 40);
    assert_eq!(half_sessions(&[&redis]), [""; 0]);
}

fn renewals_survive_connections_that_are_cut_at_any_time(version: RedisVersion) {
    let Setup { redis, forwarder, server } = setup(version);
    forwarder.delay(Duration::from_millis(2));
    // Each round is a user with one session, its token renewed until an answer is 503.
    let life = |client: &mut Client, number: usize, n: usize| {
        let user = format!("user-{number}-{n}");
        let created = client.call("PUT", &format!("/app1/create/{user}?ip=1"), "");
        let mut token = created.body.strip_prefix(r#"{"token":""#)?[..64].to_owned();
        let mut acknowledged = 0;
        for renewal in 0..8 {
            let query = if renewal % 2 == 0 { "" } else { "?others=1" };
            let change = format!(r#"{{"k{renewal}":{renewal}}}"#);
            let renewed = client.call("POST", &format!("/app1/renew/{token}{query}"), &change);
            let Some(new) = renewed.body.strip_prefix(r#"{"token":""#) else {
                assert_eq!(renewed.status, 503, "{renewed:?}");
                break;
            };
            token = new[..64].to_owned();
            acknowledged += 1;
        }
        Some((user, acknowledged))
    };
    let ((), lives) = beside(&server, 4, life, || {
        for _ in 0..80 {
            thread::sleep(Duration::from_millis(25));
            forwarder.cut();
        }
    });
    forwarder.delay(Duration::ZERO);
    let lives: Vec<_> = lives.into_iter().flatten().flatten().collect();
    for (user, acknowledged) in &lives {
        let sessions = sessions_of(&server, user);
        assert_eq!(sessions.len(), 1, "{user}, {acknowledged} renewals acknowledged");
        let missing = (0..*acknowledged).find(|n| sessions[0]["d"][format!("k{n}")] != *n);
        assert_eq!(missing, None, "{user}, {acknowledged} renewals acknowledged: {sessions:?}");
    }
    let acknowledged: i32 = lives.iter().map(|(_, acknowledged)| acknowledged).sum();
    eprintln!("{} sessions, {acknowledged} renewals acknowledged", lives.len());
    assert!(acknowledged >= 20, "{acknowledged} renewals acknowledged");
    assert_eq!(half_sessions(&[&redis]), [""; 0]);
}

fn sets_and_kills_survive_connections_that_are_cut_at_any_time(version: RedisVersion) {
    cut_while_sessions_live(version, Duration::from_secs(2));
}

#[test]
#[ignore = "long: run by make soak"]
fn sets_and_kills_survive_a_minute_of_cut_connections() {
    for version in [RedisVersion::V6_2, RedisVersion::V7_0] {
        version.run("a minute of cut connections", |version| cut_while_sessions_live(version, Duration::from_secs(30)));
    }
}

fn cut_while_sessions_live(version: RedisVersion, time: Duration) {
    let Setup { redis, forwarder, server } = setup(version);
    forwarder.delay(Duration::from_millis(2));
    // Each round is the life of a session: what it was set to, and how it ended.
    let life = |client: &mut Client, number: usize, n: usize| {
        let created = client.call("PUT", &format!("/app1/create/user-{number}?ip=1"), "");
        let Some(token) = created.body.strip_prefix(r#"{"token":""#).map(|rest| rest[..64].to_owned()) else {
            assert_eq!(created.status, 503, "{created:?}");
            return None;
        };
        let sets: Vec<_> = (0..6)
            .map(|set| client.call("POST", &format!("/app1/set/{token}"), &format!(r#"{{"k{set}":{set}}}"#)))
            .collect();
        for answer in &sets {
            assert!(answer.status == 503 || (answer.status == 200 && answer.body != "{}"), "{answer:?}");
        }
        let acknowledged = sets.iter().filter(|answer| answer.status == 200).count();
        if n.is_multiple_of(2) {
            return Some((token, acknowledged));
        }
        let killed = client.call("DELETE", &format!("/app1/kill/{token}"), "");
        assert!(killed.status == 503 || (killed.status == 200 && killed.body == r#"{"kill":1}"#), "{killed:?}");
        None
    };
    let ((), lives) = beside(&server, 4, life, || {
        let cuts = time.as_millis() / 25;
        for _ in 0..cuts {
            thread::sleep(Duration::from_millis(25));
            forwarder.cut();
        }
    });
    forwarder.delay(Duration::ZERO);
    let lives: Vec<_> = lives.into_iter().flatten().flatten().collect();
    for (token, acknowledged) in &lives {
        let counted = writes(&redis, token) - 1;
        assert!((*acknowledged..=6).contains(&counted), "{counted} of 6 counted, {acknowledged} acknowledged");
    }
    eprintln!("{} sessions", lives.len());
    assert!(!lives.is_empty());
    assert_eq!(half_sessions(&[&redis]), [""; 0]);
}
