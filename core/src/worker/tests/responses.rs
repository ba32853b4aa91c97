//! Responses of rest-sessions, and the lack of one.

use serde_json::{Value, json};

use crate::rest_sessions::response::{Body, CalloutResponse};

/// What becomes of a call.
#[derive(Clone, Debug)]
pub enum Response {
    /// Status 200 with this body.
    Json(Value),
    /// As `Json`, by a service that has judged the idle time by so many seconds.
    Judged(u64, Value),
    /// This status of rest-sessions.
    Status(u16),
    /// Status 200 with a body that is too large.
    TooLarge,
    /// Envoy gave up after the call's timeout.
    Timeout,
    Reset,
    /// Envoy refuses to dispatch the call.
    NotDispatched,
    /// As many calls as may be are in flight already, so none is made.
    Busy,
}

impl Response {
    pub fn callout_response(&self) -> CalloutResponse {
        let complete =
            |status, from_service, body| CalloutResponse::Complete { status, from_service, max_idle_s: None, body };
        let read = |body: &[u8]| Body::Read(body.to_vec());
        match self {
            Self::Judged(max_idle_s, value) => CalloutResponse::Complete {
                status: 200,
                from_service: true,
                max_idle_s: Some(*max_idle_s),
                body: read(value.to_string().as_bytes()),
            },
            Self::Json(value) => complete(200, true, read(value.to_string().as_bytes())),
            Self::Status(status) => complete(*status, true, read(b"")),
            Self::TooLarge => complete(200, true, Body::TooLarge),
            Self::Timeout => complete(504, false, read(b"")),
            Self::Reset => CalloutResponse::Reset,
            Self::NotDispatched | Self::Busy => panic!("{self:?} is no response"),
        }
    }
}

/// A session of `user123` without data.
pub fn session() -> Response {
    Response::Json(json!({"id": "user123", "ttl": 7200}))
}

/// A session of `user123` with this data.
pub fn session_with(data: Value) -> Response {
    Response::Json(json!({"id": "user123", "ttl": 7200, "d": data}))
}

/// There is no session.
pub fn none() -> Response {
    Response::Json(json!({}))
}

/// The response to a kill.
pub fn killed(existed: bool) -> Response {
    Response::Json(json!({"kill": u8::from(existed)}))
}
