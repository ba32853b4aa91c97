//! One configuration in one of Envoy's workers: hands events to the core, and carries its actions out as host calls.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

use proxy_wasm::types::StreamType;
use rest_sessions_core::action::{Action, Completion, HeaderMap, StreamRef};
use rest_sessions_core::cache::shared_data::SharedData;
use rest_sessions_core::config::Config;
use rest_sessions_core::exchange::{Environment, Refused};
use rest_sessions_core::http::local_reply::{Denial, LocalReply};
use rest_sessions_core::telemetry::{Level, LogLine};
use rest_sessions_core::worker::ledger::GaugeLedger;
use rest_sessions_core::worker::{Event, Seeds, Worker};

use crate::dispatch::{self, DISPATCH_QUEUE, Outbox};
use crate::host;
use crate::metrics::Metrics;
use crate::shared_data::HostSharedData;

pub struct Filter {
    root_id: u32,
    /// Not borrowed while an action is carried out, since the host may call back.
    worker: RefCell<Worker>,
    environment: HostEnvironment,
    metrics: Rc<Metrics>,
    ledger: RefCell<GaugeLedger>,
    outbox: Outbox,
    /// A queue of this worker's own. An item that is enqueued causes an event in a callback of its own.
    wakeup_queue: u32,
    pub reads_responses: bool,
    /// The memory of the last list of actions, used again.
    spare: Cell<Vec<Action>>,
}

/// The callback that the host is in, and what becomes of its stream.
pub struct Callback {
    stream: Option<StreamRef>,
    /// The callback belongs to the stream. Otherwise it belongs to the root, and the stream is the effective context.
    is_own: bool,
    /// The stream goes on. Otherwise it stays paused.
    pub goes_on: bool,
    /// The core needs the end of the stream as an event.
    pub is_tracked: bool,
}

impl Callback {
    pub fn of_stream(stream: StreamRef) -> Self {
        Self { stream: Some(stream), is_own: true, goes_on: false, is_tracked: false }
    }

    fn of_root() -> Self {
        Self { stream: None, is_own: false, goes_on: false, is_tracked: false }
    }
}

struct HostEnvironment {
    shared_data: HostSharedData,
}

impl Environment for HostEnvironment {
    fn now_ms(&self) -> Result<u64, Refused> {
        host::now_ms()
    }

    fn client_address(&self) -> Option<Vec<u8>> {
        host::client()
    }

    fn shared_data(&self) -> &dyn SharedData {
        &self.shared_data
    }
}

/// The host has no shared data (`NotFound`).
const NO_SHARED_DATA: Refused = Refused(1);

impl Filter {
    /// In the root's callback.
    pub fn new(root_id: u32, config: Config) -> Result<Self, Refused> {
        let digest_key = RandomState::new();
        // A queue belongs to the root that registered its name last, so the name must be this worker's alone.
        let wakeup_queue = host::register_queue(&format!("rest_sessions.{:016x}", digest_key.hash_one(root_id)))?;
        let metrics = Metrics::of_this_vm()?;
        let environment = HostEnvironment { shared_data: HostSharedData(Rc::clone(&metrics)) };
        let secret = RandomState::new();
        let seeds = Seeds { digest_key, random: [0, 1, 2, 3].map(|number| secret.hash_one(number)) };
        let worker = Worker::new(Rc::new(config), seeds, &environment).map_err(|_| NO_SHARED_DATA)?;
        host::set_tick_period(worker.tick_period_ms())?;
        let reads_responses = worker.reads_responses();
        Ok(Self {
            root_id,
            worker: RefCell::new(worker),
            environment,
            metrics,
            ledger: RefCell::new(GaugeLedger::new(secret.hash_one(4))),
            outbox: Outbox::default(),
            wakeup_queue,
            reads_responses,
            spare: Cell::default(),
        })
    }

    pub fn admit(&self, stream: u32) -> StreamRef {
        self.worker.borrow_mut().admit(stream)
    }

    /// Hands an event to the core, and carries its actions out.
    pub fn handle(&self, event: Event, callback: &mut Callback) {
        #[cfg(feature = "traps")]
        crate::traps::at_event(&event);
        let mut actions = self.spare.take();
        self.worker.borrow_mut().handle(event, &self.environment, &mut actions);
        self.apply(&mut actions, callback);
        self.spare.set(actions);
    }

    /// Hands an event to the core in a callback of the root, or of a stream that ends.
    pub fn handle_from_root(&self, event: Event) {
        if matches!(event, Event::Tick) {
            self.ledger.borrow_mut().tick(&self.environment, &|gauge, delta| self.metrics.add(gauge, delta));
        }
        self.handle(event, &mut Callback::of_root());
    }

    /// In the root's callback.
    pub fn queue_ready(&self, queue: u32) {
        if queue == DISPATCH_QUEUE {
            self.outbox.flush();
        } else if queue == self.wakeup_queue {
            if let Err(refused) = host::dequeue(queue) {
                log::debug!("event=queue_empty status={refused:?}");
            }
            self.handle_from_root(Event::Wakeup);
        }
    }

    fn apply(&self, actions: &mut Vec<Action>, callback: &mut Callback) {
        // From the end: what is left in the list is what was not carried out.
        actions.reverse();
        while let Some(action) = actions.last() {
            // What nearly every request needs is done in place.
            if let Action::Count(counter) = action {
                self.metrics.count(*counter);
            } else if let Action::ChangeHeader(map, change) = action {
                if let Err(status) = host::change_header(*map, change) {
                    return self.refused(*map, status, std::mem::take(actions), callback);
                }
            } else if callback.is_own && matches!(action, Action::ContinueRequest | Action::ContinueResponse) {
                callback.goes_on = true;
            } else {
                if let Some(action) = actions.pop() {
                    self.apply_rare(action, callback);
                }
                continue;
            }
            actions.truncate(actions.len().saturating_sub(1));
        }
    }

    #[inline(never)]
    fn apply_rare(&self, action: Action, callback: &mut Callback) {
        match action {
            Action::Count(_) | Action::ChangeHeader(..) => {}
            Action::ContinueRequest => report("event=resume_refused", host::resume(StreamType::HttpRequest)),
            Action::ContinueResponse => report("event=resume_refused", host::resume(StreamType::HttpResponse)),
            Action::Reply(reply) => send(&reply),
            Action::Close => report("event=close_refused", host::close_request()),
            Action::Track => callback.is_tracked = true,
            Action::FilterState(key, value) => {
                if let Err(refused) = host::set_property(key.key(), value.as_bytes()) {
                    log::debug!("event=filter_state_refused status={refused:?}");
                }
            }
            Action::Gauge(gauge, delta) => {
                let move_gauge = &|gauge, delta| self.metrics.add(gauge, delta);
                self.ledger.borrow_mut().add(&self.environment, gauge, delta, move_gauge);
            }
            Action::CallDuration(duration_ms) => self.metrics.record_call(duration_ms),
            Action::Log(line) => log(&line),
            Action::Dispatch(call) => {
                let dispatched = if callback.is_own {
                    self.outbox.dispatch(self.root_id, call)
                } else {
                    dispatch::dispatch_from_root(call)
                };
                let event = Event::Dispatched { dispatched, callback: callback.stream.filter(|_| callback.is_own) };
                self.handle(event, callback);
            }
            Action::Complete(completion) => self.complete(completion, callback),
            Action::Timer(period_ms) => {
                // The host applies a new period to a running timer only after it has fired once more.
                let set = host::set_tick_period(0).and_then(|()| host::set_tick_period(period_ms));
                report("event=timer_refused", set);
            }
            Action::Wakeup => {
                if let Err(refused) = host::enqueue(self.wakeup_queue) {
                    log::warn!("event=alarm_refused status={refused:?}");
                    self.handle(Event::WakeupRefused, callback);
                }
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn refused(&self, map: HeaderMap, status: Refused, undone: Vec<Action>, callback: &mut Callback) {
        // The core changes headers of streams alone.
        if let Some(stream) = callback.stream {
            self.handle(Event::Refused { stream, map, status, undone }, callback);
        }
    }

    fn complete(&self, completion: Completion, callback: &mut Callback) {
        let stream = completion.stream;
        if callback.stream == Some(stream) {
            return self.handle(Event::Complete(completion), callback);
        }
        match host::set_effective_context(stream.id) {
            Ok(()) => {
                let mut completed = Callback { stream: Some(stream), ..Callback::of_root() };
                self.handle(Event::Complete(completion), &mut completed);
                if let Err(refused) = host::set_effective_context(self.root_id) {
                    log::warn!("event=root_gone status={refused:?}");
                }
            }
            Err(refused) => {
                log::debug!("event=stream_gone status={refused:?}");
                self.handle_from_root(Event::StreamGone(completion));
            }
        }
    }
}

/// Refuses a request or a response without the core: what is not understood does not pass.
pub fn fail_closed(event: &str) {
    log::error!("{event}");
    send(&LocalReply::new(Denial::Unavailable { retry: false }, "", None));
}

fn send(reply: &LocalReply) {
    if let Err(refused) = host::reply(reply) {
        // The stream stays paused, and Envoy ends it after `stream_idle_timeout`.
        log::error!("event=reply_refused status={refused:?}");
    }
}

fn report(event: &str, outcome: Result<(), Refused>) {
    if let Err(refused) = outcome {
        log::warn!("{event} status={refused:?}");
    }
}

fn log(line: &LogLine) {
    match line.level() {
        Level::Debug if host::shows_debug() => log::debug!("{line}"),
        Level::Debug => {}
        Level::Warn => log::warn!("{line}"),
        Level::Error => log::error!("{line}"),
    }
}
