//! Sessions as rest-sessions keeps them: the token, the session and its data, and the result of a lookup.

pub mod data;
pub(crate) mod heap;
pub mod json;
pub mod lookup;
#[expect(clippy::module_inception, reason = "what the others are about")]
pub mod session;
pub mod token;
