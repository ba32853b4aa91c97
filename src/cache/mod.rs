//! What one worker keeps of its work with rest-sessions.

pub mod flights;
pub mod settings;
