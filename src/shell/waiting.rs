//! The requests that wait for something, or that somebody looks after while they are open, and what they are still to
//! be told.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};

use crate::cache::trip::{StreamId, Who};
use crate::exchange::{AwaitKills, AwaitSession, Watch};
use crate::http::headers::Headers;
use crate::session::lookup::{Failure, Lookup};
use crate::telemetry::Counter;

/// See [`Who`].
pub type Ticket = u64;

pub struct Waiting {
    pub stream: StreamId,
    pub exchange: Exchange,
}

pub enum Exchange {
    Session {
        exchange: AwaitSession,
        headers: Headers,
    },
    /// It has gone its way, and what would have been is to be counted; maybe the host is done with it already.
    Shadow {
        exchange: AwaitSession,
        headers: Headers,
        gone: bool,
    },
    Kills {
        exchange: AwaitKills,
        headers: Headers,
    },
    /// It has gone its way, and is looked at again at this time; absent while its session is being asked for.
    Watch {
        watch: Watch,
        due_ms: Option<u64>,
    },
}

/// What a request waits for.
pub enum News {
    Session(Lookup),
    /// One of its sessions has ended, or may have not.
    Killed(Result<bool, Failure>),
}

/// Nothing is done to a request that is not in here, from outside its own callbacks.
#[derive(Default)]
pub struct WaitingRoom {
    waiting: RefCell<HashMap<Ticket, Waiting>>,
    next_ticket: Cell<Ticket>,
    backlog: RefCell<VecDeque<(Who, News)>>,
}

impl WaitingRoom {
    /// A ticket for a request.
    pub fn admit(&self, stream: StreamId) -> Who {
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket.wrapping_add(1));
        Who { stream, ticket }
    }

    pub fn enter(&self, who: Who, exchange: Exchange) {
        self.waiting.borrow_mut().insert(who.ticket, Waiting { stream: who.stream, exchange });
    }

    /// The host is done with a request; says what it counts as, if it had still to be decided.
    pub fn left(&self, ticket: Ticket) -> Option<Counter> {
        let mut waiting = self.waiting.borrow_mut();
        if let Some(Waiting { exchange: Exchange::Shadow { gone, .. }, .. }) = waiting.get_mut(&ticket) {
            // What would have been is counted once it is known.
            *gone = true;
            return None;
        }
        waiting.remove(&ticket).and_then(|left| left.exchange.abandoned())
    }

    /// No more news will come. Says what those count as that nobody else would count: they have gone their way.
    pub fn close(&self) -> Vec<Counter> {
        let mut waiting = self.waiting.borrow_mut();
        let shadows = waiting.extract_if(|_, waiting| matches!(waiting.exchange, Exchange::Shadow { .. }));
        shadows.filter_map(|(_, waiting)| waiting.exchange.abandoned()).collect()
    }

    /// The request that is told something, if it is ready for it.
    pub fn take(&self, who: Who, news: &News) -> Option<Waiting> {
        let mut waiting = self.waiting.borrow_mut();
        match (&mut waiting.get_mut(&who.ticket)?.exchange, news) {
            (Exchange::Kills { exchange, .. }, News::Killed(outcome)) => {
                exchange.killed(*outcome);
                if !exchange.is_over() {
                    return None;
                }
            }
            (Exchange::Session { .. } | Exchange::Shadow { .. } | Exchange::Watch { .. }, News::Session(_)) => {}
            // A request asks for one of both.
            (Exchange::Kills { .. }, News::Session(_)) | (_, News::Killed(_)) => return None,
        }
        waiting.remove(&who.ticket)
    }

    /// Some of those that are to be looked at again by now.
    pub fn take_due(&self, now_ms: u64, most: usize) -> Vec<(Who, Watch)> {
        let mut waiting = self.waiting.borrow_mut();
        let due = waiting.extract_if(|_, waiting| waiting.is_due(now_ms)).take(most);
        let taken = due.filter_map(|(ticket, waiting)| match waiting {
            Waiting { stream, exchange: Exchange::Watch { watch, .. } } => Some((Who { stream, ticket }, watch)),
            _ => None,
        });
        taken.collect()
    }

    pub fn put_off(&self, news: impl IntoIterator<Item = (Who, News)>) {
        self.backlog.borrow_mut().extend(news);
    }

    pub fn next(&self) -> Option<(Who, News)> {
        self.backlog.borrow_mut().pop_front()
    }

    pub fn is_settled(&self) -> bool {
        self.backlog.borrow().is_empty()
    }
}

impl Waiting {
    fn is_due(&self, now_ms: u64) -> bool {
        matches!(self.exchange, Exchange::Watch { due_ms: Some(due_ms), .. } if due_ms <= now_ms)
    }
}

impl Exchange {
    /// What a request counts as whose client has left; nothing, where it was counted when it was let through.
    pub fn abandoned(self) -> Option<Counter> {
        match self {
            Self::Session { exchange, .. } | Self::Shadow { exchange, .. } => Some(exchange.abandoned()),
            Self::Kills { exchange, .. } => Some(exchange.abandoned()),
            Self::Watch { .. } => None,
        }
    }
}
