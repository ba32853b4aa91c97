//! Builds the requests that clients send.

use super::abi::{self, Pairs};

/// The headers of a request: pseudo-headers first, then the added ones in order.
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

    /// Adds a header; earlier values of the same name stay.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.extend(abi::pairs([(name, value)]));
        self
    }

    /// Removes every value of a header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| n != name.as_bytes());
        self
    }

    /// Replaces the authority.
    pub fn host(self, authority: impl AsRef<[u8]>) -> Self {
        self.without(":authority").header(":authority", authority)
    }

    /// Adds the token in the cookie that the filter reads by default.
    pub fn token(self, token: &str) -> Self {
        self.header("cookie", format!("session-cookie={token}"))
    }
}
