//! Renewals: a session gets a new token, and the old one ends, in one atomic step.

use std::sync::Arc;

use redis::{FromRedisValue, Value};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::RedisStore;
use super::connection::Kind;
use super::fields::Fields;
use super::queue::{Key, Turn, Waiting};
use super::script::Arg;
use super::sets::{Found, MAX_CONFLICTS, Merged};
use crate::data::Change;
use crate::params::App;
use crate::store::{Cause, Renewal, StoreError};
use crate::token::Token;

/// A session to renew.
struct Old {
    id: String,
    found: Found,
}

/// What the script answers.
enum Renewed {
    /// No such session.
    Missing,
    Conflict(Found),
    Done,
}

impl FromRedisValue for Renewed {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        match value {
            Value::Nil => Ok(Self::Missing),
            Value::Int(_) => Ok(Self::Done),
            pair => Fields::from_redis_value(pair).map(|pair| Self::Conflict(Found::of_pair(pair))),
        }
    }
}

impl RedisStore {
    /// Waits for its turn among the sets of the session: those that came before are in the new session, those that come
    /// later find none.
    pub async fn renew(
        self: &Arc<Self>,
        app: &App,
        token: &Token,
        change: Option<Change>,
        others: bool,
    ) -> Result<Renewal, StoreError> {
        let turn = self.turn(Arc::new((app.clone(), token.clone()))).await?;
        let renewal = self.renew_in_turn(&turn.key, change, others).await;
        renewal.inspect_err(|error| {
            // Not if only this change is too large.
            if let StoreError::Unavailable(_) | StoreError::Full = error {
                self.sets.fail(&turn.key, *error);
            }
        })
    }

    async fn renew_in_turn(&self, key: &Key, change: Option<Change>, others: bool) -> Result<Renewal, StoreError> {
        let (app, token) = key.as_ref();
        let deadline = self.connection.deadline();
        let Some(Old { id, mut found }) = self.old(app, token, deadline).await? else { return Ok(Renewal::default()) };
        // In its turn: a renewal of the same session that comes first would make another session of the user.
        let others = if others { self.kill_user_except(app, &id, Some(token)).await? } else { 0 };
        let deadline = self.connection.deadline();
        let now = self.now_millis(deadline).await?;
        let new = self.layout.new_token(app, &id, now).map_err(|_| StoreError::NoRandomness)?;
        for _ in 0..MAX_CONFLICTS {
            // A session that is too large already may become smaller.
            let longest = self.max_session_bytes.max(found.d.len());
            let merged = Merged::new(&found.d, change.as_slice(), longest)?;
            if let Some(error) = merged.refusal() {
                return Err(error);
            }
            match self.replace_token(key, &id, &new, &found, &merged).await? {
                Renewed::Missing => return Ok(Renewal { token: None, others }),
                Renewed::Done => return Ok(Renewal { token: Some(new), others }),
                Renewed::Conflict(present) => found = present,
            }
        }
        Err(StoreError::Unavailable(Cause::Busy))
    }

    /// Waits until no other call in this process writes the session.
    async fn turn(self: &Arc<Self>, key: Key) -> Result<Turn, StoreError> {
        match self.sets.wait_or_write(&key, Waiting::Renewal) {
            None => Ok(Turn { store: Arc::clone(self), key, known: None }),
            // The writer answers all, unless the runtime ends.
            Some(turn) => turn.await.unwrap_or(Err(StoreError::Unavailable(Cause::Other))),
        }
    }

    /// `None` if there is no such session, or if it has expired.
    async fn old(&self, app: &App, token: &Token, deadline: Instant) -> Result<Option<Old>, StoreError> {
        let read = self.read(app, token, None, Kind::Read, "nothing", deadline).await?;
        let super::Found::Session(mut fields) = read else { return Ok(None) };
        let mut field = |place: usize| fields.get_mut(place).and_then(Option::take).unwrap_or_default();
        let id = String::from_utf8_lossy(&field(0)).into_owned();
        Ok(Some(Old { id, found: Found { w: field(2), d: field(4) } }))
    }

    /// Replaces the session if it is still what was found.
    async fn replace_token(
        &self,
        key: &Key,
        id: &str,
        new: &Token,
        found: &Found,
        merged: &Merged,
    ) -> Result<Renewed, StoreError> {
        let (app, token) = key.as_ref();
        let names = self.layout.of_token(token);
        let added = vec![names.tokens(app, id), names.session(app, new.as_str())];
        let keys = &[names.of_session(app, token), added].concat();
        let args = &[
            Arg::Text(app.as_str()),
            Arg::Text(token.as_str()),
            self.time.argument(),
            Arg::Bytes(&found.w),
            Arg::Bytes(&found.d),
            Arg::Text(new.as_str()),
            Arg::Text(merged.text.as_deref().map_or("", RawValue::get)),
        ];
        let run = self.connection.run(Kind::Write, self.connection.deadline(), |mut connection, _| async move {
            self.scripts.renew.run(&mut connection, keys, args).await
        });
        run.await
    }
}
