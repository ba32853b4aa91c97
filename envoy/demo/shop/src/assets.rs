//! The static files of the pages.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use demo_web::{Asset, ICON, STYLE};

const SCRIPT: Asset = Asset { content_type: "text/javascript; charset=utf-8", content: include_str!("account.js") };

pub async fn file(Path(name): Path<String>) -> Response {
    match name.as_str() {
        "style.css" => STYLE.into_response(),
        "icon.svg" => ICON.into_response(),
        "account.js" => SCRIPT.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
