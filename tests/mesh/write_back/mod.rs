//! Services that change and end sessions with a response header.

mod agreement;
mod changing;
mod hiding;
mod waiting;

use serde_json::{Value, json};
use test_support::http1::Request;

use crate::harness::mesh::plugin;
use crate::harness::sessions::{APP, RestSessions};
use crate::harness::upstream::Reply;

/// Enough connections that both of two workers serve some of them.
const CONNECTIONS: usize = 24;

const SET: &str = "x-session-set";
const KILL: &str = "x-session-kill";

const DELETION: &str = "session-cookie=; Max-Age=0; Path=/; Secure; SameSite=Lax";

/// A configuration with write-back and these keys.
fn writing(keys: Value) -> Value {
    let mut writing = plugin(json!({"write_back": {}}));
    writing.as_object_mut().expect("a plugin is an object").extend(keys.as_object().expect("keys").clone());
    writing
}

fn cached() -> Value {
    writing(json!({"cache": {"ttl": "1h"}}))
}

/// A reply that sets these keys.
fn setting(value: &Value) -> Reply {
    Reply::default().header(SET, value.to_string())
}

/// The data that rest-sessions holds, as it shows it; null where there is no session.
fn stored(sessions: &RestSessions, token: &str) -> Value {
    let text = Request::get(&format!("/{APP}/get/{token}")).send_to(sessions.address()).text();
    let session: Value = serde_json::from_str(&text).expect("rest-sessions answers JSON");
    match session.get("id") {
        Some(_) => session.get("d").cloned().unwrap_or_else(|| json!({})),
        None => Value::Null,
    }
}
