//! The client of rest-sessions, the session service: where it is, what it is asked, what it responds, and how many calls
//! it is sent. It knows no rules and no cache.

pub mod admission;
pub mod backend;
pub mod body;
pub mod breaker;
pub mod client;
pub mod request;
pub mod response;
