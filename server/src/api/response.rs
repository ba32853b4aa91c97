//! The bodies of responses. All have the content type of JSON, as in the original.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::session::Session;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => text(status, bytes),
        Err(error) => {
            tracing::error!(%error, "a response could not be written as JSON");
            text(StatusCode::INTERNAL_SERVER_ERROR, r#"{"name":"internal","message":"no answer could be made"}"#)
        }
    }
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
pub struct Sessions {
    pub sessions: Vec<Session>,
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
