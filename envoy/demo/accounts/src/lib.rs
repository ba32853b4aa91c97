//! The login of the demo: it has two users, and creates their sessions at rest-sessions.
//!
//! It is the only service of the demo that calls rest-sessions; the others read headers. A login for real users also
//! needs hashed passwords and a limit on attempts. The filter prevents login CSRF (a page of another site logs its
//! visitor in with an account of its own): the rule of `/login` lists no `origins`.

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
