//! Runs the filter's workers through any order of events, and checks what must always hold.
//!
//! [`run`] reads a configuration and events from bytes, so that a property test and a fuzzer drive the same code. Two
//! workers of one Envoy share their data; `envoy` carries their actions out in memory and answers their calls from a
//! `store` of sessions that end and never come back.
//!
//! What must hold, whatever the events and their order:
//!
//! - A request is annotated as a user only if it carried the token of a session of this user, and the store said so: after
//!   the request came, or no longer before it than the configuration lets an answer serve.
//! - From the next request on after an end that one of the workers made, no worker serves the session.
//! - In a request that goes on, every header with a reserved name, in any spelling, was set by the filter.
//! - A request goes on or gets one local reply, once. So does its response. No stream waits once all calls are over and
//!   timers have run.
//! - No token is in anything that the filter puts out, but in the path of a call. Without `forward_token`, none is in the
//!   request that goes on.
//! - Gauges are zero once the workers have retired.

mod envoy;
mod event;
mod store;

use std::rc::Rc;

use arbitrary::{Arbitrary, Unstructured};
use rest_sessions_core::config::Config;
use serde_json::json;

use crate::envoy::{Envoy, Promises};
use crate::event::Event;

/// How a run is configured.
#[derive(Debug, Arbitrary)]
struct Options {
    is_cached: bool,
    forward_token: bool,
    is_limited: bool,
    retires_first: bool,
}

/// Milliseconds that an answer may serve, each.
const TTL_MS: u64 = 1_000;
const STALE_MS: u64 = 1_000;

/// Runs the events that the bytes stand for.
///
/// # Panics
///
/// If something does not hold.
pub fn run(bytes: &[u8]) {
    let mut bytes = Unstructured::new(bytes);
    let Ok(options) = Options::arbitrary(&mut bytes) else { return };
    let promises = Promises {
        forward_token: options.forward_token,
        may_serve_ms: if options.is_cached { TTL_MS + STALE_MS } else { 0 },
    };
    let mut envoy = Envoy::new(&config(&options), promises);
    while let Ok(event) = Event::arbitrary(&mut bytes) {
        envoy.step(event);
        if bytes.is_empty() {
            break;
        }
    }
    envoy.settle();
    envoy.finish(options.retires_first);
}

fn config(options: &Options) -> Rc<Config> {
    let mut config = json!({
        "app": "myapp",
        "rest_sessions": {"cluster": "rs", "max_in_flight": 3, "breaker": {"failures": 3, "open_for": "500ms"}},
        "token_from": [{"cookie": "session-cookie"}, {"header": "authorization", "prefix": "Bearer "}],
        "forward_token": options.forward_token,
        "filter_state": true,
        "rules": [
            {"match": {"paths": ["/optional"]}, "session": "optional"},
            {"match": {"paths": ["/off"]}, "session": "off"},
            {"match": {"paths": ["/shadow"]}, "session": "required", "shadow": true},
            {"match": {"paths": ["/own"]}, "session": "required", "origins": []},
            {"match": {"methods": ["DELETE"]}, "session": "required", "max_staleness": "0s"}
        ],
        "default": {"session": "required", "recheck": "1s"},
        "login": {"url": "https://login.example/"},
        "logout": {"path": "/logout"},
        "write_back": {}
    });
    if options.is_cached {
        config["cache"] = json!({
            "ttl": format!("{TTL_MS}ms"), "stale_if_error": format!("{STALE_MS}ms"), "max_bytes": 65_536
        });
    }
    if options.is_limited {
        config["limits"] = json!({"idle": "2s"});
    }
    let config = Config::parse(config.to_string().as_bytes());
    Rc::new(config.unwrap_or_else(|problems| panic!("{problems:?}")))
}
