//! Sessions: the token that names one, the call that asks for it, the answer, and what of it a request is told.

pub mod annotate;
pub mod answer;
pub mod breaker;
pub mod calls;
pub mod lookup;
pub mod source;
pub mod token;
