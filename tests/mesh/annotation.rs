//! Annotation: the request headers that tell the upstream about the session, field by field and byte by byte.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::envoy::Listener;
use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::stub::{CalloutResponse, Stub};
use test_support::http1::Request;
use test_support::token;

/// A session service whose every response has this body.
fn service(session: &'static str) -> Stub {
    Stub::start(move |_| CalloutResponse::text(200, session))
}

fn annotating(headers: Value) -> Value {
    plugin(json!({"annotate": {"headers": headers}}))
}

fn start(stub: &Stub, headers: Value) -> Mesh {
    Setup::new(annotating(headers)).sessions(stub.address()).start()
}

#[test]
fn each_mapped_field_sets_its_header_and_a_missing_field_sets_none() {
    let stub = service(
        r#"{"id": "user123", "r": 7, "w": 2, "ttl": 7200, "idle": 273, "ip": "192.168.99.22", "no_resave": true,
            "d": {"name": "Peter Smith", "n": 12, "yes": true, "no": false, "a.b": "dotted", "empty": ""}}"#,
    );
    let mesh = start(
        &stub,
        json!({
            "x-id": "id", "x-ip": "ip", "x-ttl": "ttl", "x-idle": "idle", "x-r": "r", "x-w": "w", "x-age": "age",
            "x-d": "d", "x-status": "status", "x-name": "d.name", "x-n": "d.n", "x-yes": "d.yes", "x-no": "d.no",
            "x-dotted": "d.a.b", "x-empty": "d.empty", "x-missing": "d.missing", "x-half": "d.a",
        }),
    );
    let received = mesh.passes(&Request::get("/").session(&token::aged(Duration::from_secs(3600))));
    for (name, value) in [
        ("x-id", Some("user123")),
        ("x-ip", Some("192.168.99.22")),
        ("x-ttl", Some("7200")),
        ("x-idle", Some("273")),
        ("x-r", Some("7")),
        ("x-w", Some("2")),
        ("x-d", Some(r#"{"name":"Peter Smith","n":12,"yes":true,"no":false,"a.b":"dotted","empty":""}"#)),
        ("x-status", Some("active")),
        ("x-name", Some("Peter Smith")),
        ("x-n", Some("12")),
        ("x-yes", Some("true")),
        ("x-no", Some("false")),
        ("x-dotted", Some("dotted")),
        ("x-empty", Some("")),
        ("x-missing", None),
        ("x-half", None),
        ("x-session-user", None),
        ("x-session-data", None),
    ] {
        assert_eq!(received.header(name).as_deref(), value, "{name}");
    }
    let age: u64 =
        received.header("x-age").expect("the token has a creation time").parse().expect("the age is in whole seconds");
    assert!((3600..3660).contains(&age), "the age is {age} s, 3600 to 3660 were expected");
}

#[test]
fn a_minimal_session_sets_only_the_headers_of_its_fields() {
    let stub = service(r#"{"id":"u","ttl":10}"#);
    let mesh = start(&stub, json!({"x-id": "id", "x-ip": "ip", "x-idle": "idle", "x-d": "d", "x-name": "d.name"}));
    let received = mesh.passes(&Request::get("/").session(&token::fresh()));
    let values = ["x-id", "x-ip", "x-idle", "x-d", "x-name"].map(|name| received.header(name));
    assert_eq!(values.each_ref().map(Option::as_deref), [Some("u"), None, None, Some("{}"), None]);
}

#[test]
fn string_values_are_percent_encoded_reversibly() {
    let stub = service(
        r##"{"id": " 50% ü\t\r\nx-admin: 1 \u0000 ", "ttl": 10, "d": {"emoji": "😀", "inner": "a  b", "all": "!\"#&'()*+,-./:;<=>?@[\\]^_`{|}~"}}"##,
    );
    let mesh = start(&stub, json!({"x-id": "id", "x-emoji": "d.emoji", "x-inner": "d.inner", "x-all": "d.all"}));
    let received = mesh.passes(&Request::get("/").session(&token::fresh()));
    assert_eq!(received.header("x-id").as_deref(), Some("%2050%25 %C3%BC%09%0D%0Ax-admin: 1 %00%20"));
    assert_eq!(received.header("x-emoji").as_deref(), Some("%F0%9F%98%80"));
    assert_eq!(received.header("x-inner").as_deref(), Some("a  b"));
    assert_eq!(received.header("x-all").as_deref(), Some("!\"#&'()*+,-./:;<=>?@[\\]^_`{|}~"));
}

#[test]
fn data_is_equivalent_compact_json_in_printable_ascii() {
    let stub = service(
        r#"{"id": "u", "ttl": 10, "d": { "œ": "Zoë 😀", "quote": "a\"b\\c\n", "del": "\u007f" , "slash": "\/" }}"#,
    );
    let mesh = start(&stub, json!({"x-d": "d"}));
    let received = mesh.passes(&Request::get("/").session(&token::fresh()));
    let data = received.header("x-d").expect("the session has data");
    assert!(data.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{data}");
    assert!(data.contains(r"\u0153") && data.to_lowercase().contains(r"\ud83d\ude00"), "{data}");
    assert!(!data.contains(": ") && !data.contains(", "), "{data}");
    let meaning: Value = serde_json::from_str(&data).expect("the data is JSON");
    assert_eq!(meaning, json!({"œ": "Zoë 😀", "quote": "a\"b\\c\n", "del": "\u{7f}", "slash": "/"}));
}

#[test]
fn numbers_keep_the_digits_that_the_service_sent() {
    let stub = service(
        r#"{"id": "u", "ttl": 7200, "idle": 0, "r": 12345678901234567890, "d": {"price": 1.50, "big": 123456789012345678901234567890, "e": 1E3, "minus": -0.0}}"#,
    );
    let mesh = start(
        &stub,
        json!({"x-r": "r", "x-price": "d.price", "x-big": "d.big", "x-e": "d.e", "x-minus": "d.minus", "x-d": "d"}),
    );
    let received = mesh.passes(&Request::get("/").session(&token::fresh()));
    for (name, value) in [
        ("x-r", "12345678901234567890"),
        ("x-price", "1.50"),
        ("x-big", "123456789012345678901234567890"),
        ("x-e", "1E3"),
        ("x-minus", "-0.0"),
        ("x-d", r#"{"price":1.50,"big":123456789012345678901234567890,"e":1E3,"minus":-0.0}"#),
    ] {
        assert_eq!(received.header(name).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn an_oversized_session_is_never_annotated_in_part() {
    let stub = Stub::start(|call| {
        let length = if call.path.starts_with("/large") { 90 } else { 80 };
        CalloutResponse::json(200, &json!({"id": "0123456789", "ttl": 10, "d": {"k": "x".repeat(length)}}))
    });
    let limited = |prefix: &str| {
        let mut keys = plugin(json!({
            "rules": [{"match": {"paths": ["/optional"]}, "session": "optional"}],
            "annotate": {
                "headers": {"x-session-user": "id", "x-value": "d.k", "x-session-status": "status"},
                // 10 bytes of the id, 80 of the value, 6 of the status.
                "max_bytes": 96,
            },
        }));
        keys["rest_sessions"]["path_prefix"] = prefix.into();
        keys
    };
    let mesh = Setup::default()
        .listener(Listener::new("fits", limited("/small")))
        .listener(Listener::new("too-large", limited("/large")))
        .sessions(stub.address())
        .start();
    let token = token::fresh();
    assert_eq!(mesh.passes_at("fits", &Request::get("/").session(&token)).header("x-value"), Some("x".repeat(80)));
    mesh.denies_at("too-large", &Request::get("/").session(&token), 500, "session_too_large");
    let received = mesh.passes_at("too-large", &Request::get("/optional").session(&token));
    assert_eq!(received.header("x-session-status").as_deref(), Some("unavailable"));
    assert_eq!([received.header("x-session-user"), received.header("x-value")], [None, None]);
    mesh.expect_outcomes(&[("allowed_total", 1), ("session_too_large_total", 2)]);
}

#[test]
fn the_default_limit_of_the_annotation_is_6144_bytes() {
    let stub = Stub::start(|call| {
        let length = if call.path.starts_with("/large") { 6145 } else { 6144 };
        CalloutResponse::json(200, &json!({"id": "u", "ttl": 10, "d": {"k": "x".repeat(length)}}))
    });
    let value_alone = |prefix: &str| {
        let mut keys = annotating(json!({"x-value": "d.k"}));
        keys["rest_sessions"]["path_prefix"] = prefix.into();
        keys
    };
    let mesh = Setup::default()
        .listener(Listener::new("fits", value_alone("/small")))
        .listener(Listener::new("too-large", value_alone("/large")))
        .sessions(stub.address())
        .start();
    let request = Request::get("/").session(&token::fresh());
    assert_eq!(mesh.passes_at("fits", &request).header("x-value").map(|value| value.len()), Some(6144));
    mesh.denies_at("too-large", &request, 500, "session_too_large");
}

#[test]
fn an_empty_annotation_map_sets_no_headers() {
    let stub = Stub::with_active_session();
    let mesh = start(&stub, json!({}));
    let received = mesh.passes(&Request::get("/").session(&token::fresh()).header("x-session-user", "forged"));
    assert_eq!(received.session_headers(), [""; 0]);
}
