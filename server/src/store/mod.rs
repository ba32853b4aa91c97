//! The stores: memory of this process, or Redis. Every operation on one session is atomic in both.

mod error;
mod memory;
mod redis;

use std::sync::Arc;

pub use self::error::{Cause, StoreError};
pub use self::memory::MemoryStore;
pub use self::redis::{CredentialFiles, RedisConfig, RedisStore, RedisUrl, RedisUrlError, TimeSource};
use crate::data::{Change, Data};
use crate::params::App;
use crate::session::Session;
use crate::token::Token;

/// A session to create.
pub struct NewSession {
    pub id: String,
    pub ip: String,
    /// Seconds.
    pub ttl: i64,
    pub data: Data,
}

/// How a session is read.
#[derive(Debug, Clone, Copy)]
pub struct Read {
    /// Whether the read is a use: counted, and sliding the expiration.
    pub touch: bool,
    /// A session that was idle for more than so many seconds is ended instead.
    pub max_idle: Option<i64>,
}

/// What a read finds.
#[derive(Debug)]
pub enum Lookup {
    Active {
        session: Session,
        /// Why the store could not record the use.
        untouched: Option<StoreError>,
    },
    /// The session was idle for longer than [`Read::max_idle`], and was ended.
    Ended,
    Missing,
}

/// What became of a renewal.
#[derive(Debug, Default)]
pub struct Renewal {
    /// The new token; `None` if there is no such session.
    pub token: Option<Token>,
    /// Other sessions of the user that were ended.
    pub others: u64,
}

/// One of the two stores. Clones share it.
#[derive(Clone)]
pub enum Store {
    Memory(Arc<MemoryStore>),
    Redis(Arc<RedisStore>),
}

/// Every operation fails with [`StoreError::Unavailable`] if Redis does not answer in time, and every operation that
/// writes with [`StoreError::Full`] if there is no memory left.
impl Store {
    /// Seconds since 1970, by the clock that sessions expire by.
    pub async fn now(&self) -> Result<i64, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.now()),
            Self::Redis(redis) => redis.now().await,
        }
    }

    /// Creates a session and returns its token.
    pub async fn create(&self, app: &App, new: NewSession) -> Result<Token, StoreError> {
        match self {
            Self::Memory(memory) => memory.create(app, new).await,
            Self::Redis(redis) => redis.create(app, new).await,
        }
    }

    /// Fails with [`StoreError::Corrupt`] if `d` is not a JSON object.
    pub async fn get(&self, app: &App, token: &Token, read: Read) -> Result<Lookup, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.get(app, token, read)),
            Self::Redis(redis) => redis.get(app, token, read).await,
        }
    }

    /// Changes `d` and returns the session after the change, `None` if there is none. A use, as a read is. Fails with
    /// [`StoreError::TooLarge`] if `d` would become too large.
    pub async fn set(&self, app: &App, token: &Token, change: Change) -> Result<Option<Session>, StoreError> {
        match self {
            Self::Memory(memory) => memory.set(app, token, &change).await,
            Self::Redis(redis) => redis.set(app, token, change).await,
        }
    }

    /// Gives a session a new token, in one atomic step: a new session with the same user, address, end and `d`, changed by
    /// `change`, takes its place. With `others`, first ends all other sessions of the user, also if the renewal then fails.
    /// Fails with [`StoreError::TooLarge`] if `d` would become too large.
    pub async fn renew(
        &self,
        app: &App,
        token: &Token,
        change: Option<Change>,
        others: bool,
    ) -> Result<Renewal, StoreError> {
        match self {
            Self::Memory(memory) => memory.renew(app, token, change.as_ref(), others).await,
            Self::Redis(redis) => redis.renew(app, token, change, others).await,
        }
    }

    /// Ends a session. Returns how many it ended, 0 or 1.
    pub async fn kill(&self, app: &App, token: &Token) -> Result<u64, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.kill(app, token)),
            Self::Redis(redis) => redis.kill(app, token).await,
        }
    }

    /// Ends all sessions of a user and returns their number.
    pub async fn kill_user(&self, app: &App, id: &str) -> Result<u64, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.kill_user(app, id).await),
            Self::Redis(redis) => redis.kill_user(app, id).await,
        }
    }

    /// Ends all sessions of an app and returns their number.
    pub async fn kill_all(&self, app: &App) -> Result<u64, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.kill_all(app).await),
            Self::Redis(redis) => redis.kill_all(app).await,
        }
    }

    /// Counts the users with a use in the last `dt` seconds.
    pub async fn active_users(&self, app: &App, dt: i64) -> Result<u64, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.active_users(app, dt).await),
            Self::Redis(redis) => redis.active_users(app, dt).await,
        }
    }

    /// The sessions of an app used in the last `dt` seconds, the most recently used first. Listing is not a use.
    pub async fn app_sessions(&self, app: &App, dt: i64) -> Result<Vec<Session>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.app_sessions(app, dt).await),
            Self::Redis(redis) => redis.app_sessions(app, dt).await,
        }
    }

    /// The sessions of a user. Listing is not a use.
    pub async fn user_sessions(&self, app: &App, id: &str) -> Result<Vec<Session>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.user_sessions(app, id).await),
            Self::Redis(redis) => redis.user_sessions(app, id).await,
        }
    }

    /// Removes the sessions that had expired at `now` and returns their number.
    pub async fn sweep(&self, now: i64) -> Result<u64, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.sweep(now).await),
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

    /// Whether sessions can be created and changed.
    pub async fn ready(&self) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => memory.ready().await,
            Self::Redis(redis) => redis.ready().await,
        }
    }
}
