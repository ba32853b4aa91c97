//! Who may call, by which name of this service, and what: checked before the router sees a request.

mod callers;
mod certificate;
mod host;
mod secret;
mod target;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use thiserror::Error;

pub use self::callers::{AccessFiles, Callers};
pub use self::certificate::ClientCertificate;
pub use self::host::{AllowedHosts, HostPattern};
use self::target::Target;
use crate::api::error_response;
use crate::reload::Current;

/// What is checked before the router sees a request.
pub struct Guard {
    /// `None` allows every host: a page in a browser cannot open a Unix socket.
    pub hosts: Option<AllowedHosts>,
    /// `None` lets everybody call who can connect.
    pub callers: Option<Current<Callers>>,
}

/// Why a request is refused. The messages are part of the wire contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("the Host of the request is not one of this service")]
    Misdirected,
    #[error("the request has no secret or certificate of a known caller")]
    Unauthorized,
    #[error("the caller may not do this in this app")]
    Forbidden,
}

/// Checks each request before `app` sees it.
pub fn guard(app: Router, guard: Guard) -> Router {
    app.layer(from_fn_with_state(Arc::new(guard), check))
}

async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    if let Err(refusal) = guard.check(&parts) {
        tracing::debug!(method = %parts.method, %refusal, "a request is refused");
        return refusal.into_response();
    }
    // Nothing behind this needs the secret, so nothing can log it.
    parts.headers.remove(header::AUTHORIZATION);
    next.run(Request::from_parts(parts, body)).await
}

impl Guard {
    fn check(&self, request: &Parts) -> Result<(), Refusal> {
        let target = Target::of(request.uri.path());
        if target == Target::Health {
            return Ok(());
        }
        if self.hosts.as_ref().is_some_and(|hosts| !hosts.allow(request)) {
            return Err(Refusal::Misdirected);
        }
        self.callers.as_ref().map_or(Ok(()), |callers| callers.borrow().check(request, &target))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, name) = match self {
            Self::Misdirected => (StatusCode::MISDIRECTED_REQUEST, "misdirectedRequest"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
        };
        let mut answer = error_response(status, name, &self.to_string());
        if self == Self::Unauthorized {
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer
    }
}
