//! What each request leaves behind: its metrics, a line in the log, and a warning if it was slow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
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

/// Measures the requests of one route.
pub async fn observe(State(route): State<Arc<Telemetry>>, request: Request, next: Next) -> Response {
    let method = method_name(request.method());
    let ids = RequestIds::of(request.headers());
    let began = Instant::now();
    let response = next.run(request).await;
    route.answered(method, &ids, response.status(), began.elapsed());
    response
}

impl Telemetry {
    pub fn new(metrics: RouteMetrics, slow: Option<Duration>) -> Self {
        Self { metrics, slow, throttle: Throttle::default() }
    }

    /// Logs the pattern of the route instead of the path, which contains the token.
    fn answered(&self, method: &'static str, ids: &RequestIds, status: StatusCode, took: Duration) {
        self.metrics.answered(status, took);
        let (route, status) = (self.metrics.pattern(), status.as_u16());
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let is_slow = self.slow.is_some_and(|limit| took >= limit);
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
