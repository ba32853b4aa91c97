//! Headers that the filter reserves, and names that no annotation and no token source may have.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::config::compile::reserved;

#[test]
fn names_that_annotations_may_not_have_are_refused() {
    for name in [
        ":path",
        "host",
        "Cookie",
        "content-type",
        "content-length",
        "connection",
        "te",
        "upgrade",
        "transfer-encoding",
        "keep-alive",
        "proxy-connection",
        "trailer",
        "x-session-set",
        "x_session_kill",
        "a b",
        "",
        "ä",
        "x-token",
        "X_Token",
        "x-other-token",
    ] {
        let found = problems(json!({
            "annotate": {"headers": {name: "id"}},
            "token_from": [{"header": "x-token"}],
            "rules": [{"session": "off", "match": {"paths": ["/a"]}, "token_from": [{"header": "x-other-token"}]}]
        }));
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert!(found[0].starts_with("annotate.headers"), "{found:?}");
    }
    let found = problems(json!({"annotate": {"headers": {"x-a": "id", "x_a": "ip"}}}));
    assert_eq!(found, ["annotate.headers.x_a: reads like x-a to servers that take `-` for `_`; expected one of them"]);
}

#[test]
fn a_reserved_header_cannot_be_a_token_source() {
    for name in ["x-session-user", "X_Session_Data", "x-session-set", "x-session-kill", "cookie"] {
        let found = problems(json!({"token_from": [{"header": name}]}));
        assert!(found[0].starts_with("token_from[0].header: "), "{found:?}");
    }
}

#[test]
fn headers_that_override_what_rules_match_are_removed_where_rules_name_it() {
    let of_rule = |matches: Value| parsed(json!({"rules": [{"session": "off", "match": matches}]}));
    let plain = parsed(json!({}));
    let methods = of_rule(json!({"methods": ["GET"]}));
    let paths = of_rule(json!({"paths": ["/a"]}));
    let hosts = of_rule(json!({"hosts": ["a.example"]}));
    let served = parsed(json!({"hosts": ["a.example"]}));
    let own = parsed(json!({"rules": [{"session": "off", "match": {"paths": ["/a"], "methods": ["GET"]}}],
                            "hosts": ["a.example"], "remove_headers": ["X-Mine"]}));
    let removed_by = |name: &str| {
        [&plain, &methods, &paths, &hosts, &served, &own].map(|config| config.reserved.contains(name.as_bytes()))
    };
    for name in ["x-http-method-override", "X-HTTP-Method", "x_method_override", "X_FORWARDED_METHOD"] {
        assert_eq!(removed_by(name), [false, true, false, false, false, false], "{name}");
    }
    for name in ["x-original-url", "X-Rewrite-Url", "SCRIPT_NAME", "PATH_INFO", "Daphne-Root-Path", "x.script.name"] {
        assert_eq!(removed_by(name), [false, false, true, false, false, false], "{name}");
    }
    for name in ["X-Forwarded-Host", "FORWARDED", "x_host", "x-original_host"] {
        assert_eq!(removed_by(name), [false, false, false, true, true, false], "{name}");
    }
    assert_eq!(removed_by("x_mine"), [false, false, false, false, false, true]);
}

#[test]
fn reserved_names_are_those_of_every_annotation_and_the_default_ones() {
    let config = parsed(json!({
        "annotate": {"headers": {"x-who": "id"}},
        "rules": [{"session": "off", "match": {"paths": ["/a"]}, "annotate": {"headers": {"x-rule": "id"}}}],
        "default": {"session": "off", "annotate": {"headers": {"x-default": "id"}}}
    }));
    for name in ["x-who", "x-rule", "x-default", "x-session-user", "x-session-data", "x-session-set", "x-session-kill"]
    {
        assert!(config.reserved.contains(name.as_bytes()), "{name}");
    }
}

#[test]
fn the_default_names_stay_reserved_where_others_are_configured() {
    let default = parsed(json!({"write_back": {}}));
    let write_back = default.write_back.as_ref().unwrap();
    let mut names: Vec<String> =
        fallback(&default).annotation.headers.iter().map(|(name, _)| name.to_string()).collect();
    names.extend([write_back.set_header.clone(), write_back.kill_header.clone()]);
    let own = parsed(json!({
        "annotate": {"headers": {"x-user": "id"}},
        "write_back": {"set_header": "x-set", "kill_header": "x-kill"},
    }));
    for name in &names {
        assert!(own.reserved.contains(name.as_bytes()), "{name} is a default and not reserved");
    }
    assert_eq!(names.len(), 4);
}

/// The table in docs/security.md: the headers in it, by what rules have to name for their removal.
fn documented_overrides() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let page = include_str!("../../../../docs/security.md");
    let (_, table) = page.split_once("| removed where rules name |\n").unwrap();
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for row in table.lines().skip(1).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [names, _, named] = cells[..] else { panic!("a row of three cells: {row}") };
        for name in names.split('`').skip(1).step_by(2) {
            assert!(found.entry(named).or_default().insert(name), "{name} is listed twice");
        }
    }
    found
}

#[test]
fn the_documentation_lists_exactly_the_headers_that_are_removed_by_default() {
    let documented = documented_overrides();
    assert_eq!(documented.keys().copied().collect::<Vec<_>>(), ["hosts", "methods", "no", "paths"]);
    for (named, defaults) in [
        ("methods", &crate::http::method::OVERRIDE_HEADERS[..]),
        ("paths", &reserved::PATH_OVERRIDES[..]),
        ("hosts", &reserved::HOST_OVERRIDES[..]),
    ] {
        assert_eq!(documented[named], defaults.iter().copied().collect(), "{named}");
    }
    let all = parsed(json!({"rules": [
        {"session": "off", "match": {"paths": ["/a"], "methods": ["GET"], "hosts": ["a.example"]}},
    ]}));
    for name in &documented["no"] {
        assert!(!all.reserved.contains(name.as_bytes()), "{name}");
    }
}
