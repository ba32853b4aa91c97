//! What each request leaves behind: its metrics, a line in the log, and a warning if it was slow.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

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

/// Observes the requests of one route. By hand, because axum's middleware costs several allocations a request.
#[derive(Clone)]
pub struct Observe(pub Arc<Telemetry>);

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed { inner, route: Arc::clone(&self.0) }
    }
}

/// A service whose requests are observed.
#[derive(Clone)]
pub struct Observed<S> {
    inner: S,
    route: Arc<Telemetry>,
}

impl<S: Service<Request, Response = Response>> Service<Request> for Observed<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = Observing<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Observing<S::Future> {
        let observation = Observation::begin(request.method(), request.headers());
        Observing { answer: self.inner.call(request), observation, route: Arc::clone(&self.route) }
    }
}

pin_project! {
    /// The answer to come to a request that is observed.
    pub struct Observing<F> {
        #[pin]
        answer: F,
        observation: Observation,
        route: Arc<Telemetry>,
    }
}

impl<F: Future<Output = Result<Response, E>>, E> Future for Observing<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(context));
        if let Ok(response) = &answer {
            this.route.answered(this.observation, response.status());
        }
        Poll::Ready(answer)
    }
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
