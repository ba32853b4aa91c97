//! What the tests of this workspace share. It is a dev-dependency only, and depends on no crate of the workspace.
//!
//! Every function panics where it cannot go on: that fails the test that called it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails here"
)]

pub mod forwarder;
pub mod http1;
pub mod outcomes;
pub mod ports;
pub mod process;
pub mod redis;
pub mod rest_sessions;
pub mod serve;
pub mod token;
pub mod wait;
