//! The requests of one route.

use std::time::Duration;

use axum::http::StatusCode;
use prometheus::{Histogram, IntCounter, IntCounterVec};

use super::Metrics;

/// The counters of one route, looked up once, because every request passes them.
pub struct RouteMetrics {
    pattern: &'static str,
    seconds: Histogram,
    ok: IntCounter,
    requests: IntCounterVec,
}

impl RouteMetrics {
    pub(super) fn new(metrics: &Metrics, pattern: &'static str) -> Self {
        Self {
            pattern,
            seconds: metrics.request_seconds.with_label_values(&[pattern]),
            ok: metrics.requests.with_label_values(&[pattern, StatusCode::OK.as_str()]),
            requests: metrics.requests.clone(),
        }
    }

    pub fn pattern(&self) -> &'static str {
        self.pattern
    }

    pub fn answered(&self, status: StatusCode, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        if status == StatusCode::OK {
            self.ok.inc();
        } else {
            self.requests.with_label_values(&[self.pattern, status.as_str()]).inc();
        }
    }
}
