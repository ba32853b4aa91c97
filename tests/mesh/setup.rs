//! Configurations and session services that several suites use.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::harness::mesh::plugin;
use crate::harness::stub::{Call, CalloutResponse, Latch, Stub};

/// Enough connections that each of two workers serves some of them.
pub const CONNECTIONS: usize = 24;

/// A configuration with these keys added or replaced.
pub fn extended(mut configuration: Value, keys: Value) -> Value {
    let (Value::Object(all), Value::Object(keys)) = (&mut configuration, keys) else {
        panic!("a configuration and its keys are objects");
    };
    all.extend(keys);
    configuration
}

/// A plugin configuration with these keys, whose calls wait for as long as a test holds them.
pub fn long_timeout(keys: Value) -> Value {
    let mut configuration = plugin(keys);
    configuration["rest_sessions"]["timeout"] = "15s".into();
    configuration
}

/// A session service that holds every response until the latch opens.
pub fn held_service(respond: impl Fn(&Call) -> CalloutResponse + Send + Sync + 'static) -> (Latch, Stub) {
    let latch = Latch::default();
    let held = latch.clone();
    let stub = Stub::start(move |call| CalloutResponse::After(held.clone(), Box::new(respond(call))));
    (latch, stub)
}

/// A session service that knows every token as the same session, until the test makes it fail or ends sessions.
#[derive(Clone, Default)]
pub struct Service {
    ended: Arc<Mutex<HashSet<String>>>,
    fails: Arc<Mutex<bool>>,
}

impl Service {
    pub fn start(&self, session: Value) -> Stub {
        let this = self.clone();
        Stub::start(move |call: &Call| {
            if *this.fails.lock().unwrap() {
                CalloutResponse::text(500, "{}")
            } else if this.ended.lock().unwrap().contains(call.token()) {
                CalloutResponse::none()
            } else {
                CalloutResponse::json(200, &session)
            }
        })
    }

    pub fn end(&self, token: &str) {
        self.ended.lock().unwrap().insert(token.to_owned());
    }

    pub fn fail(&self, fails: bool) {
        *self.fails.lock().unwrap() = fails;
    }
}
