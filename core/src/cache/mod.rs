//! What one worker keeps of its work with rest-sessions, and what it shares with the other workers of its Envoy.

mod answers;
pub mod board;
pub mod desk;
pub mod ends;
pub mod flights;
pub mod gates;
pub mod lifetime;
pub mod numbered;
pub mod page;
pub mod settings;
pub mod store;
pub mod trip;
