//! The far end of HTTP calls, and the virtual clock that times them out.

use super::abi;
use super::exports::{self, callback};
use super::state::{Call, CallResponse, ClusterState, Root, with_host};
use super::vm::{Vm, run_event};
use std::time::Duration;

impl Vm {
    /// The calls in flight, the oldest first.
    pub fn calls(&self) -> Vec<Call> {
        with_host(|host| host.calls.values().cloned().collect())
    }

    /// The only call in flight.
    pub fn call(&self) -> Call {
        let mut calls = self.calls();
        assert_eq!(calls.len(), 1, "one call in flight was expected, found: {calls:#?}");
        calls.remove(0)
    }

    /// The number of calls dispatched since the VM started.
    pub fn dispatched(&self) -> u64 {
        with_host(|host| host.dispatched)
    }

    /// The service responds to the call, with the headers that rest-sessions sends.
    pub fn respond(&mut self, call: &Call, status: u16, body: impl AsRef<[u8]>) {
        let headers = [
            (":status", status.to_string()),
            ("content-type", "application/json; charset=utf-8".to_owned()),
            ("x-envoy-upstream-service-time", "1".to_owned()),
        ];
        self.respond_with_headers(call, abi::pairs(headers), body);
    }

    /// The service responds to the call with these headers.
    pub fn respond_with_headers(&mut self, call: &Call, headers: abi::Pairs, body: impl AsRef<[u8]>) {
        self.deliver(call.id, CallResponse { headers: Some(headers), body: Some(body.as_ref().to_vec()) });
    }

    /// The clock advances to the call's deadline, and the host responds with 504.
    pub fn time_out(&mut self, call: &Call) {
        let deadline = call.deadline().expect("the call has a timeout");
        with_host(|host| host.now = host.now.max(deadline));
        self.respond_as_envoy(call.id, 504, "upstream request timeout");
    }

    /// The connection is refused, or reset before the response headers: the host responds with 503.
    pub fn refuse_connection(&mut self, call: &Call) {
        let reason = "upstream connect error or disconnect/reset before headers. reset reason: connection refused";
        self.respond_as_envoy(call.id, 503, reason);
    }

    /// The connection is reset in the middle of the response body.
    pub fn reset(&mut self, call: &Call) {
        self.deliver(call.id, CallResponse::default());
    }

    fn respond_as_envoy(&mut self, id: u32, status: u16, body: &str) {
        let headers = [
            (":status", status.to_string()),
            ("content-length", body.len().to_string()),
            ("content-type", "text/plain".to_owned()),
        ];
        self.deliver(id, CallResponse { headers: Some(abi::pairs(headers)), body: Some(body.as_bytes().to_vec()) });
    }

    fn deliver(&mut self, id: u32, response: CallResponse) {
        let headers = response.headers.as_ref().map_or(0, Vec::len);
        let body = response.body.as_ref().map_or(0, Vec::len);
        run_event(|| {
            let Root(root) = with_host(|host| {
                let call = host
                    .calls
                    .get(&id)
                    .unwrap_or_else(|| panic!("call {id} is not in flight: it has had its response"));
                host.call_response = Some(response);
                call.root
            });
            callback(
                "proxy_on_http_call_response",
                root,
                // SAFETY: the SDK's export, with a call that it knows.
                || unsafe { exports::proxy_on_http_call_response(root, id, headers, body, 0) },
                |(), _| {
                    with_host(|host| {
                        host.call_response = None;
                        host.calls.remove(&id);
                    });
                },
            );
        });
    }

    /// Dispatches a call from the root context that the filter does not know.
    pub fn unknown_call(&mut self) -> Call {
        let Root(root) = self.root();
        // The SDK hands a call response to the context whose callback dispatched the call: here the root context.
        // SAFETY: the SDK's export, with a root that exists.
        callback(
            "proxy_on_tick",
            root,
            || unsafe { exports::proxy_on_tick(root) },
            |_, _| {
                let headers = vec![(":method", "GET"), (":path", "/unknown"), (":authority", "unknown")];
                let timeout = Duration::from_secs(1);
                let id = proxy_wasm::hostcalls::dispatch_http_call("rest-sessions", headers, None, Vec::new(), timeout)
                    .expect("the cluster takes calls");
                with_host(|host| host.calls[&id].clone())
            },
        )
    }

    /// Sets what the cluster does with calls from now on; `None` removes the cluster.
    pub fn set_cluster(&mut self, name: &str, state: Option<ClusterState>) {
        with_host(|host| match state {
            Some(state) => host.clusters.insert(name.to_owned(), state),
            None => host.clusters.remove(name),
        });
    }

    /// Advances the clock; calls time out and ticks fire in the order of their times.
    pub fn advance(&mut self, by: Duration) {
        let end = self.now() + by;
        loop {
            let call = with_host(|host| {
                let due = host.calls.values().filter_map(|call| call.deadline().map(|at| (at, call.id))).min();
                due.filter(|(at, _)| *at <= end)
            });
            let tick = with_host(|host| host.ticks.iter().map(|(root, (_, at))| (*at, *root)).min())
                .filter(|(at, _)| *at <= end);
            match (call, tick) {
                (Some((at, id)), tick) if tick.is_none_or(|(tick, _)| at <= tick) => {
                    with_host(|host| host.now = host.now.max(at));
                    self.respond_as_envoy(id, 504, "upstream request timeout");
                }
                (_, Some((at, root))) => {
                    with_host(|host| {
                        host.now = host.now.max(at);
                        if let Some((period, next)) = host.ticks.get_mut(&root) {
                            *next = at + *period;
                        }
                    });
                    self::tick(root);
                }
                _ => break,
            }
        }
        with_host(|host| host.now = end);
    }

    /// The virtual clock: the time since 1970.
    pub fn now(&self) -> Duration {
        with_host(|host| host.now)
    }
}

/// The timer of a root fires.
pub fn tick(root: u32) {
    run_event(|| {
        // SAFETY: the SDK's export, with a root that exists.
        callback("proxy_on_tick", root, || unsafe { exports::proxy_on_tick(root) }, |_, _| ());
    });
}
