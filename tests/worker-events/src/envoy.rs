//! An Envoy with two workers, in memory: it carries actions out on header maps, and checks each.

mod stream;
mod worker;

use std::rc::Rc;

use rest_sessions_core::cache::shared_data::LocalData;
use rest_sessions_core::config::Config;

use self::worker::WorkerThread;
use crate::event::{Answer, Event};
use crate::store::{START_MS, Store, TOKENS};

/// At the end of a run, how much time passes between two ticks, and after how many a stream waits for ever.
const TICK_MS: u16 = 10;
const MOST_TICKS: usize = 10;

/// What the configuration promises.
#[derive(Clone, Copy)]
pub struct Promises {
    pub forward_token: bool,
    /// How long after an answer of rest-sessions another request may be let in by it.
    pub may_serve_ms: u64,
}

/// What the workers have been told so far.
pub struct Known {
    pub promises: Promises,
    pub now_ms: u64,
    /// Counts the events.
    pub step: usize,
    pub tokens: Vec<String>,
    /// When the last answer came that says that a session is active: the time, and the step.
    pub active: [Option<(u64, usize)>; TOKENS],
    /// The step at which a worker learned that it has ended a session.
    pub ended: [Option<usize>; TOKENS],
}

pub struct Envoy {
    known: Known,
    store: Store,
    workers: [WorkerThread; 2],
}

impl Envoy {
    pub fn new(config: &Rc<Config>, promises: Promises) -> Self {
        let (store, shared_data) = (Store::new(), LocalData::default());
        let known = Known {
            promises,
            now_ms: START_MS,
            step: 0,
            tokens: store.tokens.clone(),
            active: [None; TOKENS],
            ended: [None; TOKENS],
        };
        let workers = [0, 1].map(|seed| WorkerThread::new(config, &shared_data, seed, &known));
        Self { known, store, workers }
    }

    pub fn step(&mut self, event: Event) {
        let Self { known, store, workers } = self;
        known.step += 1;
        let of = |worker: bool| usize::from(worker);
        match event {
            Event::Request { worker, request } => workers[of(worker)].request(&request, known),
            Event::Answer { worker, call, answer } => {
                let worker = &mut workers[of(worker)];
                if !worker.calls.is_empty() {
                    let call = usize::from(call) % worker.calls.len();
                    worker.answer(call, answer, store, known);
                }
            }
            Event::UpstreamResponds { worker, stream, change } => {
                workers[of(worker)].upstream_responds(stream.into(), change, known);
            }
            Event::RefuseCalls(refuses) => workers.iter_mut().for_each(|worker| worker.refuses_calls = refuses),
            Event::RefuseWakeups(refuses) => workers.iter_mut().for_each(|worker| worker.refuses_wakeups = refuses),
            Event::RefuseChanges(of_responses) => {
                workers.iter_mut().for_each(|worker| worker.refuse_changes(of_responses));
            }
            Event::End { worker, stream } => workers[of(worker)].end(stream.into(), known),
            Event::WakeUp { worker } => workers[of(worker)].wake_up(known),
            Event::Tick { worker } => workers[of(worker)].tick(known),
            Event::Advance { ms } => {
                known.now_ms += u64::from(ms % 4_000);
                workers.iter_mut().for_each(|worker| worker.set_now(known));
            }
            Event::EndAtStore { token } => store.end(usize::from(token) % TOKENS),
        }
    }

    /// The host refuses nothing more, all calls are answered, and all wakeups and timers run. Then nothing waits.
    pub fn settle(&mut self) {
        for worker in &mut self.workers {
            worker.refuses_calls = false;
            worker.refuse_changes(None);
        }
        self.end_calls();
        // With `limits.idle`, a lookup may wait until those of the other worker are over, which a timer looks for.
        for _ in 0..MOST_TICKS {
            if self.workers.iter().all(|worker| !worker.has_waiting()) {
                break;
            }
            self.step(Event::Advance { ms: TICK_MS });
            self.workers.iter_mut().for_each(|worker| worker.tick_if_asked(&self.known));
            self.end_calls();
        }
        self.workers.iter().for_each(WorkerThread::assert_nothing_waits);
    }

    fn end_calls(&mut self) {
        let Self { known, store, workers } = self;
        for worker in workers {
            while !worker.calls.is_empty() || worker.wakeups > 0 {
                known.step += 1;
                if worker.wakeups > 0 {
                    worker.wake_up(known);
                } else {
                    worker.answer(0, Answer::True, store, known);
                }
            }
        }
    }

    pub fn finish(self, retires_first: bool) {
        let Self { known, workers, .. } = self;
        for worker in workers {
            worker.finish(retires_first, &known);
        }
    }
}
