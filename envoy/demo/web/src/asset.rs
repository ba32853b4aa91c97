//! Files compiled into the program: style sheets, scripts, icons.

use axum::http::header;
use axum::response::{IntoResponse, Response};

pub const STYLE: Asset = Asset { content_type: "text/css; charset=utf-8", content: include_str!("style.css") };
pub const ICON: Asset = Asset { content_type: "image/svg+xml", content: include_str!("icon.svg") };

/// A file that is the same for all users, so that browsers and proxies may cache it.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    pub content_type: &'static str,
    pub content: &'static str,
}

impl IntoResponse for Asset {
    fn into_response(self) -> Response {
        let headers = [(header::CONTENT_TYPE, self.content_type), (header::CACHE_CONTROL, "public, max-age=300")];
        (headers, self.content).into_response()
    }
}
