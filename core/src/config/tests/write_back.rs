//! `write_back`: what it compiles to, and the exact problems.

use super::*;
use crate::policy::write_back::{Keys, OnFailure};

fn requiring(field: &str) -> Value {
    json!([{"match": {"paths": ["/admin"]}, "session": "required", "require": [{"field": field, "present": true}]}])
}

#[test]
fn it_is_off_without_the_key_and_with_it_on_for_every_rule_that_does_not_switch_it_off() {
    let config = parsed(json!({}));
    assert!(config.write_back.is_none() && !fallback(&config).writes_back);
    let config = parsed(json!({"write_back": {}, "rules": [
        {"match": {"paths": ["/a"]}, "session": "required", "write_back": false},
        {"match": {"paths": ["/b"]}, "session": "optional", "write_back": true}
    ]}));
    assert_eq!(config.rules.iter().map(|rule| rule.writes_back).collect::<Vec<_>>(), [false, true, true]);
    let write_back = config.write_back.unwrap();
    assert_eq!((write_back.set_header.as_str(), write_back.kill_header.as_str()), ("x-session-set", "x-session-kill"));
    assert_eq!((write_back.keys, write_back.on_failure), (Keys::AllBut(vec![]), OnFailure::Pass));
}

#[test]
fn every_key_is_taken() {
    let keys = json!({"set_header": "X-Shop-Set", "kill_header": "x-shop-kill", "keys": ["cart", "caf\u{e9}"], "on_failure": "deny"});
    let write_back = parsed(json!({"write_back": keys})).write_back.unwrap();
    assert_eq!((write_back.set_header.as_str(), write_back.kill_header.as_str()), ("x-shop-set", "x-shop-kill"));
    assert!(write_back.names.contains(b"x_shop_set") && !write_back.names.contains(b"x-session-set"));
    assert_eq!(write_back.keys, Keys::Only(vec!["cart".to_owned(), "caf\u{e9}".to_owned()]));
    assert_eq!(write_back.on_failure, OnFailure::Deny);
    // An upstream that may only end sessions.
    assert_eq!(parsed(json!({"write_back": {"keys": []}})).write_back.unwrap().keys, Keys::Only(vec![]));
}

#[test]
fn upstreams_may_set_keys_of_requirements_only_if_listed() {
    let keys = |write_back: Value, field: &str| {
        parsed(json!({"write_back": write_back, "rules": requiring(field)})).write_back.unwrap().keys
    };
    assert_eq!(keys(json!({}), "d.role"), Keys::AllBut(vec!["role".to_owned()]));
    assert_eq!(keys(json!({}), "d.a.b"), Keys::AllBut(vec!["a.b".to_owned()]));
    assert_eq!(keys(json!({}), "ip"), Keys::AllBut(vec![]));
    assert_eq!(keys(json!({"keys": ["role"]}), "d.role"), Keys::Only(vec!["role".to_owned()]));
    assert_eq!(keys(json!({"keys": ["role"]}), "d"), Keys::Only(vec!["role".to_owned()]));
    let all = "write_back.keys: is missing, and a require reads all data; expected the keys that upstreams may set";
    assert_eq!(problems(json!({"write_back": {}, "rules": requiring("d")})), [all]);
}

#[test]
fn names_with_another_purpose_are_refused() {
    for (header, why) in [
        ("set-cookie", "is how cookies are set; expected another name"),
        ("content-type", "belongs to the connection or the request itself; expected another name"),
        ("transfer-encoding", "belongs to the connection or the request itself; expected another name"),
        ("x-token", "is a header that a token is taken from; expected another name"),
        ("x_who", "tells upstreams of the session; expected another name"),
        ("x-session-data", "tells upstreams of the session; expected another name"),
    ] {
        let found = problems(json!({
            "write_back": {"set_header": header},
            "token_from": [{"header": "x-token"}],
            "annotate": {"headers": {"x-who": "id"}},
        }));
        assert_eq!(found, [format!("write_back.set_header: {why}")], "{header}");
    }
    let found = problems(json!({"write_back": {"kill_header": "x_session.set"}}));
    assert_eq!(found, ["write_back.kill_header: reads like set_header; expected another name"]);
}

#[test]
fn invalid_values_are_reported_with_what_is_expected() {
    for (write_back, expected) in [
        (
            json!({"keys": [""]}),
            "write_back.keys[0]: found \"\", expected a key of the session's data, such as \"cart\"",
        ),
        (json!({"on_failure": "allow"}), "write_back.on_failure: \"allow\" is none of pass, deny"),
        (json!({"key": []}), "write_back.key: unknown key; expected one of set_header, kill_header, keys, on_failure"),
        (json!(true), "write_back: found true, expected an object"),
    ] {
        assert_eq!(problems(json!({"write_back": write_back})), [expected]);
    }
}
