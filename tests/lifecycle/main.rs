//! The filter's life in a host: its real exports, driven natively in a host that is as strict as Envoy.
//!
//! Every test ends with the host's own checks: no violation, no stream that waits for nothing, every request counted
//! exactly once, no token in any log line (all of them at trace level), metric, filter state or reply.

#[path = "../emulator/mod.rs"]
mod emulator;

mod caching;
mod calls;
mod configuration;
mod decisions;
mod documented;
mod leaving;
mod logout;
mod logs;
mod open;
mod phases;
mod requests;
mod sharing;
mod storms;
mod struct_value;
mod write_back;

use emulator::{Call, Request, Stream, Vm};
use rest_sessions_filter as _;
use serde_json::{Value, json};

/// A session as rest-sessions shows it.
pub const SESSION: &str =
    r#"{"id":"user123","r":1,"w":1,"ttl":7200,"idle":3,"ip":"192.0.2.1","d":{"cart":2,"name":"Zoë"}}"#;

/// There is no such session.
pub const NONE: &str = "{}";

/// A session of another user.
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

/// A configuration with these keys beside those that are required.
pub fn config(keys: Value) -> Value {
    let mut config = json!({"app": "myapp", "rest_sessions": {"cluster": "rest-sessions"}});
    for (key, value) in keys.as_object().expect("keys are an object") {
        config[key] = value.clone();
    }
    config
}

/// `/optional/*` and `/off/*` are what they say; everything else is required. The status is shown to the upstream.
pub fn three_routes() -> Value {
    config(json!({
        "rules": [
            {"name": "open", "match": {"paths": ["/optional/*"]}, "session": "optional"},
            {"name": "static", "match": {"paths": ["/off/*"]}, "session": "off"},
        ],
        "annotate": {"headers": {"x-session-user": "id", "x-session-data": "d", "x-session-status": "status"}},
    }))
}

/// A request with the first token, and the call that it waits for.
pub fn waiting(vm: &mut Vm, path: &str) -> (Stream, Call) {
    let stream = vm.request(Request::get(path).token(&token(1)));
    assert!(stream.is_paused(), "the request does not wait for its session: {:?}", stream.reply());
    (stream, vm.call())
}

/// What the upstream learned of the session.
pub fn annotation(stream: Stream) -> [Option<String>; 3] {
    ["x-session-user", "x-session-data", "x-session-status"].map(|name| stream.upstream(name))
}

pub fn status_alone(status: &str) -> [Option<String>; 3] {
    [None, None, Some(status.to_owned())]
}

/// The only counters that are not zero.
#[track_caller]
pub fn assert_counters(vm: &Vm, expected: &[(&str, u64)]) {
    let mut expected: Vec<_> = expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    expected.sort();
    let mut counters = vm.counters();
    counters.retain(|(name, _)| name != "calls_total");
    assert_eq!(counters, expected);
}
