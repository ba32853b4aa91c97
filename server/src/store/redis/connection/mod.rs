//! The connection to Redis, shared by all requests: opened when it is needed, replaced when it does not serve any more.
//! Every use is bounded in time.

mod connector;
mod failure;

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::RedisResult;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

pub use self::connector::{Connection, Connector, CredentialFiles};
pub use self::failure::refuses_writes;
use self::failure::{Failure, Remedy, describe};
use crate::store::{Cause, StoreError};
use crate::throttle::Throttle;

/// For a new connection to open. Longer than a request waits: the next ones use it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Before a command is repeated on the same connection.
const RETRY_DELAY: Duration = Duration::from_millis(10);
/// Between attempts to connect, doubled with each up to the longest, which is below the time that a request waits.
const FIRST_DELAY: Duration = Duration::from_millis(20);
const LONGEST_DELAY: Duration = Duration::from_millis(200);

/// Attempts to connect after which an outage is no short one: requests then wait for one attempt alone.
const PATIENT_ATTEMPTS: u32 = 6;

/// How an operation is meant to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It writes. While the server refuses writes, it waits for another one.
    Write,
    /// It writes, and the caller can do without. A server that still refuses writes after the connection was replaced is
    /// told at once.
    OptionalWrite,
    /// It reads.
    Read,
}

/// Keeps the connection.
pub struct ConnectionManager {
    shared: Arc<Shared>,
    timeout: Duration,
}

struct Shared {
    connector: Connector,
    state: watch::Sender<State>,
    /// Whether a task opens a connection.
    connecting: Mutex<bool>,
    /// Attempts to replace the connection since a command that writes succeeded.
    attempts: AtomicU32,
    /// Whether a command failed since one that writes succeeded.
    failing: AtomicBool,
    log: Throttle<Line>,
}

/// The connection in use. `generation` is its number, counted from 1.
#[derive(Default)]
struct State {
    generation: u64,
    connection: Option<Connection>,
    /// Attempts to connect that failed.
    failures: u64,
    /// Why the last one failed.
    error: Option<StoreError>,
}

/// The lines that are logged at most once a second.
#[derive(PartialEq, Eq, Hash)]
enum Line {
    Failure(&'static str),
    Recovery,
}

impl ConnectionManager {
    /// `timeout` bounds each operation.
    pub fn new(connector: Connector, timeout: Duration) -> Self {
        let shared = Shared {
            connector,
            state: watch::Sender::default(),
            connecting: Mutex::default(),
            attempts: AtomicU32::new(0),
            failing: AtomicBool::new(false),
            log: Throttle::default(),
        };
        Self { shared: Arc::new(shared), timeout }
    }

    /// When an operation that begins now has to end.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Runs `work`, and repeats it where a retry can succeed. The second argument of `work` is true if an earlier run may
    /// have been executed, because its answer was lost. Then `work` must not apply its effect twice.
    pub async fn run<T, F, R>(&self, kind: Kind, deadline: Instant, work: F) -> Result<T, StoreError>
    where
        F: Fn(Connection, bool) -> R,
        R: Future<Output = RedisResult<T>>,
    {
        let shared = &self.shared;
        let mut repeated = false;
        let mut after = 0;
        let mut failure = None;
        loop {
            let (generation, connection) = match timeout_at(deadline, shared.connection(after)).await {
                Ok(Ok(current)) => current,
                Ok(Err(error)) => return Err(shared.failed(told(error, kind, repeated), "no connection")),
                Err(_) => {
                    let error = failure.or(shared.state.borrow().error);
                    let error = error.unwrap_or(StoreError::Unavailable(Cause::Timeout));
                    return Err(shared.failed(told(error, kind, repeated), "no connection in time"));
                }
            };
            let error = match timeout_at(deadline, work(connection, repeated)).await {
                Ok(Ok(value)) => {
                    shared.succeeded(kind);
                    return Ok(value);
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    // A slow connection and a dead one look the same: the next request gets a new one.
                    shared.discard(generation);
                    return Err(shared.failed(StoreError::Unavailable(Cause::Timeout), "no answer in time"));
                }
            };
            let found = Failure::of(&error, shared.connector.is_cluster());
            failure = Some(found.error);
            match found.remedy {
                Remedy::None => return Err(shared.failed(told(found.error, kind, repeated), &describe(&error))),
                Remedy::Reconnect if kind == Kind::OptionalWrite && shared.attempts.load(Ordering::Relaxed) > 0 => {
                    shared.replace(generation);
                    return Err(shared.failed(found.error, &describe(&error)));
                }
                Remedy::Reconnect => {
                    shared.replace(generation);
                    after = generation;
                }
                Remedy::Replace => {
                    repeated = true;
                    if shared.connector.is_cluster() {
                        sleep(RETRY_DELAY).await;
                    } else {
                        shared.discard(generation);
                        after = generation;
                    }
                }
                Remedy::Wait => sleep(RETRY_DELAY).await,
            }
            if Instant::now() >= deadline {
                return Err(shared.failed(told(found.error, kind, repeated), &describe(&error)));
            }
        }
    }
}

/// The error to return. A write whose answer was lost once may have been executed.
fn told(error: StoreError, kind: Kind, repeated: bool) -> StoreError {
    if repeated && kind == Kind::Write { StoreError::Unavailable(Cause::UnknownOutcome) } else { error }
}

impl Shared {
    /// A connection that is newer than `after`. In an outage that lasts, fails with the next attempt to connect.
    async fn connection(self: &Arc<Self>, after: u64) -> Result<(u64, Connection), StoreError> {
        if let Some(current) = self.current(after) {
            return Ok(current);
        }
        let mut state = self.state.subscribe();
        let failures = state.borrow().failures;
        loop {
            if let Some(current) = self.current(after) {
                return Ok(current);
            }
            let patient = self.attempts.load(Ordering::Relaxed) <= PATIENT_ATTEMPTS;
            let error = Some(state.borrow_and_update()).filter(|state| state.failures > failures);
            if let Some(error) = error.and_then(|state| state.error).filter(|_| !patient) {
                return Err(error);
            }
            self.replace(after);
            // Fails only if the sender is gone, which `self` holds.
            let _ = state.changed().await;
        }
    }

    fn current(&self, after: u64) -> Option<(u64, Connection)> {
        let state = self.state.borrow();
        let connection = state.connection.as_ref().filter(|_| state.generation > after)?;
        Some((state.generation, connection.clone()))
    }

    /// Unless there is a connection newer than `after`, opens one. One task connects for all, so that a request that
    /// gives up does not interrupt it.
    fn replace(self: &Arc<Self>, after: u64) {
        let mut connecting = self.connecting();
        if !*connecting && self.current(after).is_none() {
            *connecting = true;
            tokio::spawn(connect(Attempt(Arc::downgrade(self))));
        }
    }

    /// Drops the connection of this generation; keeps a newer one.
    fn discard(self: &Arc<Self>, generation: u64) {
        self.state.send_if_modified(|state| {
            let current = state.generation == generation;
            if current {
                state.connection = None;
            }
            current
        });
        self.replace(generation);
    }

    fn connecting(&self) -> MutexGuard<'_, bool> {
        self.connecting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn succeeded(&self, kind: Kind) {
        if kind == Kind::Read {
            return;
        }
        // Nearly always there is nothing to change; a load is cheaper than a store that other cores see.
        if self.attempts.load(Ordering::Relaxed) > 0 {
            self.attempts.store(0, Ordering::Relaxed);
        }
        if self.failing.load(Ordering::Relaxed)
            && self.failing.swap(false, Ordering::Relaxed)
            && self.log.permit(Line::Recovery).is_some()
        {
            tracing::info!("redis answers again");
        }
    }

    fn failed(&self, error: StoreError, detail: &str) -> StoreError {
        self.failing.store(true, Ordering::Relaxed);
        let cause = error.cause();
        let Some(suppressed) = self.log.permit(Line::Failure(cause)) else { return error };
        if refuses_writes(error) {
            tracing::warn!(cause, detail, suppressed, "redis refuses writes; reads are answered, the rest is 503");
        } else {
            tracing::warn!(cause, detail, suppressed, "redis fails; requests are answered 503 until it is back");
        }
        error
    }

    fn connect_failed(&self, error: StoreError, detail: &str) {
        self.failed(error, detail);
        self.state.send_modify(|state| {
            state.failures = state.failures.saturating_add(1);
            state.error = Some(error);
        });
    }
}

/// The task that connects. However it ends, the next request that needs a connection may start another.
struct Attempt(Weak<Shared>);

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            *shared.connecting() = false;
        }
    }
}

/// Connects, with growing delays, until it succeeds or the manager is dropped.
async fn connect(mut task: Attempt) {
    loop {
        let Some(strong) = task.0.upgrade() else { return };
        let attempt = strong.attempts.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        drop(strong);
        sleep(delay_before(attempt)).await;
        let Some(strong) = task.0.upgrade() else { return };
        match tokio::time::timeout(CONNECT_TIMEOUT, strong.connector.connect()).await {
            Ok(Ok(connection)) => {
                // Under the lock: a task that sees no attempt running also sees the connection.
                let mut connecting = strong.connecting();
                strong.state.send_modify(|state| {
                    state.generation = state.generation.saturating_add(1);
                    state.connection = Some(connection);
                    state.error = None;
                });
                *connecting = false;
                // Another task may connect as soon as the lock is free: its mark is not this one's to remove.
                task.0 = Weak::new();
                return;
            }
            Ok(Err(error)) => {
                let failure = Failure::of(&error, strong.connector.is_cluster());
                strong.connect_failed(failure.error, &describe(&error));
            }
            Err(_) => {
                let timeout = StoreError::Unavailable(Cause::Timeout);
                strong.connect_failed(timeout, "a connection did not open in time");
            }
        }
    }
}

/// None before the first attempt; then some jitter keeps instances apart.
fn delay_before(attempt: u32) -> Duration {
    let Some(doublings) = attempt.checked_sub(2) else { return Duration::ZERO };
    let delay = FIRST_DELAY.saturating_mul(2u32.saturating_pow(doublings.min(8))).min(LONGEST_DELAY);
    let mut byte = [0u8];
    // Without randomness there is no jitter.
    let _ = getrandom::fill(&mut byte);
    let [jitter] = byte;
    delay.saturating_sub(delay.saturating_mul(u32::from(jitter % 32)) / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_attempt_is_immediate_and_the_delays_grow_to_a_fifth_of_a_second() {
        assert_eq!((delay_before(0), delay_before(1)), (Duration::ZERO, Duration::ZERO));
        for attempt in 2..100 {
            let delay = delay_before(attempt);
            let longest = FIRST_DELAY.saturating_mul(2u32.saturating_pow((attempt - 2).min(8))).min(LONGEST_DELAY);
            assert!(delay <= longest && delay >= longest * 68 / 100, "{attempt}: {delay:?}");
        }
    }
}
