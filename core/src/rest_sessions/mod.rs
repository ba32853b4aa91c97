//! The client of rest-sessions, the session service: where it is, what it is asked, what it answers, and when it is left
//! alone.

pub mod backend;
pub mod body;
pub mod breaker;
pub mod request;
pub mod response;
