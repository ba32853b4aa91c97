//! `require`: every condition, and the problems of those that cannot hold.

use super::*;
use crate::policy::requirements::{Condition, Constant, Requirement};

fn requiring(require: Value) -> Value {
    json!({"default": {"session": "required", "require": require}})
}

#[test]
fn every_condition_is_taken() {
    let config = parsed(requiring(json!([
        {"field": "d.role", "one_of": ["admin", 1, true]},
        {"field": "d.a.b", "equals": 1.5},
        {"field": "d", "present": true},
        {"field": "d.banned", "present": false},
        {"field": "age", "at_most": "12h"},
        {"field": "ttl", "at_least": 60},
        {"field": "d.auth_time", "within": "10m"},
        {"field": "ip", "is_client": true},
        {"field": "id", "equals": "root"},
        {"field": "status", "equals": "active"}
    ])));
    let text = |text: &str| Constant::Text(text.to_owned());
    let key = |key: &str| Field::DataKey(key.to_owned());
    let expected = [
        (key("role"), Condition::OneOf(vec![text("admin"), Constant::Number(1.0), Constant::Bool(true)])),
        (key("a.b"), Condition::OneOf(vec![Constant::Number(1.5)])),
        (Field::Data, Condition::Present(true)),
        (key("banned"), Condition::Present(false)),
        (Field::Age, Condition::AtMost(43_200.0)),
        (Field::Ttl, Condition::AtLeast(60.0)),
        (key("auth_time"), Condition::Within(600_000)),
        (Field::Ip, Condition::IsClient),
        (Field::Id, Condition::OneOf(vec![text("root")])),
        (Field::Status, Condition::OneOf(vec![text("active")])),
    ];
    let expected = expected.map(|(field, condition)| Requirement { field, condition });
    assert_eq!(fallback(&config).require, expected);
}

#[test]
fn a_requirement_that_cannot_hold_is_refused() {
    let one = "expected exactly one of one_of, equals, present, at_most, at_least, within, is_client";
    for (requirement, expected) in [
        (json!({"field": "d.a"}), format!("[0]: {one}")),
        (json!({"field": "d.a", "equals": 1, "present": true}), format!("[0]: {one}")),
        (json!({"equals": 1}), "[0].field: is missing; expected a field of the session".to_owned()),
        (json!({"field": "role", "equals": 1}),
         "[0].field: found \"role\", expected one of id, ip, ttl, idle, r, w, age, d, d.KEY, status".to_owned()),
        (json!({"field": "idle", "at_most": 1}),
         "[0].field: idle changes with every lookup; expected one of id, ip, ttl, age, d, d.KEY, status".to_owned()),
        (json!({"field": "r", "at_most": 1}),
         "[0].field: r changes with every lookup; expected one of id, ip, ttl, age, d, d.KEY, status".to_owned()),
        (json!({"field": "w", "present": true}),
         "[0].field: w changes with every lookup; expected one of id, ip, ttl, age, d, d.KEY, status".to_owned()),
        (json!({"field": "d", "equals": "x"}),
         "[0].field: d is all data; expected d.KEY, or the condition present".to_owned()),
        (json!({"field": "id", "is_client": true}), "[0].field: found id, expected ip, which is_client is about".to_owned()),
        (json!({"field": "ip", "is_client": false}), "[0].is_client: found false, expected true, or the key left out".to_owned()),
        (json!({"field": "d.a", "one_of": []}),
         "[0].one_of: found an empty list, expected at least one entry, or the key left out".to_owned()),
        (json!({"field": "d.a", "equals": [1]}),
         "[0].equals: found a list, expected a string, true or false, or a number of no more than 9007199254740991".to_owned()),
        (json!({"field": "d.a", "equals": null}),
         "[0].equals: found null, expected a string, true or false, or a number of no more than 9007199254740991".to_owned()),
        (json!({"field": "d.a", "equals": 9_007_199_254_740_992u64}),
         "[0].equals: found 9007199254740992, expected a string, true or false, or a number of no more than 9007199254740991".to_owned()),
        (json!({"field": "d.a", "at_most": "soon"}),
         "[0].at_most: found \"soon\", expected a number, or a duration such as \"10m\" for its seconds".to_owned()),
        (json!({"field": "d.a", "within": 600}),
         "[0].within: found 600, expected a duration from 1s to 365d, such as \"250ms\", \"5s\", \"10m\"".to_owned()),
        (json!({"field": "d.a", "equls": 1}),
         "[0].equls: unknown key; expected one of field, one_of, equals, present, at_most, at_least, within, is_client".to_owned()),
        (json!("d.a"), "[0]: found \"d.a\", expected an object with field and one condition".to_owned()),
    ] {
        let found = problems(requiring(json!([requirement])));
        assert_eq!(found[0], format!("default.require{expected}"), "{requirement}");
        assert!(found.len() == 1 || requirement["equls"] == 1, "{found:?}");
    }
    let empty = "default.require: found an empty list, expected at least one entry, or the key left out";
    assert_eq!(problems(requiring(json!([]))), [empty]);
}

#[test]
fn requirements_need_a_required_session() {
    let require = json!([{"field": "d.role", "equals": "admin"}]);
    for session in ["optional", "off"] {
        assert_eq!(
            problems(json!({"default": {"session": session, "require": require}})),
            ["default.require: is only for session: required; expected that, or no require"]
        );
    }
    let open = "default.require: has no effect with failure_mode: allow, which passes any token; \
                expected failure_mode: deny";
    let allow = |top: &str, rule: Value| {
        let mut default = json!({"session": "required", "require": require});
        if !rule.is_null() {
            default["failure_mode"] = rule;
        }
        json!({"failure_mode": top, "default": default})
    };
    assert_eq!(problems(allow("allow", json!(null))), [open]);
    assert_eq!(problems(allow("deny", json!("allow"))), [open]);
    parsed(allow("allow", json!("deny")));
}
