//! The session service: the HTTP interface of the npm package `rest-sessions` 2.0.1, over memory or Redis.
//!
//! Unless [`access`] knows its callers, every client that reaches it can read, change and end every session. It has to
//! listen on a private address.
//!
//! - [`api`]: the HTTP endpoints
//! - [`store`]: sessions in memory or in Redis
//! - [`session`], [`data`], [`token`], [`params`]: the model, and what a caller may send
//! - [`access`]: who may call, by which `Host`, and what
//! - [`serve`]: listeners, TLS, connections and their limits, and graceful shutdown
//! - [`metrics`], [`logging`]: what an operator sees
//! - [`options`]: the command line and the environment
//! - [`reload`]: files that may change
//! - [`clock`]: the time
//! - [`sweep`]: expired sessions
//! - [`throttle`]: how often a line is logged
//!
//! *The original* is that npm package, version 2.0.1.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)
)]

pub mod access;
pub mod api;
pub mod clock;
pub mod data;
pub mod logging;
pub mod metrics;
pub mod options;
pub mod params;
pub mod reload;
pub mod serve;
pub mod session;
pub mod store;
pub mod sweep;
pub mod throttle;
pub mod token;
