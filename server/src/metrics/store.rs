//! The store with its metrics: every call is timed, and its outcome counted.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use prometheus::{Histogram, IntCounter};

use super::Metrics;
use crate::data::Change;
use crate::params::App;
use crate::session::Session;
use crate::store::{Lookup, NewSession, Read, Renewal, Store, StoreError};
use crate::token::Token;

type Outcome<T> = Result<T, StoreError>;

/// A [`Store`], whose operations this has too. Clones share it.
#[derive(Clone)]
pub struct MeteredStore {
    store: Store,
    metrics: Arc<Metrics>,
}

impl MeteredStore {
    pub fn new(store: Store, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }

    pub async fn create(&self, app: &App, new: NewSession) -> Outcome<Token> {
        let token = self.timed(&self.metrics.store_seconds.create, self.store.create(app, new)).await?;
        self.metrics.created.inc();
        Ok(token)
    }

    pub async fn get(&self, app: &App, token: &Token, read: Read) -> Outcome<Lookup> {
        let found = self.timed(&self.metrics.store_seconds.get, self.store.get(app, token, read)).await?;
        match &found {
            Lookup::Active { untouched: Some(error), .. } => {
                self.metrics.untouched.with_label_values(&[error.cause()]).inc();
            }
            Lookup::Ended => self.metrics.ended.max_idle.inc(),
            Lookup::Active { untouched: None, .. } | Lookup::Missing => {}
        }
        Ok(found)
    }

    pub async fn set(&self, app: &App, token: &Token, change: Change) -> Outcome<Option<Session>> {
        let session = self.timed(&self.metrics.store_seconds.set, self.store.set(app, token, change)).await?;
        if session.is_some() {
            self.metrics.sets.inc();
        }
        Ok(session)
    }

    pub async fn renew(
        &self,
        app: &App,
        token: &Token,
        change: Option<Change>,
        others: bool,
    ) -> Outcome<Option<Token>> {
        let renew = self.store.renew(app, token, change, others);
        let Renewal { token, others } = self.timed(&self.metrics.store_seconds.renew, renew).await?;
        counted(&self.metrics.ended.renew, others);
        if token.is_some() {
            self.metrics.created.inc();
            self.metrics.ended.renew.inc();
        }
        Ok(token)
    }

    pub async fn kill(&self, app: &App, token: &Token) -> Outcome<u64> {
        let killed = self.timed(&self.metrics.store_seconds.kill, self.store.kill(app, token)).await?;
        Ok(counted(&self.metrics.ended.kill, killed))
    }

    pub async fn kill_user(&self, app: &App, id: &str) -> Outcome<u64> {
        let killed = self.timed(&self.metrics.store_seconds.kill_user, self.store.kill_user(app, id)).await?;
        Ok(counted(&self.metrics.ended.kill_user, killed))
    }

    pub async fn kill_all(&self, app: &App) -> Outcome<u64> {
        let killed = self.timed(&self.metrics.store_seconds.kill_all, self.store.kill_all(app)).await?;
        Ok(counted(&self.metrics.ended.kill_all, killed))
    }

    pub async fn active_users(&self, app: &App, dt: i64) -> Outcome<u64> {
        self.timed(&self.metrics.store_seconds.active_users, self.store.active_users(app, dt)).await
    }

    pub async fn app_sessions(&self, app: &App, dt: i64) -> Outcome<Vec<Session>> {
        self.timed(&self.metrics.store_seconds.app_sessions, self.store.app_sessions(app, dt)).await
    }

    pub async fn user_sessions(&self, app: &App, id: &str) -> Outcome<Vec<Session>> {
        self.timed(&self.metrics.store_seconds.user_sessions, self.store.user_sessions(app, id)).await
    }

    /// Removes the sessions that have expired by now.
    pub async fn sweep(&self) -> Outcome<u64> {
        let sweep = async { self.store.sweep(self.store.now().await?).await };
        let swept = self.timed(&self.metrics.store_seconds.sweep, sweep).await?;
        Ok(counted(&self.metrics.swept, swept))
    }

    pub async fn ping(&self) -> Outcome<()> {
        self.timed(&self.metrics.store_seconds.ping, self.store.ping()).await
    }

    pub async fn ready(&self) -> Outcome<()> {
        self.timed(&self.metrics.store_seconds.ready, self.store.ready()).await
    }

    /// The bytes that sessions take, if they are in memory.
    pub fn memory_bytes(&self) -> Option<usize> {
        match &self.store {
            Store::Memory(memory) => Some(memory.bytes()),
            Store::Redis(_) => None,
        }
    }

    async fn timed<T>(&self, seconds: &Histogram, call: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        let began = Instant::now();
        let outcome = call.await;
        seconds.observe(began.elapsed().as_secs_f64());
        if let Err(error) = &outcome {
            self.metrics.store_errors.with_label_values(&[error.cause()]).inc();
        }
        outcome
    }
}

fn counted(counter: &IntCounter, sessions: u64) -> u64 {
    counter.inc_by(sessions);
    sessions
}
