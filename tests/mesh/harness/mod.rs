//! The environment of the filter in these tests: Envoy, an upstream, rest-sessions, a stub of it, an HTTP/2 client.

pub mod envoy;
pub mod http2;
pub mod mesh;
pub mod runtime;
pub mod sessions;
pub mod stub;
pub mod upstream;
