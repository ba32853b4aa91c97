//! What a site asks of its requests: which rule holds, which origins may write, what a session's state leads to.

pub mod annotation;
pub mod decision;
pub mod limits;
pub mod login;
pub mod logout;
pub mod matching;
pub mod origins;
pub mod path_index;
pub mod requirements;
pub mod rules;
pub mod session_change;
pub mod token_source;
pub mod write_back;
