//! What stands around the filter in these tests: Envoy, the upstream, session services good and bad, and clients.

pub mod client;
pub mod client_h2;
pub mod envoy;
pub mod mesh;
mod ports;
pub mod process;
mod runtime;
pub mod sessions;
pub mod stub;
pub mod token;
pub mod upstream;
pub mod wait;
