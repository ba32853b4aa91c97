//! `/livez`: the process alone. `/readyz`: whether sessions can be created and changed here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use tokio::sync::Mutex;

use super::{Api, response};
use crate::metrics::MeteredStore;
use crate::store::StoreError;

/// Probes within this time share one check, so that many probes write little to the store.
const REUSE: Duration = Duration::from_millis(100);

/// The last check of the store.
#[derive(Default)]
pub struct Readiness(Mutex<Option<Check>>);

struct Check {
    at: Instant,
    outcome: Result<(), StoreError>,
}

impl Readiness {
    /// Concurrent callers wait for the same check.
    async fn check(&self, store: &MeteredStore) -> Result<(), StoreError> {
        let mut last = self.0.lock().await;
        if let Some(check) = last.as_ref().filter(|check| check.at.elapsed() < REUSE) {
            return check.outcome;
        }
        let outcome = store.ready().await;
        *last = Some(Check { at: Instant::now(), outcome });
        outcome
    }
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(flatten)]
    problem: Option<Problem>,
}

#[derive(Serialize)]
struct Problem {
    cause: &'static str,
    message: String,
}

pub async fn livez() -> Response {
    answer(StatusCode::OK, &Health { status: "alive", problem: None })
}

pub async fn readyz(State(api): State<Arc<Api>>) -> Response {
    match problem(&api).await {
        None => answer(StatusCode::OK, &Health { status: "ready", problem: None }),
        problem => answer(StatusCode::SERVICE_UNAVAILABLE, &Health { status: "unready", problem }),
    }
}

async fn problem(api: &Api) -> Option<Problem> {
    if api.drain.is_draining() {
        return Some(Problem { cause: "draining", message: "the service is stopping".to_owned() });
    }
    let error = api.readiness.check(&api.store).await.err()?;
    let message = match error {
        StoreError::Unavailable(cause) => cause.explanation().to_owned(),
        _ => error.to_string(),
    };
    Some(Problem { cause: error.cause(), message })
}

fn answer(status: StatusCode, health: &Health) -> Response {
    let mut answer = response::json(status, health);
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
