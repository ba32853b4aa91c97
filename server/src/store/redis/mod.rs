//! The store in Redis, with the keys of the original. Scripts and transactions make each operation on a session atomic.

mod connection;
mod fields;
mod keys;
mod url;

use std::time::Duration;

use redis::{Client, Pipeline, Script, cmd};

use self::connection::ConnectionManager;
use self::fields::{FIELDS, Fields, parse_data, parse_session};
use self::keys::{Keys, expiration_member, member, split_expiration_member, split_member};
pub use self::url::{RedisUrl, RedisUrlError};
use super::{Lookup, NewSession, Read, StoreError};
use crate::clock::Clock;
use crate::data::Change;
use crate::params::App;
use crate::session::Session;
use crate::token::Token;

/// Sessions that one command reads or ends. Bounds how long one command blocks Redis.
const CHUNK: usize = 500;

pub type TimeSource = Clock;

/// Sessions in one Redis, with or without replicas.
pub struct RedisStore {
    connection: ConnectionManager,
    keys: Keys,
    clock: Clock,
    max_session_bytes: usize,
    get: Script,
    set: Script,
    kill: Script,
    kill_many: Script,
}

impl RedisStore {
    /// Connects with the first request, because Redis may start later than this service. `timeout` bounds each command
    /// or script.
    pub fn new(
        url: RedisUrl,
        namespace: String,
        timeout: Duration,
        max_session_bytes: usize,
        clock: TimeSource,
    ) -> Result<Self, RedisUrlError> {
        let client = Client::open(url.into_connection_info()).map_err(|_| RedisUrlError::Form)?;
        Ok(Self {
            connection: ConnectionManager::new(client, timeout),
            keys: Keys::new(namespace),
            clock,
            max_session_bytes,
            get: Script::new(concat!(include_str!("scripts/live.lua"), include_str!("scripts/get.lua"))),
            set: Script::new(concat!(include_str!("scripts/live.lua"), include_str!("scripts/set.lua"))),
            kill: Script::new(concat!(include_str!("scripts/remove.lua"), include_str!("scripts/kill.lua"))),
            kill_many: Script::new(concat!(include_str!("scripts/remove.lua"), include_str!("scripts/kill_many.lua"))),
        })
    }

    pub async fn now(&self) -> Result<i64, StoreError> {
        Ok(self.clock.seconds())
    }

    pub async fn create(&self, app: &App, new: NewSession) -> Result<Token, StoreError> {
        let token = &Token::generate(self.clock.millis()).map_err(|_| StoreError::NoRandomness)?;
        let now = self.clock.seconds();
        let data = new.data.to_bounded_text(self.max_session_bytes)?;
        let end = now.saturating_add(new.ttl);
        let session = self.keys.session(app, token.as_str());
        let mut pipe = redis::pipe();
        pipe.atomic()
            .zadd(self.keys.sessions(app), member(token, &new.id), now)
            .zadd(self.keys.users(app), &new.id, now)
            .zadd(self.keys.expirations(), expiration_member(app, token, &new.id), end)
            .sadd(self.keys.tokens(app, &new.id), token.as_str());
        let hash = pipe.cmd("HSET").arg(&session).arg("id").arg(&new.id).arg("r").arg(1).arg("w").arg(1);
        hash.arg("ip").arg(&new.ip).arg("la").arg(now).arg("ttl").arg(new.ttl);
        if let Some(data) = data {
            hash.arg("d").arg(data.get());
        }
        let pipe: &Pipeline = &pipe;
        self.connection.call(|mut connection| async move { pipe.exec_async(&mut connection).await }).await?;
        Ok(token.clone())
    }

    pub async fn get(&self, app: &App, token: &Token, _read: Read) -> Result<Lookup, StoreError> {
        let now = self.clock.seconds();
        let mut script = self.get.prepare_invoke();
        for key in self.session_keys(app, token) {
            script.key(key);
        }
        script.arg(app.as_str()).arg(token.as_str()).arg(now);
        let script = &script;
        let fields: Option<Fields> =
            self.connection.call(|mut connection| async move { script.invoke_async(&mut connection).await }).await?;
        let session = parse_session(fields, now)?;
        Ok(session.map_or(Lookup::Missing, |session| Lookup::Active { session, untouched: None }))
    }

    /// Optimistic locking: reads `d`, merges the change, and writes if `d` is still the same; else starts again. Each
    /// retry means that another write succeeded, and the timeout bounds all retries.
    pub async fn set(&self, app: &App, token: &Token, change: Change) -> Result<Option<Session>, StoreError> {
        let (now, change) = (self.clock.seconds(), &change);
        let keys = &self.session_keys(app, token);
        self.connection
            .call(|mut connection| async move {
                loop {
                    let [session, ..] = keys;
                    let found: Option<Vec<u8>> = cmd("HGET").arg(session).arg("d").query_async(&mut connection).await?;
                    let expected = found.unwrap_or_default();
                    let Ok(mut data) = parse_data(&expected) else { return Ok(Err(StoreError::Corrupt)) };
                    data.apply(change);
                    let merged = match data.to_bounded_text(self.max_session_bytes) {
                        Ok(merged) => merged,
                        Err(error) => return Ok(Err(error)),
                    };
                    let mut script = self.set.prepare_invoke();
                    for key in keys {
                        script.key(key);
                    }
                    script.arg(app.as_str()).arg(token.as_str()).arg(now);
                    script.arg(&expected).arg(merged.as_ref().map_or("", |text| text.get()));
                    let fields: Option<Fields> = script.invoke_async(&mut connection).await?;
                    if fields.as_ref().is_some_and(Vec::is_empty) {
                        continue;
                    }
                    let before = parse_session(fields, now);
                    return Ok(before.map(|session| session.map(|session| Session { d: merged, ..session })));
                }
            })
            .await?
    }

    /// The keys of the scripts for one session, in the order of their `KEYS`.
    fn session_keys(&self, app: &App, token: &Token) -> [String; 4] {
        [self.keys.session(app, token.as_str()), self.keys.sessions(app), self.keys.users(app), self.keys.expirations()]
    }

    pub async fn kill(&self, app: &App, token: &Token) -> Result<u64, StoreError> {
        let now = self.clock.seconds();
        let mut script = self.kill.key(self.keys.sessions(app));
        script.key(self.keys.users(app)).key(self.keys.expirations());
        script.arg(self.keys.prefix(app)).arg(app.as_str()).arg(token.as_str()).arg(now);
        let script = &script;
        self.connection.call(|mut connection| async move { script.invoke_async(&mut connection).await }).await
    }

    pub async fn kill_user(&self, app: &App, id: &str) -> Result<u64, StoreError> {
        let tokens = self.user_tokens(app, id).await?;
        let pairs: Vec<_> = tokens.iter().map(|token| (token.as_str(), id)).collect();
        self.kill_pairs(app, &pairs, None).await
    }

    pub async fn kill_all(&self, app: &App) -> Result<u64, StoreError> {
        let mut command = cmd("ZRANGE");
        command.arg(self.keys.sessions(app)).arg(0).arg(-1);
        let members = self.query_strings(&command).await?;
        let pairs: Vec<_> = members.iter().filter_map(|member| split_member(member)).collect();
        self.kill_pairs(app, &pairs, None).await
    }

    /// Ends sessions given as pairs of token and id. With `before`, only those that expire before that second.
    async fn kill_pairs(&self, app: &App, pairs: &[(&str, &str)], before: Option<i64>) -> Result<u64, StoreError> {
        let mut killed = 0u64;
        for chunk in pairs.chunks(CHUNK) {
            let mut script = self.kill_many.key(self.keys.sessions(app));
            script.key(self.keys.users(app)).key(self.keys.expirations());
            script.arg(self.keys.prefix(app)).arg(app.as_str());
            script.arg(before.map(|seconds| seconds.to_string()).unwrap_or_default());
            for (token, id) in chunk {
                script.arg(*token).arg(*id);
            }
            let script = &script;
            let removed: u64 = self
                .connection
                .call(|mut connection| async move { script.invoke_async(&mut connection).await })
                .await?;
            killed = killed.saturating_add(removed);
        }
        Ok(killed)
    }

    pub async fn active_users(&self, app: &App, dt: i64) -> Result<u64, StoreError> {
        let since = self.clock.seconds().saturating_sub(dt);
        let mut command = cmd("ZCOUNT");
        command.arg(self.keys.users(app)).arg(since).arg("+inf");
        let command = &command;
        self.connection.call(|mut connection| async move { command.query_async(&mut connection).await }).await
    }

    pub async fn app_sessions(&self, app: &App, dt: i64) -> Result<Vec<Session>, StoreError> {
        let now = self.clock.seconds();
        let since = now.saturating_sub(dt);
        let mut command = cmd("ZREVRANGEBYSCORE");
        command.arg(self.keys.sessions(app)).arg("+inf").arg(since);
        let members = self.query_strings(&command).await?;
        let tokens: Vec<_> = members.iter().filter_map(|member| Some(split_member(member)?.0)).collect();
        self.sessions(app, &tokens, now).await
    }

    pub async fn user_sessions(&self, app: &App, id: &str) -> Result<Vec<Session>, StoreError> {
        let now = self.clock.seconds();
        let tokens = self.user_tokens(app, id).await?;
        let tokens: Vec<_> = tokens.iter().map(String::as_str).collect();
        self.sessions(app, &tokens, now).await
    }

    async fn user_tokens(&self, app: &App, id: &str) -> Result<Vec<String>, StoreError> {
        let mut command = cmd("SMEMBERS");
        command.arg(self.keys.tokens(app, id));
        self.query_strings(&command).await
    }

    async fn sessions(&self, app: &App, tokens: &[&str], now: i64) -> Result<Vec<Session>, StoreError> {
        let mut sessions = Vec::with_capacity(tokens.len());
        for chunk in tokens.chunks(CHUNK) {
            let mut pipe = redis::pipe();
            for token in chunk {
                pipe.cmd("HMGET").arg(self.keys.session(app, token)).arg(&FIELDS[..]);
            }
            let pipe: &Pipeline = &pipe;
            let found: Vec<Fields> =
                self.connection.call(|mut connection| async move { pipe.query_async(&mut connection).await }).await?;
            for fields in found {
                sessions.extend(parse_session(Some(fields), now)?);
            }
        }
        Ok(sessions)
    }

    pub async fn sweep(&self, now: i64) -> Result<u64, StoreError> {
        let mut killed = 0u64;
        loop {
            let mut command = cmd("ZRANGEBYSCORE");
            command.arg(self.keys.expirations()).arg("-inf").arg(format!("({now}")).arg("LIMIT").arg(0).arg(CHUNK);
            let members = self.query_strings(&command).await?;
            for member in &members {
                match split_expiration_member(member) {
                    Some((app, token, id)) => {
                        killed = killed.saturating_add(self.kill_pairs(&app, &[(token, id)], Some(now)).await?);
                    }
                    None => self.drop_expiration(member).await?,
                }
            }
            if members.len() < CHUNK {
                return Ok(killed);
            }
        }
    }

    /// Removes a malformed member, which every sweep would find again.
    async fn drop_expiration(&self, member: &str) -> Result<(), StoreError> {
        let mut command = cmd("ZREM");
        command.arg(self.keys.expirations()).arg(member);
        let command = &command;
        self.connection.call(|mut connection| async move { command.exec_async(&mut connection).await }).await
    }

    pub async fn ping(&self) -> Result<(), StoreError> {
        self.connection.call(|mut connection| async move { cmd("PING").exec_async(&mut connection).await }).await
    }

    pub async fn ready(&self) -> Result<(), StoreError> {
        self.ping().await
    }

    async fn query_strings(&self, command: &redis::Cmd) -> Result<Vec<String>, StoreError> {
        self.connection.call(|mut connection| async move { command.query_async(&mut connection).await }).await
    }
}
