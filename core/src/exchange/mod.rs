//! One request's states. Each state owns its data; a transition consumes the old state. A request
//! that waits keeps of its headers what later states read ([`Retained`]).
//!
//! ```text
//! headers ─┬─ decided by the headers alone ───────────────────────────────┬─ local reply
//!          ├─ AwaitSession ── lookup is over ── decided by the session ───┤
//!          ├─ AwaitKills ──── all kills are over ─────────────────────────┘
//!          └─ forwarded ─┬─ Watch: rechecked while it is open
//!                        └─ AwaitResponse ── AwaitChange ── mutation is over ── response goes on, or local reply
//! ```
//!
//! [`crate::worker`] has the order in which the states follow each other.

mod arrival;
mod await_kills;
mod await_response;
mod await_session;
mod context;
mod effects;
mod request;
mod retained;
mod verdict;
mod watch;

pub use arrival::{Arrival, request_headers, request_trailers};
pub use await_kills::AwaitKills;
pub use await_response::{
    AwaitChange, AwaitResponse, ResponseStart, ResponseVerdict, response_headers, response_trailers,
};
pub use await_session::AwaitSession;
pub use context::{Context, Environment, Refused};
pub use effects::Effects;
pub use request::{Request, SessionRequest};
pub use retained::{Essentials, Retained};
pub use verdict::{FollowUp, Verdict};
pub use watch::{RecheckOutcome, Watch};
