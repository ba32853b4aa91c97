//! Sessions: the token that names one, the call that asks for it, the answer, and what of it a request is told.

pub mod annotate;
pub mod answer;
pub mod body;
pub mod breaker;
pub mod calls;
pub mod change;
pub mod data;
pub mod json;
pub mod limits;
pub mod lookup;
pub mod realm;
#[expect(clippy::module_inception, reason = "what the others are about")]
pub mod session;
pub mod source;
pub mod token;
