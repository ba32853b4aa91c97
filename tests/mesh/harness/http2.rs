//! An HTTP/2 client: single requests, concurrent requests over one connection, and WebSockets (RFC 8441).

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use test_support::http1::{Request, Response};
use tokio::task::JoinHandle;

use super::runtime;

/// Sends a request and reads the whole response, trailers included.
#[track_caller]
pub fn send(address: SocketAddr, request: &Request) -> Response {
    runtime::wait_for("an HTTP/2 response", exchange(address, request))
}

/// Opens a WebSocket, sends the body of the request as its first bytes, and reads as many bytes back.
#[track_caller]
pub fn open_websocket(address: SocketAddr, request: &Request) -> Response {
    runtime::wait_for("a WebSocket over HTTP/2", async {
        let (mut client, connection) = connect(address).await;
        let (head, mut stream, mut sending) = connect_websocket(&mut client, request).await;
        let mut body = Vec::new();
        if head.status == 200 {
            sending.send_data(Bytes::from(request.body.clone()), false).expect("the WebSocket is open");
        }
        while head.status != 200 || body.len() < request.body.len() {
            let Some(chunk) = stream.data().await else { break };
            body.extend_from_slice(&chunk.expect("the stream goes on"));
        }
        connection.abort();
        Response { status: head.status.as_u16(), headers: lines(&head.headers), trailers: Vec::new(), body }
    })
}

/// Opens a WebSocket and waits until the peer ends it. Returns whether the connection accepts another request then.
#[track_caller]
pub fn hold_websocket(address: SocketAddr, request: &Request) -> bool {
    runtime::wait_for("the peer to end a WebSocket over HTTP/2", async {
        let (mut client, connection) = connect(address).await;
        let (head, mut stream, _sending) = connect_websocket(&mut client, request).await;
        assert_eq!(head.status, 200);
        while let Some(Ok(_)) = stream.data().await {}
        let usable = client.ready().await.is_ok();
        connection.abort();
        usable
    })
}

async fn connect_websocket(
    client: &mut SendRequest<Bytes>,
    request: &Request,
) -> (http::response::Parts, RecvStream, SendStream<Bytes>) {
    while !client.is_extended_connect_protocol_enabled() {
        // Envoy's SETTINGS frame, which enables it, has not arrived.
        tokio::task::yield_now().await;
    }
    let mut head = head(Method::CONNECT, request);
    head.extensions_mut().insert(Protocol::from_static("websocket"));
    let (response, sending) = client.send_request(head, false).expect("the request is sent");
    let (head, stream) = response.await.expect("an HTTP/2 response").into_parts();
    (head, stream, sending)
}

fn head(method: Method, request: &Request) -> http::Request<()> {
    let host = request.host.as_deref().expect("an HTTP/2 request has an authority");
    let mut head = http::Request::builder()
        .method(method)
        .uri(format!("http://{host}{}", request.target))
        .version(http::Version::HTTP_2)
        .body(())
        .expect("a URI of host and target");
    *head.headers_mut() = header_map(&request.headers);
    head
}

fn method(request: &Request) -> Method {
    Method::from_bytes(request.method.as_bytes()).expect("a method")
}

async fn exchange(address: SocketAddr, request: &Request) -> Response {
    let (mut client, connection) = connect(address).await;
    let ends_here = request.body.is_empty() && request.trailers.is_empty();
    let (response, mut body) =
        client.send_request(head(method(request), request), ends_here).expect("the request is sent");
    // The peer may respond and close the stream before it has read the body.
    if !request.body.is_empty() {
        let _stream_closed = body.send_data(Bytes::from(request.body.clone()), request.trailers.is_empty());
    }
    if !request.trailers.is_empty() {
        let _stream_closed = body.send_trailers(header_map(&request.trailers));
    }
    let (head, mut stream) = response.await.expect("an HTTP/2 response").into_parts();
    let mut received = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk.expect("the body arrives whole");
        let _window_of_a_closed_stream = stream.flow_control().release_capacity(chunk.len());
        received.extend_from_slice(&chunk);
    }
    let trailers = stream.trailers().await.expect("the stream ends in order").unwrap_or_default();
    connection.abort();
    Response { status: head.status.as_u16(), headers: lines(&head.headers), trailers: lines(&trailers), body: received }
}

/// Copies of one request, in flight at the same time over one HTTP/2 connection.
pub struct ConcurrentRequests {
    responses: Vec<JoinHandle<u16>>,
    /// The connection closes with its last handle.
    _client: SendRequest<Bytes>,
    connection: JoinHandle<()>,
}

impl ConcurrentRequests {
    #[track_caller]
    pub fn send(address: SocketAddr, request: &Request, count: usize) -> Self {
        runtime::wait_for("concurrent requests to be sent", async {
            let (mut client, connection) = connect(address).await;
            let mut responses = Vec::with_capacity(count);
            for _ in 0..count {
                client = client.ready().await.expect("the connection takes one more request");
                let (response, _) =
                    client.send_request(head(method(request), request), true).expect("the request is sent");
                responses.push(tokio::spawn(status(response)));
            }
            Self { responses, _client: client, connection }
        })
    }

    /// Resets the streams of the first `count` requests.
    pub fn cancel(&mut self, count: usize) {
        self.responses.drain(..count).for_each(|response| response.abort());
    }

    /// The statuses of all requests that were not cancelled.
    #[track_caller]
    pub fn statuses(mut self) -> Vec<u16> {
        runtime::wait_for("concurrent responses", async {
            let mut statuses = Vec::with_capacity(self.responses.len());
            for response in self.responses.drain(..) {
                statuses.push(response.await.expect("each request gets a response"));
            }
            statuses
        })
    }
}

impl Drop for ConcurrentRequests {
    fn drop(&mut self) {
        self.connection.abort();
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

async fn connect(address: SocketAddr) -> (SendRequest<Bytes>, JoinHandle<()>) {
    let stream = tokio::net::TcpStream::connect(address).await.expect("Envoy accepts connections");
    // Many small frames that arrive at once look like an attack to the library.
    let mut settings = h2::client::Builder::new();
    settings.data_frame_budget(usize::MAX);
    let (client, driver) = settings.handshake(stream).await.expect("Envoy speaks HTTP/2");
    let connection = runtime::spawn(async move {
        // The stream that waits reports an error of the connection.
        let _closed = driver.await;
    });
    (client.ready().await.expect("the connection is ready"), connection)
}

fn header_map(headers: &[(Vec<u8>, Vec<u8>)]) -> HeaderMap {
    headers
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name).expect("HTTP/2 takes only header names of the grammar");
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
