//! Web sessions, enforced in the mesh: a proxy-wasm HTTP filter.
//!
//! It takes the session token from a request, asks a rest-sessions cluster by an asynchronous call, and lets the
//! request pass, annotated with who it is and what the session holds, or turns it away. Services behind it need no
//! session code.
//!
//! Everything that decides is in `rest_sessions_core`. This crate is the layer that speaks proxy-wasm: it carries
//! events into the core and effects out of it, and decides nothing.

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

mod dispatch;
mod filter;
mod host;
mod metrics;
mod root;
mod shared_data;
mod stream;

use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    // The host filters by its own level.
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
}}
