//! Requests over HTTP/2: one, many at the same time over one connection, and WebSockets.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::task::JoinHandle;

use super::client::{Request, Response};
use super::runtime;

impl Request {
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
