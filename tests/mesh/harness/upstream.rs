//! The upstream behind Envoy: records every request byte for byte, and responds with 200 or with the result of a script.

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
pub struct UpstreamRequest {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Every header line; lines of one name in order.
    pub headers: Vec<(String, Vec<u8>)>,
    pub trailers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl UpstreamRequest {
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

/// The upstream's response.
#[derive(Clone)]
pub struct UpstreamResponse {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    chunk: Bytes,
    chunks: usize,
    trailers: Option<HeaderMap>,
    /// Bytes of bodies sent so far.
    sent: Arc<AtomicUsize>,
}

impl Default for UpstreamResponse {
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

impl UpstreamResponse {
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

    /// Bytes of bodies sent so far, over all requests with this response.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }
}

/// The body of a response, generated while it is sent.
struct UpstreamResponseBody {
    response: UpstreamResponse,
    /// Chunks not sent yet.
    left: usize,
}

impl Body for UpstreamResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            let chunk = self.response.chunk.clone();
            self.response.sent.fetch_add(chunk.len(), Ordering::Relaxed);
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        Poll::Ready(self.response.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.response.trailers.is_none()
    }
}

type Script = dyn Fn(&UpstreamRequest) -> UpstreamResponse + Send + Sync;

struct Shared {
    received: Mutex<Vec<UpstreamRequest>>,
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
        let script: Arc<Script> = Arc::new(|_: &UpstreamRequest| UpstreamResponse::default());
        let shared = Arc::new(Shared { received: Mutex::default(), script: Mutex::new(script) });
        let listener = runtime::wait_for("a port for the upstream", TcpListener::bind("127.0.0.1:0"))
            .expect("the upstream can listen on loopback");
        let address = listener.local_addr().expect("a listener has an address");
        let accepting = runtime::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Responds to further requests with the result of `script`.
    pub fn respond_with(&self, script: impl Fn(&UpstreamRequest) -> UpstreamResponse + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap() = Arc::new(script);
    }

    /// The recorded request with this receipt.
    pub fn received(&self, receipt: usize) -> UpstreamRequest {
        self.shared.received.lock().unwrap()[receipt].clone()
    }

    /// The number of requests received so far.
    pub fn count(&self) -> usize {
        self.shared.received.lock().unwrap().len()
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
            let service = service_fn(move |request| respond(request, Arc::clone(&shared)));
            let mut server = auto::Builder::new(TokioExecutor::new());
            server.http1().max_headers(1000);
            // Envoy may close a connection during a request; the request is recorded nevertheless.
            let _closed = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
        });
    }
}

async fn respond(
    mut request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<UpstreamResponseBody>, Infallible> {
    let upgrade = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let mut record = UpstreamRequest {
        method: request.method().to_string(),
        target: request.uri().path_and_query().map_or_else(|| request.uri().to_string(), ToString::to_string),
        headers: lines(request.headers()),
        ..UpstreamRequest::default()
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
    let mut scripted = script(&record);
    let receipt = {
        let mut received = shared.received.lock().unwrap();
        received.push(record);
        received.len() - 1
    };
    let mut response = Response::builder().status(scripted.status).header(RECEIPT, receipt);
    for (name, value) in &scripted.headers {
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
        scripted = scripted.without_body();
    } else if request.method() == Method::HEAD {
        scripted = scripted.without_body();
    }
    let body = UpstreamResponseBody { left: scripted.chunks, response: scripted };
    Ok(response.body(body).expect("these headers are valid"))
}

/// Serves an upgraded connection: echoes what arrives, so that a test sees bytes pass both ways.
pub async fn echo(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) {
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
