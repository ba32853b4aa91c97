//! Serving: listeners, connections and their limits, TLS, graceful shutdown.

mod capacity;
mod connection;
mod drain;
mod full;
mod listener;
pub mod tls;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tower::Service;

pub use self::capacity::{Capacity, raise_open_files};
pub use self::drain::{Drain, Signals};
use self::listener::Accepted;
pub use self::listener::{Address, Listener};
use crate::metrics::Metrics;

/// If no client connects for so long, none waits to be accepted.
const QUIET_TIME: Duration = Duration::from_millis(10);

/// For clients that wait to be accepted when the service stops.
const LINGER_TIME: Duration = Duration::from_millis(200);

/// What a listener serves. Not a [`Router`], since each router around another one costs allocations a request.
pub trait App:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> App for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

/// Limits on connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub capacity: Capacity,
    /// For a TLS handshake, for the head of a request to arrive, and for an idle connection to stay open.
    pub head_timeout: Duration,
    /// For a client to accept the next bytes of its response.
    pub write_timeout: Duration,
    /// For requests in flight to finish after the service has stopped accepting.
    pub shutdown_timeout: Duration,
}

/// Serves until `drain` stops, then waits for the requests in flight, at most for the shutdown timeout.
pub async fn serve(listener: Listener, app: impl App, limits: Limits, drain: Drain, metrics: Arc<Metrics>) {
    let connections = Connections {
        full: full::router(app.clone()),
        app,
        limits,
        drain: drain.clone(),
        metrics,
        places: Arc::new(Semaphore::new(limits.capacity.connections)),
        refusals: Arc::new(Semaphore::new(limits.capacity.refusals)),
        open: TaskTracker::new(),
    };
    let mut stopping = std::pin::pin!(drain.stopping());
    loop {
        tokio::select! {
            accepted = listener.accept() => connections.admit(accepted),
            () = &mut stopping => break,
        }
    }
    // Clients that wait to be accepted would see a reset.
    let accept_waiting = async {
        while let Ok(accepted) = tokio::time::timeout(QUIET_TIME, listener.accept()).await {
            connections.admit(accepted);
        }
    };
    // Fails while clients that do not heed the drain go on to connect.
    let _ = tokio::time::timeout(LINGER_TIME, accept_waiting).await;
    drop(listener);
    connections.finish().await;
}

/// The connections of one listener.
struct Connections<A> {
    app: A,
    /// For connections beyond the limit.
    full: Router,
    limits: Limits,
    drain: Drain,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    open: TaskTracker,
}

impl<A: App> Connections<A> {
    /// Serves the connection; beyond the limit, answers 503; beyond the limit of those, closes it.
    fn admit(&self, accepted: Accepted) {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            let serving = connection::serve(accepted, self.app.clone(), self.limits, self.drain.clone());
            let counted = self.metrics.connection_opened();
            self.open.spawn(async move {
                serving.await;
                drop((place, counted));
            });
            return;
        }
        self.metrics.connection_refused();
        if let Ok(refusal) = Arc::clone(&self.refusals).try_acquire_owned() {
            let refusing = connection::serve(accepted, self.full.clone(), self.limits, self.drain.clone());
            self.open.spawn(async move {
                // Fails if the client is too slow, and then the connection is closed.
                let _ = tokio::time::timeout(full::TIME_LIMIT, refusing).await;
                drop(refusal);
            });
        }
    }

    async fn finish(self) {
        self.open.close();
        if tokio::time::timeout(self.limits.shutdown_timeout, self.open.wait()).await.is_err() {
            tracing::warn!(grace_seconds = self.limits.shutdown_timeout.as_secs(), "stopped with requests in flight");
        }
    }
}
