//! The store in Redis, in the original's key layout. What must happen as one is one script or one transaction.

mod connection;
mod keys;

use std::fmt;
use std::time::Duration;

use redis::{Client, ConnectionInfo, IntoConnectionInfo, Pipeline, Script, cmd};
use thiserror::Error;

use self::connection::ConnectionManager;
use self::keys::{Keys, expiration_member, member, split_expiration_member, split_member};
use super::{NewSession, StoreError};
use crate::data::{Change, Data};
use crate::params::{App, MAX_SECONDS};
use crate::session::{Record, Session};
use crate::token::Token;

/// How many sessions one command reads or ends, so that Redis is not held up for long.
const CHUNK: usize = 500;
const FIELDS: [&str; 8] = ["id", "r", "w", "ttl", "d", "la", "ip", "no_resave"];

/// The values of `FIELDS`.
type Fields = Vec<Option<Vec<u8>>>;

/// Where Redis is. Shown without user and password.
#[derive(Clone)]
pub struct RedisUrl(Box<ConnectionInfo>);

#[derive(Debug, Error)]
pub enum RedisUrlError {
    #[error("it does not start with redis:// or rediss://")]
    Scheme,
    #[error("it is no URL of the form redis://[user:password@]host[:port][/database]")]
    Form,
}

impl RedisUrl {
    pub fn parse(url: &str) -> Result<Self, RedisUrlError> {
        if !url.starts_with("redis://") && !url.starts_with("rediss://") {
            return Err(RedisUrlError::Scheme);
        }
        url.into_connection_info().map(|info| Self(Box::new(info))).map_err(|_| RedisUrlError::Form)
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.0.addr() {
            redis::ConnectionAddr::TcpTls { .. } => "rediss",
            _ => "redis",
        };
        write!(f, "{scheme}://{}/{}", self.0.addr(), self.0.redis_settings().db())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

pub struct RedisStore {
    connection: ConnectionManager,
    keys: Keys,
    get: Script,
    set: Script,
    kill: Script,
    kill_many: Script,
}

impl RedisStore {
    /// Connects with the first request, not here: Redis may come up later than this service.
    pub fn new(url: RedisUrl, namespace: String, timeout: Duration) -> Result<Self, RedisUrlError> {
        let client = Client::open(*url.0).map_err(|_| RedisUrlError::Form)?;
        Ok(Self {
            connection: ConnectionManager::new(client, timeout),
            keys: Keys::new(namespace),
            get: Script::new(concat!(include_str!("scripts/live.lua"), include_str!("scripts/get.lua"))),
            set: Script::new(concat!(include_str!("scripts/live.lua"), include_str!("scripts/set.lua"))),
            kill: Script::new(concat!(include_str!("scripts/remove.lua"), include_str!("scripts/kill.lua"))),
            kill_many: Script::new(concat!(include_str!("scripts/remove.lua"), include_str!("scripts/kill_many.lua"))),
        })
    }

    pub async fn create(&self, app: &App, token: &Token, new: NewSession, now: i64) -> Result<(), StoreError> {
        let data = new.data.to_stored().map_err(|_| StoreError::Corrupt)?;
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
            hash.arg("d").arg(data);
        }
        let pipe: &Pipeline = &pipe;
        self.connection.call(|mut connection| async move { pipe.exec_async(&mut connection).await }).await
    }

    pub async fn get(&self, app: &App, token: &Token, now: i64) -> Result<Option<Session>, StoreError> {
        let mut script = self.get.prepare_invoke();
        for key in self.session_keys(app, token) {
            script.key(key);
        }
        script.arg(app.as_str()).arg(token.as_str()).arg(now);
        let script = &script;
        let fields: Option<Fields> =
            self.connection.call(|mut connection| async move { script.invoke_async(&mut connection).await }).await?;
        session_from(fields, now)
    }

    /// Reads, merges, and writes if nobody else wrote in between; else once more. Somebody's write succeeded each time
    /// that this one had to start over, and the time limit bounds it all.
    pub async fn set(
        &self,
        app: &App,
        token: &Token,
        change: &Change,
        now: i64,
    ) -> Result<Option<Session>, StoreError> {
        let keys = &self.session_keys(app, token);
        self.connection
            .call(|mut connection| async move {
                loop {
                    let [session, ..] = keys;
                    let found: Option<Vec<u8>> = cmd("HGET").arg(session).arg("d").query_async(&mut connection).await?;
                    let expected = found.unwrap_or_default();
                    let Ok(mut data) = data_from(&expected) else { return Ok(Err(StoreError::Corrupt)) };
                    data.apply(change);
                    let Ok(merged) = data.to_stored() else { return Ok(Err(StoreError::Corrupt)) };
                    let mut script = self.set.prepare_invoke();
                    for key in keys {
                        script.key(key);
                    }
                    script.arg(app.as_str()).arg(token.as_str()).arg(now);
                    script.arg(&expected).arg(merged.unwrap_or_default());
                    let fields: Option<Fields> = script.invoke_async(&mut connection).await?;
                    if fields.as_ref().is_some_and(Vec::is_empty) {
                        continue;
                    }
                    let before = session_from(fields, now);
                    return Ok(before.map(|session| session.map(|session| Session { d: data, ..session })));
                }
            })
            .await?
    }

    /// What the scripts of one session work on, in their order.
    fn session_keys(&self, app: &App, token: &Token) -> [String; 4] {
        [self.keys.session(app, token.as_str()), self.keys.sessions(app), self.keys.users(app), self.keys.expirations()]
    }

    pub async fn kill(&self, app: &App, token: &Token, now: i64) -> Result<u64, StoreError> {
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

    pub async fn active_users(&self, app: &App, since: i64) -> Result<u64, StoreError> {
        let mut command = cmd("ZCOUNT");
        command.arg(self.keys.users(app)).arg(since).arg("+inf");
        let command = &command;
        self.connection.call(|mut connection| async move { command.query_async(&mut connection).await }).await
    }

    pub async fn app_sessions(&self, app: &App, since: i64, now: i64) -> Result<Vec<Session>, StoreError> {
        let mut command = cmd("ZREVRANGEBYSCORE");
        command.arg(self.keys.sessions(app)).arg("+inf").arg(since);
        let members = self.query_strings(&command).await?;
        let tokens: Vec<_> = members.iter().filter_map(|member| Some(split_member(member)?.0)).collect();
        self.sessions(app, &tokens, now).await
    }

    pub async fn user_sessions(&self, app: &App, id: &str, now: i64) -> Result<Vec<Session>, StoreError> {
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
                sessions.extend(session_from(Some(fields), now)?);
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

    /// A member that names no session would come up in every sweep.
    async fn drop_expiration(&self, member: &str) -> Result<(), StoreError> {
        let mut command = cmd("ZREM");
        command.arg(self.keys.expirations()).arg(member);
        let command = &command;
        self.connection.call(|mut connection| async move { command.exec_async(&mut connection).await }).await
    }

    pub async fn ping(&self) -> Result<(), StoreError> {
        self.connection.call(|mut connection| async move { cmd("PING").exec_async(&mut connection).await }).await
    }

    async fn query_strings(&self, command: &redis::Cmd) -> Result<Vec<String>, StoreError> {
        self.connection.call(|mut connection| async move { command.query_async(&mut connection).await }).await
    }
}

/// `None` for what is gone, over, or only half there.
fn session_from(fields: Option<Fields>, now: i64) -> Result<Option<Session>, StoreError> {
    let Some(fields) = fields else { return Ok(None) };
    let Ok([id, reads, writes, ttl, data, last_activity, ip, no_resave]) = <[_; 8]>::try_from(fields) else {
        return Ok(None);
    };
    let (Some(id), Some(ip), Some(ttl), Some(last_activity)) = (id, ip, ttl, last_activity) else { return Ok(None) };
    let record = Record {
        id: text(&id),
        reads: number(&reads.unwrap_or_default()),
        writes: number(&writes.unwrap_or_default()),
        ttl: number(&ttl),
        last_activity: number(&last_activity),
        ip: text(&ip),
        no_resave: no_resave.is_some_and(|flag| flag == b"1"),
        data: data_from(&data.unwrap_or_default())?,
    };
    Ok(record.at(now))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// JavaScript writes great numbers as `1e+22`.
#[allow(clippy::cast_possible_truncation, reason = "a cast from float saturates, and the result is cut down anyway")]
fn number(bytes: &[u8]) -> i64 {
    let number: f64 = text(bytes).parse().unwrap_or_default();
    (number as i64).clamp(-MAX_SECONDS, MAX_SECONDS)
}

fn data_from(stored: &[u8]) -> Result<Data, StoreError> {
    if stored.is_empty() {
        return Ok(Data::default());
    }
    Data::from_stored(&text(stored)).map_err(|_| StoreError::Corrupt)
}
