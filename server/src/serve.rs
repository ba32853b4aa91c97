//! Connections: limits on their number, on header sizes and on slow clients, and graceful shutdown.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;

/// Bytes of a request line and its headers.
const MAX_HEAD: usize = 64 * 1024;

/// Limits on connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at the same time. Further ones stay in the listen backlog.
    pub max_connections: usize,
    /// For the head of a request to arrive, and for an idle connection to stay open.
    pub head_timeout: Duration,
    /// For a client to accept the next bytes of its response.
    pub write_timeout: Duration,
    /// For requests in flight to finish after `shutdown`.
    pub shutdown_timeout: Duration,
}

/// Serves until `shutdown` completes, then waits for the requests in flight, at most for the shutdown timeout.
pub async fn serve(listener: TcpListener, app: Router, limits: Limits, shutdown: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(limits.max_connections));
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            () = &mut shutdown => break,
        };
        let Some((stream, permit)) = accepted else { break };
        let connection = graceful.watch(connection(stream, app.clone(), limits));
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = connection.await {
                tracing::trace!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.shutdown_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!(grace_seconds = limits.shutdown_timeout.as_secs(), "stopped with requests in flight");
    }
}

type Permit = tokio::sync::OwnedSemaphorePermit;

/// Waits for a permit, then for a connection. `None` only if the semaphore is closed, which does not happen.
async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> Option<(TcpStream, Permit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Some((stream, permit)),
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                // Out of file descriptors, for example: waits for some to be closed instead of looping.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

type Io = TokioIo<std::pin::Pin<Box<TimeoutStream<TcpStream>>>>;

fn connection(
    stream: TcpStream,
    app: Router,
    limits: Limits,
) -> hyper::server::conn::http1::Connection<Io, TowerToHyperService<Router>> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::trace!(%error, "TCP_NODELAY is not set; small responses may be delayed");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write_timeout));
    hyper::server::conn::http1::Builder::new()
        // A client that closes its sending side still gets its response, and a killall does not stop halfway.
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(app))
}
