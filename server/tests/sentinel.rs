//! Redis behind Sentinels: the program finds the master, and the next one after it.

mod support;

use std::thread;
use std::time::Duration;

use support::load::{Client, beside};
use support::process::Server;
use test_support::over_redis_versions;
use test_support::ports::RefusingPort;
use test_support::redis::{RedisVersion, Sentinels};
use test_support::wait::until_true;

over_redis_versions! {
    sessions_work_again_after_the_promotion_of_a_replica
    a_sentinel_that_is_away_is_passed_over
}

fn sessions_work_again_after_the_promotion_of_a_replica(version: RedisVersion) {
    let mut sentinels = Sentinels::start(version);
    let server = Server::start(&["--store", &sentinels.url()]);
    let token = server.create();
    sentinels.wait_for_sync();
    let before = sentinels.master().address();
    let call = |client: &mut Client, number: usize, n: usize| {
        thread::sleep(Duration::from_millis(5));
        match number {
            0 => client.call("GET", &format!("/app1/get/{token}"), ""),
            _ => client.call("POST", &format!("/app1/set/{token}"), &format!(r#"{{"n":{n}}}"#)),
        }
    };
    let ((killed, promoted), answers) = beside(&server, 2, call, || {
        let killed = sentinels.kill_master();
        until_true("another server is the master", || sentinels.master().address() != before);
        let promoted = std::time::Instant::now();
        thread::sleep(Duration::from_secs(3));
        (killed, promoted)
    });
    for (number, answers) in answers.iter().enumerate() {
        let strange = answers.iter().find(|answer| ![200, 503].contains(&answer.status));
        assert!(strange.is_none(), "{strange:?}");
        let first = answers.iter().find(|answer| answer.began > promoted && answer.status == 200);
        let first = first.unwrap_or_else(|| panic!("client {number} is never answered 200 again: {}", server.log()));
        eprintln!("client {number}: 200 after {:?}", first.began - promoted + first.took);
        let last = answers.last().unwrap();
        assert!(last.status == 200 && last.body.contains("some-user"), "client {number}: {last:?}");
        assert!(answers.iter().all(|answer| answer.took < Duration::from_millis(2500)));
    }

    // The old master is back, empty, and still says that it is a master.
    assert_eq!(sentinels.restart(killed).role(), "master");
    for _ in 0..50 {
        let (status, session) = server.call("GET", &format!("/app1/get/{token}"), "");
        assert!(status == 200 && session.contains("some-user"), "{status} {session}");
        server.create();
    }
}

fn a_sentinel_that_is_away_is_passed_over(version: RedisVersion) {
    let sentinels = Sentinels::start(version);
    let nobody = RefusingPort::reserve();
    let url = sentinels.url().replace("redis+sentinel://", &format!("redis+sentinel://{},", nobody.address()));
    let server = Server::start(&["--store", &url]);
    let token = server.create();
    assert!(server.call("GET", &format!("/app1/get/{token}"), "").1.contains("some-user"));
    assert_eq!(sentinels.master().query::<i64>(&["EXISTS", &format!("rs:app1:{token}")]), 1);
}
