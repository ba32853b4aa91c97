//! The client of rest-sessions, the session service: its address, requests and responses, and how many calls are made. It
//! knows no rules and no cache.

pub mod admission;
pub mod backend;
pub mod body;
pub mod breaker;
pub mod client;
pub mod request;
pub mod response;
