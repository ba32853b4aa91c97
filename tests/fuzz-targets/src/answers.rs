//! Answers of rest-sessions: what counts as a session is one to another JSON reader too, with the same content.

use rest_sessions_core::rest_sessions::body;
use rest_sessions_core::session::lookup::Lookup;
use serde_json::Value;
use serde_json::value::RawValue;

/// # Panics
///
/// If something does not hold.
pub fn check(bytes: &[u8]) {
    let is_json = serde_json::from_slice::<&RawValue>(bytes).is_ok();
    // This reader refuses more than the grammar does: numbers that no double holds, and half surrogates.
    let read: Option<Value> = serde_json::from_slice(bytes).ok();
    match body::lookup(bytes) {
        Lookup::Active(session) => {
            assert!(is_json && !session.id().is_empty());
            let data: Value = match serde_json::from_str(session.data_json()) {
                Ok(data) => data,
                Err(error) => return assert!(read.is_none(), "d is no JSON: {error}"),
            };
            assert!(data.as_object().expect("d is an object").values().all(is_scalar));
            if let Some(read) = read {
                assert_eq!(read["id"].as_str(), Some(session.id()));
                assert!(read["ttl"].is_number());
                assert_eq!(read.get("d").unwrap_or(&Value::Object(serde_json::Map::new())), &data);
            }
        }
        Lookup::None => assert_eq!(read, Some(Value::Object(serde_json::Map::new()))),
        Lookup::Failed(_) => assert!(read.is_none_or(|read| !is_compact_session(&read, bytes))),
    }
    let kill = read_kill(bytes);
    assert_eq!(body::killed(bytes).ok(), kill, "{}", bytes.escape_ascii());
}

fn is_scalar(value: &Value) -> bool {
    value.is_string() || value.is_number() || value.is_boolean()
}

/// Whether these are the bytes of a user's id and a time to live, without spaces or repeated keys.
fn is_compact_session(answer: &Value, bytes: &[u8]) -> bool {
    answer.as_object().is_some_and(|fields| fields.len() == 2)
        && answer["id"].as_str().is_some_and(|id| !id.is_empty())
        && answer["ttl"].is_number()
        && answer.to_string().as_bytes() == bytes
}

/// `killed` takes no other spelling of the numbers, and no repeated key: each would have a colon.
fn read_kill(bytes: &[u8]) -> Option<bool> {
    let answer: Value = serde_json::from_slice(bytes).ok()?;
    let members = bytes.iter().filter(|byte| **byte == b':').count();
    match &*answer.to_string() {
        r#"{"kill":0}"# if members == 1 => Some(false),
        r#"{"kill":1}"# if members == 1 => Some(true),
        _ => None,
    }
}
