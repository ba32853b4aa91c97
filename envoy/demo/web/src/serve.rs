//! Serving until SIGTERM or SIGINT, with graceful shutdown.

use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// For requests in flight to finish after the signal. Docker sends SIGKILL after ten seconds.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a service cannot serve.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error("cannot wait for SIGTERM and SIGINT: {0}")]
    Signals(io::Error),
    #[error("cannot listen on {address}: {problem}; end what listens there, or choose another with --listen")]
    Listen { address: SocketAddr, problem: io::Error },
    #[error("cannot serve any longer: {0}")]
    Serve(io::Error),
}

/// Writes where it listens to stdout, serves until SIGTERM or SIGINT, and then answers the requests in flight.
///
/// The line is `{name} listens on {address}`.
pub async fn serve(name: &str, address: SocketAddr, app: Router) -> Result<(), ServeError> {
    // Before the line on stdout: a program that waits for it may send a signal right after it.
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let listener = TcpListener::bind(address).await.map_err(|problem| ServeError::Listen { address, problem })?;
    let bound = listener.local_addr().map_err(|problem| ServeError::Listen { address, problem })?;
    println!("{name} listens on {bound}");

    let (sender, shutdown_started) = oneshot::channel();
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // The receiver is gone only if serving has ended.
        let _ = sender.send(());
    };
    // Small messages of a WebSocket are sent at once.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let serving =
        axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).with_graceful_shutdown(shutdown);
    tokio::select! {
        ended = serving.into_future() => ended.map_err(ServeError::Serve),
        () = shutdown_timeout(shutdown_started) => Ok(()),
    }
}

async fn shutdown_timeout(shutdown_started: oneshot::Receiver<()>) {
    match shutdown_started.await {
        Ok(()) => tokio::time::sleep(SHUTDOWN_TIMEOUT).await,
        // Serving has ended, and its future returns.
        Err(_) => std::future::pending().await,
    }
}
