//! The session service: rest-sessions' wire contract over memory or Redis.
//!
//! It knows no callers: whoever reaches it reads and ends every session. It belongs on a private address.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)
)]

pub mod api;
pub mod clock;
pub mod data;
pub mod options;
pub mod params;
pub mod serve;
pub mod session;
pub mod store;
pub mod token;
