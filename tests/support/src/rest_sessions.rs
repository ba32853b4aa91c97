//! The program `rest-sessions`, started for one test.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;

use crate::http1::{Request, Response};
use crate::process::{Process, Signal};

/// A running rest-sessions. Dropping it ends it.
pub struct RestSessions {
    address: SocketAddr,
    process: Process,
}

impl RestSessions {
    /// Starts the program and waits until it listens. The command has to let it log at level info.
    pub fn start(command: Command) -> Self {
        let mut process = Process::start("rest-sessions", command);
        let address = process.wait_for_address("listening address=");
        Self { address, process }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        self.process.output()
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits until it exits. The code is `None` if a signal ended it.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> Option<i32> {
        self.process.wait_for_exit()
    }

    /// Sends one request, its body declared as JSON, over a connection of its own.
    #[track_caller]
    pub fn call(&self, method: &str, target: &str, body: &str) -> Response {
        let request = Request::new(method, target).host(&self.address.to_string());
        let request = request.header("content-type", "application/json");
        request.header("connection", "close").body(body).send_to(self.address)
    }

    /// Creates a session that lives for 7,200 idle seconds, and returns its token. `data` is its `d`, or null.
    #[track_caller]
    pub fn create(&self, app: &str, id: &str, data: &Value) -> String {
        let body = if data.is_null() { String::new() } else { data.to_string() };
        let response = self.call("PUT", &format!("/{app}/create/{id}?ip=192.168.99.22&ttl=7200"), &body);
        assert_eq!(response.status, 200, "rest-sessions creates no session: {}", response.text());
        let created: Value = serde_json::from_slice(&response.body).expect("rest-sessions answers in JSON");
        created["token"].as_str().expect("a created session has a token").to_owned()
    }
}
