//! The real session service, over memory or over a real Redis, and the Redis itself.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::client::Request;
use super::ports;
use super::process::{Process, program_beside, program_from};
use super::wait::{self, PATIENCE};

/// The app of every test that needs only one.
pub const APP: &str = "mywebapp";

/// A running Redis, without persistence.
pub struct Redis {
    address: SocketAddr,
    folder: TempDir,
    process: Option<Process>,
}

impl Redis {
    pub fn start() -> Self {
        let mut redis = Self { address: ports::likely_to_stay_free(), folder: temporary_folder(), process: None };
        while !redis.try_resume() {
            redis.address = ports::likely_to_stay_free();
        }
        redis
    }

    /// Ends the server, as a crash would.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts the server again, empty, at the same address.
    pub fn resume(&mut self) {
        assert!(self.try_resume(), "Redis does not start again at {}", self.address);
    }

    /// Starts the server and waits until it answers; false if it ends instead, as where its port is taken.
    fn try_resume(&mut self) -> bool {
        let mut command = Command::new(program_from("REDIS_SERVER_BIN"));
        command
            .args(["--bind", "127.0.0.1", "--port", &self.address.port().to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(self.folder.path());
        let mut process = Process::start("redis-server", command, self.folder.path());
        let answers = wait::until("Redis to answer", || {
            if !process.is_running() {
                return Some(false);
            }
            ask(self.address, &["PING"]).filter(|answer| answer == "+PONG").map(|_| true)
        });
        // Whoever answered may have been another server, on whose port this one could not start.
        let started = answers && process.is_running();
        self.process = started.then_some(process);
        started
    }

    /// Sends one command and returns the first line of its answer.
    pub fn command(&self, words: &[&str]) -> String {
        ask(self.address, words).expect("Redis answers")
    }
}

fn temporary_folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

fn ask(address: SocketAddr, words: &[&str]) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(command.as_bytes()).ok()?;
    let mut answer = String::new();
    BufReader::new(stream.take(10_000)).read_line(&mut answer).ok()?;
    Some(answer.trim_end().to_owned())
}

/// A running session service.
pub struct RestSessions {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
    pub redis: Option<Redis>,
}

impl RestSessions {
    pub fn in_memory() -> Self {
        Self::start("memory", None)
    }

    pub fn over_redis() -> Self {
        let redis = Redis::start();
        Self::start(&format!("redis://{}", redis.address), Some(redis))
    }

    fn start(store: &str, redis: Option<Redis>) -> Self {
        let folder = temporary_folder();
        let mut command = Command::new(program());
        command.args(["--listen", "127.0.0.1:0", "--store", store]);
        let mut process = Process::start("rest-sessions", command, folder.path());
        let address = wait::until("rest-sessions to say where it listens", || {
            process.assert_running();
            let log = process.log();
            let (_, said) = log.split_once("listening address=")?;
            said.split_whitespace().next()?.parse().ok()
        });
        wait::until("rest-sessions to answer", || {
            process.assert_running();
            (Request::get("/ping").send_to(address).status == 200).then_some(())
        });
        Self { address, _process: process, _folder: folder, redis }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new session, and its token.
    pub fn create(&self, id: &str, data: &Value) -> String {
        self.create_for(APP, id, data)
    }

    /// A new session of some app, and its token.
    pub fn create_for(&self, app: &str, id: &str, data: &Value) -> String {
        let request = Request::new("PUT", &format!("/{app}/create/{id}?ip=192.168.99.22&ttl=7200"));
        let request = match data {
            Value::Null => request,
            data => request.header("content-type", "application/json").body(data.to_string()),
        };
        let response = request.send_to(self.address);
        assert_eq!(response.status, 200, "rest-sessions creates no session: {}", response.text());
        let body: Value = serde_json::from_slice(&response.body).expect("rest-sessions answers JSON");
        body["token"].as_str().expect("a created session has a token").to_owned()
    }

    /// Ends a session.
    pub fn kill(&self, token: &str) {
        let response = Request::new("DELETE", &format!("/{APP}/kill/{token}")).send_to(self.address);
        assert_eq!(response.text(), r#"{"kill":1}"#);
    }

    /// Makes a session look as if nobody had used it for longer than it lives.
    pub fn expire(&self, token: &str) {
        let redis = self.redis.as_ref().expect("only sessions in Redis can be aged from outside");
        assert_eq!(redis.command(&["HSET", &format!("rs:{APP}:{token}"), "la", "1000000000"]), ":0");
    }
}

/// The session service's program.
fn program() -> PathBuf {
    env::var_os("REST_SESSIONS_BIN").map_or_else(|| program_beside("rest-sessions"), PathBuf::from)
}
