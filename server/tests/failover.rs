//! A Redis whose role changes under the running program: it serves again within a second, without a restart.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use support::load::{Answer, Client, beside};
use support::process::Server;
use test_support::forwarder::Forwarder;
use test_support::over_redis_versions;
use test_support::ports::RefusingPort;
use test_support::redis::{RedisServer, RedisVersion};
use test_support::wait::until_true;

over_redis_versions! {
    failover_behind_one_name_is_over_within_a_second_and_loses_nothing
    a_replica_promoted_with_replicaof_serves_within_a_second
    a_replica_of_a_killed_master_serves_within_a_second
    a_server_that_loads_its_data_serves_within_a_second_of_the_end
    a_replica_without_its_master_serves_within_a_second_of_its_promotion
}

/// After a change of roles, this is the time to the first 200 that the issue allows.
const RECOVERY: Duration = Duration::from_secs(1);

/// Gets by even clients and sets by odd ones, of one session each. A set writes its number.
fn get_or_set(tokens: &[String]) -> impl Fn(&mut Client, usize, usize) -> Answer {
    move |client, number, n| {
        thread::sleep(Duration::from_millis(5));
        match number % 2 {
            0 => client.call("GET", &format!("/app1/get/{}", tokens[number]), ""),
            _ => client.call("POST", &format!("/app1/set/{}", tokens[number]), &format!(r#"{{"n":{n}}}"#)),
        }
    }
}

/// Gets and sets run before, during and after each of some calls of `change`, which returns when Redis takes writes
/// again.
fn assert_back_in_time(
    server: &Server,
    rounds: usize,
    mut change: impl FnMut() -> Instant,
) -> Vec<(String, Vec<Answer>)> {
    let tokens: Vec<_> = (0..4).map(|_| server.create()).collect();
    let (periods, answers) = beside(server, 4, get_or_set(&tokens), || {
        thread::sleep(Duration::from_millis(300));
        let round = |_| {
            let back = change();
            thread::sleep(RECOVERY * 2);
            (back, Instant::now())
        };
        (0..rounds).map(round).collect::<Vec<_>>()
    });
    for (number, answers) in answers.iter().enumerate() {
        for answer in answers {
            assert!([200, 503].contains(&answer.status), "{answer:?}");
            assert!(answer.took < Duration::from_millis(2500), "{answer:?}");
            assert!(answer.status == 503 || answer.body.contains("some-user"), "client {number}: {answer:?}");
        }
        for (back, end) in &periods {
            let mut period = answers.iter().filter(|answer| (back..end).contains(&&answer.began));
            let first = period.find(|answer| answer.status == 200);
            let first = first.unwrap_or_else(|| panic!("client {number} is answered no 200 again: {}", server.log()));
            eprintln!("client {number}: 200 after {:?}", first.began.duration_since(*back) + first.took);
            let late: Vec<_> =
                period.filter(|answer| answer.began >= *back + RECOVERY && answer.began + answer.took < *end).collect();
            assert!(!late.is_empty() && late.iter().all(|answer| answer.status == 200), "client {number}: {late:?}");
        }
    }
    tokens.into_iter().zip(answers).collect()
}

fn behind_a_forwarder(
    version: RedisVersion,
    rounds: usize,
    change: impl Fn(&mut RedisServer, &RedisServer),
) -> Vec<(String, Vec<Answer>)> {
    let mut old = RedisServer::start_version(version, &[]);
    let mut new = RedisServer::start_replica_of(&old);
    let forwarder = Forwarder::start(old.address());
    let server = Server::start(&["--store", &forwarder.url()]);
    let answers = assert_back_in_time(&server, rounds, || {
        new.wait_for_sync(&old);
        change(&mut old, &new);
        forwarder.switch_to(new.address());
        std::mem::swap(&mut old, &mut new);
        Instant::now()
    });
    for (token, answers) in answers.iter().skip(1).step_by(2) {
        // Of what was set since, all is there.
        let last = answers.len() - 1;
        let d = format!(r#""n":{last}}}}}"#);
        let (status, session) = server.call("GET", &format!("/app1/get/{token}"), "");
        assert!(status == 200 && session.ends_with(&d), "{status} {session}");
    }
    answers
}

fn failover_behind_one_name_is_over_within_a_second_and_loses_nothing(version: RedisVersion) {
    fail_over(version, 1);
}

#[test]
#[ignore = "long: run by make soak"]
fn repeated_failovers_behind_one_name_lose_nothing() {
    for version in [RedisVersion::V6_2, RedisVersion::V7_0] {
        version.run("repeated failovers", |version| fail_over(version, 15));
    }
}

fn fail_over(version: RedisVersion, rounds: usize) {
    let answers = behind_a_forwarder(version, rounds, |old, new| old.failover_to(new));
    for (_, answers) in answers.iter().skip(1).step_by(2) {
        // Each acknowledged set was counted, and those answered 503 were counted at most once.
        let writes = |answer: &Answer| -> Option<usize> {
            let (_, rest) = answer.body.split_once(r#""w":"#)?;
            rest.split(',').next()?.parse().ok()
        };
        let acknowledged = answers.iter().filter(|answer| answer.status == 200).count();
        let counted = answers.iter().rev().find_map(writes).unwrap() - 1;
        assert!((acknowledged..=answers.len()).contains(&counted), "{acknowledged} of {}: {counted}", answers.len());
    }
}

fn a_replica_promoted_with_replicaof_serves_within_a_second(version: RedisVersion) {
    behind_a_forwarder(version, 1, |old, new| {
        new.promote();
        old.replicate(new.address());
    });
}

fn a_replica_of_a_killed_master_serves_within_a_second(version: RedisVersion) {
    behind_a_forwarder(version, 1, |old, new| {
        old.stop();
        new.promote();
    });
}

fn a_server_that_loads_its_data_serves_within_a_second_of_the_end(version: RedisVersion) {
    let redis = RedisServer::start_version(version, version.debug_options());
    // Clients are answered after each 2 MB that are loaded: some 20 times in a second.
    redis.query::<()>(&["DEBUG", "POPULATE", "2000", "filler", "20000"]);
    redis.config_set("rdbcompression", "no");
    redis.config_set("key-load-delay", "500");
    let server = Server::start(&["--store", &redis.url()]);
    let answers = assert_back_in_time(&server, 1, || {
        redis.query::<()>(&["DEBUG", "RELOAD"]);
        Instant::now()
    });
    assert!(answers.iter().flat_map(|(_, answers)| answers).any(|answer| answer.status == 503), "it has been loading");
}

fn a_replica_without_its_master_serves_within_a_second_of_its_promotion(version: RedisVersion) {
    let redis = RedisServer::start_version(version, &[]);
    let nobody = RefusingPort::reserve();
    let server = Server::start(&["--store", &redis.url()]);
    assert_back_in_time(&server, 1, || {
        redis.config_set("replica-serve-stale-data", "no");
        redis.replicate(nobody.address());
        until_true("sessions are unavailable", || {
            let (status, _) = server.call("GET", &format!("/app1/get/{}", "a".repeat(64)), "");
            status == 503
        });
        redis.promote();
        Instant::now()
    });
}
