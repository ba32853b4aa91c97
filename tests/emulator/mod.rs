//! A proxy-wasm host in memory, as strict as Envoy, that drives the filter's real exports natively.
//!
//! The SDK's imports (`proxy_log`, `proxy_http_call`, …) are defined by the test binary itself, in [`hostcalls`], and
//! its exports (`proxy_on_request_headers`, …) are called by the [`Vm`]. The SDK keeps its contexts in a thread-local,
//! and so does the host: a test's thread is a VM.
//!
//! Nothing is scripted. A test does what the world does (a client sends a request or leaves, rest-sessions answers or
//! does not, time passes) and then reads the state of the host: headers, replies, calls, metrics, log lines, filter
//! state. What Envoy would punish is kept as a violation, and when the [`Vm`] is dropped the test fails for it.
//!
//! What is done as Envoy does it, and why it matters:
//!
//! 1. Resuming and replying take effect after the callback that asked for them, as actions that may run one inside the
//!    other; the maps of a resumed stream are gone at once.
//! 2. A header map exists from its callback until that callback lets the stream pass, and while it is paused; any other
//!    access is `BadArgument`, but for a read of the whole map, which finds it empty.
//! 3. Calls belong to the root context: they outlive the stream whose callback made them.
//! 4. The host's object of a stream outlives the VM's, so that an effective context may be set that the VM has deleted.
//! 5. A local reply passes through the stream's own response callbacks, then the stream ends.

#![allow(dead_code, unused_imports, reason = "every test binary that shares this module uses another part of it")]

mod abi;
mod calls;
mod exports;
mod handle;
mod hostcalls;
mod invariants;
mod request;
mod state;
mod stream;
mod telemetry;
mod vm;

pub use handle::Stream;
pub use request::Request;
pub use state::{Call, Cluster, Ending, Farewell, Level, Root};

pub use vm::Vm;
