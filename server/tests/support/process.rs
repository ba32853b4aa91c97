//! The program, started for one test.

use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::process::{Command, Stdio};

use serde_json::json;
use test_support::rest_sessions::RestSessions;
use test_support::wait::PATIENCE;

const VARIABLES: [&str; 6] = ["RS_PORT", "RS_REDISHOST", "RS_REDISPORT", "RS_REDISURL", "RS_NAMESPACE", "RS_LOGLEVEL"];

/// The program with these flags, and without the variables of the surrounding shell.
pub fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rest-sessions"));
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command.args(flags).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The running program.
pub struct Server(RestSessions);

impl Server {
    /// Starts the program on a free port.
    pub fn start(flags: &[&str]) -> Self {
        Self::start_command(command(&[&["--listen", "127.0.0.1:0"], flags].concat()))
    }

    pub fn start_command(command: Command) -> Self {
        Self(RestSessions::start(command))
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The status and the body of a response.
    pub fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let response = self.0.call(method, path, body);
        (response.status, response.text())
    }

    /// Creates a session and returns its token.
    pub fn create(&self) -> String {
        self.0.create("app1", "some-user", &json!({"a": 1}))
    }
}

impl Deref for Server {
    type Target = RestSessions;

    fn deref(&self) -> &RestSessions {
        &self.0
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut RestSessions {
        &mut self.0
    }
}
