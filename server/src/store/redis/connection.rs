//! The connection to Redis: one, shared by all requests, made again when it breaks, and never waited for without end.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult};

use crate::store::StoreError;

pub struct ConnectionManager {
    client: Client,
    timeout: Duration,
    current: Mutex<Slot>,
    /// Held while connecting, so that a hundred waiting requests make one connection.
    connecting: tokio::sync::Mutex<()>,
    unavailable: AtomicBool,
}

#[derive(Default)]
struct Slot {
    generation: u64,
    connection: Option<MultiplexedConnection>,
}

impl ConnectionManager {
    pub fn new(client: Client, timeout: Duration) -> Self {
        Self {
            client,
            timeout,
            current: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            unavailable: AtomicBool::new(false),
        }
    }

    /// Runs `work`, which must be safe to run twice: where the connection turns out to be broken, it is run once more
    /// on a new one, all within the time limit.
    pub async fn call<T, F, R>(&self, work: F) -> Result<T, StoreError>
    where
        F: Fn(MultiplexedConnection) -> R,
        R: Future<Output = RedisResult<T>>,
    {
        let used = AtomicU64::new(0);
        match tokio::time::timeout(self.timeout, self.attempt(&work, &used)).await {
            Ok(Ok(value)) => {
                if self.unavailable.swap(false, Ordering::Relaxed) {
                    tracing::info!("redis answers again");
                }
                Ok(value)
            }
            Ok(Err(error)) => {
                self.log_failure(&describe(&error));
                Err(StoreError::Unavailable)
            }
            Err(_) => {
                // Nobody can tell a slow connection from a dead one, so the next request gets another.
                self.discard(used.load(Ordering::Relaxed));
                self.log_failure("no answer in time");
                Err(StoreError::Unavailable)
            }
        }
    }

    async fn attempt<T, F, R>(&self, work: &F, used: &AtomicU64) -> RedisResult<T>
    where
        F: Fn(MultiplexedConnection) -> R,
        R: Future<Output = RedisResult<T>>,
    {
        let (generation, connection) = self.connection().await?;
        used.store(generation, Ordering::Relaxed);
        match work(connection).await {
            Err(error) if error.is_unrecoverable_error() => {
                self.discard(generation);
                let (generation, connection) = self.connection().await?;
                used.store(generation, Ordering::Relaxed);
                work(connection).await
            }
            outcome => outcome,
        }
    }

    async fn connection(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        if let Some(open) = self.open() {
            return Ok(open);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(open) = self.open() {
            return Ok(open);
        }
        // The time limit is `call`'s, for connecting and asking together.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut slot = self.slot();
        slot.generation = slot.generation.wrapping_add(1);
        slot.connection = Some(connection.clone());
        Ok((slot.generation, connection))
    }

    fn open(&self) -> Option<(u64, MultiplexedConnection)> {
        let slot = self.slot();
        slot.connection.clone().map(|connection| (slot.generation, connection))
    }

    /// Lets go of the connection of that generation; a newer one stays.
    fn discard(&self, generation: u64) {
        let mut slot = self.slot();
        if slot.generation == generation {
            slot.connection = None;
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first failure is said aloud, those after it quietly, until Redis answers again.
    fn log_failure(&self, cause: &str) {
        if self.unavailable.swap(true, Ordering::Relaxed) {
            tracing::debug!(cause, "redis fails still");
        } else {
            tracing::warn!(cause, "redis fails; requests are answered 503 until it is back");
        }
    }
}

/// Errors of the network in full. Of Redis' own only the code: their text may quote what was sent.
fn describe(error: &RedisError) -> String {
    match error.code() {
        Some(code) => format!("redis refused the command: {code}"),
        None if error.is_io_error() => error.to_string(),
        None => error.category().to_owned(),
    }
}
