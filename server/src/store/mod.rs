//! The stores: memory of this process, or Redis. Every operation on one session is atomic in both.

mod memory;
mod redis;

use std::sync::Arc;

use thiserror::Error;

pub use self::memory::MemoryStore;
pub use self::redis::{RedisStore, RedisUrl, RedisUrlError};
use crate::data::{Change, Data};
use crate::params::App;
use crate::session::Session;
use crate::token::Token;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StoreError {
    #[error("the session store does not answer; try again later")]
    Unavailable,
    #[error("the session store is full; try again later")]
    Full,
    #[error("the session store holds data for this session that is no JSON object")]
    Corrupt,
}

/// A session to create.
pub struct NewSession {
    pub id: String,
    pub ip: String,
    /// Seconds.
    pub ttl: i64,
    pub data: Data,
}

/// One of the two stores. Clones share it.
#[derive(Clone)]
pub enum Store {
    Memory(Arc<MemoryStore>),
    Redis(Arc<RedisStore>),
}

/// `now` and `since` are in seconds since 1970. The caller passes them: a store has no clock.
///
/// Every operation fails with [`StoreError::Unavailable`] if Redis does not answer in time.
impl Store {
    /// Fails with [`StoreError::Full`] if the memory limit is reached.
    pub async fn create(&self, app: &App, token: &Token, new: NewSession, now: i64) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => memory.create(app, token, new, now),
            Self::Redis(redis) => redis.create(app, token, new, now).await,
        }
    }

    /// Reads a session, `None` if there is none. Reading is a use: it is counted, and the expiration slides. Fails with
    /// [`StoreError::Corrupt`] if `d` is not a JSON object.
    pub async fn get(&self, app: &App, token: &Token, now: i64) -> Result<Option<Session>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.get(app, token, now)),
            Self::Redis(redis) => redis.get(app, token, now).await,
        }
    }

    /// Changes `d` and returns the session after the change, `None` if there is none. A use, as `get` is.
    pub async fn set(
        &self,
        app: &App,
        token: &Token,
        change: &Change,
        now: i64,
    ) -> Result<Option<Session>, StoreError> {
        match self {
            Self::Memory(memory) => memory.set(app, token, change, now),
            Self::Redis(redis) => redis.set(app, token, change, now).await,
        }
    }

    /// Ends a session. Returns how many it ended, 0 or 1.
    pub async fn kill(&self, app: &App, token: &Token, now: i64) -> Result<u64, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.kill(app, token, now)),
            Self::Redis(redis) => redis.kill(app, token, now).await,
        }
    }

    /// Ends all sessions of a user and returns their number.
    pub async fn kill_user(&self, app: &App, id: &str) -> Result<u64, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.kill_user(app, id)),
            Self::Redis(redis) => redis.kill_user(app, id).await,
        }
    }

    /// Ends all sessions of an app and returns their number.
    pub async fn kill_all(&self, app: &App) -> Result<u64, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.kill_all(app)),
            Self::Redis(redis) => redis.kill_all(app).await,
        }
    }

    /// Counts the users with a use at `since` or later.
    pub async fn active_users(&self, app: &App, since: i64) -> Result<u64, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.active_users(app, since)),
            Self::Redis(redis) => redis.active_users(app, since).await,
        }
    }

    /// The sessions of an app used at `since` or later, the most recently used first. Listing is not a use.
    pub async fn app_sessions(&self, app: &App, since: i64, now: i64) -> Result<Vec<Session>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.app_sessions(app, since, now)),
            Self::Redis(redis) => redis.app_sessions(app, since, now).await,
        }
    }

    /// The sessions of a user. Listing is not a use.
    pub async fn user_sessions(&self, app: &App, id: &str, now: i64) -> Result<Vec<Session>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.user_sessions(app, id, now)),
            Self::Redis(redis) => redis.user_sessions(app, id, now).await,
        }
    }

    /// Removes expired sessions and returns their number.
    pub async fn sweep(&self, now: i64) -> Result<u64, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.sweep(now)),
            Self::Redis(redis) => redis.sweep(now).await,
        }
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Redis(redis) => redis.ping().await,
        }
    }
}
