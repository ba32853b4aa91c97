//! What each request leaves behind: its metrics, a line in the log, and a warning if it was slow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::ids::RequestIds;
use crate::metrics::RouteMetrics;
use crate::throttle::Throttle;

/// What the requests of one route share.
pub struct Telemetry {
    metrics: RouteMetrics,
    /// A request that took so long is slow; `None` if none is.
    slow: Option<Duration>,
    throttle: Throttle<()>,
}

/// A request that is being answered.
pub struct Observation {
    method: &'static str,
    ids: RequestIds,
    began: Instant,
}

impl Observation {
    pub fn begin(method: &Method, headers: &HeaderMap) -> Self {
        Self { method: method_name(method), ids: RequestIds::of(headers), began: Instant::now() }
    }
}

/// Measures the requests of one route.
pub async fn observe(State(route): State<Arc<Telemetry>>, request: Request, next: Next) -> Response {
    let observation = Observation::begin(request.method(), request.headers());
    let response = next.run(request).await;
    route.answered(&observation, response.status());
    response
}

impl Telemetry {
    pub fn new(metrics: RouteMetrics, slow: Option<Duration>) -> Self {
        Self { metrics, slow, throttle: Throttle::default() }
    }

    /// Logs the pattern of the route instead of the path, which contains the token.
    pub fn answered(&self, Observation { method, ids, began }: &Observation, status: StatusCode) {
        let took = began.elapsed();
        self.metrics.answered(status, took);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        // A store that fails is slow, too, and is logged by its cause.
        let is_slow = status != StatusCode::SERVICE_UNAVAILABLE && self.slow.is_some_and(|limit| took >= limit);
        let (route, status) = (self.metrics.pattern(), status.as_u16());
        if let Some(suppressed) = is_slow.then(|| self.throttle.permit(())).flatten() {
            let (request_id, trace_id) = (ids.request_id(), ids.trace_id());
            tracing::warn!(%method, route, status, micros, request_id, trace_id, suppressed, "slow request");
        } else if tracing::enabled!(tracing::Level::DEBUG) {
            let (request_id, trace_id) = (ids.request_id(), ids.trace_id());
            tracing::debug!(%method, route, status, micros, request_id, trace_id, "request");
        }
    }
}

/// A client may choose any text as a method.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
