//! Reads a JSON body, bounded in size and time.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde_json::value::RawValue;

use super::{Api, ApiError};

const MAX_BODY: usize = 60_000;
/// How much of a body that is too large is read and dropped. If a connection closes with unread bytes, the client may
/// receive a reset instead of the response.
const MAX_DRAINED: usize = 1 << 20;

/// The JSON text of the body; `None` if the body is empty or its content type is not JSON.
pub struct JsonBody(pub Option<Box<RawValue>>);

impl FromRequest<Arc<Api>> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        if !declared_json(&parts.headers)? {
            return Ok(Self(None));
        }
        let bytes =
            tokio::time::timeout(api.timing.body_timeout, read(body)).await.map_err(|_| ApiError::BodyTimeout)??;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        let value: Box<RawValue> =
            serde_json::from_slice(&bytes).map_err(|error| ApiError::InvalidJson(error.to_string()))?;
        if !value.get().starts_with(['{', '[']) {
            return Err(ApiError::InvalidJson("it holds a single value".to_owned()));
        }
        Ok(Self(Some(value)))
    }
}

fn declared_json(headers: &HeaderMap) -> Result<bool, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Ok(false);
    }
    let charset = parts
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("charset"))
        .map_or("utf-8", |(_, value)| value.trim_matches('"'));
    let encoding = headers.get(header::CONTENT_ENCODING).map_or(&b"identity"[..], |value| value.as_bytes());
    if charset.eq_ignore_ascii_case("utf-8") && encoding.eq_ignore_ascii_case(b"identity") {
        Ok(true)
    } else {
        Err(ApiError::UnsupportedBody)
    }
}

async fn read(mut body: Body) -> Result<Bytes, ApiError> {
    let mut kept = BytesMut::new();
    let mut seen = 0usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| ApiError::IncompleteBody)?.into_data() else {
            continue;
        };
        seen = seen.saturating_add(data.len());
        if seen > MAX_DRAINED {
            break;
        }
        if seen <= MAX_BODY {
            kept.extend_from_slice(&data);
        }
    }
    if seen > MAX_BODY { Err(ApiError::BodyTooLarge(MAX_BODY)) } else { Ok(kept.freeze()) }
}
