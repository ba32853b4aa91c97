//! Changes of sessions, one writer a session: changes that arrive while one is written wait, and are written together.
//!
//! So the callers of one session do not compete, and as many of them as come are served by a few round trips to Redis.
//! Conflicts are left between instances of the service.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::{FromRedisValue, RedisResult, Value};
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::connection::Kind;
use super::fields::{Fields, parse_data, parse_timed_session_with};
use super::script::Arg;
use super::{RedisStore, text_of};
use crate::data::{Change, Data};
use crate::params::App;
use crate::session::{BURST_SECONDS, Session};
use crate::store::{Cause, StoreError};
use crate::token::Token;

/// Changes that are written together. Bounds how long the caller of the first one waits for the others.
const BATCH: usize = 128;
/// Bytes of `d` that are written as text before other tasks get their turn.
const BYTES_AT_ONCE: usize = 64 * 1024;

type Key = (App, Token);
type Outcome = Result<Option<Session>, StoreError>;

struct Waiting {
    change: Change,
    answer: oneshot::Sender<Outcome>,
}

/// The changes that wait, by session. A session has an entry while a task writes its changes.
#[derive(Default)]
pub struct SetQueue(Mutex<HashMap<Key, Vec<Waiting>>>);

impl SetQueue {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<Waiting>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a change. Returns whether the caller has to start the task that writes.
    fn push(&self, key: &Key, waiting: Waiting) -> bool {
        let mut queues = self.lock();
        if let Some(queue) = queues.get_mut(key) {
            queue.push(waiting);
            return false;
        }
        queues.insert(key.clone(), vec![waiting]);
        true
    }

    /// The next changes to write; `None` if there are none, and the task has to end. Changes whose callers have given up
    /// are dropped.
    fn next(&self, key: &Key) -> Option<Vec<Waiting>> {
        let mut queues = self.lock();
        let queue = queues.get_mut(key)?;
        queue.retain(|waiting| !waiting.answer.is_closed());
        if queue.is_empty() {
            queues.remove(key);
            return None;
        }
        let rest = queue.split_off(queue.len().min(BATCH));
        Some(std::mem::replace(queue, rest))
    }
}

/// The session as its writer found it.
struct Found {
    w: String,
    d: Vec<u8>,
}

/// What a batch of changes makes of a session.
struct Merged {
    /// `d` after all changes.
    text: Option<Box<RawValue>>,
    /// For each change `d` after it, or why it was left out.
    steps: Vec<Result<Option<Box<RawValue>>, StoreError>>,
    /// Changes that were not left out.
    count: i64,
}

/// What the script answers.
enum Written {
    /// No such session.
    Missing,
    Conflict(Found),
    /// An earlier run may have been executed.
    Unknown,
    Done(Fields),
}

impl FromRedisValue for Written {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        if value == Value::Nil {
            return Ok(Self::Missing);
        }
        if let Value::Int(_) = value {
            return Ok(Self::Unknown);
        }
        let mut fields = Fields::from_redis_value(value)?;
        if fields.len() > 2 {
            return Ok(Self::Done(fields));
        }
        let d = fields.pop().flatten().unwrap_or_default();
        let w = fields.pop().flatten().unwrap_or_default();
        Ok(Self::Conflict(Found { w: text_of(&w), d }))
    }
}

impl RedisStore {
    /// Changes `d`, together with the changes of other callers that wait for the same session.
    pub async fn set(self: &Arc<Self>, app: &App, token: &Token, change: Change) -> Outcome {
        let deadline = self.connection.deadline();
        let (answer, outcome) = oneshot::channel();
        let key = (app.clone(), token.clone());
        if self.sets.push(&key, Waiting { change, answer }) {
            let store = Arc::clone(self);
            tokio::spawn(async move { store.write_all(&key).await });
        }
        match timeout_at(deadline, outcome).await {
            Ok(Ok(outcome)) => outcome,
            // The writer is gone, or too slow: nobody knows what it did.
            Ok(Err(_)) | Err(_) => Err(StoreError::Unavailable(Cause::Timeout)),
        }
    }

    async fn write_all(&self, key: &Key) {
        while let Some(batch) = self.sets.next(key) {
            let changes: Vec<&Change> = batch.iter().map(|waiting| &waiting.change).collect();
            let outcomes = match self.write(key, &changes).await {
                Ok(outcomes) => outcomes,
                Err(error) => changes.iter().map(|_| Err(error)).collect(),
            };
            for (waiting, outcome) in batch.into_iter().zip(outcomes) {
                // Fails if the caller has given up.
                let _ = waiting.answer.send(outcome);
            }
        }
    }

    /// Optimistic locking: merges the changes into what Redis holds, and writes if that is still the same; else starts
    /// again with what Redis holds then, which means that another instance has written.
    async fn write(&self, (app, token): &Key, changes: &[&Change]) -> Result<Vec<Outcome>, StoreError> {
        let deadline = self.connection.deadline();
        let missing = || changes.iter().map(|_| Ok(None)).collect();
        let Some(mut found) = self.find(app, token).await? else { return Ok(missing()) };
        loop {
            let merged = self.merge(&found.d, changes).await?;
            if merged.count == 0 {
                return Ok(merged.steps.into_iter().map(|step| step.map(|_| None)).collect());
            }
            let keys = &self.layout.of_token(token).of_session(app, token);
            let args = &[
                Arg::Text(app.as_str()),
                Arg::Text(token.as_str()),
                self.time.argument(),
                Arg::Text(&found.w),
                Arg::Bytes(&found.d),
                Arg::Number(merged.count),
                Arg::Text(merged.text.as_deref().map_or("", RawValue::get)),
            ];
            let written = self
                .connection
                .run(Kind::Write, deadline, |mut connection, repeated| async move {
                    let repeated = if repeated { Arg::Number(1) } else { Arg::Absent };
                    let args = [&args[..], &[repeated]].concat();
                    self.scripts.set.run(&mut connection, keys, &args).await as RedisResult<Written>
                })
                .await?;
            match written {
                Written::Missing => return Ok(missing()),
                Written::Conflict(present) => found = present,
                Written::Unknown => return Err(StoreError::Unavailable(Cause::UnknownOutcome)),
                Written::Done(fields) => return Ok(outcomes(&fields, &found, merged)),
            }
        }
    }

    /// `w` and `d` of a session; `None` if there is none.
    async fn find(&self, app: &App, token: &Token) -> Result<Option<Found>, StoreError> {
        let mut command = redis::cmd("HMGET");
        command.arg(self.layout.of_token(token).session(app, token.as_str())).arg("id").arg("w").arg("d");
        let command = &command;
        let fields: [Option<Vec<u8>>; 3] = self
            .connection
            .run(Kind::Read, self.connection.deadline(), |mut connection, _| async move {
                command.query_async(&mut connection).await
            })
            .await?;
        let [id, w, d] = fields;
        let w = w.map_or_else(|| "0".to_owned(), |w| text_of(&w));
        Ok(id.map(|_| Found { w, d: d.unwrap_or_default() }))
    }

    /// Applies the changes one after the other. One that makes the session too large is left out.
    async fn merge(&self, stored: &[u8], changes: &[&Change]) -> Result<Merged, StoreError> {
        let mut data = parse_data(stored)?;
        let mut text = data.to_text().map_err(|_| StoreError::Corrupt)?;
        let mut merged = Merged { text: None, steps: Vec::with_capacity(changes.len()), count: 0 };
        let mut written = 0usize;
        for change in changes {
            data.apply(change);
            let step = data.to_bounded_text(self.max_session_bytes);
            match &step {
                Ok(after) => {
                    text.clone_from(after);
                    merged.count = merged.count.saturating_add(1);
                }
                Err(_) => data = Data::from_text(text.as_deref()).map_err(|_| StoreError::Corrupt)?,
            }
            merged.steps.push(step);
            written = written.saturating_add(text.as_ref().map_or(0, |text| text.get().len()));
            if written > BYTES_AT_ONCE {
                written = 0;
                tokio::task::yield_now().await;
            }
        }
        merged.text = text;
        Ok(merged)
    }
}

/// The session after each change, as each caller would see it if it had been the only one at that time.
fn outcomes(fields: &Fields, found: &Found, merged: Merged) -> Vec<Outcome> {
    let mut w: i64 = found.w.parse().unwrap_or_default();
    let mut idle_now = None;
    let mut after = |step: Option<Box<RawValue>>| {
        let mut session = parse_timed_session_with(fields.clone(), step)?;
        w = w.saturating_add(1);
        session.w = w;
        session.idle = idle_now.unwrap_or(session.idle);
        idle_now = Some(if session.idle > BURST_SECONDS { 0 } else { session.idle });
        Some(session)
    };
    merged.steps.into_iter().map(|step| step.map(&mut after)).collect()
}
