//! One writer a session: a call writes its own change; calls that arrive meanwhile wait, in the order of their arrival.
//!
//! So the callers of one session do not compete, and as many of them as come are served by a few round trips to Redis.
//! Conflicts are left between instances of the service.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::RedisStore;
use super::sets::{Found, Outcome};
use crate::data::Change;
use crate::params::App;
use crate::store::{Cause, StoreError};
use crate::token::Token;

/// Changes that are written together. Bounds how long the caller of the first one waits for the others.
const BATCH: usize = 128;

pub type Key = Arc<(App, Token)>;

/// A call that waits.
pub enum Waiting {
    /// Its change is written for it, together with others.
    Set(Set),
    /// It renews the session by itself when it has its turn.
    Renewal(oneshot::Sender<Result<Turn, StoreError>>),
}

pub struct Set {
    pub change: Change,
    pub answer: oneshot::Sender<Outcome>,
}

/// What comes next.
pub enum Next {
    Sets(Vec<Set>),
    Renewal(oneshot::Sender<Result<Turn, StoreError>>),
}

impl Waiting {
    fn has_left(&self) -> bool {
        match self {
            Self::Set(set) => set.answer.is_closed(),
            Self::Renewal(caller) => caller.is_closed(),
        }
    }
}

/// The calls that wait, by session. A session has an entry while somebody writes it.
#[derive(Default)]
pub struct SetQueue(Mutex<HashMap<Key, VecDeque<Waiting>>>);

impl SetQueue {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, VecDeque<Waiting>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// If a session is being written, lets the call wait and returns where its answer comes from. If not, the caller has
    /// to write it, and the next ones wait.
    pub fn wait_or_write<T>(
        &self,
        key: &Key,
        call: impl FnOnce(oneshot::Sender<T>) -> Waiting,
    ) -> Option<oneshot::Receiver<T>> {
        match self.lock().entry(Arc::clone(key)) {
            Entry::Occupied(mut queue) => {
                let (answer, outcome) = oneshot::channel();
                queue.get_mut().push_back(call(answer));
                Some(outcome)
            }
            Entry::Vacant(place) => {
                place.insert(VecDeque::new());
                None
            }
        }
    }

    /// Ends the turn of a writer. Returns whether others wait.
    fn has_next(&self, key: &Key) -> bool {
        match self.lock().entry(Arc::clone(key)) {
            Entry::Occupied(queue) if queue.get().is_empty() => {
                queue.remove();
                false
            }
            Entry::Occupied(_) => true,
            Entry::Vacant(_) => false,
        }
    }

    /// The next calls to serve; `None` if there are none, and the task has to end. Calls whose callers have given up are
    /// dropped.
    pub fn next(&self, key: &Key) -> Option<Next> {
        let mut queues = self.lock();
        let queue = queues.get_mut(key)?;
        queue.retain(|waiting| !waiting.has_left());
        let mut sets = Vec::new();
        while let Some(waiting) = queue.pop_front() {
            match waiting {
                Waiting::Set(set) => sets.push(set),
                Waiting::Renewal(caller) if sets.is_empty() => return Some(Next::Renewal(caller)),
                // The sets that came before it are written first.
                renewal @ Waiting::Renewal(_) => {
                    queue.push_front(renewal);
                    break;
                }
            }
            if sets.len() == BATCH {
                break;
            }
        }
        if sets.is_empty() {
            queues.remove(key);
            return None;
        }
        Some(Next::Sets(sets))
    }

    /// Answers all who wait, unless they can be written: they were not, when the answer to others was lost.
    pub fn fail(&self, key: &Key, error: StoreError) {
        if error == StoreError::Unavailable(Cause::UnknownOutcome) {
            return;
        }
        let waiting = self.lock().get_mut(key).map(std::mem::take).unwrap_or_default();
        for waiting in waiting {
            // Fails if the caller has given up.
            match waiting {
                Waiting::Set(set) => drop(set.answer.send(Err(error))),
                Waiting::Renewal(caller) => drop(caller.send(Err(error))),
            }
        }
    }
}

/// The turn of a call that writes by itself. When it ends, or if the call is dropped halfway, a task serves those who came
/// meanwhile.
pub struct Turn {
    pub store: Arc<RedisStore>,
    pub key: Key,
    /// What Redis holds after the last write, if that is known.
    pub known: Option<Found>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.store.sets.has_next(&self.key) {
            return;
        }
        // Fails only while the program ends.
        if let Ok(runtime) = Handle::try_current() {
            let (store, key, known) = (Arc::clone(&self.store), self.key.clone(), self.known.take());
            runtime.spawn(async move { store.write_all(&key, known).await });
        }
    }
}
