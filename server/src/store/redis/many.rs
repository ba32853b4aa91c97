//! Operations over many sessions: of a user, of an app, of all. They go slot by slot and in portions, pass over what is
//! broken, and are safe to repeat.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use redis::{Cmd, FromRedisValue, Value, cmd, from_redis_value};

use super::RedisStore;
use super::connection::Kind;
use super::fields::{Fields, parse_session};
use super::keys::{Keys, split_expiration_member, split_member};
use super::script::Arg;
use crate::params::App;
use crate::session::Session;
use crate::store::{Cause, StoreError};
use crate::token::Token;

/// Sessions that one command reads or ends. Bounds how long one command blocks Redis.
const CHUNK: usize = 500;
/// Slots that are worked on at the same time.
const CONCURRENT_SLOTS: usize = 64;
/// Slots that a sweep works on at the same time. It has time, and must not slow requests.
const SWEPT_SLOTS: usize = 2;
/// Slots between those in which a readiness check writes.
const READY_STEP: usize = 2048;

type Pair = (String, String);

impl RedisStore {
    pub async fn kill_user(&self, app: &App, id: &str) -> Result<u64, StoreError> {
        self.kill_user_except(app, id, None).await
    }

    /// Ends all sessions of a user but one.
    pub async fn kill_user_except(&self, app: &App, id: &str, kept: Option<&Token>) -> Result<u64, StoreError> {
        let keys = self.layout.of_user(app, id);
        let mut tokens = self.user_tokens(&keys, app, id).await?;
        tokens.retain(|token| kept.is_none_or(|kept| kept.as_str() != token));
        let pairs: Vec<Pair> = tokens.into_iter().map(|token| (token, id.to_owned())).collect();
        let mut killed = 0u64;
        for chunk in pairs.chunks(CHUNK) {
            killed = killed.saturating_add(self.kill_pairs(&keys, app, chunk, None).await?.killed);
        }
        Ok(killed)
    }

    pub async fn kill_all(&self, app: &App) -> Result<u64, StoreError> {
        let partitions =
            stream::iter(self.layout.partitions()).map(|keys| async move { self.kill_partition(&keys, app).await });
        partitions
            .buffer_unordered(CONCURRENT_SLOTS)
            .try_fold(0u64, |sum, killed| async move { Ok(sum.saturating_add(killed)) })
            .await
    }

    /// Ends as many sessions as there are at the beginning, so that it ends although others are created meanwhile.
    async fn kill_partition(&self, keys: &Keys, app: &App) -> Result<u64, StoreError> {
        let sessions = &keys.sessions(app);
        let total: usize = self.query(cmd("ZCARD").arg(sessions)).await?;
        let (mut killed, mut seen, mut skipped) = (0u64, 0usize, 0usize);
        while seen < total {
            let end = skipped.saturating_add(CHUNK - 1);
            let members: Vec<String> = self.query(cmd("ZRANGE").arg(sessions).arg(skipped).arg(end)).await?;
            if members.is_empty() {
                break;
            }
            let pairs: Vec<Pair> = members.iter().filter_map(|member| owned(split_member(member)?)).collect();
            let ended = self.kill_pairs(keys, app, &pairs, None).await?;
            killed = killed.saturating_add(ended.killed);
            seen = seen.saturating_add(members.len());
            skipped = skipped.saturating_add(ended.broken).saturating_add(members.len() - pairs.len());
        }
        Ok(killed)
    }

    /// Ends sessions given as pairs of token and id. With `before`, only those that expire before that second.
    async fn kill_pairs(
        &self,
        keys: &Keys,
        app: &App,
        pairs: &[Pair],
        before: Option<i64>,
    ) -> Result<Ended, StoreError> {
        if pairs.is_empty() {
            return Ok(Ended::default());
        }
        let prefix = &keys.prefix(app);
        let indexes = &keys.indexes(app);
        let run = self.connection.run(Kind::Write, self.connection.deadline(), |mut connection, repeated| async move {
            let fixed = [Arg::Text(prefix), Arg::Text(app.as_str()), before.map_or(Arg::Absent, Arg::Number)];
            let pairs = pairs.iter().flat_map(|(token, id)| [Arg::Text(token), Arg::Text(id)]);
            let args: Vec<Arg> = fixed.into_iter().chain(pairs).collect();
            let result: Vec<usize> = self.scripts.kill_many.run(&mut connection, indexes, &args).await?;
            Ok((result, repeated))
        });
        let (result, repeated) = run.await?;
        let (counted, broken) = result.split_first().map_or((0, &[][..]), |(counted, broken)| (*counted, broken));
        for (token, _) in broken.iter().filter_map(|position| pairs.get(position.checked_sub(1)?)) {
            let key = keys.masked_session(app, token);
            tracing::warn!(key, "a session was not removed: the key of its user's tokens has another type than a set");
        }
        // Repeated because an answer was lost: what is gone now was there when the caller listed it.
        let killed = if repeated && before.is_none() { pairs.len().saturating_sub(broken.len()) } else { counted };
        Ok(Ended { killed: u64::try_from(killed).unwrap_or(u64::MAX), broken: broken.len() })
    }

    pub async fn active_users(&self, app: &App, dt: i64) -> Result<u64, StoreError> {
        let since = self.now().await?.saturating_sub(dt);
        let partitions = stream::iter(self.layout.partitions()).map(|keys| async move {
            self.query::<u64>(cmd("ZCOUNT").arg(keys.users(app)).arg(since).arg("+inf")).await
        });
        // All sessions of a user are in one slot, so no user is counted twice.
        partitions
            .buffer_unordered(CONCURRENT_SLOTS)
            .try_fold(0u64, |sum, users| async move { Ok(sum.saturating_add(users)) })
            .await
    }

    pub async fn app_sessions(&self, app: &App, dt: i64) -> Result<Vec<Session>, StoreError> {
        let now = self.now().await?;
        let since = now.saturating_sub(dt);
        let partitions = stream::iter(self.layout.partitions()).map(|keys| async move {
            let mut command = cmd("ZREVRANGEBYSCORE");
            command.arg(keys.sessions(app)).arg("+inf").arg(since).arg("WITHSCORES");
            let members: Vec<(String, f64)> = self.query(&command).await?;
            let (tokens, used): (Vec<String>, Vec<f64>) = members
                .into_iter()
                .filter_map(|(member, used)| Some((split_member(&member)?.0.to_owned(), used)))
                .unzip();
            let sessions = self.sessions(&keys, app, &tokens, now).await?;
            Ok::<_, StoreError>(used.into_iter().zip(sessions).collect::<Vec<_>>())
        });
        let found: Vec<Vec<_>> = partitions.buffered(CONCURRENT_SLOTS).try_collect().await?;
        let mut found: Vec<(f64, Option<Session>)> = found.into_iter().flatten().collect();
        found.sort_by(|(left, _), (right, _)| right.total_cmp(left));
        Ok(found.into_iter().filter_map(|(_, session)| session).collect())
    }

    pub async fn user_sessions(&self, app: &App, id: &str) -> Result<Vec<Session>, StoreError> {
        let keys = self.layout.of_user(app, id);
        let (tokens, now) = (self.user_tokens(&keys, app, id).await?, self.now().await?);
        Ok(self.sessions(&keys, app, &tokens, now).await?.into_iter().flatten().collect())
    }

    async fn user_tokens(&self, keys: &Keys, app: &App, id: &str) -> Result<Vec<String>, StoreError> {
        self.query(cmd("SMEMBERS").arg(keys.tokens(app, id))).await
    }

    /// The sessions of these tokens, in their order; `None` for each that is missing, expired or broken.
    async fn sessions(
        &self,
        keys: &Keys,
        app: &App,
        tokens: &[String],
        now: i64,
    ) -> Result<Vec<Option<Session>>, StoreError> {
        let mut sessions = Vec::with_capacity(tokens.len());
        for chunk in tokens.chunks(CHUNK) {
            let names: &Vec<String> = &chunk.iter().map(|token| keys.session(app, token)).collect();
            let run = self.connection.run(Kind::Read, self.connection.deadline(), |mut connection, _| async move {
                self.scripts.read_many.run::<Vec<Value>>(&mut connection, names, &[]).await
            });
            for (token, value) in chunk.iter().zip(run.await?) {
                let session = match value {
                    Value::Array(_) => from_redis_value::<Fields>(value)
                        .map_err(|_| StoreError::Unavailable(Cause::Other))
                        .and_then(|fields| parse_session(fields, now)),
                    _ => Err(StoreError::Unavailable(Cause::WrongType)),
                };
                sessions.push(session.unwrap_or_else(|error| {
                    let key = keys.masked_session(app, token);
                    tracing::warn!(key, cause = error.cause(), "a broken session is left out of a list");
                    None
                }));
            }
        }
        Ok(sessions)
    }

    pub async fn sweep(&self, now: i64) -> Result<u64, StoreError> {
        let partitions =
            stream::iter(self.layout.partitions()).map(|keys| async move { self.sweep_partition(&keys, now).await });
        partitions
            .buffer_unordered(SWEPT_SLOTS)
            .try_fold(0u64, |sum, swept| async move { Ok(sum.saturating_add(swept)) })
            .await
    }

    /// Goes on past members that cannot be removed: the next sweep tries them again.
    async fn sweep_partition(&self, keys: &Keys, now: i64) -> Result<u64, StoreError> {
        let (mut swept, mut skipped) = (0u64, 0usize);
        loop {
            let mut command = cmd("ZRANGEBYSCORE");
            command.arg(keys.expirations()).arg("-inf").arg(format!("({now}")).arg("LIMIT").arg(skipped).arg(CHUNK);
            let members: Vec<String> = self.query(&command).await?;
            let mut apps: HashMap<App, Vec<Pair>> = HashMap::new();
            for member in &members {
                match split_expiration_member(member) {
                    Some((app, token, id)) => apps.entry(app).or_default().push((token.to_owned(), id.to_owned())),
                    None => self.drop_expiration(keys, member).await?,
                }
            }
            for (app, pairs) in apps {
                match self.kill_pairs(keys, &app, &pairs, Some(now)).await {
                    Ok(ended) => {
                        swept = swept.saturating_add(ended.killed);
                        skipped = skipped.saturating_add(ended.broken);
                    }
                    Err(StoreError::Unavailable(Cause::WrongType)) => {
                        let app = app.as_str();
                        tracing::warn!(app, "expired sessions were not swept: an index of the app has another type");
                        skipped = skipped.saturating_add(pairs.len());
                    }
                    Err(error) => return Err(error),
                }
            }
            if members.len() < CHUNK {
                return Ok(swept);
            }
        }
    }

    /// Removes a malformed member, which every sweep would find again.
    async fn drop_expiration(&self, keys: &Keys, member: &str) -> Result<(), StoreError> {
        tracing::warn!(key = keys.expirations(), "a malformed member was removed");
        self.query::<i64>(cmd("ZREM").arg(keys.expirations()).arg(member)).await.map(|_| ())
    }

    /// Writes a key of its own: in a cluster one in several slots, so that each node is asked.
    pub async fn ready(&self) -> Result<(), StoreError> {
        let checks = stream::iter(self.layout.sample(READY_STEP)).map(|keys| async move {
            let keys = &[keys.ready(), keys.expirations()];
            let run = self.connection.run(Kind::Write, self.connection.deadline(), |mut connection, _| async move {
                self.scripts.ready.run::<i64>(&mut connection, keys, &[]).await
            });
            run.await
        });
        checks.buffer_unordered(CONCURRENT_SLOTS).try_for_each(|_| async { Ok(()) }).await
    }

    /// Runs a command that may be repeated: one that reads, or that has the same effect once and twice.
    async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let run = self.connection.run(Kind::Read, self.connection.deadline(), |mut connection, _| async move {
            command.query_async(&mut connection).await
        });
        run.await
    }
}

/// What [`RedisStore::kill_pairs`] did.
#[derive(Default)]
struct Ended {
    killed: u64,
    broken: usize,
}

fn owned((token, id): (&str, &str)) -> Option<Pair> {
    Some((token.to_owned(), id.to_owned()))
}
