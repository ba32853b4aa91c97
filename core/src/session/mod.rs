//! Sessions: the token that names one, what one holds, and what may be known of it.

pub mod data;
mod heap;
pub mod json;
pub mod lookup;
#[expect(clippy::module_inception, reason = "what the others are about")]
pub mod session;
pub mod token;
