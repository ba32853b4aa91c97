//! The bodies of responses. All have the content type of JSON, as in the original.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::session::Session;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// The idle time, in seconds, by which a session was judged.
pub const MAX_IDLE: HeaderName = HeaderName::from_static("x-max-idle");

pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => text(status, bytes),
        Err(error) => {
            tracing::error!(%error, "a response could not be written as JSON");
            internal_error()
        }
    }
}

pub fn internal_error() -> Response {
    text(StatusCode::INTERNAL_SERVER_ERROR, r#"{"name":"internal","message":"no answer could be made"}"#)
}

pub fn text(status: StatusCode, body: impl Into<Body>) -> Response {
    (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body.into()).into_response()
}

#[derive(Serialize)]
pub struct Created<'a> {
    pub token: &'a str,
}

#[derive(Serialize)]
pub struct Killed {
    pub kill: u64,
}

#[derive(Serialize)]
pub struct Activity {
    pub activity: u64,
}

#[derive(Serialize)]
struct Sessions {
    sessions: Vec<Session>,
}

/// Written by a thread of its own: a long list takes longer than other requests should wait.
pub async fn sessions(sessions: Vec<Session>) -> Response {
    let written = tokio::task::spawn_blocking(move || json(StatusCode::OK, &Sessions { sessions })).await;
    written.unwrap_or_else(|error| {
        tracing::error!(%error, "a list could not be written");
        internal_error()
    })
}

/// Written as `{}`: no such session.
#[derive(Serialize)]
struct Nothing {}

pub fn session(session: Option<&Session>) -> Response {
    match session {
        Some(session) => json(StatusCode::OK, session),
        None => json(StatusCode::OK, &Nothing {}),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn other_tasks_run_while_a_long_list_is_written() {
        let session = Session {
            id: "u".to_owned(),
            r: 1,
            w: 1,
            ttl: 60,
            idle: 0,
            ip: "::1".to_owned(),
            no_resave: false,
            d: None,
        };
        let other = Arc::new(AtomicBool::new(false));
        let ran = Arc::clone(&other);
        tokio::spawn(async move { ran.store(true, Ordering::SeqCst) });
        let response = sessions(vec![session; 100_000]).await;
        assert!(other.load(Ordering::SeqCst));
        assert_eq!(response.status(), StatusCode::OK);
    }
}
