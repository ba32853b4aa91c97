//! Answers of rest-sessions: what counts as a session is one to another JSON reader too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rest_sessions_core::rest_sessions::body;
use rest_sessions_core::session::lookup::Lookup;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let parsed: Option<Value> = serde_json::from_slice(bytes).ok();
    match body::lookup(bytes) {
        Lookup::Active(session) => {
            let parsed = parsed.expect("it is JSON");
            assert_eq!(parsed["id"].as_str(), Some(session.id()));
            assert!(!session.id().is_empty() && parsed["ttl"].is_number());
            let data: Value = serde_json::from_str(session.data_json()).expect("d is JSON");
            assert!(
                data.as_object().expect("d is an object").values().all(|value| !value.is_object() && !value.is_array())
            );
        }
        Lookup::None => assert_eq!(parsed, Some(Value::Object(serde_json::Map::new()))),
        Lookup::Failed(_) => {}
    }
    if let Ok(existed) = body::killed(bytes) {
        let parsed = parsed_kill(bytes);
        assert_eq!(existed, parsed != 0.0, "{}", bytes.escape_ascii());
    }
});

fn parsed_kill(bytes: &[u8]) -> f64 {
    let parsed: Value = serde_json::from_slice(bytes).expect("it is JSON");
    parsed["kill"].as_f64().expect("kill is a number")
}
