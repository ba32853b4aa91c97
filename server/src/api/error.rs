//! Error responses: `{"name":…,"message":…}`, with the name of the original where it has one.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use thiserror::Error;

use super::response;
use crate::params::InvalidParam;
use crate::store::StoreError;

/// Why a request fails. The messages are part of the wire contract.
#[derive(Debug, Error)]
pub enum ApiError {
    #[error(transparent)]
    Invalid(#[from] InvalidParam),
    #[error("there is no such endpoint")]
    NotFound,
    #[error("the path is not percent-encoded UTF-8")]
    InvalidPath,
    #[error("the body is not a JSON object or array: {0}")]
    InvalidJson(String),
    #[error("the body ended early")]
    IncompleteBody,
    #[error("request entity too large: a body has at most {0} bytes")]
    BodyTooLarge(usize),
    #[error("the body must be plain UTF-8: neither compressed nor in another charset")]
    UnsupportedBody,
    #[error("the body did not arrive in time")]
    BodyTimeout,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) | Self::Store(StoreError::Corrupt | StoreError::NoRandomness) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::InvalidPath | Self::InvalidJson(_) | Self::IncompleteBody => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge(_) | Self::Store(StoreError::TooLarge(_)) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedBody => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Store(StoreError::Unavailable(_) | StoreError::Full) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Invalid(invalid) => invalid.name(),
            Self::NotFound => "notFound",
            Self::InvalidPath => "URIError",
            Self::InvalidJson(_) => "SyntaxError",
            Self::IncompleteBody => "BadRequestError",
            Self::BodyTooLarge(_) => "PayloadTooLargeError",
            Self::UnsupportedBody => "UnsupportedMediaTypeError",
            Self::BodyTimeout => "RequestTimeoutError",
            Self::Store(StoreError::Unavailable(_)) => "storeUnavailable",
            Self::Store(error) => error.cause(),
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    name: &'a str,
    message: &'a str,
}

/// The body of every error, with this status.
pub fn error_response(status: StatusCode, name: &str, message: &str) -> Response {
    response::json(status, &Body { name, message })
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut answer = error_response(status, self.name(), &self.to_string());
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer
    }
}
