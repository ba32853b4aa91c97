//! The encodings of a configuration, JSON and a binary `google.protobuf.Struct`, and bytes that are neither.

use proptest::prelude::*;

use super::*;

#[test]
fn a_repeated_key_is_refused() {
    let json = r#"{"app": "myapp", "app": "other", "rest_sessions": {"cluster": "a"},
                   "annotate": {"headers": {"x-a": "id", "x-a": "ip"}}}"#;
    assert_eq!(
        problems_of(json.as_bytes()),
        ["app: is given twice; expected once", r#"annotate.headers["x-a"]: is given twice; expected once"#]
    );
}

#[test]
fn empty_and_malformed_bytes_are_refused_with_a_reason() {
    assert_eq!(problems_of(b""), ["found no configuration, expected an object with at least app and rest_sessions"]);
    assert_eq!(problems_of(b"[]"), ["found a list, expected an object"]);
    assert_eq!(problems_of(b"\"x\""), ["found \"x\", expected an object"]);
    assert!(
        problems_of(b"{\"app\"")[0].starts_with("found something that is not JSON (it breaks off at line 1, column 6)")
    );
    assert!(problems_of(b"\x0a\xff\xff")[0].starts_with("found neither JSON ("));
    assert!(problems_of(b"\xff\xfe")[0].starts_with("found something that is not JSON ("));
}

#[test]
fn json_may_begin_with_a_line_break_although_a_struct_does_too() {
    let json = format!("\n{}", with(json!({})));
    assert!(Config::parse(json.as_bytes()).is_ok());
}

#[test]
fn a_binary_struct_is_taken() {
    // {"app": "myapp", "rest_sessions": {"cluster": "rs", "retries": 2.0}}, as protoc encodes it.
    let mut inner = b"\x0a\x0f\x0a\x07cluster\x12\x04\x1a\x02rs".to_vec();
    inner.extend(b"\x0a\x14\x0a\x07retries\x12\x09\x11\x00\x00\x00\x00\x00\x00\x00\x40");
    let mut bytes = b"\x0a\x0e\x0a\x03app\x12\x07\x1a\x05myapp\x0a".to_vec();
    let value_length = u8::try_from(inner.len() + 2).unwrap();
    bytes.push(value_length + 2 + 15);
    bytes.extend(b"\x0a\x0drest_sessions\x12");
    bytes.push(value_length);
    bytes.push(0x2a);
    bytes.push(value_length - 2);
    bytes.extend(&inner);
    let config = Config::parse(&bytes).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(&*fallback(&config).backend.service.cluster, "rs");
    assert_eq!(fallback(&config).backend.service.retries, 2);
}

proptest! {
    #[test]
    fn any_bytes_are_taken_or_refused_with_a_reason(bytes in any::<Vec<u8>>()) {
        if let Err(problems) = Config::parse(&bytes) {
            prop_assert!(!problems.is_empty());
        }
    }

    #[test]
    fn a_configuration_broken_anywhere_is_refused_with_a_reason(cut in 0usize..400, byte in any::<u8>()) {
        let mut bytes = with(json!({"rules": [{"name": "a", "match": {"paths": ["/x"]}, "session": "off"}],
            "token_from": [{"cookie": "c"}], "annotate": {"headers": {"x-a": "id"}}})).to_string().into_bytes();
        let place = cut % bytes.len();
        bytes[place] = byte;
        if let Err(problems) = Config::parse(&bytes) {
            prop_assert!(!problems.is_empty());
            prop_assert!(problems.iter().all(|problem| !problem.message.is_empty()));
        }
    }
}
