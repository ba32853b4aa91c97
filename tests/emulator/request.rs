//! Requests as clients send them.

use super::abi::{self, Pairs};

/// A request: pseudo-headers first, then whatever is added.
#[derive(Clone)]
pub struct Request {
    pub(super) headers: Pairs,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        let pseudo = [(":authority", "shop.example.com"), (":path", path), (":method", method), (":scheme", "https")];
        Self { headers: abi::pairs(pseudo) }
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// One more header; an earlier one of the same name stays.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.extend(abi::pairs([(name, value)]));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| n != name.as_bytes());
        self
    }

    pub fn host(self, authority: impl AsRef<[u8]>) -> Self {
        self.without(":authority").header(":authority", authority)
    }

    /// The token in the cookie that the filter reads by default.
    pub fn token(self, token: &str) -> Self {
        self.header("cookie", format!("session-cookie={token}"))
    }
}
