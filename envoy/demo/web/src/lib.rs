//! What the demo's services share: serving, security headers, the layout of pages. It has no session code.

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
