//! The configuration, as JSON and as a protobuf Struct: both forms are read alike, or each problem says where it is. With
//! what was read, a worker decides each request once.

use std::hash::RandomState;
use std::rc::Rc;

use rest_sessions_core::action::Action;
use rest_sessions_core::cache::shared_data::LocalData;
use rest_sessions_core::config::Config;
use rest_sessions_core::http::headers::Headers;
use rest_sessions_core::local::LocalEnvironment;
use rest_sessions_core::worker::{Event, Seeds, Worker};
use serde_json::Value;

use crate::NOW_MS;

mod protobuf;

/// # Panics
///
/// If something does not hold.
pub fn check(bytes: &[u8]) {
    if let Ok(value @ Value::Object(_)) = serde_json::from_slice(bytes) {
        assert_is_read_alike(&value);
    }
    match Config::parse(bytes) {
        Ok(config) => decide(config),
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
        }
    }
}

/// JSON with each key once, and the Struct that Envoy makes of the same YAML.
fn assert_is_read_alike(value: &Value) {
    // An empty Struct is no bytes. Deeper than this, the readers differ in their limits.
    if value == &Value::Object(serde_json::Map::new()) || depth(value) > 90 {
        return;
    }
    assert_eq!(problems(value.to_string().as_bytes()), problems(&protobuf::encoded(value)), "JSON, and as a Struct");
}

fn problems(bytes: &[u8]) -> Vec<String> {
    let problems = Config::parse(bytes).err().unwrap_or_default();
    let mut problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    problems.sort();
    problems
}

fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(members) => members.values().map(depth).max(),
        _ => None,
    };
    1 + inner.unwrap_or(0)
}

fn decide(config: Config) {
    let environment = LocalEnvironment::new(NOW_MS, None, LocalData::default());
    let seeds = Seeds { digest_key: RandomState::new(), random: [1, 2, 3, 4] };
    let Ok(mut worker) = Worker::new(Rc::new(config), seeds, &environment) else { panic!("there is shared data") };
    let cookie = format!("session-cookie={}", "a".repeat(64));
    for (number, (method, path)) in
        (1..).zip([("GET", "/"), ("POST", "/a/%62;c"), ("OPTIONS", "*"), ("CONNECT", ""), ("GET", "/a?b=c&d=e")])
    {
        let pairs = [
            (":method", method),
            (":scheme", "https"),
            (":authority", "a.example"),
            (":path", path),
            ("cookie", &cookie),
            ("x-session-user", "forged"),
        ];
        let stream = worker.admit(number);
        let headers = Headers::from_pairs(&pairs);
        let mut actions = Vec::new();
        worker.handle(Event::RequestHeaders { stream, headers, end_of_stream: true }, &environment, &mut actions);
        let decides = |action: &&Action| matches!(action, Action::ContinueRequest | Action::Reply(_) | Action::Close);
        assert!(actions.iter().filter(decides).count() <= 1, "{method} {path} is decided twice");
        worker.handle(Event::StreamEnded(stream), &environment, &mut Vec::new());
    }
}
