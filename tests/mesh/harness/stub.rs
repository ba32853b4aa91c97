//! A session service that misbehaves on command, one connection a thread, and keeps every call it received.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use socket2::SockRef;
use test_support::wait::{self, PATIENCE};

/// A call as the service received it.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub path: String,
    /// Every header line as sent, names as sent.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Call {
    /// All values of a header, whatever the case of its name.
    pub fn values(&self, name: &str) -> Vec<String> {
        self.headers
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .collect()
    }

    /// The token that the call asks for.
    pub fn token(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// What the service does with a call.
#[derive(Clone)]
pub enum Answer {
    /// A whole answer with this status and body.
    Body(u16, Vec<u8>),
    /// No answer at all, until the client gives up or the stub ends.
    Silence,
    /// The connection is reset before a byte was sent.
    ResetBeforeHeaders,
    /// The connection ends after the headers and the first bytes of the body.
    EndMidBody,
    /// Headers, then the body one byte at a time, for longer than any timeout here.
    Drip,
    /// The answer waits until the gate is opened.
    After(Gate, Box<Answer>),
}

impl Answer {
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

    /// What rest-sessions says of a token it does not know.
    pub fn none() -> Self {
        Self::text(200, "{}")
    }
}

/// The session that `Answer::session` sends.
pub fn session() -> Value {
    json!({"id": "user123", "r": 1, "w": 1, "ttl": 86400, "idle": 3, "ip": "192.168.99.22", "d": {"name": "Peter", "unread": 12}})
}

/// Holds answers back until the test lets them go.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
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

type Script = dyn Fn(&Call) -> Answer + Send + Sync;

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
    /// A service that answers each call as `script` says.
    pub fn start(script: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Self {
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

    /// A service that knows every token as the same active session.
    pub fn knowing_everyone() -> Self {
        Self::start(|_| Answer::session())
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// The call for this token; it must have been the only one.
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

    /// Waits until so many calls have arrived in all.
    #[track_caller]
    pub fn wait_for_calls(&self, count: usize) {
        wait::until(&format!("{count} calls at the session service"), || (self.calls().len() >= count).then_some(()));
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // Wakes the thread that accepts, which then sees that it is over.
        let _woken = TcpStream::connect(self.address);
    }
}

fn serve(stream: &TcpStream, shared: &Shared) {
    // A stub that has ended must not keep a thread on an idle connection for long.
    let _supported_everywhere = stream.set_read_timeout(Some(PATIENCE));
    let mut reader = BufReader::new(stream);
    while let Some(call) = read_call(&mut reader) {
        shared.calls.lock().unwrap().push(call.clone());
        if !perform((shared.script)(&call), stream, shared) {
            return;
        }
    }
}

/// Does what `answer` says, and tells whether the connection may serve another call.
fn perform(answer: Answer, mut stream: &TcpStream, shared: &Shared) -> bool {
    match answer {
        Answer::Body(status, body) => {
            let head = format!(
                "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(&[head.as_bytes(), &body].concat()).is_ok()
        }
        Answer::Silence => {
            wait_for_hang_up(stream);
            false
        }
        Answer::ResetBeforeHeaders => {
            // With lingering off, closing sends a reset.
            SockRef::from(stream).set_linger(Some(Duration::ZERO)).expect("lingering can be switched off");
            false
        }
        Answer::EndMidBody => {
            // Closed in order: a reset could overtake the bytes before it, and would be one before the headers then.
            let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{\"id\":");
            false
        }
        Answer::Drip => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n";
            let mut going = stream.write_all(head).is_ok();
            while going && !shared.stopping.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(20));
                going = stream.write_all(b" ").is_ok();
            }
            false
        }
        Answer::After(gate, answer) => {
            gate.wait();
            perform(*answer, stream, shared)
        }
    }
}

fn wait_for_hang_up(mut stream: &TcpStream) {
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
