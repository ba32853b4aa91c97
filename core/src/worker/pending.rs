//! The streams of a worker that wait for something or are followed while they are open, and the completions that are ready
//! for them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::mem;

use crate::action::{Completion, Ready, StreamRef};
use crate::exchange::{AwaitChange, AwaitKills, AwaitResponse, AwaitSession, FollowUp, Watch};
use crate::int_map::IntMap;
use crate::session::lookup::{Failure, Lookup};

struct PendingStream {
    stream: StreamRef,
    exchange: Exchange,
}

/// What may still happen to a stream whose request went on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expectations {
    /// The time between two rechecks, in milliseconds. `None`: there are none.
    pub recheck_every_ms: Option<u64>,
    /// Its response may change its session.
    pub may_change_session: bool,
}

/// What a stream waits for.
pub enum Exchange {
    Session(AwaitSession),
    /// The request has gone on. The lookup's outcome is only counted, also after the stream has ended.
    Shadow {
        exchange: AwaitSession,
        has_ended: bool,
    },
    Kills(AwaitKills),
    /// The request has gone on.
    Open {
        watch: Option<Watched>,
        response: UpstreamResponse,
    },
}

/// A stream that is rechecked at `due_ms`, in milliseconds since 1970; absent while its session is being looked up.
pub struct Watched {
    watch: Watch,
    due_ms: Option<u64>,
}

/// The upstream's response of a stream.
pub enum UpstreamResponse {
    /// It may not change the session, or has begun.
    Free,
    Awaited(AwaitResponse),
    Changing(AwaitChange),
}

/// An exchange that goes on, with what it waited for.
pub enum Resumed {
    Session(AwaitSession, Lookup),
    Shadow { exchange: AwaitSession, has_ended: bool, lookup: Lookup },
    Kills(AwaitKills),
    Recheck(Watch, Lookup),
    Change(AwaitChange, Result<bool, Failure>),
}

impl Resumed {
    /// Whether the request is still to be decided, and to be counted.
    pub fn is_undecided(&self) -> bool {
        matches!(self, Self::Session(..) | Self::Shadow { .. } | Self::Kills(_))
    }
}

/// Outside a stream's own callbacks, nothing is done to a stream that is not in here.
#[derive(Default)]
pub struct PendingStreams {
    /// By generation.
    streams: IntMap<u64, PendingStream>,
    /// When the watched streams are due, with their generations.
    due: BinaryHeap<Reverse<(u64, u64)>>,
    ready: VecDeque<Completion>,
}

impl PendingStreams {
    pub fn insert(&mut self, stream: StreamRef, exchange: Exchange) {
        self.streams.insert(stream.generation, PendingStream { stream, exchange });
    }

    /// Follows a request that goes on, if there is a reason to. Returns whether there is.
    pub fn follow(&mut self, stream: StreamRef, follow_up: FollowUp, due_ms: Option<u64>) -> bool {
        let watch = follow_up.watch.map(|watch| Watched { watch, due_ms });
        self.due.extend(due_ms.map(|due_ms| Reverse((due_ms, stream.generation))));
        let response = match follow_up.response {
            Some(exchange) => UpstreamResponse::Awaited(exchange),
            None if watch.is_none() => return false,
            None => UpstreamResponse::Free,
        };
        self.insert(stream, Exchange::Open { watch, response });
        true
    }

    /// Takes what awaits the response of a stream.
    pub fn take_response(&mut self, stream: StreamRef) -> Option<AwaitResponse> {
        let (_, response) = self.open(stream)?;
        match mem::replace(response, UpstreamResponse::Free) {
            UpstreamResponse::Awaited(exchange) => Some(exchange),
            UpstreamResponse::Free | UpstreamResponse::Changing(_) => None,
        }
    }

    /// The response of a stream waits for its session's change.
    pub fn await_change(&mut self, stream: StreamRef, exchange: AwaitChange) {
        if let Some((_, response)) = self.open(stream) {
            *response = UpstreamResponse::Changing(exchange);
        }
    }

    /// The next recheck of a stream.
    pub fn schedule(&mut self, stream: StreamRef, due_ms: u64) {
        if let Some((Some(watched), _)) = self.open(stream) {
            watched.due_ms = Some(due_ms);
            self.due.push(Reverse((due_ms, stream.generation)));
        }
    }

    fn open(&mut self, stream: StreamRef) -> Option<(&mut Option<Watched>, &mut UpstreamResponse)> {
        match &mut self.streams.get_mut(&stream.generation)?.exchange {
            Exchange::Open { watch, response } => Some((watch, response)),
            _ => None,
        }
    }

    /// The watches that are due, `limit` at most, the longest overdue first: a stream that waits becomes ever more overdue,
    /// so each one's turn comes. They are not due again until [`Self::schedule`].
    pub fn take_due(&mut self, now_ms: u64, limit: usize) -> Vec<(StreamRef, Watch)> {
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some(Reverse((due_ms, generation))) = self.due.peek().copied()
            && due_ms <= now_ms
        {
            self.due.pop();
            // A stream that has ended leaves its place here behind.
            if let Some(PendingStream { stream, exchange: Exchange::Open { watch: Some(watched), .. } }) =
                self.streams.get_mut(&generation)
                && watched.due_ms.take_if(|due| *due == due_ms).is_some()
            {
                taken.push((*stream, watched.watch.clone()));
            }
        }
        taken
    }

    /// The host is done with a stream. Returns whether its request was still to be decided.
    pub fn end(&mut self, stream: StreamRef) -> bool {
        if let Some(PendingStream { exchange: Exchange::Shadow { has_ended, .. }, .. }) =
            self.streams.get_mut(&stream.generation)
        {
            // Its lookup goes on, and is counted when it is over.
            *has_ended = true;
            return false;
        }
        let ended = self.streams.remove(&stream.generation);
        ended.is_some_and(|ended| matches!(ended.exchange, Exchange::Session(_) | Exchange::Kills(_)))
    }

    /// A stream was answered 503, since the host refused a change of its trailers or of its response. Returns whether its
    /// request was still to be decided. The lookup of a stream in shadow goes on, and is counted when it is over.
    pub fn refuse(&mut self, stream: StreamRef) -> bool {
        match self.streams.get(&stream.generation).map(|pending| &pending.exchange) {
            Some(Exchange::Shadow { .. }) | None => false,
            Some(_) => self.end(stream),
        }
    }

    /// Forgets a stream whose request was answered otherwise.
    pub fn remove(&mut self, stream: StreamRef) {
        self.streams.remove(&stream.generation);
    }

    /// Removes the streams in shadow, whose lookups will not be over. Returns how many there were.
    pub fn clear_shadows(&mut self) -> usize {
        self.streams.extract_if(|_, pending| matches!(pending.exchange, Exchange::Shadow { .. })).count()
    }

    /// What streams wait for is ready. A request goes on with the last of its lookups, a logout with the last of its kills.
    pub fn make_ready(&mut self, completions: impl IntoIterator<Item = Completion>) {
        for completion in completions {
            let is_ready = match (self.streams.get_mut(&completion.stream.generation), &completion.ready) {
                (Some(PendingStream { exchange: Exchange::Kills(exchange), .. }), Ready::Mutation(outcome)) => {
                    exchange.record(*outcome)
                }
                (
                    Some(PendingStream {
                        exchange: Exchange::Session(exchange) | Exchange::Shadow { exchange, .. },
                        ..
                    }),
                    Ready::Lookup(position, lookup),
                ) => exchange.record(*position, lookup),
                (pending, _) => pending.is_some(),
            };
            if is_ready {
                self.ready.push_back(completion);
            }
        }
    }

    /// The next completion of a stream that has not ended.
    pub fn next_ready(&mut self) -> Option<Completion> {
        while let Some(completion) = self.ready.pop_front() {
            if self.streams.contains_key(&completion.stream.generation) {
                return Some(completion);
            }
        }
        None
    }

    /// The completion of this stream, if it is ready.
    pub fn take_ready(&mut self, stream: StreamRef) -> Option<Completion> {
        let place = self.ready.iter().position(|completion| completion.stream == stream)?;
        self.ready.remove(place)
    }

    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes the exchange that goes on with a completion, if the stream still waits for it.
    pub fn resume(&mut self, completion: Completion) -> Option<Resumed> {
        let Completion { stream, ready } = completion;
        let pending = self.streams.get_mut(&stream.generation)?;
        match (&mut pending.exchange, ready) {
            (Exchange::Open { watch, .. }, Ready::Lookup(_, lookup)) => {
                watch.as_ref().map(|watched| Resumed::Recheck(watched.watch.clone(), lookup))
            }
            (Exchange::Open { response, .. }, Ready::Mutation(outcome)) => {
                match mem::replace(response, UpstreamResponse::Free) {
                    UpstreamResponse::Changing(exchange) => Some(Resumed::Change(exchange, outcome)),
                    UpstreamResponse::Free | UpstreamResponse::Awaited(_) => None,
                }
            }
            (Exchange::Session(_) | Exchange::Shadow { .. }, Ready::Lookup(_, lookup)) => {
                match self.streams.remove(&stream.generation)?.exchange {
                    Exchange::Session(exchange) => Some(Resumed::Session(exchange, lookup)),
                    Exchange::Shadow { exchange, has_ended } => Some(Resumed::Shadow { exchange, has_ended, lookup }),
                    Exchange::Kills(_) | Exchange::Open { .. } => None,
                }
            }
            (Exchange::Kills(_), Ready::Mutation(_)) => match self.streams.remove(&stream.generation)?.exchange {
                Exchange::Kills(exchange) => Some(Resumed::Kills(exchange)),
                _ => None,
            },
            // A stream waits for one or the other.
            (Exchange::Kills(_), Ready::Lookup(..))
            | (Exchange::Session(_) | Exchange::Shadow { .. }, Ready::Mutation(_)) => None,
        }
    }

    #[must_use]
    pub fn expectations(&self, stream: StreamRef) -> Expectations {
        match self.streams.get(&stream.generation).map(|pending| &pending.exchange) {
            Some(Exchange::Open { watch, response }) => Expectations {
                recheck_every_ms: watch.as_ref().map(|watched| watched.watch.every_ms()),
                may_change_session: matches!(response, UpstreamResponse::Awaited(_)),
            },
            _ => Expectations::default(),
        }
    }
}
