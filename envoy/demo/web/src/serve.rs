//! Listening until told to end, and ending without cutting anybody off.

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

/// For requests under way once the service is told to end; docker kills after ten seconds.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Debug, Error)]
pub enum ServeError {
    #[error("cannot wait for SIGTERM and SIGINT: {0}")]
    Signals(io::Error),
    #[error("cannot listen on {address}: {problem}; end what listens there, or choose another with --listen")]
    Listen { address: SocketAddr, problem: io::Error },
    #[error("cannot serve any longer: {0}")]
    Serve(io::Error),
}

/// Says where it listens, serves until SIGTERM or SIGINT, and then answers what is under way.
pub async fn serve(name: &str, address: SocketAddr, app: Router) -> Result<(), ServeError> {
    // Before it says that it listens: whoever waits for that line may signal from then on.
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let listener = TcpListener::bind(address).await.map_err(|problem| ServeError::Listen { address, problem })?;
    let bound = listener.local_addr().map_err(|problem| ServeError::Listen { address, problem })?;
    println!("{name} listens on {bound}");

    let (tell, told) = oneshot::channel();
    let asked_to_end = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Nobody listens only where serving has ended already.
        let _ = tell.send(());
    };
    // A tick of a WebSocket is small, and should not wait for more to be sent along.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let serving = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(asked_to_end);
    tokio::select! {
        ended = serving.into_future() => ended.map_err(ServeError::Serve),
        () = grace_is_over(told) => Ok(()),
    }
}

async fn grace_is_over(told: oneshot::Receiver<()>) {
    match told.await {
        Ok(()) => tokio::time::sleep(GRACE).await,
        // Serving has ended, and is about to say so.
        Err(_) => std::future::pending().await,
    }
}
