//! What holds for every order of events, in two workers of one Envoy:
//!
//! - Every request counts once, and goes on or is answered once.
//! - No stream waits after all calls are over and all wakeups have run, and no call is counted as in flight.
//! - The gauges of a worker sum to zero once it has retired.

use std::ops::RangeFrom;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::cache::shared_data::LocalData;
use crate::worker::Expectations;

#[derive(Clone, Debug)]
enum Step {
    Request {
        /// Those in its cookies.
        tokens: Vec<u64>,
        path: &'static str,
        is_spoofed: bool,
    },
    Respond(Index, Response),
    UpstreamResponds(Index, Option<(&'static str, &'static str)>),
    RefuseDispatches(bool),
    RefuseWakeups(bool),
    RefuseChangesOf(Option<HeaderMap>),
    /// The host reports that a stream has ended.
    End(Index),
    /// The host forgets a stream, and reports its end later.
    Forget(Index),
    WakeUp,
    Tick,
    Advance(u64),
}

/// A session that was used so long ago, in seconds.
fn idle_session(idle: u64) -> Response {
    Response::Json(json!({"id": "user123", "ttl": 7200, "idle": idle}))
}

fn any_response() -> impl Strategy<Value = Response> {
    let fixed = [none(), killed(true), killed(false), Response::TooLarge, Response::Timeout, Response::Reset];
    prop_oneof![
        4 => Just(idle_session(0)),
        1 => Just(idle_session(3)),
        4 => select(fixed.to_vec()),
        1 => select(vec![404, 429, 500]).prop_map(Response::Status),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let path = select(vec!["/", "/optional", "/off", "/shadow", "/logout"]);
    let change = select(vec![("x-session-set", r#"{"a":1}"#), ("x-session-kill", "1")]);
    let map = select(vec![HeaderMap::RequestHeaders, HeaderMap::ResponseHeaders]);
    prop_oneof![
        8 => (vec(0..3u64, 1..4), path, proptest::bool::weighted(0.2))
            .prop_map(|(tokens, path, is_spoofed)| Step::Request { tokens, path, is_spoofed }),
        8 => (any::<Index>(), any_response()).prop_map(|(call, response)| Step::Respond(call, response)),
        2 => (any::<Index>(), proptest::option::of(change))
            .prop_map(|(stream, change)| Step::UpstreamResponds(stream, change)),
        1 => any::<bool>().prop_map(Step::RefuseDispatches),
        1 => any::<bool>().prop_map(Step::RefuseWakeups),
        1 => proptest::option::weighted(0.3, map).prop_map(Step::RefuseChangesOf),
        2 => any::<Index>().prop_map(Step::End),
        1 => any::<Index>().prop_map(Step::Forget),
        1 => Just(Step::WakeUp),
        2 => Just(Step::Tick),
        2 => (1..2_000u64).prop_map(Step::Advance),
    ]
}

/// A worker and its streams.
struct Run {
    shell: Shell,
    streams: Vec<Stream>,
}

struct Stream {
    stream: StreamRef,
    has_ended: bool,
    has_response: bool,
}

impl Run {
    fn new(config: &Rc<Config>, shared_data: &LocalData) -> Self {
        Self { shell: Shell::sharing(config, shared_data), streams: Vec::new() }
    }

    fn step(&mut self, step: Step) {
        let Self { shell, streams } = self;
        match step {
            Step::Request { tokens, path, is_spoofed } => {
                let method = if path == "/logout" { "POST" } else { "GET" };
                let cookie = tokens.into_iter().map(cookie).collect::<Vec<_>>().join("; ");
                let mut headers = vec![(":path", path), (":method", method), ("cookie", cookie.as_str())];
                headers.extend(is_spoofed.then_some(("x-session-user", "root")));
                let stream = shell.request(&headers);
                streams.push(Stream { stream, has_ended: false, has_response: false });
            }
            Step::Respond(call, response) if !shell.calls.is_empty() => {
                let chosen = call.index(shell.calls.len());
                shell.calls.swap(0, chosen);
                shell.respond(&response);
            }
            Step::UpstreamResponds(stream, change) if !streams.is_empty() => {
                let index = stream.index(streams.len());
                let Stream { stream, has_ended, has_response } = &mut streams[index];
                if !*has_ended && !*has_response && continues(shell, *stream) == 1 {
                    *has_response = true;
                    shell.upstream_responds(*stream, change.as_slice());
                }
            }
            Step::RefuseDispatches(refuses) => shell.refuses_dispatches = refuses,
            Step::RefuseWakeups(refuses) => shell.refuses_wakeups = refuses,
            Step::RefuseChangesOf(map) => shell.refuses_changes_of = map,
            Step::End(stream) if !streams.is_empty() => {
                let index = stream.index(streams.len());
                if !std::mem::replace(&mut streams[index].has_ended, true) {
                    shell.end(streams[index].stream);
                }
            }
            Step::Forget(stream) if !streams.is_empty() => {
                let index = stream.index(streams.len());
                shell.gone.insert(streams[index].stream.id);
            }
            Step::WakeUp if shell.wakeups > 0 => shell.wake_up(),
            Step::Tick => shell.tick(),
            Step::Advance(ms) => shell.advance(ms),
            Step::Respond(..) | Step::UpstreamResponds(..) | Step::End(_) | Step::Forget(_) | Step::WakeUp => {}
        }
        let kills = shell.calls.iter().filter(|call| call.request.method() == "DELETE").count();
        assert!(kills <= 8 && shell.calls.len() - kills <= 3, "max_in_flight");
    }

    /// All calls get a response, all wakeups run, and what waits for the calls of another worker waits no more.
    fn settle(&mut self) {
        let shell = &mut self.shell;
        shell.refuses_dispatches = false;
        loop {
            if shell.wakeups > 0 {
                shell.wake_up();
            } else if !shell.calls.is_empty() {
                shell.respond(&idle_session(0));
            } else if shell.timer_ms == Some(5) {
                shell.advance(5);
                shell.tick();
            } else {
                return;
            }
        }
    }

    /// As many calls are admitted as may be in flight. `tokens`: those that no request has used yet.
    fn assert_calls_are_admitted(&mut self, mut tokens: RangeFrom<u64>) {
        self.shell.refuses_changes_of = None;
        self.shell.advance(10_000);
        // The circuit may be open, then the first call probes.
        for calls in [1, 3] {
            for token in tokens.by_ref().take(calls) {
                self.step(Step::Request { tokens: vec![token], path: "/", is_spoofed: false });
            }
            assert_eq!(self.shell.calls.len(), calls);
            self.settle();
        }
    }

    fn assert_all_settled(&self) {
        let Self { shell, streams } = self;
        for Stream { stream, has_response, .. } in streams {
            if shell.gone.contains(&stream.id) {
                continue;
            }
            let actions: Vec<_> = shell.actions(*stream).collect();
            let count = |is: fn(&Action) -> bool| actions.iter().filter(|action| is(action)).count();
            let replies = count(|action| matches!(action, Action::Reply(_)));
            let responses = count(|action| matches!(action, Action::ContinueResponse));
            let expected = 1 + usize::from(*has_response);
            assert_eq!(continues(shell, *stream) + replies + responses, expected, "{stream:?} {actions:#?}");
        }
    }

    /// The streams end, and the configuration goes.
    fn finish(mut self, retires_first: bool) {
        if retires_first {
            self.shell.retire();
        }
        for Stream { stream, has_ended, .. } in &self.streams {
            if !has_ended {
                self.shell.end(*stream);
            }
        }
        if !retires_first {
            self.shell.retire();
        }
        assert_eq!(self.shell.outcomes().len(), self.streams.len(), "every request counts once");
        for Stream { stream, .. } in &self.streams {
            assert_eq!(self.shell.worker.expectations(*stream), Expectations::default(), "it is forgotten");
            let own = self.shell.actions(*stream);
            assert!(own.filter(|action| matches!(action, Action::Count(Counter::Outcome(_)))).count() <= 1);
        }
        assert_eq!(self.shell.gauges(), [0; 4]);
    }
}

fn continues(shell: &Shell, stream: StreamRef) -> usize {
    shell.actions(stream).filter(|action| matches!(action, Action::ContinueRequest)).count()
}

fn config(is_cached: bool, is_limited: bool) -> Rc<Config> {
    let rules = json!([
        {"match": {"paths": ["/optional"]}, "session": "optional"},
        {"match": {"paths": ["/off"]}, "session": "off"},
        {"match": {"paths": ["/shadow"]}, "session": "required", "shadow": true}
    ]);
    let breaker = json!({"failures": 3, "open_for": "500ms"});
    let service = json!({"cluster": "rs", "max_in_flight": 3, "breaker": breaker});
    let required = json!({"session": "required", "recheck": "1s"});
    let mut config = json!({"rest_sessions": service, "rules": rules, "default": required,
                            "logout": {"path": "/logout"}, "write_back": {}});
    if is_cached {
        config["cache"] = json!({"ttl": "1s", "stale_if_error": "1s"});
    }
    if is_limited {
        config["limits"] = json!({"idle": "2s"});
    }
    site(config).config
}

proptest! {
    #[test]
    fn every_request_is_decided_and_counted_once_in_every_order_of_events(
        is_cached in any::<bool>(),
        is_limited in any::<bool>(),
        is_settled in proptest::bool::weighted(0.7),
        retires_first in any::<bool>(),
        steps in vec((0..2usize, step()), 0..80),
    ) {
        let (config, shared_data) = (config(is_cached, is_limited), LocalData::default());
        let mut runs = [0, 1].map(|_| Run::new(&config, &shared_data));
        for (worker, step) in steps {
            runs[worker].step(step);
        }
        if is_settled {
            runs.iter_mut().for_each(Run::settle);
            runs.iter().for_each(Run::assert_all_settled);
            for (run, first) in runs.iter_mut().zip([10, 20]) {
                run.assert_calls_are_admitted(first..);
            }
        }
        for run in runs {
            run.finish(retires_first);
        }
    }
}
