//! Every decision of the session filter, in plain Rust: no proxy, no clock, no log, no randomness.
//!
//! [`exchange`] is one request's way from event to effects; [`config`], [`policy`], [`session`], [`cache`] and [`http`]
//! are what it is made of. What depends on the host is handed in.

// A panic ends a worker's whole VM and hangs every request that waits in it (proxy-wasm has no unwinding), so nothing
// outside tests may even be able to panic.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::todo,
        clippy::unimplemented,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

pub mod cache;
pub mod config;
pub mod exchange;
pub mod http;
pub mod policy;
pub mod rest_sessions;
pub mod session;
pub mod telemetry;
