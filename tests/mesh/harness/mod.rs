//! What stands around the filter in these tests: Envoy, the upstream, session services good and bad, and clients.

pub mod envoy;
pub mod http2;
pub mod mesh;
mod runtime;
pub mod sessions;
pub mod stub;
pub mod upstream;
