//! Removes expired sessions, again and again.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::metrics::MeteredStore;

/// The first sweep comes soon: a service that restarts more often than it sweeps would never sweep.
const FIRST_DELAY: Duration = Duration::from_secs(5);

/// Sweeps until the runtime ends.
pub async fn periodically(store: MeteredStore, interval: Duration) {
    let mut ticks = interval_at(Instant::now() + FIRST_DELAY.min(interval), interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match store.sweep().await {
            Ok(swept) => tracing::debug!(swept, "swept expired sessions"),
            Err(error) => {
                tracing::warn!(cause = error.cause(), "expired sessions were not swept; the next sweep goes on");
            }
        }
    }
}
