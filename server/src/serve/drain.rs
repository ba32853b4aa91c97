//! Draining: what happens between the signal to stop and the last answer.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Serving,
    /// Requests are still accepted, and every answer closes its connection, so that clients go elsewhere.
    Draining,
    /// No connection and no request is accepted.
    Stopping,
}

/// How far this process is on its way to its end. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Drain(watch::Sender<Phase>);

impl Drain {
    /// Whether the process was told to stop. It may still accept requests.
    pub fn is_draining(&self) -> bool {
        *self.0.borrow() != Phase::Serving
    }

    /// Waits until no more requests are to be accepted.
    pub async fn stopping(&self) {
        // Fails only if the sender is gone, and `self` has it.
        let _ = self.0.subscribe().wait_for(|phase| *phase == Phase::Stopping).await;
    }

    /// On SIGTERM, drains for `delay`, which a second signal ends, and stops. On SIGINT, stops: somebody waits at a
    /// terminal.
    pub async fn follow(self, mut signals: Signals, delay: Duration) {
        let delay = tokio::select! {
            _ = signals.terminate.recv() => delay,
            _ = signals.interrupt.recv() => Duration::ZERO,
        };
        self.0.send_replace(Phase::Draining);
        if !delay.is_zero() {
            tracing::info!(seconds = delay.as_secs(), "draining: requests are accepted until the delay ends");
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                _ = signals.terminate.recv() => {}
                _ = signals.interrupt.recv() => {}
            }
        }
        tracing::info!("stopping: requests in flight are answered first");
        self.0.send_replace(Phase::Stopping);
    }
}

/// The signals that end the process, received from now on.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }
}
