//! A stub of rest-sessions that records every call and can misbehave, down to the bytes and the TCP connection.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use socket2::SockRef;
use test_support::wait::{self, PATIENCE};

/// A call as the stub received it.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub path: String,
    /// Every header line, names as sent.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Call {
    /// All values of a header; its name is case-insensitive.
    pub fn values(&self, name: &str) -> Vec<String> {
        self.headers
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .collect()
    }

    /// The token in the path.
    pub fn token(&self) -> &str {
        self.path.rsplit('/').next().and_then(|segment| segment.split('?').next()).unwrap_or_default()
    }
}

/// The stub's response to a call, or its misbehaviour.
#[derive(Clone)]
pub enum CalloutResponse {
    /// A complete response with this status and body.
    Body(u16, Vec<u8>),
    /// No response, until the client closes the connection.
    Silence,
    /// A reset of the connection before the first byte.
    ResetBeforeHeaders,
    /// The headers and the first bytes of the body, then the end of the connection.
    EndMidBody,
    /// The headers and the first bytes of the body, then a reset of the connection.
    ResetMidBody,
    /// The headers, then the body byte by byte, for longer than any timeout in these tests.
    Drip,
    /// The given response, after this time.
    Late(Duration, Box<CalloutResponse>),
    /// The given response, after the latch is opened.
    After(Latch, Box<CalloutResponse>),
}

impl CalloutResponse {
    pub fn json(status: u16, body: &Value) -> Self {
        Self::Body(status, body.to_string().into_bytes())
    }

    pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Body(status, body.into())
    }

    /// An active session as rest-sessions sends it.
    pub fn session() -> Self {
        Self::json(200, &session())
    }

    /// The response of rest-sessions to an unknown token.
    pub fn none() -> Self {
        Self::text(200, "{}")
    }
}

/// The session that `CalloutResponse::session` sends.
pub fn session() -> Value {
    json!({"id": "user123", "r": 1, "w": 1, "ttl": 86400, "idle": 3, "ip": "192.168.99.22", "d": {"name": "Peter", "unread": 12}})
}

/// Delays responses until the test opens it, at most for [`PATIENCE`].
#[derive(Clone, Default)]
pub struct Latch(Arc<(Mutex<bool>, Condvar)>);

impl Latch {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let (opened, condition) = &*self.0;
        let guard = opened.lock().unwrap();
        drop(condition.wait_timeout_while(guard, PATIENCE, |opened| !*opened).unwrap());
    }
}

type Script = dyn Fn(&Call) -> CalloutResponse + Send + Sync;

/// A running stub. Dropping it stops it.
pub struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    script: Box<Script>,
    calls: Mutex<Vec<Call>>,
    stopping: AtomicBool,
}

impl Stub {
    /// Starts a stub that responds to each call with the result of `script`.
    pub fn start(script: impl Fn(&Call) -> CalloutResponse + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the stub can listen on loopback");
        let address = listener.local_addr().expect("a listener has an address");
        let shared =
            Arc::new(Shared { script: Box::new(script), calls: Mutex::default(), stopping: AtomicBool::new(false) });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.stopping.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { return };
                let shared = Arc::clone(&accepting);
                thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { address, shared }
    }

    /// Starts a stub that responds to every lookup with the same active session.
    pub fn with_active_session() -> Self {
        Self::start(|_| CalloutResponse::session())
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// The call for this token. Panics unless there was exactly one.
    #[track_caller]
    pub fn only_call_for(&self, token: &str) -> Call {
        let mut calls = self.calls_for(token);
        assert_eq!(calls.len(), 1, "one call for the token was expected, not {calls:#?}");
        calls.remove(0)
    }

    /// All calls for this token.
    pub fn calls_for(&self, token: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.token() == token).collect()
    }

    /// Waits until at least `count` calls have arrived.
    #[track_caller]
    pub fn wait_for_calls(&self, count: usize) {
        wait::until(&format!("{count} calls at the session service"), || (self.calls().len() >= count).then_some(()));
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // Wakes the accepting thread, which then returns.
        let _woken = TcpStream::connect(self.address);
    }
}

fn serve(stream: &TcpStream, shared: &Shared) {
    // Bounds how long a thread outlives the stub on an idle connection.
    let _supported_everywhere = stream.set_read_timeout(Some(PATIENCE));
    let mut reader = BufReader::new(stream);
    while let Some(call) = read_call(&mut reader) {
        shared.calls.lock().unwrap().push(call.clone());
        if !respond((shared.script)(&call), stream, shared) {
            return;
        }
    }
}

/// Sends the response. Returns whether the connection may serve another call.
fn respond(response: CalloutResponse, mut stream: &TcpStream, shared: &Shared) -> bool {
    match response {
        CalloutResponse::Body(status, body) => {
            let head = format!(
                "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(&[head.as_bytes(), &body].concat()).is_ok()
        }
        CalloutResponse::Silence => {
            wait_for_close(stream);
            false
        }
        CalloutResponse::ResetBeforeHeaders => {
            reset_on_close(stream);
            false
        }
        CalloutResponse::EndMidBody => {
            // Closed with FIN: after RST the peer may discard the bytes received before it.
            let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{\"id\":");
            false
        }
        CalloutResponse::ResetMidBody => {
            let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{\"id\":");
            reset_on_close(stream);
            false
        }
        CalloutResponse::Drip => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n";
            let mut going = stream.write_all(head).is_ok();
            while going && !shared.stopping.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(20));
                going = stream.write_all(b" ").is_ok();
            }
            false
        }
        CalloutResponse::Late(time, response) => {
            thread::sleep(time);
            respond(*response, stream, shared)
        }
        CalloutResponse::After(latch, response) => {
            latch.wait();
            respond(*response, stream, shared)
        }
    }
}

/// With a linger time of 0, closing sends RST instead of FIN.
fn reset_on_close(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).expect("lingering can be switched off");
}

fn wait_for_close(mut stream: &TcpStream) {
    let mut buffer = [0; 256];
    loop {
        match stream.read(&mut buffer) {
            Ok(1..) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
        }
    }
}

fn read_call(reader: &mut impl BufRead) -> Option<Call> {
    let request_line = read_line(reader)?;
    let request_line = String::from_utf8_lossy(&request_line).into_owned();
    let mut words = request_line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8_lossy(&line[..colon]).into_owned();
        headers.push((name, line[colon + 1..].trim_ascii().to_vec()));
    }
    let mut call = Call { method, path, headers, body: Vec::new() };
    let length = call.values("content-length").first().map_or(Some(0), |length| length.parse().ok())?;
    call.body.resize(length, 0);
    reader.read_exact(&mut call.body).ok()?;
    Some(call)
}

fn read_line(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).ok()?;
    line.strip_suffix(b"\r\n").map(<[u8]>::to_vec)
}
