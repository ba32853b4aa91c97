//! rest-sessions over a Redis without persistence, both of which are killed and started again.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use test_support::http1::Request;
use test_support::redis::RedisServer;
use test_support::rest_sessions::RestSessions;
use test_support::{ports, wait};

use crate::harness::sessions::program;
use crate::ledger::{Ledger, micros, now};
use crate::wire;

/// `rest_sessions.timeout`: longer than a busy machine keeps a lookup waiting.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// Less than [`TIMEOUT`], in milliseconds.
const STORE_TIMEOUT: &str = "4000";
/// The default of `rest_sessions.breaker.open_for`.
const BREAKER_OPEN: Duration = Duration::from_secs(1);

/// The running programs. They end with the thread that starts them: that has to be the test's own.
pub struct Store {
    redis: RedisServer,
    address: SocketAddr,
    program: Option<RestSessions>,
    /// How often rest-sessions and Redis were killed.
    pub kills: (u64, u64),
}

impl Store {
    pub fn start() -> Self {
        let redis = RedisServer::start();
        let address = wait::until("a free port", || {
            let address = ports::non_ephemeral();
            TcpListener::bind(address).is_ok().then_some(address)
        });
        let program = Some(launch(&redis, address));
        let store = Self { redis, address, program, kills: (0, 0) };
        store.wait_until_ready();
        store
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills rest-sessions. Its sessions stay in Redis.
    pub fn kill_service(&mut self, ledger: &Ledger) {
        ledger.begin_outage();
        self.program = None;
        self.kills.0 += 1;
    }

    /// Kills Redis, and with it all sessions.
    pub fn kill_redis(&mut self, ledger: &Ledger) {
        ledger.begin_outage();
        ledger.begin_loss();
        self.redis.stop();
        ledger.lose_all();
        self.kills.1 += 1;
    }

    /// Starts again what was killed.
    pub fn repair(&mut self, ledger: &Ledger) {
        if !self.redis.is_running() {
            self.redis.restart();
            ledger.end_loss();
        } else if self.program.is_none() {
            self.program = Some(launch(&self.redis, self.address));
        } else {
            return;
        }
        self.wait_until_ready();
        // The last call that fails was made before, and may have opened the breaker when its time was over.
        ledger.end_outage(now() + micros(TIMEOUT + BREAKER_OPEN));
    }

    fn wait_until_ready(&self) {
        wait::until_true("rest-sessions to be ready", || {
            let request = Request::get("/readyz").host(&self.address.to_string());
            wire::exchange(self.address, &request).is_ok_and(|answer| answer.status == 200)
        });
    }
}

fn launch(redis: &RedisServer, address: SocketAddr) -> RestSessions {
    let mut command = Command::new(program());
    command.args(["--listen", &address.to_string(), "--store", &redis.url(), "--store-timeout", STORE_TIMEOUT]);
    RestSessions::start(command)
}
