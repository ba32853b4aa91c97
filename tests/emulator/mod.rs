//! A proxy-wasm host in memory, as strict as Envoy, that drives the filter's real exports natively.
//!
//! The SDK's imports (`proxy_log`, `proxy_http_call`, …) are defined by the test binary itself, in [`hostcalls`], and
//! its exports (`proxy_on_request_headers`, …) are called by the [`Vm`]. The SDK keeps its contexts in a thread-local,
//! and so does the host: a test's thread is a VM.
//!
//! The host is stateful and has no script of expectations. A test causes events (a client sends a request or
//! disconnects, rest-sessions responds or fails, time passes) and then reads the state of the host: headers, local
//! replies, calls, metrics, log lines, filter state. What would misbehave in Envoy is recorded as a violation, and the
//! test fails when the [`Vm`] is dropped.
//!
//! The host follows Envoy in these points, on which the filter depends:
//!
//! 1. Resuming and replying take effect after the callback that requested them, as actions that may nest. The header
//!    maps of a resumed stream are gone at once.
//! 2. A header map exists during its callback and for as long as the stream stays paused in it. Other access returns
//!    `BadArgument`, except that a read of the whole map returns an empty map.
//! 3. HTTP calls belong to the root context: they outlive the stream whose callback dispatched them.
//! 4. The host's object of a stream outlives the VM's: the host accepts an effective context that the VM has deleted.
//! 5. A local reply passes through the stream's own response callbacks, then the stream ends.

#![allow(dead_code, unused_imports, reason = "each test binary that includes this module uses a part of it")]

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
pub use state::{Call, ClusterState, FinalCallbackOrder, Level, Root, StreamDestruction};
pub use vm::Vm;
