//! The streams of a worker that wait for something or are followed while they are open, and the completions that are ready
//! for them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::mem;

use crate::action::{Completion, Ready, StreamRef};
use crate::exchange::{AwaitChange, AwaitKills, AwaitResponse, AwaitSession, FollowUp, Watch};
use crate::int_map::{IntMap, MAP_SLACK};
use crate::session::lookup::{Failure, Lookup};
use crate::session::token::Token;

/// How many places of ended streams the order of rechecks may hold beside those of the open ones.
const SPARE_PLACES: usize = 1_024;

struct PendingStream {
    stream: StreamRef,
    exchange: Exchange,
    /// What it counts for in [`PendingStreams::bytes`].
    bytes: usize,
}

/// What a stream takes of the memory beside the heap of its exchange, in bytes: its place in the map, its place among the
/// streams that are due, a list that may be half full, and its contexts in the shell and in the SDK.
const STREAM_BYTES: usize = size_of::<(u64, PendingStream)>() * MAP_SLACK + size_of::<(u64, u64)>() * 2 + 256;

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

/// A stream that is rechecked.
pub struct Watched {
    watch: Watch,
    recheck: Recheck,
}

/// The next recheck of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Recheck {
    /// It is due at this time, in milliseconds since 1970.
    Due(u64),
    /// Its session is being looked up.
    UnderWay,
    /// Its session is being looked up by a call that it has made.
    Calling,
}

/// The upstream's response of a stream.
pub enum UpstreamResponse {
    /// It may not change the session, or has begun.
    Free,
    Awaited(AwaitResponse),
    Changing(AwaitChange),
}

impl Exchange {
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Session(exchange) | Self::Shadow { exchange, .. } => exchange.heap_bytes(),
            Self::Kills(exchange) => exchange.heap_bytes(),
            Self::Open { watch, response } => {
                let watch = if watch.is_some() { Token::HEAP_BYTES } else { 0 };
                watch.saturating_add(match response {
                    UpstreamResponse::Free => 0,
                    UpstreamResponse::Awaited(exchange) => exchange.heap_bytes(),
                    UpstreamResponse::Changing(exchange) => exchange.heap_bytes(),
                })
            }
        }
    }

    /// Nothing more can happen to it.
    fn is_over(&self) -> bool {
        matches!(self, Self::Open { watch: None, response: UpstreamResponse::Free })
    }
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
    /// How many rechecks have made a call that is not over.
    calling: usize,
    ready: VecDeque<Completion>,
    bytes: usize,
}

impl PendingStreams {
    pub fn insert(&mut self, stream: StreamRef, exchange: Exchange) {
        let bytes = STREAM_BYTES.saturating_add(exchange.heap_bytes());
        self.take(stream);
        self.bytes = self.bytes.saturating_add(bytes);
        self.streams.insert(stream.generation, PendingStream { stream, exchange, bytes });
    }

    /// What the streams hold of the memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn take(&mut self, stream: StreamRef) -> Option<Exchange> {
        let PendingStream { exchange, bytes, .. } = self.streams.remove(&stream.generation)?;
        self.bytes = self.bytes.saturating_sub(bytes);
        Some(exchange)
    }

    /// Follows a request that goes on, if there is a reason to. Returns whether there is.
    pub fn follow(&mut self, stream: StreamRef, follow_up: FollowUp, due_ms: Option<u64>) -> bool {
        let watch = follow_up.watch.zip(due_ms).map(|(watch, due_ms)| {
            self.push_due(due_ms, stream.generation);
            Watched { watch, recheck: Recheck::Due(due_ms) }
        });
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
        match self.set_response(stream, UpstreamResponse::Free)? {
            UpstreamResponse::Awaited(exchange) => Some(exchange),
            UpstreamResponse::Free | UpstreamResponse::Changing(_) => None,
        }
    }

    /// The response of a stream waits for its session's change.
    pub fn await_change(&mut self, stream: StreamRef, exchange: AwaitChange) {
        if self.open(stream).is_none() {
            return self.insert(stream, Exchange::Open { watch: None, response: UpstreamResponse::Changing(exchange) });
        }
        self.set_response(stream, UpstreamResponse::Changing(exchange));
    }

    /// Replaces what is awaited of the response of a stream that is open. A stream to which nothing more can happen is
    /// forgotten.
    fn set_response(&mut self, stream: StreamRef, next: UpstreamResponse) -> Option<UpstreamResponse> {
        let (_, response) = self.open(stream)?;
        let before = mem::replace(response, next);
        let exchange = self.take(stream)?;
        if !exchange.is_over() {
            self.insert(stream, exchange);
        }
        Some(before)
    }

    /// The next recheck of a stream. A recheck under way is over.
    pub fn schedule(&mut self, stream: StreamRef, due_ms: u64) {
        self.recheck_is_over(stream);
        if let Some((Some(watched), _)) = self.open(stream) {
            watched.recheck = Recheck::Due(due_ms);
            self.push_due(due_ms, stream.generation);
        }
    }

    #[inline(never)]
    fn push_due(&mut self, due_ms: u64, generation: u64) {
        self.due.push(Reverse((due_ms, generation)));
        // Streams that have ended leave their places behind, for as long as their interval is.
        if self.due.len() > self.streams.len().saturating_mul(2).saturating_add(SPARE_PLACES) {
            let streams = &self.streams;
            self.due.retain(|Reverse((_, generation))| streams.contains_key(generation));
        }
    }

    /// The recheck of a stream has made a call.
    pub fn note_call(&mut self, stream: StreamRef) {
        if let Some((Some(watched), _)) = self.open(stream) {
            watched.recheck = Recheck::Calling;
            self.calling = self.calling.saturating_add(1);
        }
    }

    /// The recheck of a stream is over.
    pub fn recheck_is_over(&mut self, stream: StreamRef) {
        if let Some((Some(watched), _)) = self.open(stream)
            && watched.recheck == Recheck::Calling
        {
            watched.recheck = Recheck::UnderWay;
            self.calling = self.calling.saturating_sub(1);
        }
    }

    /// How many rechecks have made a call that is not over.
    pub fn calling(&self) -> usize {
        self.calling
    }

    /// Whether there are streams to recheck, some time.
    pub fn is_watching(&self) -> bool {
        !self.due.is_empty()
    }

    /// Whether a recheck is due.
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.due.peek().is_some_and(|Reverse((due_ms, _))| *due_ms <= now_ms)
    }

    fn open(&mut self, stream: StreamRef) -> Option<(&mut Option<Watched>, &mut UpstreamResponse)> {
        match &mut self.streams.get_mut(&stream.generation)?.exchange {
            Exchange::Open { watch, response } => Some((watch, response)),
            _ => None,
        }
    }

    /// The watch that is overdue for longest. It is not due again until [`Self::schedule`].
    pub fn take_due(&mut self, now_ms: u64) -> Option<(StreamRef, Watch)> {
        while self.is_due(now_ms) {
            let Reverse((due_ms, generation)) = self.due.pop()?;
            // A stream that has ended leaves its place here behind.
            if let Some(PendingStream { stream, exchange: Exchange::Open { watch: Some(watched), .. }, .. }) =
                self.streams.get_mut(&generation)
                && watched.recheck == Recheck::Due(due_ms)
            {
                watched.recheck = Recheck::UnderWay;
                return Some((*stream, watched.watch.clone()));
            }
        }
        None
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
        match self.take(stream) {
            Some(Exchange::Open { watch: Some(Watched { recheck: Recheck::Calling, .. }), .. }) => {
                self.calling = self.calling.saturating_sub(1);
                false
            }
            Some(Exchange::Session(_) | Exchange::Kills(_)) => true,
            _ => false,
        }
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
        self.take(stream);
    }

    /// Removes the streams in shadow, whose lookups will not be over. Returns how many there were.
    pub fn clear_shadows(&mut self) -> usize {
        let shadows = self.streams.extract_if(|_, pending| matches!(pending.exchange, Exchange::Shadow { .. }));
        let (count, bytes) = shadows.fold((0_usize, 0_usize), |(count, sum), (_, pending)| {
            (count.saturating_add(1), sum.saturating_add(pending.bytes))
        });
        self.bytes = self.bytes.saturating_sub(bytes);
        count
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

    /// How many completions are ready.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Takes the exchange that goes on with a completion, if the stream still waits for it.
    pub fn resume(&mut self, completion: Completion) -> Option<Resumed> {
        let Completion { stream, ready } = completion;
        match (&self.streams.get(&stream.generation)?.exchange, ready) {
            (Exchange::Open { watch, .. }, Ready::Lookup(_, lookup)) => {
                watch.as_ref().map(|watched| Resumed::Recheck(watched.watch.clone(), lookup))
            }
            (Exchange::Open { response: UpstreamResponse::Changing(_), .. }, Ready::Mutation(outcome)) => {
                match self.set_response(stream, UpstreamResponse::Free)? {
                    UpstreamResponse::Changing(exchange) => Some(Resumed::Change(exchange, outcome)),
                    UpstreamResponse::Free | UpstreamResponse::Awaited(_) => None,
                }
            }
            (Exchange::Session(_) | Exchange::Shadow { .. }, Ready::Lookup(_, lookup)) => match self.take(stream)? {
                Exchange::Session(exchange) => Some(Resumed::Session(exchange, lookup)),
                Exchange::Shadow { exchange, has_ended } => Some(Resumed::Shadow { exchange, has_ended, lookup }),
                Exchange::Kills(_) | Exchange::Open { .. } => None,
            },
            (Exchange::Kills(_), Ready::Mutation(_)) => match self.take(stream)? {
                Exchange::Kills(exchange) => Some(Resumed::Kills(exchange)),
                _ => None,
            },
            // A stream waits for one or the other.
            (Exchange::Kills(_), Ready::Lookup(..))
            | (Exchange::Session(_) | Exchange::Shadow { .. } | Exchange::Open { .. }, Ready::Mutation(_)) => None,
        }
    }

    /// How many places the order of rechecks has.
    #[cfg(test)]
    pub fn places(&self) -> usize {
        self.due.len()
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
