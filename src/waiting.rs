//! The requests and responses that wait for something, or that somebody looks after while they are open, and what they
//! are still to be told.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem;

use rest_sessions_core::cache::numbered::Numbered;
use rest_sessions_core::cache::trip::{StreamId, Who};
use rest_sessions_core::exchange::{AwaitChange, AwaitKills, AwaitResponse, AwaitSession, Open, Watch};
use rest_sessions_core::http::headers::Headers;
use rest_sessions_core::session::lookup::{Failure, Lookup};
use rest_sessions_core::telemetry::Counter;

/// See [`Who`].
pub type Ticket = u64;

struct Waiting {
    stream: StreamId,
    exchange: Exchange,
}

/// Headers are those that the request came with.
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
    /// It has gone its way.
    Open {
        watch: Option<Watched>,
        response: Response,
    },
}

/// A request that is looked at again at this time; absent while its session is being asked for.
pub struct Watched {
    watch: Watch,
    due_ms: Option<u64>,
}

/// How far the response to a request has come.
pub enum Response {
    Free,
    Awaited { exchange: AwaitResponse, headers: Headers },
    Changes { exchange: AwaitChange, headers: Headers },
}

/// What a request waits for.
pub enum News {
    Session(Lookup),
    /// A session has ended or changed, or may have not.
    Done(Result<bool, Failure>),
}

/// A request that is told what it waits for.
pub enum Told {
    Session { exchange: AwaitSession, headers: Headers, lookup: Lookup },
    Shadow { exchange: AwaitSession, headers: Headers, gone: bool, lookup: Lookup },
    Kills { exchange: AwaitKills, headers: Headers },
    Watch { watch: Watch, lookup: Lookup },
    Change { exchange: AwaitChange, headers: Headers, outcome: Result<bool, Failure> },
}

/// Nothing is done to a request that is not in here, from outside its own callbacks.
#[derive(Default)]
pub struct WaitingRoom {
    waiting: RefCell<Numbered<Ticket, Waiting>>,
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

    /// Looks after a request that goes its way, if there is a reason to; says whether there is.
    pub fn open(&self, who: Who, open: Open, due_ms: Option<u64>, headers: Headers) -> bool {
        let watch = open.watch.map(|watch| Watched { watch, due_ms });
        let response = match open.response {
            Some(exchange) => Response::Awaited { exchange, headers },
            None if watch.is_none() => return false,
            None => Response::Free,
        };
        self.enter(who, Exchange::Open { watch, response });
        true
    }

    /// The response to a request is there.
    pub fn response(&self, ticket: Ticket) -> Option<(AwaitResponse, Headers)> {
        let mut waiting = self.waiting.borrow_mut();
        let Exchange::Open { response, .. } = &mut waiting.get_mut(&ticket)?.exchange else { return None };
        match mem::replace(response, Response::Free) {
            Response::Awaited { exchange, headers } => Some((exchange, headers)),
            Response::Free | Response::Changes { .. } => None,
        }
    }

    /// The response to a request waits until its session is changed.
    pub fn change(&self, ticket: Ticket, exchange: AwaitChange, headers: Headers) {
        if let Some(Waiting { exchange: Exchange::Open { response, .. }, .. }) =
            self.waiting.borrow_mut().get_mut(&ticket)
        {
            *response = Response::Changes { exchange, headers };
        }
    }

    /// A request stays open, and is looked at again at this time.
    pub fn stays(&self, ticket: Ticket, due_ms: u64) {
        if let Some(Waiting { exchange: Exchange::Open { watch: Some(watched), .. }, .. }) =
            self.waiting.borrow_mut().get_mut(&ticket)
        {
            watched.due_ms = Some(due_ms);
        }
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

    /// The request that is told something, if it waits for that.
    pub fn take(&self, who: Who, news: News) -> Option<Told> {
        let mut waiting = self.waiting.borrow_mut();
        match (&mut waiting.get_mut(&who.ticket)?.exchange, &news) {
            (Exchange::Kills { exchange, .. }, News::Done(outcome)) => {
                exchange.killed(*outcome);
                if !exchange.is_over() {
                    return None;
                }
            }
            (Exchange::Open { watch, response }, _) => return open_told(watch.as_ref(), response, news),
            (Exchange::Session { .. } | Exchange::Shadow { .. }, News::Session(_)) => {}
            // A request asks for one of both.
            (Exchange::Kills { .. }, News::Session(_)) | (_, News::Done(_)) => return None,
        }
        Some(match (waiting.remove(&who.ticket)?.exchange, news) {
            (Exchange::Session { exchange, headers }, News::Session(lookup)) => {
                Told::Session { exchange, headers, lookup }
            }
            (Exchange::Shadow { exchange, headers, gone }, News::Session(lookup)) => {
                Told::Shadow { exchange, headers, gone, lookup }
            }
            (Exchange::Kills { exchange, headers }, _) => Told::Kills { exchange, headers },
            _ => return None,
        })
    }

    /// Some of those that are to be looked at again by now.
    pub fn take_due(&self, now_ms: u64, most: usize) -> Vec<(Who, Watch)> {
        let mut waiting = self.waiting.borrow_mut();
        let due = waiting.iter_mut().filter_map(|(ticket, Waiting { stream, exchange })| match exchange {
            Exchange::Open { watch: Some(Watched { watch, due_ms }), .. }
                if due_ms.is_some_and(|due| due <= now_ms) =>
            {
                *due_ms = None;
                Some((Who { stream: *stream, ticket: *ticket }, watch.clone()))
            }
            _ => None,
        });
        due.take(most).collect()
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

fn open_told(watch: Option<&Watched>, response: &mut Response, news: News) -> Option<Told> {
    match (watch, news) {
        (Some(watched), News::Session(lookup)) => Some(Told::Watch { watch: watched.watch.clone(), lookup }),
        (_, News::Done(outcome)) => match mem::replace(response, Response::Free) {
            Response::Changes { exchange, headers } => Some(Told::Change { exchange, headers, outcome }),
            Response::Free | Response::Awaited { .. } => None,
        },
        (None, News::Session(_)) => None,
    }
}

impl Exchange {
    /// What a request counts as whose client has left; nothing, where it was counted when it was let through.
    fn abandoned(self) -> Option<Counter> {
        match self {
            Self::Session { exchange, .. } | Self::Shadow { exchange, .. } => Some(exchange.abandoned()),
            Self::Kills { exchange, .. } => Some(exchange.abandoned()),
            Self::Open { .. } => None,
        }
    }
}

impl Told {
    /// As for those who wait.
    pub fn abandoned(self) -> Option<Counter> {
        match self {
            Self::Session { exchange, .. } | Self::Shadow { exchange, .. } => Some(exchange.abandoned()),
            Self::Kills { exchange, .. } => Some(exchange.abandoned()),
            Self::Watch { .. } | Self::Change { .. } => None,
        }
    }
}
