//! A stream in a test's hands: what its client and its upstream do, and what became of it.

use super::abi::{self, Pairs};
use super::state::{Part, Reply, Side, StreamState, with};
use super::stream::{arrive, context_of, finish, is_alive, show_headers, show_response};
use super::vm::turn;

/// A handle on a stream, alive or gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    pub(super) index: usize,
}

impl Stream {
    fn read<T>(self, read: impl FnOnce(&StreamState) -> T) -> T {
        with(|host| read(&host.streams[self.index]))
    }

    pub fn context(self) -> u32 {
        context_of(self.index)
    }

    /// The request waits for the filter, and nothing of it has gone upstream.
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
        self.read(|state| state.request.passed_headers.clone()).expect("the request has not gone upstream")
    }

    /// Every value that the upstream received of a header.
    pub fn upstream_values(self, name: &str) -> Vec<String> {
        let headers = self.upstream_headers();
        let values = headers.iter().filter(|(n, _)| n == name.as_bytes());
        values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// The only value that the upstream received of a header.
    pub fn upstream(self, name: &str) -> Option<String> {
        let mut values = self.upstream_values(name);
        assert!(values.len() < 2, "{name} went upstream {} times", values.len());
        values.pop()
    }

    pub fn upstream_body(self) -> Vec<u8> {
        self.read(|state| state.request.passed_body.clone())
    }

    pub fn upstream_trailers(self) -> Option<Pairs> {
        self.read(|state| state.request.passed_trailers.clone())
    }

    /// The filter's own answer, as it was passed to the host.
    pub fn reply(self) -> Option<Reply> {
        self.read(|state| state.reply.clone())
    }

    /// The status of the filter's own answer, and the `error` in its body.
    pub fn refused(self) -> Option<(u32, String)> {
        self.reply().map(|reply| (reply.status, reply.error()))
    }

    /// The headers that the client received.
    pub fn client_headers(self) -> Pairs {
        self.read(|state| state.response.passed_headers.clone()).expect("the client has received no response")
    }

    pub fn client_body(self) -> Vec<u8> {
        self.read(|state| state.response.passed_body.clone())
    }

    /// Filter state, by the name that access logs use.
    pub fn filter_state(self, name: &str) -> Option<String> {
        self.read(|state| state.filter_state.get(name).map(|value| String::from_utf8_lossy(value).into_owned()))
    }

    /// The request's headers come once more, which no host should do.
    pub fn shows_headers_again(self) {
        let headers = self.read(|state| state.request.headers.clone());
        turn(|| show_headers(self.index, Side::Request, headers, true));
    }

    /// More of the request's body.
    pub fn sends(self, bytes: impl AsRef<[u8]>, last: bool) {
        let part = Part::Body { bytes: bytes.as_ref().to_vec(), last };
        turn(|| arrive(self.index, Side::Request, part));
    }

    /// The request ends with trailers.
    pub fn sends_trailers<N: AsRef<[u8]>, V: AsRef<[u8]>>(self, trailers: impl IntoIterator<Item = (N, V)>) {
        let part = Part::Trailers(abi::pairs(trailers));
        turn(|| arrive(self.index, Side::Request, part));
    }

    /// The upstream answers, and the stream ends.
    pub fn is_answered(self, status: u32) {
        self.is_answered_with([(":status", status.to_string())], b"upstream", None::<[(&str, &str); 0]>);
    }

    pub fn is_answered_with<N: AsRef<[u8]>, V: AsRef<[u8]>, M: AsRef<[u8]>, W: AsRef<[u8]>>(
        self,
        headers: impl IntoIterator<Item = (N, V)>,
        body: &[u8],
        trailers: Option<impl IntoIterator<Item = (M, W)>>,
    ) {
        assert!(self.passed(), "an upstream cannot answer a request that it has not received");
        let (headers, trailers) = (abi::pairs(headers), trailers.map(abi::pairs));
        turn(|| show_response(self.index, headers, body.to_vec(), trailers));
    }

    /// The client disconnects, or an ended stream that was left to the test goes away.
    pub fn leaves(self) {
        turn(|| finish(self.index));
    }

    /// This stream may be paused when the test ends.
    pub fn may_stay_paused(self) -> Self {
        with(|host| host.streams[self.index].may_stay_paused = true);
        self
    }
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<String> {
        abi::first(&self.headers, name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// `error` of the JSON body.
    pub fn error(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body.get("error").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    }
}
