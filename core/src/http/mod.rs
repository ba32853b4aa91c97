//! HTTP semantics on bytes: headers, cookies, methods, paths, authorities, origins and local replies. Knows no sessions.

pub mod authority;
pub mod bytes;
pub mod change;
pub mod cookie;
pub mod forwarded;
pub mod headers;
pub mod local_reply;
pub mod method;
pub mod name;
pub mod navigation;
pub mod origin;
pub mod path;
pub mod percent;
pub mod query;
pub mod reserved;
mod scan;
pub mod set_cookie;
