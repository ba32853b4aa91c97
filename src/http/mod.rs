//! HTTP as bytes: headers, cookies, paths and their readings, authorities, origins. Knows nothing of sessions.

pub mod headers;
