//! One worker thread of Envoy, its streams, its calls and its queue.

use std::hash::RandomState;
use std::rc::Rc;

use rest_sessions_core::action::{Action, HeaderMap, StreamId, StreamRef};
use rest_sessions_core::cache::shared_data::LocalData;
use rest_sessions_core::config::Config;
use rest_sessions_core::exchange::Refused;
use rest_sessions_core::http::headers::Headers;
use rest_sessions_core::local::LocalEnvironment;
use rest_sessions_core::rest_sessions::client::CallId;
use rest_sessions_core::rest_sessions::request::CallRequest;
use rest_sessions_core::telemetry::{Counter, Gauge};
use rest_sessions_core::worker::{Event, Expectations, Seeds, Worker};

use super::Known;
use super::stream::{Pairs, Stream};
use crate::event::{Answer, Change, Request};
use crate::store::Store;

/// A call in flight.
pub struct Call {
    id: CallId,
    request: Rc<CallRequest>,
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

pub struct WorkerThread {
    worker: Worker,
    environment: LocalEnvironment,
    streams: Vec<Stream>,
    pub calls: Vec<Call>,
    dispatches: CallId,
    pub wakeups: usize,
    pub refuses_calls: bool,
    pub refuses_wakeups: bool,
    refuses_changes_of: Option<HeaderMap>,
    gauges: Vec<(Gauge, i64)>,
    outcomes: usize,
    /// Whether the host calls the timer.
    has_timer: bool,
    /// How deep actions have led to events.
    depth: usize,
}

impl WorkerThread {
    pub fn new(config: &Rc<Config>, shared_data: &LocalData, seed: u64, known: &Known) -> Self {
        let client = "203.0.113.7:1234".parse().ok();
        let environment = LocalEnvironment::new(known.now_ms, client, shared_data.clone());
        let seeds = Seeds { digest_key: RandomState::new(), random: [seed, 2, 3, 4] };
        let worker = Worker::new(Rc::clone(config), seeds, &environment);
        let worker = worker.unwrap_or_else(|_| panic!("there is shared data"));
        Self {
            has_timer: worker.tick_period_ms() > 0,
            worker,
            environment,
            streams: Vec::new(),
            calls: Vec::new(),
            dispatches: 0,
            wakeups: 0,
            refuses_calls: false,
            refuses_wakeups: false,
            refuses_changes_of: None,
            gauges: Vec::new(),
            outcomes: 0,
            depth: 0,
        }
    }

    pub fn set_now(&self, known: &Known) {
        self.environment.set_now_ms(known.now_ms);
    }

    pub fn refuse_changes(&mut self, of_responses: Option<bool>) {
        self.refuses_changes_of = of_responses
            .map(|of_responses| if of_responses { HeaderMap::ResponseHeaders } else { HeaderMap::RequestHeaders });
    }

    pub fn request(&mut self, request: &Request, known: &Known) {
        let id = StreamId::try_from(self.streams.len() + 1).expect("there are few streams");
        let stream = self.worker.admit(id);
        self.streams.push(Stream::new(stream, request, known));
        let headers = map(&self.stream(stream).request);
        self.handle(Event::RequestHeaders { stream, headers, end_of_stream: true }, Callback::Own(stream), known);
    }

    pub fn upstream_responds(&mut self, stream: usize, change: Option<Change>, known: &Known) {
        let count = self.streams.len().max(1);
        let Some(stream) = self.streams.get_mut(stream % count).filter(|stream| stream.may_respond()) else { return };
        stream.responds(change);
        let (headers, stream) = (map(&stream.response), stream.stream);
        self.handle(Event::ResponseHeaders { stream, headers }, Callback::Own(stream), known);
    }

    pub fn answer(&mut self, call: usize, answer: Answer, store: &mut Store, known: &mut Known) {
        let Call { id, request } = self.calls.remove(call);
        let (response, active) = store.answer(&request, answer);
        if let Some(number) = active {
            known.active[number] = Some((known.now_ms, known.step));
        } else if request.method() == "DELETE" && matches!(answer, Answer::True | Answer::Idle) {
            // Told to the other workers before a request can come.
            known.ended[store.number_of(request.token())].get_or_insert(known.step);
        }
        self.handle(Event::CalloutResponse { call: id, response }, Callback::Root, known);
    }

    pub fn end(&mut self, stream: usize, known: &Known) {
        let count = self.streams.len().max(1);
        let Some(stream) = self.streams.get_mut(stream % count).filter(|stream| !stream.has_ended) else { return };
        stream.has_ended = true;
        let stream = stream.stream;
        self.handle(Event::StreamEnded(stream), Callback::Own(stream), known);
    }

    pub fn wake_up(&mut self, known: &Known) {
        if let Some(left) = self.wakeups.checked_sub(1) {
            self.wakeups = left;
            self.handle(Event::Wakeup, Callback::Root, known);
        }
    }

    pub fn tick(&mut self, known: &Known) {
        self.handle(Event::Tick, Callback::Root, known);
    }

    pub fn tick_if_asked(&mut self, known: &Known) {
        if self.has_timer {
            self.tick(known);
        }
    }

    fn stream(&mut self, stream: StreamRef) -> &mut Stream {
        let found = self.streams.iter_mut().find(|known| known.stream == stream);
        found.expect("an action is about a stream that began")
    }

    fn handle(&mut self, event: Event, callback: Callback, known: &Known) {
        self.depth += 1;
        assert!(self.depth < 200, "the stack of a worker overflows");
        let mut actions = Vec::new();
        self.worker.handle(event, &self.environment, &mut actions);
        self.apply(actions, callback, known);
        self.depth -= 1;
    }

    fn apply(&mut self, actions: Vec<Action>, callback: Callback, known: &Known) {
        let own = match callback {
            Callback::Root => None,
            Callback::Own(stream) | Callback::Completing(stream) => Some(stream),
        };
        let of_stream = || own.expect("the action is about a stream");
        let mut actions = actions.into_iter();
        while let Some(action) = actions.next() {
            match action {
                Action::ChangeHeader(map, _) if self.refuses_changes_of == Some(map) => {
                    let stream = of_stream();
                    let refused = Event::Refused { stream, map, status: Refused(2), undone: actions.collect() };
                    return self.handle(refused, callback, known);
                }
                Action::ChangeHeader(HeaderMap::RequestHeaders, change) => {
                    self.stream(of_stream()).change_request(change, known);
                }
                Action::ChangeHeader(HeaderMap::ResponseHeaders, change) => {
                    change.apply(&mut self.stream(of_stream()).response);
                }
                Action::ChangeHeader(..) => panic!("trailers are changed that never came"),
                Action::ContinueRequest => self.stream(of_stream()).request_goes_on(known),
                Action::ContinueResponse => self.stream(of_stream()).response_goes_on(),
                Action::Reply(reply) => {
                    for (_, value) in &reply.headers {
                        known.assert_no_token(value.as_bytes(), "a local reply");
                    }
                    self.stream(of_stream()).is_replied();
                }
                Action::Close => self.stream(of_stream()).is_closed = true,
                Action::FilterState(_, value) => known.assert_no_token(value.as_bytes(), "filter state"),
                Action::Log(line) => known.assert_no_token(line.to_string().as_bytes(), "a log line"),
                Action::Count(counter) => self.outcomes += usize::from(matches!(counter, Counter::Outcome(_))),
                Action::Gauge(gauge, delta) => self.gauges.push((gauge, delta)),
                Action::CallDuration(_) | Action::Track => {}
                Action::Timer(period_ms) => self.has_timer = period_ms > 0,
                Action::Dispatch(dispatch) => {
                    self.dispatches += 1;
                    let dispatched = if self.refuses_calls {
                        dispatch.refused()
                    } else {
                        self.calls.push(Call { id: self.dispatches, request: Rc::clone(&dispatch.request) });
                        dispatch.accepted(self.dispatches)
                    };
                    let callback_of = if let Callback::Own(stream) = callback { Some(stream) } else { None };
                    self.handle(Event::Dispatched { dispatched, callback: callback_of }, callback, known);
                }
                Action::Complete(completion) => {
                    let completed = completion.stream;
                    let (is_own, has_ended) = (matches!(callback, Callback::Own(_)), self.stream(completed).has_ended);
                    if is_own {
                        assert_eq!(Some(completed), own, "another stream is completed in the callback of a stream");
                        self.handle(Event::Complete(completion), callback, known);
                    } else if has_ended {
                        self.handle(Event::StreamGone(completion), Callback::Root, known);
                    } else {
                        self.handle(Event::Complete(completion), Callback::Completing(completed), known);
                    }
                }
                Action::Wakeup if self.refuses_wakeups => self.handle(Event::WakeupRefused, callback, known),
                Action::Wakeup => self.wakeups += 1,
            }
        }
    }

    pub fn has_waiting(&self) -> bool {
        self.streams.iter().any(Stream::is_waiting)
    }

    pub fn assert_nothing_waits(&self) {
        self.streams.iter().for_each(Stream::assert_does_not_wait);
    }

    /// All streams end, and the configuration goes.
    pub fn finish(mut self, retires_first: bool, known: &Known) {
        if retires_first {
            self.handle(Event::Retired, Callback::Root, known);
        }
        for stream in 0..self.streams.len() {
            self.end(stream, known);
        }
        if !retires_first {
            self.handle(Event::Retired, Callback::Root, known);
        }
        assert_eq!(self.outcomes, self.streams.len(), "every request counts once");
        for Stream { stream, .. } in &self.streams {
            assert_eq!(self.worker.expectations(*stream), Expectations::default(), "a stream is remembered");
        }
        for gauge in Gauge::ALL {
            let left: i64 = self.gauges.iter().filter(|(other, _)| *other == gauge).map(|(_, delta)| delta).sum();
            assert_eq!(left, 0, "{}", gauge.name());
        }
    }
}

fn map(pairs: &Pairs) -> Headers {
    Headers::from_pairs(pairs)
}
