//! The servers, Sentinels and clusters of the support library, used directly.

use std::time::{Duration, Instant};

use test_support::over_redis_versions;
use test_support::ports::RefusingPort;
use test_support::redis::{RedisCluster, RedisServer, RedisVersion, Sentinels};
use test_support::wait::until_true;

over_redis_versions! {
    a_replica_follows_and_takes_over_without_a_loss
    a_server_refuses_writes_for_each_cause
    sentinels_promote_a_replica_of_a_killed_master
    a_cluster_keeps_its_keys_through_migrations_and_failovers
}

fn code(server: &RedisServer, words: &[&str]) -> String {
    let error = server.try_query::<redis::Value>(words).expect_err("the command is refused");
    error.to_string()
}

fn a_replica_follows_and_takes_over_without_a_loss(version: RedisVersion) {
    let master = RedisServer::start_version(version, &[]);
    master.query::<()>(&["SET", "a", "1"]);
    let replica = RedisServer::start_replica_of(&master);
    assert_eq!(replica.query::<String>(&["GET", "a"]), "1");
    assert!(code(&replica, &["SET", "a", "2"]).to_lowercase().contains("read only replica"));
    master.failover_to(&replica);
    replica.query::<()>(&["SET", "a", "2"]);
    master.wait_for_sync(&replica);
    assert_eq!(master.query::<String>(&["GET", "a"]), "2");
    master.promote();
    assert_eq!(master.role(), "master");
}

fn a_server_refuses_writes_for_each_cause(version: RedisVersion) {
    let server = RedisServer::start_version(version, &[]);
    server.fill_memory();
    assert!(code(&server, &["SET", "a", "1"]).contains("OOM"), "{}", code(&server, &["SET", "a", "1"]));
    server.free_memory();
    server.fail_saving();
    assert!(code(&server, &["SET", "a", "1"]).contains("MISCONF"));
    server.repair_saving();
    server.config_set("min-replicas-to-write", "1");
    assert!(code(&server, &["SET", "a", "1"]).contains("NOREPLICAS"));
    server.config_set("min-replicas-to-write", "0");
    server.query::<()>(&["SET", "a", "1"]);
    server.config_set("replica-serve-stale-data", "no");
    let nobody = RefusingPort::reserve();
    server.replicate(nobody.address());
    assert!(code(&server, &["GET", "a"]).contains("MasterDown"));
    server.config_set("replica-serve-stale-data", "yes");
    assert_eq!(server.query::<String>(&["GET", "a"]), "1");
}

fn sentinels_promote_a_replica_of_a_killed_master(version: RedisVersion) {
    let mut sentinels = Sentinels::start(version);
    let before = sentinels.master().address();
    sentinels.master().query::<()>(&["SET", "a", "1"]);
    sentinels.wait_for_sync();
    let began = Instant::now();
    let killed = sentinels.kill_master();
    until_true("another server is the master", || sentinels.master().address() != before);
    eprintln!("promoted after {:?}", began.elapsed());
    assert_eq!(sentinels.master().query::<String>(&["GET", "a"]), "1");
    assert_eq!(sentinels.restart(killed).role(), "master");
    assert_ne!(sentinels.master().address(), before);
}

fn a_cluster_keeps_its_keys_through_migrations_and_failovers(version: RedisVersion) {
    let began = Instant::now();
    let mut cluster = RedisCluster::start(version);
    eprintln!("built after {:?}", began.elapsed());
    for n in 0..100 {
        let key = format!("k{n}");
        cluster.query::<()>(&key, &["SET", &key, "1"]);
    }
    assert_eq!(cluster.keys().len(), 100);
    let slot = cluster.slot("k1");
    let from = cluster.master_of(slot).address();
    let to = cluster.masters().into_iter().find(|master| master.address() != from).unwrap();
    cluster.migrate_slot(slot, to);
    assert_eq!(cluster.master_of(slot).address(), to.address());
    assert_eq!(cluster.query::<String>("k1", &["GET", "k1"]), "1");

    let master = cluster.masters()[0].address();
    cluster.failover(cluster.masters()[0]);
    assert_ne!(cluster.masters()[0].address(), master);
    assert_eq!(cluster.keys().len(), 100);

    let killed = cluster.masters()[1].address();
    std::thread::sleep(Duration::from_millis(100));
    cluster.kill(killed);
    until_true("a replica takes over", || cluster.masters().iter().all(|master| master.address() != killed));
    cluster.wait_until_whole();
    assert_eq!(cluster.keys().len(), 100);
}
