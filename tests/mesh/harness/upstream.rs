//! The upstream behind Envoy: records every request byte for byte, and answers 200 or as a script says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::runtime;

/// The response header that identifies the recorded request.
pub const RECEIPT: &str = "x-upstream-receipt";

/// A request as the upstream received it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Every header line; lines of one name in order.
    pub headers: Vec<(String, Vec<u8>)>,
    pub trailers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Seen {
    /// The value of a header. Panics if the header occurs twice.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<String> {
        let values = self.values(name);
        assert!(values.len() <= 1, "{name} reached the upstream {} times: {values:?}", values.len());
        values.into_iter().next()
    }

    /// All values of a header, in order.
    pub fn values(&self, name: &str) -> Vec<String> {
        self.headers
            .iter()
            .filter(|(found, _)| found == name)
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .collect()
    }

    /// Whether the target, a header or a trailer contains these bytes.
    pub fn mentions(&self, needle: &str) -> bool {
        let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
        holds(self.target.as_bytes())
            || self.headers.iter().chain(&self.trailers).any(|(name, value)| holds(name.as_bytes()) || holds(value))
    }

    /// The names of all headers and trailers that contain `session`.
    pub fn session_headers(&self) -> Vec<&str> {
        self.headers
            .iter()
            .chain(&self.trailers)
            .map(|(name, _)| name.as_str())
            .filter(|name| name.contains("session"))
            .collect()
    }
}

/// A response of the upstream.
#[derive(Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    chunk: Bytes,
    chunks: usize,
    trailers: Option<HeaderMap>,
    /// Bytes of bodies sent so far.
    sent: Arc<AtomicUsize>,
}

impl Default for Reply {
    fn default() -> Self {
        Self {
            status: 200,
            headers: vec![("content-type".to_owned(), b"text/plain".to_vec())],
            chunk: Bytes::from_static(b"from the upstream\n"),
            chunks: 1,
            trailers: None,
            sent: Arc::default(),
        }
    }
}

impl Reply {
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub fn without_body(mut self) -> Self {
        self.chunks = 0;
        self
    }

    /// A body of this many chunks of 64 KiB, each sent as soon as Envoy reads it.
    pub fn stream(mut self, chunks: usize) -> Self {
        self.chunk = Bytes::from_static(&[b'x'; 65_536]);
        self.chunks = chunks;
        self
    }

    pub fn trailer(mut self, name: &'static str, value: &'static str) -> Self {
        let trailers = self.trailers.get_or_insert_default();
        trailers.append(name, http::HeaderValue::from_static(value));
        self
    }

    /// Bytes of bodies sent so far, over all requests with this reply.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }
}

/// The body of a reply, generated while it is sent.
struct ReplyBody {
    reply: Reply,
    left: usize,
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            let chunk = self.reply.chunk.clone();
            self.reply.sent.fetch_add(chunk.len(), Ordering::Relaxed);
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        Poll::Ready(self.reply.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.reply.trailers.is_none()
    }
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

struct Shared {
    seen: Mutex<Vec<Seen>>,
    script: Mutex<Arc<Script>>,
}

/// A running upstream, HTTP/1 and HTTP/2 on one port. Dropping it stops it.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    pub fn start() -> Self {
        let script: Arc<Script> = Arc::new(|_: &Seen| Reply::default());
        let shared = Arc::new(Shared { seen: Mutex::default(), script: Mutex::new(script) });
        let listener = runtime::wait_for("a port for the upstream", TcpListener::bind("127.0.0.1:0"))
            .expect("the upstream can listen on loopback");
        let address = listener.local_addr().expect("a listener has an address");
        let accepting = runtime::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers further requests with the result of `script`.
    pub fn answers(&self, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap() = Arc::new(script);
    }

    /// The recorded request with this receipt.
    pub fn seen(&self, receipt: usize) -> Seen {
        self.shared.seen.lock().unwrap()[receipt].clone()
    }

    /// The number of requests received so far.
    pub fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        runtime::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
            let mut server = auto::Builder::new(TokioExecutor::new());
            server.http1().max_headers(1000);
            // Envoy may close a connection during a request; the request is recorded nevertheless.
            let _closed = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(mut request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<ReplyBody>, Infallible> {
    let upgrade = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let mut record = Seen {
        method: request.method().to_string(),
        target: request.uri().path_and_query().map_or_else(|| request.uri().to_string(), ToString::to_string),
        headers: lines(request.headers()),
        ..Seen::default()
    };
    if upgrade.is_none() {
        let body = request.body_mut();
        while let Some(Ok(frame)) = body.frame().await {
            match frame.into_data() {
                Ok(data) => record.body.extend_from_slice(&data),
                Err(frame) => record.trailers = frame.into_trailers().map(|map| lines(&map)).unwrap_or_default(),
            }
        }
    }
    let script = Arc::clone(&shared.script.lock().unwrap());
    let mut reply = script(&record);
    let receipt = {
        let mut seen = shared.seen.lock().unwrap();
        seen.push(record);
        seen.len() - 1
    };
    let mut response = Response::builder().status(reply.status).header(RECEIPT, receipt);
    for (name, value) in &reply.headers {
        response = response.header(name, value.as_slice());
    }
    if let Some(upgrade) = upgrade {
        response =
            response.status(StatusCode::SWITCHING_PROTOCOLS).header(CONNECTION, "upgrade").header(UPGRADE, "websocket");
        runtime::spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                echo(TokioIo::new(upgraded)).await;
            }
        });
        reply = reply.without_body();
    } else if request.method() == Method::HEAD {
        reply = reply.without_body();
    }
    let body = ReplyBody { left: reply.chunks, reply };
    Ok(response.body(body).expect("these headers are valid"))
}

/// Serves an upgraded connection: echoes what arrives, so that a test sees bytes pass both ways.
async fn echo(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

fn lines(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}
