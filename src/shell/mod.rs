//! The thin layer that speaks proxy-wasm: it carries events into the core and effects out of it, and decides nothing.

mod board;
mod host;
mod metrics;
mod root;
mod stream;
mod worker;

pub use root::Root;
