//! The thin layer that speaks proxy-wasm: it carries events into the core and effects out of it, and decides nothing.

mod board;
mod calls;
mod clock;
mod host;
mod metrics;
mod progress;
mod respond;
mod root;
mod settle;
mod stream;
mod waiting;
mod worker;

pub use root::Root;
