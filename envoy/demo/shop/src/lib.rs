//! The service of the demo behind the filter: public, member and administrator pages, a JSON API, a WebSocket.
//!
//! It has no session code. The filter's configuration (envoy/envoy.yaml) says which routes need a session, a role or a
//! recent login. Two headers, which only the filter can set, say who is logged in.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)
)]

mod api;
mod assets;
mod pages;
mod products;
mod seen;
mod ticks;
mod user;

use axum::Router;
use axum::routing::{any, get};

pub fn router() -> Router {
    let routes = Router::new()
        .route("/", get(pages::home))
        .route("/products/{id}", get(pages::product))
        .route("/account", get(pages::account))
        .route("/checkout", get(pages::checkout))
        .route("/admin", get(pages::admin))
        .route("/api/me", get(api::me))
        .route("/ws/ticks", get(ticks::open))
        .route("/static/{file}", get(assets::file))
        .route("/favicon.ico", get(demo_web::ICON))
        .route("/seen/{*path}", any(seen::show))
        .fallback(pages::nothing_here);
    demo_web::secured(routes, &[])
}
