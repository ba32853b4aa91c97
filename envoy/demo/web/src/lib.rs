//! What the demo's services have in common. Nothing here knows of sessions.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)
)]

mod asset;
mod page;
mod security;
mod serve;

pub use asset::{Asset, ICON, STYLE};
pub use page::{Page, no_store};
pub use security::secured;
pub use serve::{ServeError, serve};
