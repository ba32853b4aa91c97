//! Web sessions, enforced in the mesh: a proxy-wasm HTTP filter.
//!
//! It takes the session token from a request, asks a rest-sessions cluster by an asynchronous call, and lets the
//! request pass, annotated with who it is and what the session holds, or turns it away. Services behind it need no
//! session code.
//!
//! Everything that decides is plain Rust without host calls, clock or log: [`exchange`] is a function from events to
//! effects, [`config`], [`policy`], [`session`], [`cache`] and [`http`] are what it is made of. Only `shell` speaks
//! proxy-wasm.

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
pub mod session;
mod shell;
pub mod telemetry;

use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    // The host filters by its own level.
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|id| Box::new(shell::Root::new(id)));
}}
