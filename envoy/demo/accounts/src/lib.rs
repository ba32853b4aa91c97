//! The demo's login: it knows two users, and makes their sessions at rest-sessions.
//!
//! It is where a browser gets its session from, and the only service that does more with sessions than read headers.
//! What a login with users of its own has beyond this one: hashes of passwords instead of passwords, and a limit on
//! tries. That a foreign page cannot log its visitors in with an account of its own is seen to by the filter: the rule
//! of `/login` lists no `origins`.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)
)]

mod client_address;
pub mod login;
pub mod options;
mod pages;
pub mod return_to;
mod session_cookie;
pub mod sessions;
mod token;
mod users;
