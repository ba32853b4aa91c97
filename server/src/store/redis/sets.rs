//! Changes of sessions: a call writes its own change; changes that arrive meanwhile wait in the queue of the session, and a
//! task writes them together.
//!
//! A caller waits as long as the writer gets on, whose commands are bounded by the timeout of the store. If one fails,
//! all who wait for this session are told so at once.

use std::sync::Arc;

use redis::{FromRedisValue, Value};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::RedisStore;
use super::connection::Kind;
use super::fields::{Fields, number, parse_data, parse_timed_session_without_data};
use super::queue::{Key, Next, Set, Turn, Waiting};
use super::script::Arg;
use crate::data::{Change, Data};
use crate::params::App;
use crate::session::{BURST_SECONDS, Session};
use crate::store::{Cause, StoreError};
use crate::token::Token;

/// Writes of other instances that come first, after which a batch fails.
pub const MAX_CONFLICTS: usize = 100;
/// Callers that are answered before other tasks get their turn: each then has a response to write, and often a next
/// request to read.
const ANSWERS_AT_ONCE: usize = 8;
/// Bytes of `d` that are written as text before other tasks get their turn.
const BYTES_AT_ONCE: usize = 64 * 1024;

pub type Outcome = Result<Option<Session>, StoreError>;

/// What Redis holds of a session.
pub struct Found {
    /// `w` as Redis holds it.
    pub w: Vec<u8>,
    /// `d` as Redis holds it.
    pub d: Vec<u8>,
}

impl Found {
    /// The values of `w` and `d`, as a script returns them.
    pub fn of_pair(mut pair: Fields) -> Self {
        let d = pair.pop().flatten().unwrap_or_default();
        let w = pair.pop().flatten().unwrap_or_default();
        Self { w, d }
    }
}

/// What a batch of changes makes of a session.
pub struct Merged {
    /// `d` after all changes.
    pub text: Option<Box<RawValue>>,
    /// For each change why it was left out.
    refused: Vec<Option<StoreError>>,
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
        let fields = Fields::from_redis_value(value)?;
        Ok(if fields.len() > 2 { Self::Done(fields) } else { Self::Conflict(Found::of_pair(fields)) })
    }
}

impl RedisStore {
    /// Changes `d`, together with the changes of other callers that wait for the same session.
    pub async fn set(self: &Arc<Self>, app: &App, token: &Token, change: Change) -> Outcome {
        let key = Arc::new((app.clone(), token.clone()));
        let wait = |answer| Waiting::Set(Set { change: change.clone(), answer });
        let Some(outcome) = self.sets.wait_or_write(&key, wait) else {
            // Nobody writes this session: this call does, and then starts a task for those who came meanwhile. That
            // also happens if this call is dropped halfway.
            let mut turn = Turn { store: Arc::clone(self), key, known: None };
            let written = self.write(&turn.key, std::slice::from_ref(&change), None).await;
            let (mut outcomes, known) = written.inspect_err(|error| self.sets.fail(&turn.key, *error))?;
            turn.known = known;
            return outcomes.pop().unwrap_or(Err(StoreError::Unavailable(Cause::Other)));
        };
        // The writer answers all, unless the runtime ends.
        outcome.await.unwrap_or(Err(StoreError::Unavailable(Cause::UnknownOutcome)))
    }

    /// Serves what waits. `known` is what Redis held after the last write.
    pub async fn write_all(self: &Arc<Self>, key: &Key, mut known: Option<Found>) {
        while let Some(next) = self.sets.next(key) {
            let batch = match next {
                Next::Sets(batch) => batch,
                Next::Renewal(caller) => {
                    // The end of its turn starts a task for the rest, also if the caller has given up.
                    let turn = Turn { store: Arc::clone(self), key: Arc::clone(key), known };
                    drop(caller.send(Ok(turn)));
                    return;
                }
            };
            let (changes, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|set| (set.change, set.answer)).unzip();
            let outcomes = match self.write(key, &changes, known.take()).await {
                Ok((outcomes, found)) => {
                    known = found;
                    outcomes
                }
                Err(error) => {
                    self.sets.fail(key, error);
                    changes.iter().map(|_| Err(error)).collect()
                }
            };
            let mut answered = 0usize;
            for (answer, outcome) in answers.into_iter().zip(outcomes) {
                // Fails if the caller has given up.
                let _ = answer.send(outcome);
                answered = answered.wrapping_add(1);
                if answered.is_multiple_of(ANSWERS_AT_ONCE) {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Optimistic locking: merges the changes into what Redis holds, and writes if that is still the same; else starts
    /// again with what Redis holds then, which means that another instance has written. `known` is what Redis held after
    /// the last write; so is the second value that is returned.
    async fn write(
        &self,
        key: &Key,
        changes: &[Change],
        known: Option<Found>,
    ) -> Result<(Vec<Outcome>, Option<Found>), StoreError> {
        let mut deadline = self.connection.deadline();
        let mut found = match known {
            Some(found) => found,
            None => match self.find(key, deadline).await? {
                Some(found) => found,
                None => return Ok((missing(changes), None)),
            },
        };
        for _ in 0..MAX_CONFLICTS {
            // A session that is too large already may become smaller step by step.
            let merged = Merged::new(&found.d, changes, self.max_session_bytes.max(found.d.len()))?;
            if merged.count() == 0 {
                return Ok((merged.refusals(), Some(found)));
            }
            match self.replace(key, &found, &merged, deadline).await? {
                Written::Missing => return Ok((missing(changes), None)),
                Written::Conflict(present) => {
                    found = present;
                    deadline = self.connection.deadline();
                }
                Written::Unknown => return Err(StoreError::Unavailable(Cause::UnknownOutcome)),
                Written::Done(fields) => return merged.outcomes(&found, fields, changes).await,
            }
        }
        Err(StoreError::Unavailable(Cause::Busy))
    }

    /// Writes `d` if it is still what was found.
    async fn replace(
        &self,
        key: &Key,
        found: &Found,
        merged: &Merged,
        deadline: Instant,
    ) -> Result<Written, StoreError> {
        let (app, token) = key.as_ref();
        let keys = &self.layout.of_token(token).of_session(app, token);
        let run = self.connection.run(Kind::Write, deadline, |mut connection, repeated| async move {
            let args = &[
                Arg::Text(app.as_str()),
                Arg::Text(token.as_str()),
                self.time.argument(),
                Arg::Bytes(&found.w),
                Arg::Bytes(&found.d),
                Arg::Number(merged.count()),
                Arg::Text(merged.text.as_deref().map_or("", RawValue::get)),
                if repeated { Arg::Number(1) } else { Arg::Absent },
            ];
            self.scripts.set.run(&mut connection, keys, args).await
        });
        run.await
    }

    /// `w` and `d` of a session; `None` if there is none.
    async fn find(&self, key: &Key, deadline: Instant) -> Result<Option<Found>, StoreError> {
        let (app, token) = key.as_ref();
        let mut command = redis::cmd("HMGET");
        command.arg(self.layout.of_token(token).session(app, token.as_str())).arg("w").arg("d");
        let command = &command;
        let fields: [Option<Vec<u8>>; 2] = self
            .connection
            .run(Kind::Read, deadline, |mut connection, _| async move { command.query_async(&mut connection).await })
            .await?;
        let [w, d] = fields;
        // The script looks at the other fields.
        let found = w.is_some() || d.is_some();
        Ok(found.then(|| Found { w: w.unwrap_or_default(), d: d.unwrap_or_default() }))
    }
}

fn missing(changes: &[Change]) -> Vec<Outcome> {
    changes.iter().map(|_| Ok(None)).collect()
}

impl Merged {
    /// Merges all changes. Those that make the session too large are left out; that is looked at one by one only if the
    /// result is too large, to be quick: while changes are merged, another instance may write.
    pub fn new(stored: &[u8], changes: &[Change], max_bytes: usize) -> Result<Self, StoreError> {
        let mut data = parse_data(stored)?;
        changes.iter().for_each(|change| data.apply(change));
        if let Ok(text) = data.to_bounded_text(max_bytes) {
            return Ok(Self { text, refused: vec![None; changes.len()] });
        }
        let mut data = parse_data(stored)?;
        let mut merged = Self { text: data.to_text().map_err(|_| StoreError::Corrupt)?, refused: Vec::new() };
        for change in changes {
            data.apply(change);
            match data.to_bounded_text(max_bytes) {
                Ok(text) => {
                    merged.text = text;
                    merged.refused.push(None);
                }
                Err(error) => {
                    data = Data::from_text(merged.text.as_deref()).map_err(|_| StoreError::Corrupt)?;
                    merged.refused.push(Some(error));
                }
            }
        }
        Ok(merged)
    }

    /// Changes that were not left out.
    fn count(&self) -> i64 {
        i64::try_from(self.refused.iter().filter(|refused| refused.is_none()).count()).unwrap_or(i64::MAX)
    }

    /// Why a change was left out, if one was.
    pub fn refusal(&self) -> Option<StoreError> {
        self.refused.iter().copied().flatten().next()
    }

    /// The outcomes if every change was left out.
    fn refusals(self) -> Vec<Outcome> {
        self.refused.into_iter().map(|refused| refused.map_or(Ok(None), Err)).collect()
    }

    /// The session after each change, as each caller would have seen it alone, and what Redis holds now.
    async fn outcomes(
        self,
        found: &Found,
        fields: Fields,
        changes: &[Change],
    ) -> Result<(Vec<Outcome>, Option<Found>), StoreError> {
        let d = self.text.as_deref().map_or("", RawValue::get).into();
        let before = number(&found.w);
        let after = before.saturating_add(self.count());
        let held = Found { w: after.to_string().into(), d };
        let Some(session) = parse_timed_session_without_data(fields) else { return Ok((missing(changes), None)) };
        if changes.len() == 1 {
            return Ok((vec![Ok(Some(Session { w: after, d: self.text, ..session }))], Some(held)));
        }
        let mut data = parse_data(&found.d)?;
        let mut last = Session { w: before, ..session };
        let (mut outcomes, mut bytes) = (Vec::with_capacity(changes.len()), 0usize);
        for (change, refused) in changes.iter().zip(self.refused) {
            if let Some(error) = refused {
                outcomes.push(Err(error));
                continue;
            }
            data.apply(change);
            last.w = last.w.saturating_add(1);
            last.d = data.to_text().map_err(|_| StoreError::Corrupt)?;
            outcomes.push(Ok(Some(last.clone())));
            // The first use resets `idle`, unless the last one was just before.
            if last.idle > BURST_SECONDS {
                last.idle = 0;
            }
            bytes = bytes.saturating_add(last.d.as_ref().map_or(0, |text| text.get().len()));
            if bytes > BYTES_AT_ONCE {
                bytes = 0;
                tokio::task::yield_now().await;
            }
        }
        Ok((outcomes, Some(held)))
    }
}
