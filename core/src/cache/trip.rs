//! A call to rest-sessions about one session, from its start to its end, whatever it is for.

use std::rc::Rc;
use std::time::Duration;

use super::ends::Hash;
use super::gates::Way;
use crate::session::breaker::Permit;
use crate::session::calls::{Call, Service, ServiceId};
use crate::session::realm::{Realm, RealmId};
use crate::session::token::Token;

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

/// Which session a call is about. Two requests share a call only if all of it is the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub realm: RealmId,
    pub token: Token,
}

/// A call that is about to go out, or under way.
pub struct Trip {
    pub key: Key,
    pub hash: Hash,
    pub realm: Rc<Realm>,
    pub service: Rc<Service>,
    pub service_id: ServiceId,
    pub permit: Permit,
    pub call: Rc<Call>,
    pub started_ms: u64,
    /// When the host gives up on it.
    pub ends_ms: u64,
}

impl Trip {
    #[must_use]
    pub fn way(&self) -> Way<'_> {
        Way { service: &self.service, service_id: self.service_id, target_id: self.realm.target_id }
    }

    /// How long the call may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.ends_ms.saturating_sub(self.started_ms))
    }

    /// The session in such a form that no two have the same.
    #[must_use]
    pub fn session_in_full(&self) -> Vec<u8> {
        self.realm.session_in_full(&self.key.token)
    }
}
