//! Requests as a client of Envoy sends them, with bytes that a library would not let through, and their responses.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::runtime;
use super::wait::PATIENCE;

/// The request as a reader of a failure wants to see it; tests may show their tokens.
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

/// The host that requests are for unless they name another.
pub const HOST: &str = "shop.example.com";

/// A request, spelled exactly as it goes over the wire.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
    host: Option<String>,
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

    /// The token in the cookie that the filter looks at by default.
    pub fn session(self, token: &str) -> Self {
        self.header("cookie", format!("session-cookie={token}"))
    }

    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// Leaves the Host line to the test, which may want two of them.
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

    /// Sends it over HTTP/2 and reads the whole response, trailers too.
    #[track_caller]
    pub fn send_h2_to(&self, address: SocketAddr) -> Response {
        runtime::wait_for("an HTTP/2 response", self.exchange_h2(address))
    }

    /// Opens a WebSocket over HTTP/2, as RFC 8441 says, sends the body as its first bytes, and reads as many back.
    #[track_caller]
    pub fn open_websocket_h2(&self, address: SocketAddr) -> Response {
        runtime::wait_for("a WebSocket over HTTP/2", async {
            let (mut client, driving) = connect_h2(address).await;
            let (head, mut stream, mut sending) = self.connect_websocket(&mut client).await;
            let mut body = Vec::new();
            if head.status == 200 {
                sending.send_data(Bytes::from(self.body.clone()), false).expect("the WebSocket is open");
            }
            while head.status != 200 || body.len() < self.body.len() {
                let Some(chunk) = stream.data().await else { break };
                body.extend_from_slice(&chunk.expect("the stream goes on"));
            }
            driving.abort();
            Response { status: head.status.as_u16(), headers: lines(&head.headers), trailers: Vec::new(), body }
        })
    }

    /// Opens a WebSocket over HTTP/2 and keeps it open until the other side ends it; tells whether the connection may
    /// serve another request then.
    #[track_caller]
    pub fn hold_websocket_h2(&self, address: SocketAddr) -> bool {
        runtime::wait_for("the other side to end a WebSocket over HTTP/2", async {
            let (mut client, driving) = connect_h2(address).await;
            let (head, mut stream, _sending) = self.connect_websocket(&mut client).await;
            assert_eq!(head.status, 200);
            while let Some(Ok(_)) = stream.data().await {}
            let usable = client.ready().await.is_ok();
            driving.abort();
            usable
        })
    }

    async fn connect_websocket(
        &self,
        client: &mut SendRequest<Bytes>,
    ) -> (http::response::Parts, RecvStream, SendStream<Bytes>) {
        while !client.is_extended_connect_protocol_enabled() {
            // Envoy's settings, which allow it, are on their way.
            tokio::task::yield_now().await;
        }
        let host = self.host.as_deref().expect("an HTTP/2 request has an authority");
        let mut head = http::Request::connect(format!("http://{host}{}", self.target))
            .version(http::Version::HTTP_2)
            .extension(Protocol::from_static("websocket"))
            .body(())
            .expect("a URI of host and target");
        *head.headers_mut() = header_map(&self.headers);
        let (response, sending) = client.send_request(head, false).expect("the request goes out");
        let (head, stream) = response.await.expect("an HTTP/2 response").into_parts();
        (head, stream, sending)
    }

    fn bytes(&self) -> Vec<u8> {
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

    fn head_h2(&self) -> http::Request<()> {
        let host = self.host.as_deref().expect("an HTTP/2 request has an authority");
        let mut head = http::Request::builder()
            .method(Method::from_bytes(self.method.as_bytes()).expect("a method"))
            .uri(format!("http://{host}{}", self.target))
            .version(http::Version::HTTP_2)
            .body(())
            .expect("a URI of host and target");
        *head.headers_mut() = header_map(&self.headers);
        head
    }

    async fn exchange_h2(&self, address: SocketAddr) -> Response {
        let (mut client, driving) = connect_h2(address).await;
        let ends_here = self.body.is_empty() && self.trailers.is_empty();
        let (response, mut body) = client.send_request(self.head_h2(), ends_here).expect("the request goes out");
        // The peer may answer, and close the stream, before it has read the body; its answer is what counts.
        if !self.body.is_empty() {
            let _stream_closed = body.send_data(Bytes::from(self.body.clone()), self.trailers.is_empty());
        }
        if !self.trailers.is_empty() {
            let _stream_closed = body.send_trailers(header_map(&self.trailers));
        }
        let (head, mut stream) = response.await.expect("an HTTP/2 response").into_parts();
        let mut received = Vec::new();
        while let Some(chunk) = stream.data().await {
            let chunk = chunk.expect("the body arrives whole");
            let _window_of_a_closed_stream = stream.flow_control().release_capacity(chunk.len());
            received.extend_from_slice(&chunk);
        }
        let trailers = stream.trailers().await.expect("the stream ends in order").unwrap_or_default();
        driving.abort();
        Response {
            status: head.status.as_u16(),
            headers: lines(&head.headers),
            trailers: lines(&trailers),
            body: received,
        }
    }
}

/// Many requests alike, on the way over one HTTP/2 connection at the same time.
pub struct Crowd {
    waiting: Vec<JoinHandle<u16>>,
    /// The connection lives as long as somebody may use it.
    _client: SendRequest<Bytes>,
    driving: JoinHandle<()>,
}

impl Crowd {
    #[track_caller]
    pub fn send(address: SocketAddr, request: &Request, size: usize) -> Self {
        runtime::wait_for("a crowd of requests to be sent", async {
            let (mut client, driving) = connect_h2(address).await;
            let mut waiting = Vec::with_capacity(size);
            for _ in 0..size {
                client = client.ready().await.expect("the connection takes one more request");
                let (response, _) = client.send_request(request.head_h2(), true).expect("the request goes out");
                waiting.push(tokio::spawn(status(response)));
            }
            Self { waiting, _client: client, driving }
        })
    }

    /// The first so many of them leave; the very first one too, which asked before all others.
    pub fn leaves(&mut self, count: usize) {
        self.waiting.drain(..count).for_each(|waiting| waiting.abort());
    }

    /// The statuses of all who are still there.
    #[track_caller]
    pub fn statuses(mut self) -> Vec<u16> {
        runtime::wait_for("a crowd of responses", async {
            let mut statuses = Vec::with_capacity(self.waiting.len());
            for response in self.waiting.drain(..) {
                statuses.push(response.await.expect("each of the crowd is answered"));
            }
            statuses
        })
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

/// The status of a response that is read to its end.
async fn status(response: ResponseFuture) -> u16 {
    let (head, mut body) = response.await.expect("an HTTP/2 response").into_parts();
    while let Some(chunk) = body.data().await {
        let length = chunk.expect("the body arrives whole").len();
        let _window_of_a_closed_stream = body.flow_control().release_capacity(length);
    }
    head.status.as_u16()
}

async fn connect_h2(address: SocketAddr) -> (SendRequest<Bytes>, JoinHandle<()>) {
    let stream = tokio::net::TcpStream::connect(address).await.expect("Envoy accepts connections");
    // A crowd's answers are many small frames that come all at once; the library would take them for an attack.
    let mut settings = h2::client::Builder::new();
    settings.data_frame_budget(usize::MAX);
    let (client, connection) = settings.handshake(stream).await.expect("Envoy speaks HTTP/2");
    let driving = runtime::spawn(async move {
        // An error of the connection reaches the stream that waits, which reports it.
        let _closed = connection.await;
    });
    (client.ready().await.expect("the connection is ready"), driving)
}

fn header_map(headers: &[(Vec<u8>, Vec<u8>)]) -> HeaderMap {
    headers
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name).expect("HTTP/2 takes header names of the grammar only");
            (name, HeaderValue::from_bytes(value).expect("HTTP/2 takes no control characters"))
        })
        .collect::<AppendingMap>()
        .0
}

/// Collects duplicates instead of replacing them.
struct AppendingMap(HeaderMap);

impl FromIterator<(HeaderName, HeaderValue)> for AppendingMap {
    fn from_iter<T: IntoIterator<Item = (HeaderName, HeaderValue)>>(pairs: T) -> Self {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name, value);
        }
        Self(map)
    }
}

fn lines(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
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

    /// Sends a request; an answer that comes before all of it was read is no failure.
    pub fn send(mut self, request: &Request) -> Self {
        let _answered_early = self.stream.write_all(&request.bytes());
        self
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the connection takes bytes");
    }

    /// Reads exactly so many bytes.
    #[track_caller]
    pub fn read_exact(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).unwrap_or_else(|error| panic!("{length} bytes do not arrive: {error}"));
        bytes
    }

    /// Whether nothing has come back within `time`.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).expect("a socket takes this option");
        let silent = self.stream.peek(&mut [0]).is_err();
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes this option");
        silent
    }

    /// Whether the other side ends the connection, sooner or later, without another byte.
    #[track_caller]
    pub fn is_closed_by_peer(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    /// Reads the status and headers of a response, whatever follows them.
    #[track_caller]
    pub fn read_head(&mut self) -> Response {
        let head = self.take_until(b"\r\n\r\n");
        let head = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let mut lines = head.filter(|line| !line.is_empty());
        let status_line = String::from_utf8_lossy(lines.next().expect("a status line")).into_owned();
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        Response {
            status: status.unwrap_or_else(|| panic!("`{status_line}` is no status line")),
            headers: lines.map(header_line).collect(),
            trailers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Reads one whole response.
    #[track_caller]
    pub fn read(&mut self, answers_head: bool) -> Response {
        let mut response = self.read_head();
        if answers_head || matches!(response.status, 101 | 204 | 304) {
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
    /// The value of a header that must be there at most once.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<String> {
        let mut values = self.values(name).into_iter();
        let value = values.next();
        assert_eq!(values.next(), None, "{name} stands twice in {self:?}");
        value
    }

    /// All values of a header, in their order.
    pub fn values(&self, name: &str) -> Vec<String> {
        let values = self.headers.iter().filter(|(found, _)| found == name);
        values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `error` of the filter's own answers.
    #[track_caller]
    pub fn error(&self) -> String {
        let body: Value =
            serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()));
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "no message in {body}");
        body["error"].as_str().unwrap_or_else(|| panic!("no error in {body}")).to_owned()
    }

    /// Headers but for those that tell the time, to compare two answers.
    pub fn lasting_headers(&self) -> Vec<(String, Vec<u8>)> {
        self.headers.iter().filter(|(name, _)| name != "date").cloned().collect()
    }
}
