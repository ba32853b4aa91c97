//! Listening: bounded in connections, header sizes and slow clients, and ending without cutting anybody off.

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

/// The size of a request's line and headers together.
const MAX_HEAD: usize = 64 * 1024;

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub max_connections: usize,
    /// For a request's head to arrive, and for an idle connection to stay.
    pub head_timeout: Duration,
    /// For a client to take in a piece of its answer.
    pub write_timeout: Duration,
    /// For requests under way once the service is told to stop.
    pub shutdown_timeout: Duration,
}

/// Serves until `shutdown` is ready and what is under way has been answered, or the grace is over.
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
        tracing::warn!(grace_seconds = limits.shutdown_timeout.as_secs(), "stopped with requests still under way");
    }
}

type Permit = tokio::sync::OwnedSemaphorePermit;

/// `None` only if the semaphore were closed, which nobody does.
async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> Option<(TcpStream, Permit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Some((stream, permit)),
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                // Out of file descriptors, for one: some will be given back, and a busy loop would not help.
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
        tracing::trace!(%error, "small answers may be delayed");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write_timeout));
    hyper::server::conn::http1::Builder::new()
        // A client that closes its sending side still gets its answer, and a killall does not stop halfway.
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(app))
}
