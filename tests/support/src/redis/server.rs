//! A redis-server of one test.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use redis::{Client, Connection, ErrorKind, FromRedisValue, RedisResult};
use tempfile::TempDir;

use super::RedisVersion;
use crate::ports;
use crate::process::{Process, Signal};
use crate::wait::{self, PATIENCE};

/// A redis-server without persistence. Dropping it ends it.
pub struct RedisServer {
    version: RedisVersion,
    address: SocketAddr,
    options: Vec<String>,
    folder: TempDir,
    process: Option<Process>,
}

impl RedisServer {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts redis-server with further options of its command line.
    pub fn start_with(options: &[&str]) -> Self {
        Self::start_version(RedisVersion::V6_2, options)
    }

    pub fn start_version(version: RedisVersion, options: &[&str]) -> Self {
        Self::start_on(ports::non_ephemeral, version, options)
    }

    /// Starts a replica, of the master's version, and waits until it has the master's data.
    pub fn start_replica_of(master: &Self) -> Self {
        let replica = Self::start_version(master.version, &[]);
        replica.replicate(master.address);
        replica.wait_for_sync(master);
        replica
    }

    pub(super) fn start_on(next_port: fn() -> SocketAddr, version: RedisVersion, options: &[&str]) -> Self {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (address, process) = start_on_a_free_port(next_port, |address| {
            launch(command(version, address, &options, folder.path()), address)
        });
        Self { version, address, options, folder, process: Some(process) }
    }

    /// Kills the server, which loses its data.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts a stopped server again, empty, at the same address.
    #[track_caller]
    pub fn restart(&mut self) {
        self.process = launch(command(self.version, self.address, &self.options, self.folder.path()), self.address);
        assert!(self.is_running(), "redis-server does not start again at {}", self.address);
    }

    /// Whether it has not been stopped.
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Suspends the process: connections stay open and nothing is answered.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Continues a paused process.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("redis-server is running").signal(signal);
    }

    pub fn version(&self) -> RedisVersion {
        self.version
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `redis://` with the address, without a password or a database.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// The path of the Unix socket that it listens on too.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// A new connection. Its commands fail after [`PATIENCE`] without an answer.
    #[track_caller]
    pub fn connection(&self) -> Connection {
        connect(self.address).expect("redis-server accepts connections")
    }

    /// The answer to one command, given as its words, over a connection of its own.
    #[track_caller]
    pub fn query<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_query(words).unwrap_or_else(|error| panic!("redis-server refuses {words:?}: {error}"))
    }

    /// As [`Self::query`], for a command that may be refused.
    pub fn try_query<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        query(self.address, words)
    }

    #[track_caller]
    pub fn config_set(&self, option: &str, value: &str) {
        self.query::<()>(&["CONFIG", "SET", option, value]);
    }

    /// The value of a line of INFO; empty if there is none.
    #[track_caller]
    pub fn info(&self, field: &str) -> String {
        let info: String = self.query(&["INFO", "all"]);
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap_or_default().to_owned()
    }

    /// The connections that it has accepted so far, that of this question included.
    #[track_caller]
    pub fn connections_received(&self) -> u64 {
        self.info("total_connections_received").parse().expect("INFO counts connections")
    }

    /// Makes it a replica of another server. Its clients stay connected.
    #[track_caller]
    pub fn replicate(&self, master: SocketAddr) {
        self.query::<()>(&["REPLICAOF", &master.ip().to_string(), &master.port().to_string()]);
    }

    /// Makes it a master.
    #[track_caller]
    pub fn promote(&self) {
        self.query::<()>(&["REPLICAOF", "NO", "ONE"]);
    }

    /// `master` or `slave`.
    #[track_caller]
    pub fn role(&self) -> String {
        self.info("role")
    }

    /// Waits until this replica has what its master holds now, and the master knows.
    #[track_caller]
    pub fn wait_for_sync(&self, master: &Self) {
        let offset = |server: &Self| server.info("master_repl_offset").parse::<i64>().unwrap_or(-1);
        let held = offset(master);
        let port = format!("port={},", self.address.port());
        wait::until_true("the replica to follow its master", || {
            let replicas = (0..9).map(|n| master.info(&format!("slave{n}")));
            let online = replicas.filter(|line| line.contains(&port)).any(|line| line.contains("state=online"));
            online && self.info("master_link_status") == "up" && offset(self) >= held
        });
    }

    /// Hands its role to a replica with the command FAILOVER, which loses no write, and waits until it is done.
    #[track_caller]
    pub fn failover_to(&self, replica: &Self) {
        let (host, port) = (replica.address.ip().to_string(), replica.address.port().to_string());
        self.query::<()>(&["FAILOVER", "TO", &host, &port, "TIMEOUT", "10000"]);
        wait::until_true("the replica to be the master", || replica.role() == "master" && self.role() == "slave");
    }

    /// Fills the memory that it may use, so that it refuses every write that needs more: OOM.
    #[track_caller]
    pub fn fill_memory(&self) {
        self.config_set("maxmemory-policy", "noeviction");
        self.query::<i64>(&["SETRANGE", "filler", "3000000", "x"]);
        self.config_set("maxmemory", "1mb");
    }

    /// Ends [`Self::fill_memory`].
    #[track_caller]
    pub fn free_memory(&self) {
        self.config_set("maxmemory", "0");
        self.query::<i64>(&["DEL", "filler"]);
    }

    /// Lets a snapshot fail, after which it refuses every write: MISCONF. A folder is where the snapshot has to be.
    #[track_caller]
    pub fn fail_saving(&self) {
        fs::create_dir(self.folder.path().join(SNAPSHOT)).expect("a folder can be made");
        self.config_set("stop-writes-on-bgsave-error", "yes");
        self.config_set("save", "3600 1000000");
        self.query::<()>(&["BGSAVE"]);
        wait::until_equal("the snapshot to fail", &"err".to_owned(), || self.info("rdb_last_bgsave_status"));
    }

    /// Ends [`Self::fail_saving`].
    #[track_caller]
    pub fn repair_saving(&self) {
        self.config_set("save", "");
        fs::remove_dir(self.folder.path().join(SNAPSHOT)).expect("the folder of the failing snapshot is empty");
        self.query::<()>(&["BGSAVE"]);
        wait::until_equal("the snapshot to succeed", &"ok".to_owned(), || self.info("rdb_last_bgsave_status"));
    }
}

const SNAPSHOT: &str = "dump.rdb";
const SOCKET: &str = "redis.sock";

fn command(version: RedisVersion, address: SocketAddr, options: &[String], folder: &Path) -> Command {
    let mut command = Command::new(version.program());
    command
        .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
        .args(["--save", "", "--appendonly", "no", "--dbfilename", SNAPSHOT])
        // Version 7 waits 5 s for further replicas before it sends its data.
        .args(["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--unixsocket"])
        .arg(folder.join(SOCKET))
        .arg("--dir")
        .arg(folder)
        .args(options);
    command
}

/// Calls `start` with one port after the other until it succeeds.
pub(super) fn start_on_a_free_port<T>(
    next_port: fn() -> SocketAddr,
    mut start: impl FnMut(SocketAddr) -> Option<T>,
) -> (SocketAddr, T) {
    const ATTEMPTS: u32 = 100;
    for _ in 0..ATTEMPTS {
        let address = next_port();
        if let Some(started) = start(address) {
            return (address, started);
        }
    }
    panic!("redis-server starts on none of {ATTEMPTS} ports");
}

/// Starts a server and waits until it answers. `None` if it exits instead, as it does if its port is taken.
pub(super) fn launch(command: Command, address: SocketAddr) -> Option<Process> {
    let mut process = Process::start("redis-server", command);
    wait::until_true("redis-server to answer", || !process.is_running() || answers(address));
    // The answer may come from another server, whose port this one could not take.
    process.is_running().then_some(process)
}

fn answers(address: SocketAddr) -> bool {
    match query::<()>(address, &["PING"]) {
        Ok(()) => true,
        // It answers, and wants a password.
        Err(error) => error.code() == Some("NOAUTH") || error.kind() == ErrorKind::AuthenticationFailed,
    }
}

pub(super) fn query<T: FromRedisValue>(address: SocketAddr, words: &[&str]) -> RedisResult<T> {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(word);
    }
    command.query(&mut connect(address)?)
}

fn connect(address: SocketAddr) -> RedisResult<Connection> {
    let connection = Client::open(format!("redis://{address}"))?.get_connection_with_timeout(PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    Ok(connection)
}
