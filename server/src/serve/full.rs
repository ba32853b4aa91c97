//! The answer to connections beyond the limit: 503, at once.

use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get_service;

use super::App;
use crate::api::error_response;

/// For such a connection, from its first byte to its last.
pub const TIME_LIMIT: Duration = Duration::from_secs(2);

/// How much of a body is read before the answer. If a connection closes with unread bytes, the client may receive a
/// reset instead of the answer.
const MAX_DRAINED: usize = 1 << 16;

/// Answers 503, but lets `app` answer for the process alone: a supervisor must not end a process that is busy.
pub fn router(app: impl App) -> Router {
    Router::new().route("/livez", get_service(app)).fallback(refuse).layer(map_response(close))
}

async fn refuse(request: Request) -> Response {
    // Whether it arrives is of no interest.
    let _ = to_bytes(request.into_body(), MAX_DRAINED).await;
    let mut answer = error_response(
        StatusCode::SERVICE_UNAVAILABLE,
        "tooManyConnections",
        "the service has as many connections as it may have; try again later",
    );
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

async fn close(mut answer: Response) -> Response {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}
