//! The store in Redis. Scripts make each operation on a session atomic.

mod connection;
mod fields;
mod keys;
mod layout;
mod many;
mod queue;
mod renew;
mod script;
mod sets;
mod url;

use std::time::Duration;

use redis::{FromRedisValue, Value, cmd};
use tokio::time::Instant;

pub use self::connection::CredentialFiles;
use self::connection::{ConnectionManager, Connector, Kind, refuses_writes};
use self::fields::{Fields, parse_timed_session};
use self::layout::Layout;
use self::queue::SetQueue;
use self::script::{Arg, Scripts};
use self::url::Topology;
pub use self::url::{RedisUrl, RedisUrlError};
use super::{Cause, Lookup, NewSession, Read, StoreError};
use crate::clock::Clock;
use crate::params::App;
use crate::token::Token;

/// What the options say about Redis.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    pub url: RedisUrl,
    pub files: CredentialFiles,
    /// Prefix of all keys.
    pub namespace: String,
    /// For each operation to end.
    pub timeout: Duration,
    /// Bytes that the `d` of a session may take.
    pub max_session_bytes: usize,
}

/// The clock that sessions expire by.
pub enum TimeSource {
    /// That of Redis, the same for all instances of the service.
    Redis,
    /// Another one, for tests.
    Fixed(Clock),
}

impl TimeSource {
    /// The argument of a script: seconds since 1970, absent for Redis' own time.
    fn argument(&self) -> Arg<'static> {
        match self {
            Self::Redis => Arg::Absent,
            Self::Fixed(clock) => Arg::Number(clock.seconds()),
        }
    }
}

/// Sessions in Redis: in one server with or without replicas, in a master that Sentinels name, or in a cluster.
pub struct RedisStore {
    connection: ConnectionManager,
    layout: Layout,
    time: TimeSource,
    max_session_bytes: usize,
    scripts: Scripts,
    sets: SetQueue,
}

/// What the script for reading answers.
enum Found {
    Missing,
    IdleTooLong,
    Session(Fields),
}

impl FromRedisValue for Found {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        match value {
            Value::Nil => Ok(Self::Missing),
            Value::Int(_) => Ok(Self::IdleTooLong),
            fields => Fields::from_redis_value(fields).map(Self::Session),
        }
    }
}

impl RedisStore {
    /// Connects with the first request, because Redis may start later than this service.
    pub fn new(config: RedisConfig, time: TimeSource) -> Self {
        let RedisConfig { url, files, namespace, timeout, max_session_bytes } = config;
        let layout = match url.topology {
            Topology::Cluster(_) => Layout::cluster(&namespace),
            _ => Layout::single(&namespace),
        };
        Self {
            connection: ConnectionManager::new(Connector::new(url, files, timeout), timeout),
            layout,
            time,
            max_session_bytes,
            scripts: Scripts::new(),
            sets: SetQueue::default(),
        }
    }

    pub async fn now(&self) -> Result<i64, StoreError> {
        self.now_millis(self.connection.deadline()).await.map(|millis| i64::try_from(millis / 1000).unwrap_or(i64::MAX))
    }

    async fn now_millis(&self, deadline: Instant) -> Result<u64, StoreError> {
        if let TimeSource::Fixed(clock) = &self.time {
            return Ok(clock.millis());
        }
        let run = self.connection.run(Kind::Read, deadline, |mut connection, _| async move {
            cmd("TIME").query_async::<(u64, u64)>(&mut connection).await
        });
        let (seconds, micros) = run.await?;
        Ok(seconds.saturating_mul(1000).saturating_add(micros / 1000))
    }

    pub async fn create(&self, app: &App, new: NewSession) -> Result<Token, StoreError> {
        let data = new.data.to_bounded_text(self.max_session_bytes)?;
        let deadline = self.connection.deadline();
        let now = self.now_millis(deadline).await?;
        let token = self.layout.new_token(app, &new.id, now).map_err(|_| StoreError::NoRandomness)?;
        let keys = self.layout.of_token(&token);
        let tokens = keys.tokens(app, &new.id);
        let keys = &[keys.of_session(app, &token), vec![tokens]].concat();
        let args = &[
            Arg::Text(app.as_str()),
            Arg::Text(token.as_str()),
            self.time.argument(),
            Arg::Text(&new.id),
            Arg::Text(&new.ip),
            Arg::Number(new.ttl),
            Arg::Text(data.as_deref().map_or("", |data| data.get())),
        ];
        let run = self.connection.run(Kind::Write, deadline, |mut connection, _| async move {
            self.scripts.create.run::<i64>(&mut connection, keys, args).await
        });
        run.await?;
        Ok(token)
    }

    /// While Redis refuses writes, reads without a use.
    pub async fn get(&self, app: &App, token: &Token, read: Read) -> Result<Lookup, StoreError> {
        let deadline = self.connection.deadline();
        let mode = if read.touch { "use" } else { "end" };
        let (found, untouched) = match self.read(app, token, read.max_idle, Kind::OptionalWrite, mode, deadline).await {
            Err(error) if refuses_writes(error) => {
                let found = self.read(app, token, read.max_idle, Kind::Read, "nothing", deadline).await?;
                // It counts as none, and was not ended.
                let found = if let Found::IdleTooLong = found { Found::Missing } else { found };
                (found, Some(error).filter(|_| read.touch))
            }
            found => (found?, None),
        };
        Ok(match found {
            Found::Missing => Lookup::Missing,
            Found::IdleTooLong => Lookup::Ended,
            Found::Session(fields) => {
                parse_timed_session(fields)?.map_or(Lookup::Missing, |session| Lookup::Active { session, untouched })
            }
        })
    }

    /// `mode` is that of the script.
    async fn read(
        &self,
        app: &App,
        token: &Token,
        max_idle: Option<i64>,
        kind: Kind,
        mode: &str,
        deadline: Instant,
    ) -> Result<Found, StoreError> {
        let keys = &self.layout.of_token(token).of_session(app, token);
        let run = self.connection.run(kind, deadline, |mut connection, repeated| async move {
            let args = &[
                Arg::Text(app.as_str()),
                Arg::Text(token.as_str()),
                self.time.argument(),
                max_idle.map_or(Arg::Absent, Arg::Number),
                Arg::Text(if repeated && mode == "use" { "repeated" } else { mode }),
            ];
            self.scripts.get.run(&mut connection, keys, args).await
        });
        run.await
    }

    pub async fn kill(&self, app: &App, token: &Token) -> Result<u64, StoreError> {
        let keys = &self.layout.of_token(token).of_session(app, token);
        let run = self.connection.run(Kind::Write, self.connection.deadline(), |mut connection, repeated| async move {
            let args = &[
                Arg::Text(app.as_str()),
                Arg::Text(token.as_str()),
                self.time.argument(),
                if repeated { Arg::Number(1) } else { Arg::Absent },
            ];
            self.scripts.kill.run::<i64>(&mut connection, keys, args).await
        });
        // Negative: the call was repeated, and the first run may have ended the session.
        u64::try_from(run.await?).map_err(|_| StoreError::Unavailable(Cause::UnknownOutcome))
    }

    pub async fn ping(&self) -> Result<(), StoreError> {
        let run = self.connection.run(Kind::Read, self.connection.deadline(), |mut connection, _| async move {
            cmd("PING").exec_async(&mut connection).await
        });
        run.await
    }
}
