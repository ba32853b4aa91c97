//! An HTTP/1.1 client that sends every byte as the test wrote it.
//!
//! Libraries such as hyper normalize or refuse what these tests have to send: header names in any case, two Host lines,
//! control characters, targets outside the grammar of a URI.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::wait::PATIENCE;

/// The host of a request that names none.
pub const HOST: &str = "shop.example.com";

/// A request, spelled exactly as it is sent.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The value of the Host line; `None` sends none.
    pub host: Option<String>,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
            host: Some(HOST.to_owned()),
        }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A WebSocket upgrade.
    pub fn upgrade(target: &str) -> Self {
        Self::get(target)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    pub fn header(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn trailer(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.trailers.push((name.into(), value.into()));
        self
    }

    /// Adds the token in the cookie that the filter reads by default.
    pub fn session(self, token: &str) -> Self {
        self.header("cookie", format!("session-cookie={token}"))
    }

    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// Sends no Host line but those that the test adds as headers.
    pub fn without_host(mut self) -> Self {
        self.host = None;
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it over HTTP/1.1 and reads the whole response.
    #[track_caller]
    pub fn send_to(&self, address: SocketAddr) -> Response {
        Connection::open(address).send(self).read(self.method == "HEAD")
    }

    /// What is sent.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        let mut line = |name: &[u8], value: &[u8]| head.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
        if let Some(host) = &self.host {
            line(b"host", host.as_bytes());
        }
        for (name, value) in &self.headers {
            line(name, value);
        }
        let chunked = !self.trailers.is_empty();
        if chunked {
            line(b"transfer-encoding", b"chunked");
        } else if !self.body.is_empty() {
            line(b"content-length", self.body.len().to_string().as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        if !chunked {
            return [head, self.body.clone()].concat();
        }
        if !self.body.is_empty() {
            head.extend_from_slice(format!("{:x}\r\n", self.body.len()).as_bytes());
            head.extend_from_slice(&[&self.body[..], b"\r\n"].concat());
        }
        head.extend_from_slice(b"0\r\n");
        for (name, value) in &self.trailers {
            head.extend_from_slice(&[name, &b": "[..], value, b"\r\n"].concat());
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// For messages of failing tests; shows tokens.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.method, self.target)?;
        if let Some(host) = &self.host {
            writeln!(f, "host: {host}")?;
        }
        for (name, value) in self.headers.iter().chain(&self.trailers) {
            writeln!(f, "{}: {}", name.escape_ascii(), value.escape_ascii())?;
        }
        Ok(())
    }
}

/// One HTTP/1.1 connection.
pub struct Connection {
    stream: TcpStream,
    deadline: Instant,
}

impl Connection {
    #[track_caller]
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address} accepts nothing: {error}"));
        stream.set_nodelay(true).expect("a socket takes this option");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes this option");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket takes this option");
        Self { stream, deadline: Instant::now() + PATIENCE }
    }

    /// Sends a request. The peer may answer and close before it has read all of it.
    pub fn send(mut self, request: &Request) -> Self {
        let _answered_early = self.stream.write_all(&request.bytes());
        self
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the connection takes bytes");
    }

    /// Reads exactly `length` bytes.
    #[track_caller]
    pub fn read_exact(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).unwrap_or_else(|error| panic!("{length} bytes do not arrive: {error}"));
        bytes
    }

    /// Whether nothing arrives within `time`.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).expect("a socket takes this option");
        let silent = self.stream.peek(&mut [0]).is_err();
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes this option");
        silent
    }

    /// Waits for the next byte or the end of the connection; true for the end.
    #[track_caller]
    pub fn is_closed_by_peer(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    /// Reads the status and headers of a response, and leaves its body.
    #[track_caller]
    pub fn read_head(&mut self) -> Response {
        let head = self.take_until(b"\r\n\r\n");
        let head = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let mut lines = head.filter(|line| !line.is_empty());
        let status_line = String::from_utf8_lossy(lines.next().expect("a status line")).into_owned();
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        Response {
            status: status.unwrap_or_else(|| panic!("`{status_line}` is not a status line")),
            headers: lines.map(header_line).collect(),
            trailers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Reads one whole response.
    #[track_caller]
    pub fn read(&mut self, to_head: bool) -> Response {
        let mut response = self.read_head();
        if to_head || matches!(response.status, 101 | 204 | 304) {
            return response;
        }
        if response.header("transfer-encoding").as_deref() == Some("chunked") {
            loop {
                let size = self.take_until(b"\r\n");
                let size = usize::from_str_radix(String::from_utf8_lossy(&size).trim(), 16).expect("a chunk's size");
                if size == 0 {
                    break;
                }
                response.body.extend(self.read_exact(size));
                self.take_until(b"\r\n");
            }
            loop {
                let line = self.take_until(b"\r\n");
                match line.strip_suffix(b"\r\n") {
                    Some([]) | None => break,
                    Some(line) => response.trailers.push(header_line(line)),
                }
            }
        } else {
            let length = response.header("content-length").map_or(0, |length| length.parse().expect("a length"));
            response.body = self.read_exact(length);
        }
        response
    }

    #[track_caller]
    fn take_until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut taken = Vec::new();
        while !taken.ends_with(end) {
            assert!(Instant::now() < self.deadline, "no whole response within {PATIENCE:?}");
            let mut byte = [0];
            match self.stream.read(&mut byte) {
                Ok(1) => taken.push(byte[0]),
                outcome => panic!("{outcome:?} in the middle of a response: {:?}", String::from_utf8_lossy(&taken)),
            }
        }
        taken
    }
}

fn header_line(line: &[u8]) -> (String, Vec<u8>) {
    let colon = line.iter().position(|byte| *byte == b':').expect("a header line has a colon");
    (String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase(), line[colon + 1..].trim_ascii().to_vec())
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
    pub trailers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header. Panics if the header occurs twice.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<String> {
        let mut values = self.values(name).into_iter();
        let value = values.next();
        assert_eq!(values.next(), None, "{name} occurs twice in {self:?}");
        value
    }

    /// All values of a header, in order.
    pub fn values(&self, name: &str) -> Vec<String> {
        let values = self.headers.iter().filter(|(found, _)| found == name);
        values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `error` of a local reply of the filter. Panics if the body is not a local reply's.
    #[track_caller]
    pub fn error(&self) -> String {
        let body: Value =
            serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()));
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "no message in {body}");
        body["error"].as_str().unwrap_or_else(|| panic!("no error in {body}")).to_owned()
    }

    /// All headers but Date, to compare two responses.
    pub fn lasting_headers(&self) -> Vec<(String, Vec<u8>)> {
        self.headers.iter().filter(|(name, _)| name != "date").cloned().collect()
    }
}
