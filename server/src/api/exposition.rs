//! `/metrics`, in Prometheus' text format.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{Api, response};

pub async fn metrics(State(api): State<Arc<Api>>) -> Response {
    match api.metrics.text(api.drain.is_draining(), api.store.memory_bytes()) {
        Ok(text) => {
            let headers = [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT), (header::CACHE_CONTROL, "no-store")];
            (StatusCode::OK, headers, text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            response::internal_error()
        }
    }
}
