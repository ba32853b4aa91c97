//! Who may call, by which name of this service, and what: checked before the router sees a request.

mod callers;
mod certificate;
mod host;
mod secret;
mod target;

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::Either;
use thiserror::Error;
use tower::Service;

pub use self::callers::{AccessFiles, Callers};
pub use self::certificate::ClientCertificate;
pub use self::host::{AllowedHosts, HostPattern};
use self::target::Target;
use crate::api::{Observation, Telemetry, error_response};
use crate::metrics::Metrics;
use crate::reload::Current;

/// The route of refused requests, in metrics and logs.
const REFUSED: &str = "refused";

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
pub fn guard<S>(app: S, guard: Guard, metrics: &Metrics) -> Guarded<S> {
    let checks = Checks { guard, refused: Telemetry::new(metrics.route(REFUSED), None) };
    Guarded { app, checks: Arc::new(checks) }
}

struct Checks {
    guard: Guard,
    refused: Telemetry,
}

/// A service behind the checks. By hand, because axum's middleware costs several allocations a request.
#[derive(Clone)]
pub struct Guarded<S> {
    app: S,
    checks: Arc<Checks>,
}

impl<S: Service<Request, Response = Response>> Service<Request> for Guarded<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.app.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        match self.checks.guard.check(&request) {
            Ok(()) => {
                // Nothing behind this needs the secret, so nothing can log it.
                request.headers_mut().remove(header::AUTHORIZATION);
                Either::Left(self.app.call(request))
            }
            Err(refusal) => {
                let answer = refusal.into_response();
                let observation = Observation::begin(request.method(), request.headers());
                self.checks.refused.answered(&observation, answer.status());
                Either::Right(ready(Ok(answer)))
            }
        }
    }
}

impl Guard {
    fn check(&self, request: &Request) -> Result<(), Refusal> {
        let target = Target::of(request.uri().path());
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
