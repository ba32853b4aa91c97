//! A test's handle on a stream: acts as its client and its upstream, and reads what they received.

use super::abi::{self, Pairs};
use super::state::{Direction, Frame, LocalReply, StreamState, with_host};
use super::stream::{context_of, deliver_headers, deliver_response, destroy, is_alive, receive};
use super::vm::run_event;

/// A handle on a stream, which stays readable after the stream is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    pub(super) index: usize,
}

impl Stream {
    fn read<T>(self, read: impl FnOnce(&StreamState) -> T) -> T {
        with_host(|host| read(&host.streams[self.index]))
    }

    pub fn context(self) -> u32 {
        context_of(self.index)
    }

    /// The filter has paused the request, and the upstream has received nothing of it.
    pub fn is_paused(self) -> bool {
        self.read(|state| state.alive && state.request.paused)
    }

    pub fn is_gone(self) -> bool {
        !is_alive(self.index)
    }

    /// The upstream has received the request's headers.
    pub fn passed(self) -> bool {
        self.read(|state| state.request.passed_headers.is_some())
    }

    /// The headers that the upstream received.
    pub fn upstream_headers(self) -> Pairs {
        self.read(|state| state.request.passed_headers.clone()).expect("the upstream has not received the request")
    }

    /// Every value of a header that the upstream received.
    pub fn upstream_header_values(self, name: &str) -> Vec<String> {
        let headers = self.upstream_headers();
        let values = headers.iter().filter(|(n, _)| n == name.as_bytes());
        values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// The value of a header that the upstream received at most once.
    pub fn upstream_header(self, name: &str) -> Option<String> {
        let mut values = self.upstream_header_values(name);
        assert!(values.len() < 2, "the upstream received {name} {} times, at most once was expected", values.len());
        values.pop()
    }

    pub fn upstream_body(self) -> Vec<u8> {
        self.read(|state| state.request.passed_body.clone())
    }

    pub fn upstream_trailers(self) -> Option<Pairs> {
        self.read(|state| state.request.passed_trailers.clone())
    }

    /// The local reply, as the filter passed it to the host.
    pub fn local_reply(self) -> Option<LocalReply> {
        self.read(|state| state.reply.clone())
    }

    /// The status of the local reply, and the `error` in its body.
    pub fn denial(self) -> Option<(u32, String)> {
        self.local_reply().map(|reply| (reply.status, reply.error()))
    }

    /// The status of the local reply.
    pub fn local_reply_status(self) -> Option<u32> {
        self.local_reply().map(|reply| reply.status)
    }

    /// The headers that the client received.
    pub fn client_headers(self) -> Pairs {
        self.read(|state| state.response.passed_headers.clone()).expect("the client has received no response")
    }

    pub fn client_body(self) -> Vec<u8> {
        self.read(|state| state.response.passed_body.clone())
    }

    /// A value of filter state, by the key that access logs use.
    pub fn filter_state(self, name: &str) -> Option<String> {
        self.read(|state| state.filter_state.get(name).map(|value| String::from_utf8_lossy(value).into_owned()))
    }

    /// Delivers the request's headers a second time, which no correct host does.
    pub fn repeat_headers(self) {
        let headers = self.read(|state| state.request.headers.clone());
        run_event(|| deliver_headers(self.index, Direction::Request, headers, true));
    }

    /// The client sends a chunk of the request's body.
    pub fn send_body(self, bytes: impl AsRef<[u8]>, end_of_stream: bool) {
        let frame = Frame::Body { bytes: bytes.as_ref().to_vec(), end_of_stream };
        run_event(|| receive(self.index, Direction::Request, frame));
    }

    /// The client sends trailers, which end the request.
    pub fn send_trailers<N: AsRef<[u8]>, V: AsRef<[u8]>>(self, trailers: impl IntoIterator<Item = (N, V)>) {
        let frame = Frame::Trailers(abi::pairs(trailers));
        run_event(|| receive(self.index, Direction::Request, frame));
    }

    /// The upstream responds with this status and the body `upstream`, which ends the stream.
    pub fn upstream_responds(self, status: u32) {
        self.upstream_responds_with([(":status", status.to_string())], b"upstream", None::<[(&str, &str); 0]>);
    }

    /// The upstream responds with these headers, body and trailers, which ends the stream.
    pub fn upstream_responds_with<N: AsRef<[u8]>, V: AsRef<[u8]>, M: AsRef<[u8]>, W: AsRef<[u8]>>(
        self,
        headers: impl IntoIterator<Item = (N, V)>,
        body: &[u8],
        trailers: Option<impl IntoIterator<Item = (M, W)>>,
    ) {
        assert!(self.passed(), "the upstream cannot respond: it has not received the request");
        let (headers, trailers) = (abi::pairs(headers), trailers.map(abi::pairs));
        run_event(|| deliver_response(self.index, headers, body.to_vec(), trailers));
    }

    /// The client disconnects. Also destroys a finished stream under [`StreamDestruction::Manual`](super::StreamDestruction).
    pub fn disconnect(self) {
        run_event(|| destroy(self.index));
    }

    /// Allows this stream to be paused when the test ends.
    pub fn may_stay_paused(self) -> Self {
        with_host(|host| host.streams[self.index].may_stay_paused = true);
        self
    }
}

impl LocalReply {
    pub fn header(&self, name: &str) -> Option<String> {
        abi::first(&self.headers, name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// The `error` in the JSON body; empty where there is none.
    pub fn error(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body.get("error").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    }
}
