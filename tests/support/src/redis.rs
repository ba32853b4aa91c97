//! A redis-server of one test.

use std::net::SocketAddr;
use std::process::Command;

use redis::{Client, Connection, ErrorKind, RedisResult};
use tempfile::TempDir;

use crate::ports;
use crate::process::{Process, Signal, program_from};
use crate::wait::{self, PATIENCE};

/// A redis-server without persistence; `REDIS_SERVER_BIN` names the program. Dropping it ends it.
pub struct RedisServer {
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
        const ATTEMPTS: u32 = 100;
        let mut server = Self {
            address: ports::non_ephemeral(),
            options: options.iter().map(ToString::to_string).collect(),
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
            process: None,
        };
        for _ in 0..ATTEMPTS {
            if server.try_start() {
                return server;
            }
            server.address = ports::non_ephemeral();
        }
        panic!("redis-server starts on none of {ATTEMPTS} ports");
    }

    /// Kills the server, which loses its data.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts a stopped server again, empty, at the same address.
    #[track_caller]
    pub fn restart(&mut self) {
        assert!(self.try_start(), "redis-server does not start again at {}", self.address);
    }

    /// Starts the server and waits until it answers. False if it exits instead, as it does if its port is taken.
    fn try_start(&mut self) -> bool {
        let mut command = Command::new(program_from("REDIS_SERVER_BIN"));
        command
            .args(["--bind", "127.0.0.1", "--port", &self.address.port().to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(self.folder.path())
            .args(&self.options);
        let mut process = Process::start("redis-server", command);
        wait::until_true("redis-server to answer", || !process.is_running() || self.answers());
        // The answer may come from another server, whose port this one could not take.
        let started = process.is_running();
        self.process = started.then_some(process);
        started
    }

    fn answers(&self) -> bool {
        let ping = |mut connection: Connection| redis::cmd("PING").exec(&mut connection);
        match self.connect().and_then(ping) {
            Ok(()) => true,
            // It answers, and wants a password.
            Err(error) => error.code() == Some("NOAUTH") || error.kind() == ErrorKind::AuthenticationFailed,
        }
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

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `redis://` with the address, without a password or a database.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// A new connection. Its commands fail after [`PATIENCE`] without an answer.
    #[track_caller]
    pub fn connection(&self) -> Connection {
        self.connect().expect("redis-server accepts connections")
    }

    fn connect(&self) -> RedisResult<Connection> {
        let connection = Client::open(self.url())?.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        Ok(connection)
    }
}
