//! Headers that the filter reserves, and names that no annotation and no token source may have.

use super::*;

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
fn headers_that_override_what_rules_match_are_removed() {
    let reserved = |config: &Config, name: &str| config.reserved.contains(name.as_bytes());
    let plain = parsed(json!({}));
    let methods = parsed(json!({"rules": [{"session": "off", "match": {"methods": ["GET"]}}]}));
    let paths = parsed(json!({"rules": [{"session": "off", "match": {"paths": ["/a"]}}]}));
    let own = parsed(json!({"rules": [{"session": "off", "match": {"paths": ["/a"], "methods": ["GET"]}}],
                            "remove_headers": ["X-Mine"]}));
    for name in ["x-http-method-override", "X-HTTP-Method", "x_method_override"] {
        assert!(
            reserved(&methods, name) && !reserved(&plain, name) && !reserved(&paths, name) && !reserved(&own, name)
        );
    }
    for name in ["x-original-url", "x-rewrite-url"] {
        assert!(
            reserved(&paths, name) && !reserved(&plain, name) && !reserved(&methods, name) && !reserved(&own, name)
        );
    }
    assert!(reserved(&own, "x-mine"));
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
