//! Calls and time: what rest-sessions and the network do, and the virtual clock.

use super::abi;
use super::exports::{self, callback};
use super::state::{Answer, Call, Cluster, Root, with};
use super::vm::{Vm, turn};
use std::time::Duration;

impl Vm {
    /// The calls that wait for their answers, the oldest first.
    pub fn calls(&self) -> Vec<Call> {
        with(|host| host.calls.values().cloned().collect())
    }

    /// The one call that waits for its answer.
    pub fn call(&self) -> Call {
        let mut calls = self.calls();
        assert_eq!(calls.len(), 1, "calls under way: {calls:#?}");
        calls.remove(0)
    }

    /// How many calls have been dispatched in all.
    pub fn dispatched(&self) -> u64 {
        with(|host| host.dispatched)
    }

    /// The service answers.
    pub fn answer(&mut self, call: &Call, status: u16, body: impl AsRef<[u8]>) {
        let headers = [
            (":status", status.to_string()),
            ("content-type", "application/json; charset=utf-8".to_owned()),
            ("x-envoy-upstream-service-time", "1".to_owned()),
        ];
        self.answer_with(call, abi::pairs(headers), body);
    }

    /// An answer with any headers.
    pub fn answer_with(&mut self, call: &Call, headers: abi::Pairs, body: impl AsRef<[u8]>) {
        self.deliver(call.id, Answer { headers: Some(headers), body: Some(body.as_ref().to_vec()) });
    }

    /// The call's time is over: the clock goes there, and the host answers.
    pub fn time_out(&mut self, call: &Call) {
        let deadline = call.deadline().expect("the call has a timeout");
        with(|host| host.now = host.now.max(deadline));
        self.envoys_answer(call.id, 504, "upstream request timeout");
    }

    /// The connection is refused, or reset before any header.
    pub fn refuse_connection(&mut self, call: &Call) {
        let reason = "upstream connect error or disconnect/reset before headers. reset reason: connection refused";
        self.envoys_answer(call.id, 503, reason);
    }

    /// The connection breaks in the middle of the body.
    pub fn reset(&mut self, call: &Call) {
        self.deliver(call.id, Answer::default());
    }

    fn envoys_answer(&mut self, id: u32, status: u16, body: &str) {
        let headers = [
            (":status", status.to_string()),
            ("content-length", body.len().to_string()),
            ("content-type", "text/plain".to_owned()),
        ];
        self.deliver(id, Answer { headers: Some(abi::pairs(headers)), body: Some(body.as_bytes().to_vec()) });
    }

    fn deliver(&mut self, id: u32, answer: Answer) {
        let (headers, body) = (answer.headers.as_ref().map_or(0, Vec::len), answer.body.as_ref().map_or(0, Vec::len));
        turn(|| {
            let Root(root) = with(|host| {
                let call = host.calls.get(&id).unwrap_or_else(|| panic!("call {id} has been answered already"));
                host.answer = Some(answer);
                call.root
            });
            callback(
                "proxy_on_http_call_response",
                root,
                // SAFETY: the SDK's export, with a call that it knows.
                || unsafe { exports::proxy_on_http_call_response(root, id, headers, body, 0) },
                |(), _| {
                    with(|host| {
                        host.answer = None;
                        host.calls.remove(&id);
                    });
                },
            );
        });
    }

    /// A call of the root's that the filter itself knows nothing of.
    pub fn stray_call(&mut self) -> Call {
        let Root(root) = self.root();
        // The SDK hands an answer to the context whose callback ran last: let that be the root's.
        // SAFETY: the SDK's export, with a root that exists.
        callback(
            "proxy_on_tick",
            root,
            || unsafe { exports::proxy_on_tick(root) },
            |_, _| {
                let headers = vec![(":method", "GET"), (":path", "/stray"), (":authority", "stray")];
                let timeout = Duration::from_secs(1);
                let id = proxy_wasm::hostcalls::dispatch_http_call("rest-sessions", headers, None, Vec::new(), timeout)
                    .expect("the cluster takes calls");
                with(|host| host.calls[&id].clone())
            },
        )
    }

    /// What the cluster does with calls from now on; `None`: there is no such cluster.
    pub fn cluster(&mut self, name: &str, state: Option<Cluster>) {
        with(|host| match state {
            Some(state) => host.clusters.insert(name.to_owned(), state),
            None => host.clusters.remove(name),
        });
    }

    /// Time passes: calls time out and ticks fire on their way.
    pub fn advance(&mut self, by: Duration) {
        let end = self.now() + by;
        loop {
            let call = with(|host| {
                let due = host.calls.values().filter_map(|call| call.deadline().map(|at| (at, call.id))).min();
                due.filter(|(at, _)| *at <= end)
            });
            let tick =
                with(|host| host.ticks.iter().map(|(root, (_, at))| (*at, *root)).min()).filter(|(at, _)| *at <= end);
            match (call, tick) {
                (Some((at, id)), tick) if tick.is_none_or(|(tick, _)| at <= tick) => {
                    with(|host| host.now = host.now.max(at));
                    self.envoys_answer(id, 504, "upstream request timeout");
                }
                (_, Some((at, root))) => {
                    with(|host| {
                        host.now = host.now.max(at);
                        if let Some((period, next)) = host.ticks.get_mut(&root) {
                            *next = at + *period;
                        }
                    });
                    // SAFETY: the SDK's export, with a root that exists.
                    turn(|| callback("proxy_on_tick", root, || unsafe { exports::proxy_on_tick(root) }, |_, _| ()));
                }
                _ => break,
            }
        }
        with(|host| host.now = end);
    }

    /// The virtual clock, since the epoch.
    pub fn now(&self) -> Duration {
        with(|host| host.now)
    }
}
