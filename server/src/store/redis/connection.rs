//! One connection to Redis, shared by all requests: replaced when it breaks, every use bounded by a timeout.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult};

use crate::store::{Cause, StoreError};

/// Opens the connection with the first call, and a new one after a failure of the connection or a timeout.
pub struct ConnectionManager {
    client: Client,
    timeout: Duration,
    current: Mutex<Slot>,
    /// Held while connecting, so that concurrent requests open one connection.
    connecting: tokio::sync::Mutex<()>,
    /// Whether the last call failed.
    unavailable: AtomicBool,
}

/// The open connection. `generation` is its number, counted from 1.
#[derive(Default)]
struct Slot {
    generation: u64,
    connection: Option<MultiplexedConnection>,
}

impl ConnectionManager {
    /// `timeout` bounds each call.
    pub fn new(client: Client, timeout: Duration) -> Self {
        Self {
            client,
            timeout,
            current: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            unavailable: AtomicBool::new(false),
        }
    }

    /// Runs `work`, which has to be safe to run twice: if the connection is broken, it runs once more on a new one. The
    /// timeout covers connecting and both runs.
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
                Err(StoreError::Unavailable(Cause::Other))
            }
            Err(_) => {
                // A slow connection and a dead one look the same: the next request gets a new one.
                self.discard(used.load(Ordering::Relaxed));
                self.log_failure("no answer in time");
                Err(StoreError::Unavailable(Cause::Timeout))
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
        // `call` has the timeout, for connecting and the command together.
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

    /// Drops the connection of this generation; keeps a newer one.
    fn discard(&self, generation: u64) {
        let mut slot = self.slot();
        if slot.generation == generation {
            slot.connection = None;
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs the first failure as a warning, and later ones at debug until Redis answers again.
    fn log_failure(&self, cause: &str) {
        if self.unavailable.swap(true, Ordering::Relaxed) {
            tracing::debug!(cause, "redis still fails");
        } else {
            tracing::warn!(cause, "redis fails; requests are answered 503 until it is back");
        }
    }
}

/// The text of a network error; only the code of an error reply, whose text may quote the command.
fn describe(error: &RedisError) -> String {
    match error.code() {
        Some(code) => format!("redis refused the command: {code}"),
        None if error.is_io_error() => error.to_string(),
        None => error.category().to_owned(),
    }
}
