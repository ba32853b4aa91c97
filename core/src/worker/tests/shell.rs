//! A shell for tests: it carries a worker's actions out in memory, and refuses what a test lets it refuse.

use std::cell::Cell;
use std::collections::HashSet;
use std::hash::RandomState;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::responses::Response;
use crate::action::{Action, HeaderMap, StreamId, StreamRef};
use crate::cache::shared_data::{LocalData, SharedData};
use crate::config::Config;
use crate::exchange::{Environment, Refused};
use crate::http::headers::Headers;
use crate::local::LocalEnvironment;
use crate::rest_sessions::client::CallId;
use crate::rest_sessions::request::CallRequest;
use crate::session::token::tests::NOW_MS;
use crate::telemetry::{Counter, Gauge, Outcome};
use crate::worker::{Event, Seeds, Worker};

/// A call in flight.
pub struct Call {
    pub id: CallId,
    /// The stream in whose callback it was dispatched.
    pub stream: Option<StreamRef>,
    pub request: Rc<CallRequest>,
}

/// [`LocalEnvironment`] whose clock counts how often it was read, and can be refused.
pub struct TestEnvironment {
    pub local: LocalEnvironment,
    pub clock_reads: Cell<usize>,
    pub refuses_clock: Cell<bool>,
}

impl Environment for TestEnvironment {
    fn now_ms(&self) -> Result<u64, Refused> {
        self.clock_reads.set(self.clock_reads.get() + 1);
        if self.refuses_clock.get() { Err(Refused(1)) } else { self.local.now_ms() }
    }

    fn client_address(&self) -> Option<Vec<u8>> {
        self.local.client_address()
    }

    fn shared_data(&self) -> &dyn SharedData {
        self.local.shared_data()
    }
}

/// The callback that the host is in.
#[derive(Clone, Copy)]
enum Callback {
    Root,
    /// A stream's own.
    Own(StreamRef),
    /// The root's, with the stream as the effective context.
    Completing(StreamRef),
}

impl Callback {
    fn stream(self) -> Option<StreamRef> {
        match self {
            Self::Root => None,
            Self::Own(stream) | Self::Completing(stream) => Some(stream),
        }
    }
}

pub struct Shell {
    pub worker: Worker,
    pub environment: TestEnvironment,
    now_ms: u64,
    /// All actions but `Dispatch`, `Complete`, `Track`, `Timer` and `Wakeup`, each with its stream.
    pub carried_out: Vec<(Option<StreamRef>, Action)>,
    /// The streams that were completed, in their order.
    pub completed: Vec<StreamRef>,
    /// Calls in flight.
    pub calls: Vec<Call>,
    /// How many calls were dispatched or refused so far.
    pub dispatches: usize,
    /// Items in the worker's queue.
    pub wakeups: usize,
    /// The interval of ticks that the worker has set last.
    pub timer_ms: Option<u32>,
    /// Streams whose end is reported.
    tracked: HashSet<StreamRef>,
    /// Streams that the host does not know any more.
    pub gone: HashSet<StreamId>,
    pub refuses_dispatches: bool,
    pub refuses_wakeups: bool,
    /// Changes of this header map are refused.
    pub refuses_changes_of: Option<HeaderMap>,
    next_stream: StreamId,
}

impl Shell {
    pub fn new(config: &Rc<Config>) -> Self {
        Self::sharing(config, &LocalData::default())
    }

    /// Workers with the same `shared_data` belong to one Envoy.
    pub fn sharing(config: &Rc<Config>, shared_data: &LocalData) -> Self {
        let client = Some("203.0.113.7:1234".parse().unwrap());
        let environment = TestEnvironment {
            local: LocalEnvironment::new(NOW_MS, client, shared_data.clone()),
            clock_reads: Cell::new(0),
            refuses_clock: Cell::new(false),
        };
        // No two workers have the same random numbers.
        static WORKERS: AtomicU64 = AtomicU64::new(1);
        let own = WORKERS.fetch_add(1, Ordering::Relaxed) << 32;
        let seeds = Seeds { digest_key: RandomState::new(), random: [1, 2, own, own] };
        let worker = Worker::new(Rc::clone(config), seeds, &environment).expect("there is shared data");
        Self {
            worker,
            environment,
            now_ms: NOW_MS,
            carried_out: Vec::new(),
            completed: Vec::new(),
            calls: Vec::new(),
            dispatches: 0,
            wakeups: 0,
            timer_ms: None,
            tracked: HashSet::new(),
            gone: HashSet::new(),
            refuses_dispatches: false,
            refuses_wakeups: false,
            refuses_changes_of: None,
            next_stream: 1,
        }
    }

    pub fn advance(&mut self, ms: u64) {
        self.now_ms += ms;
        self.environment.local.set_now_ms(self.now_ms);
    }

    /// Hands a request in, on a stream of its own.
    pub fn request(&mut self, headers: &[(&str, &str)]) -> StreamRef {
        let id = self.next_stream;
        self.next_stream += 1;
        self.request_on(id, headers)
    }

    /// Hands a request in on a stream with this number.
    pub fn request_on(&mut self, id: StreamId, headers: &[(&str, &str)]) -> StreamRef {
        let stream = self.worker.admit(id);
        let headers = Headers::from_pairs(&completed(headers));
        self.handle(Event::RequestHeaders { stream, headers, end_of_stream: true }, Some(stream));
        stream
    }

    /// Hands the response of an upstream in.
    pub fn upstream_responds(&mut self, stream: StreamRef, headers: &[(&str, &str)]) {
        let headers = Headers::from_pairs(headers);
        self.handle(Event::ResponseHeaders { stream, headers }, Some(stream));
    }

    /// Hands the response to the oldest call in flight in.
    pub fn respond(&mut self, response: &Response) {
        assert!(!self.calls.is_empty(), "no call is in flight");
        let call = self.calls.remove(0);
        self.handle(Event::CalloutResponse { call: call.id, response: response.callout_response() }, None);
    }

    /// Hands the response to a call in that a test has taken out of [`Self::calls`].
    pub fn respond_to_call(&mut self, call: &Call, response: &Response) {
        self.handle(Event::CalloutResponse { call: call.id, response: response.callout_response() }, None);
    }

    /// Hands the response to the oldest call of a stream in.
    pub fn respond_to(&mut self, stream: StreamRef, response: &Response) {
        let index = self.calls.iter().position(|call| call.stream == Some(stream));
        let call = self.calls.remove(index.expect("the stream has a call in flight"));
        self.handle(Event::CalloutResponse { call: call.id, response: response.callout_response() }, None);
    }

    /// Takes one item from the worker's queue.
    pub fn wake_up(&mut self) {
        self.wakeups -= 1;
        self.handle(Event::Wakeup, None);
    }

    pub fn tick(&mut self) {
        self.handle(Event::Tick, None);
    }

    /// The host is done with a stream. Its end is reported if the stream is tracked.
    pub fn end(&mut self, stream: StreamRef) {
        self.gone.insert(stream.id);
        if self.tracked.contains(&stream) {
            self.handle(Event::StreamEnded(stream), None);
        }
    }

    pub fn retire(&mut self) {
        self.calls.clear();
        self.handle(Event::Retired, None);
    }

    /// Hands an event to the worker and carries the actions out. `stream`: whose callback it is; absent: the root's.
    pub fn handle(&mut self, event: Event, stream: Option<StreamRef>) {
        self.handle_in(event, stream.map_or(Callback::Root, Callback::Own));
    }

    fn handle_in(&mut self, event: Event, callback: Callback) {
        let mut actions = Vec::new();
        self.worker.handle(event, &self.environment, &mut actions);
        self.apply(actions, callback);
    }

    fn apply(&mut self, actions: Vec<Action>, callback: Callback) {
        let stream = callback.stream();
        let mut actions = actions.into_iter();
        while let Some(action) = actions.next() {
            match action {
                Action::ChangeHeader(map, _) if self.refuses_changes_of == Some(map) => {
                    let stream = stream.expect("a change of headers is about a stream");
                    let refused = Event::Refused { stream, map, status: Refused(2), undone: actions.collect() };
                    return self.handle_in(refused, callback);
                }
                Action::Dispatch(dispatch) => {
                    self.dispatches += 1;
                    let dispatched = if self.refuses_dispatches {
                        dispatch.refused()
                    } else {
                        let id = CallId::try_from(self.dispatches).unwrap();
                        self.calls.push(Call { id, stream, request: Rc::clone(&dispatch.request) });
                        dispatch.accepted(id)
                    };
                    let own = if let Callback::Own(stream) = callback { Some(stream) } else { None };
                    self.handle_in(Event::Dispatched { dispatched, callback: own }, callback);
                }
                Action::Complete(completion) => {
                    let completed = completion.stream;
                    self.completed.push(completed);
                    match callback {
                        Callback::Own(own) => {
                            assert_eq!(completed, own, "another stream is completed in the callback of a stream");
                            self.handle_in(Event::Complete(completion), callback);
                        }
                        _ if self.gone.contains(&completed.id) => {
                            self.handle_in(Event::StreamGone(completion), Callback::Root);
                        }
                        _ => self.handle_in(Event::Complete(completion), Callback::Completing(completed)),
                    }
                }
                Action::Wakeup if self.refuses_wakeups => self.handle_in(Event::WakeupRefused, callback),
                Action::Wakeup => self.wakeups += 1,
                Action::Timer(period_ms) => self.timer_ms = Some(period_ms),
                Action::Track => {
                    self.tracked.insert(stream.expect("a stream is tracked"));
                }
                other => self.carried_out.push((stream, other)),
            }
        }
    }

    /// The actions about a stream.
    pub fn actions(&self, stream: StreamRef) -> impl Iterator<Item = &Action> {
        self.carried_out.iter().filter(move |(other, _)| *other == Some(stream)).map(|(_, action)| action)
    }

    pub fn counters(&self) -> impl Iterator<Item = Counter> {
        self.carried_out.iter().filter_map(|(_, action)| match action {
            Action::Count(counter) => Some(*counter),
            _ => None,
        })
    }

    pub fn count(&self, counter: Counter) -> usize {
        self.counters().filter(|other| *other == counter).count()
    }

    /// The outcomes of all requests so far.
    pub fn outcomes(&self) -> Vec<Outcome> {
        let outcome = |counter| if let Counter::Outcome(outcome) = counter { Some(outcome) } else { None };
        self.counters().filter_map(outcome).collect()
    }

    /// The values of all gauges, as the host has them.
    pub fn gauges(&self) -> [i64; Gauge::ALL.len()] {
        Gauge::ALL.map(|gauge| {
            let deltas = self.carried_out.iter().filter_map(|(_, action)| match action {
                Action::Gauge(other, delta) if *other == gauge => Some(*delta),
                _ => None,
            });
            deltas.sum()
        })
    }
}

/// The headers of a request that is a `GET` of `https://shop.example/`, except where they say otherwise.
fn completed<'a>(headers: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![(":method", "GET"), (":scheme", "https"), (":authority", "shop.example"), (":path", "/")];
    all.retain(|(name, _)| !headers.iter().any(|(other, _)| other == name));
    all.extend(headers);
    all
}
