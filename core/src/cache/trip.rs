//! A call to rest-sessions about one session, from its start to its end, whatever it is for.

use std::rc::Rc;
use std::time::Duration;

use super::ends::Hash;
use crate::rest_sessions::backend::{Backend, SessionKey};
use crate::rest_sessions::breaker::Permit;
use crate::rest_sessions::request::Call;

/// The host's number of a call.
pub type CallId = u32;

/// The host's number of a request.
pub type StreamId = u32;

/// A request. The host may give the number of one that has ended to a later one, and an answer must never reach another
/// request than one that waits for it; so a ticket, which no two requests share, goes with the host's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    pub stream: StreamId,
    pub ticket: u64,
}

/// A call that is about to go out, or under way.
pub struct Trip {
    pub key: SessionKey,
    pub hash: Hash,
    pub backend: Rc<Backend>,
    pub permit: Permit,
    pub call: Rc<Call>,
    pub started_ms: u64,
    /// When the host gives up on it.
    pub ends_ms: u64,
}

impl Trip {
    /// How long the call may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.ends_ms.saturating_sub(self.started_ms))
    }

    /// Collision-free key bytes of the session.
    #[must_use]
    pub fn key_bytes(&self) -> Vec<u8> {
        self.backend.namespace.key_bytes(&self.key.token)
    }
}
