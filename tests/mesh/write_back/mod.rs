//! Write-back: upstreams that change and end sessions with response headers.

mod consistency;
mod header_removal;
mod pending_responses;
mod session_changes;

use serde_json::{Value, json};

use crate::harness::mesh::plugin;
use crate::harness::sessions::{APP, RestSessions};
use crate::harness::upstream::UpstreamResponse;
use crate::setup::extended;

const SET: &str = "x-session-set";
const KILL: &str = "x-session-kill";

const DELETION: &str = "session-cookie=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax";

/// A configuration with write-back and these keys.
fn write_back(keys: Value) -> Value {
    extended(plugin(json!({"write_back": {}})), keys)
}

/// A configuration with write-back and a cache.
fn cached() -> Value {
    write_back(json!({"cache": {"ttl": "1h"}}))
}

/// An upstream response that sets these keys.
fn setting(value: &Value) -> UpstreamResponse {
    UpstreamResponse::default().header(SET, value.to_string())
}

/// The data of the session in rest-sessions; null where there is no session.
fn stored(sessions: &RestSessions, token: &str) -> Value {
    let text = sessions.call("GET", &format!("/{APP}/get/{token}"), "").text();
    let session: Value = serde_json::from_str(&text).expect("rest-sessions responds with JSON");
    match session.get("id") {
        Some(_) => session.get("d").cloned().unwrap_or_else(|| json!({})),
        None => Value::Null,
    }
}
