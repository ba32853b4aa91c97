//! The filter's exports, driven natively by a host emulator that is as strict as Envoy.
//!
//! At the end of every test the emulator checks its invariants: no violation, no stream that is paused with nothing to
//! resume it, every request counted exactly once, no token in a log line (at any level), metric, filter state or local
//! reply.

#[path = "../emulator/mod.rs"]
mod emulator;

mod caching;
mod calls;
mod coalescing;
mod configuration;
mod decisions;
mod disconnects;
mod documented;
mod documents;
mod idle;
mod interleavings;
mod logout;
mod origins;
mod recheck;
mod requests;
mod reserved_headers;
mod shadow;
mod shared_cache;
mod streams;
mod struct_value;
mod telemetry;
mod tokens;
mod touch;
mod write_back;
mod write_back_interleavings;

use emulator::{Call, Request, Stream, Vm};
use rest_sessions_filter as _;
use serde_json::{Value, json};

/// A session as rest-sessions returns it.
pub const SESSION: &str =
    r#"{"id":"user123","r":1,"w":1,"ttl":7200,"idle":3,"ip":"192.0.2.1","d":{"cart":2,"name":"Zoë"}}"#;

/// What rest-sessions returns for an unknown token.
pub const NONE: &str = "{}";

/// A session of this user.
pub fn session_of(id: &str) -> String {
    json!({"id": id, "r": 1, "w": 1, "ttl": 7200, "idle": 3, "ip": "192.0.2.1"}).to_string()
}

/// A well-formed token, another for each number; it was made before the host's clock starts.
pub fn token(number: u32) -> String {
    let mut state = u64::from(number) + 1;
    let random = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"[(state >> 33) as usize % 57])
    });
    test_support::token::created_at(&random.take(55).collect::<String>(), 1_703_997_305_856)
}

/// A configuration with these keys and the required ones.
pub fn config(keys: Value) -> Value {
    let mut config = json!({"app": "myapp", "rest_sessions": {"cluster": "rest-sessions"}});
    for (key, value) in keys.as_object().expect("keys are an object") {
        config[key] = value.clone();
    }
    config
}

/// `/optional/*` and `/off/*` are optional and off, every other path is required. The status is annotated.
pub fn three_routes() -> Value {
    config(json!({
        "rules": [
            {"name": "open", "match": {"paths": ["/optional/*"]}, "session": "optional"},
            {"name": "static", "match": {"paths": ["/off/*"]}, "session": "off"},
        ],
        "annotate": {"headers": {"x-session-user": "id", "x-session-data": "d", "x-session-status": "status"}},
    }))
}

/// A request with the first token, and the call that it is paused for.
pub fn pending_request(vm: &mut Vm, path: &str) -> (Stream, Call) {
    let stream = vm.request(Request::get(path).token(&token(1)));
    assert!(
        stream.is_paused(),
        "the request is not paused for its session; its local reply: {:?}",
        stream.local_reply()
    );
    (stream, vm.call())
}

/// A request with the first token, whose lookup has had a 200 with this body.
pub fn resolved_request(vm: &mut Vm, path: &str, body: impl AsRef<[u8]>) -> Stream {
    let (stream, call) = pending_request(vm, path);
    vm.respond(&call, 200, body);
    stream
}

/// Responds to every call in flight with the session.
pub fn respond_to_all(vm: &mut Vm) {
    for call in vm.calls() {
        vm.respond(&call, 200, SESSION);
    }
}

/// One path under each rule of [`three_routes`].
pub const ROUTES: [&str; 3] = ["/", "/optional/a", "/off/a"];

/// A request with the first token, whose body follows.
pub fn upload(vm: &mut Vm, path: &str) -> Stream {
    vm.request_with_body(Request::new("POST", path).token(&token(1)))
}

/// The status that the client receives: of the local reply, else 200.
pub fn client_status(stream: Stream) -> u32 {
    stream.local_reply_status().unwrap_or(200)
}

/// The annotation that the upstream received: user, data and status.
pub fn annotation(stream: Stream) -> [Option<String>; 3] {
    ["x-session-user", "x-session-data", "x-session-status"].map(|name| stream.upstream_header(name))
}

/// The annotation of a request without an active session.
pub fn only_status(status: &str) -> [Option<String>; 3] {
    [None, None, Some(status.to_owned())]
}

/// Asserts that these are the only counters above zero, besides `calls_total`.
#[track_caller]
pub fn assert_counters(vm: &Vm, expected: &[(&str, u64)]) {
    let mut expected: Vec<_> = expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    expected.sort();
    let mut counters = vm.counters();
    counters.retain(|(name, _)| name != "calls_total");
    assert_eq!(counters, expected, "the counters above zero");
}
