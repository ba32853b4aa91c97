//! The program, started for one test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;

use super::{send_signal, wait_until};

const BINARY: &str = env!("CARGO_BIN_EXE_rest-sessions");
const VARIABLES: [&str; 6] = ["RS_PORT", "RS_REDISHOST", "RS_REDISPORT", "RS_REDISURL", "RS_NAMESPACE", "RS_LOGLEVEL"];

pub fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command.args(flags).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub struct Server {
    child: Child,
    pub address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Server {
    pub fn start(flags: &[&str]) -> Self {
        Self::start_command(command(&[&["--listen", "127.0.0.1:0"], flags].concat()))
    }

    pub fn start_command(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in stderr.lines().map_while(Result::ok) {
                    log.lock().unwrap().push_str(&(line + "\n"));
                }
            }
        });
        let mut server = Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), log };
        let mut found = None;
        wait_until("the server says where it listens", || {
            let log = server.log();
            found =
                log.split("listening address=").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            found.is_some()
        });
        server.address = found.unwrap();
        server
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// The status and the body of an answer.
    pub fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = self.connect();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all((head + body).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    pub fn create(&self) -> String {
        let (status, body) = self.call("PUT", "/app1/create/some-user?ip=1", r#"{"a":1}"#);
        assert_eq!(status, 200, "{body}");
        body[10..74].to_owned()
    }

    pub fn signal(&self, signal: Signal) {
        send_signal(&self.child, signal);
    }

    pub fn wait_for_exit(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until("the server ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- log of the server ---\n{}", self.log());
        }
    }
}
