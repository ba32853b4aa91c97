//! Sessions as rest-sessions keeps them: the token, the session and its data, the result of a lookup, and the tokens of a
//! request.

pub mod candidates;
pub mod data;
pub(crate) mod heap;
pub mod json;
pub mod lookup;
#[expect(clippy::module_inception, reason = "what the others are about")]
pub mod session;
pub mod token;
