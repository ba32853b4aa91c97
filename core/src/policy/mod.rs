//! What a site asks of its requests: which rule holds, which origins may write, what a session's state leads to.

pub mod decision;
pub mod index;
pub mod login;
pub mod logout;
pub mod matching;
pub mod origins;
pub mod requirements;
pub mod rules;
pub mod write_back;
