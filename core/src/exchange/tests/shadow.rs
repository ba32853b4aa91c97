//! In shadow nothing happens to a request, and what would have been is counted.

use super::*;
use crate::session::lookup::{Failure, Outage};

fn shadowed(more: Value) -> Site {
    let mut config = json!({"shadow": true, "annotate": {"headers": {"x-session-user": "id", "x-status": "status"}}});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    site(config)
}

#[test]
fn a_request_without_a_token_passes_and_is_counted_as_denied() {
    let told = shadowed(json!({})).begin(&[]);
    assert_eq!(told.went, forward(PASS));
    assert_eq!(told.outcomes(), [Outcome::ShadowDenied]);
    assert_eq!(told.filter_state(FilterState::Decision), Some("deny"));
    assert_eq!(told.filter_state(FilterState::Reason), Some("no_session"));
}

#[test]
fn what_a_lookup_would_have_led_to_is_counted_and_changes_nothing() {
    let site = shadowed(json!({"failure_mode": "deny"}));
    for (lookup, outcome, reason) in [
        (session(), Outcome::ShadowAllowed, "session"),
        (Lookup::None, Outcome::ShadowDenied, "no_session"),
        (Lookup::Failed(Failure::Outage(Outage::Timeout)), Outcome::ShadowDenied, "unavailable"),
        (Lookup::Failed(Failure::Busy), Outcome::ShadowDenied, "busy"),
    ] {
        let told = site.settle(&lookup);
        assert_eq!(told.went, forward(PASS), "{lookup:?}");
        assert_eq!(told.outcomes(), [outcome], "{lookup:?}");
        assert_eq!(told.filter_state(FilterState::Reason), Some(reason), "{lookup:?}");
    }
}

#[test]
fn forged_headers_are_taken_out_all_the_same() {
    let told = shadowed(json!({})).begin(&[("x-session-user", "root"), ("x_status", "active")]);
    assert_eq!(told.went, Went::Forward(vec!["x-session-user".to_owned(), "x_status".to_owned()], vec![]));
}

#[test]
fn the_token_stays_where_it_is() {
    let site = shadowed(json!({"forward_token": false}));
    let asked = site.begin(&[("cookie", &cookie(0))]);
    assert!(!asked.effects.iter().any(|effect| matches!(effect, Effect::RequestHeader(_))));
}

#[test]
fn nobody_is_sent_to_log_in_and_nobody_is_logged_out() {
    let site = shadowed(json!({"hosts": ["shop.example"], "login": {"url": "https://login.example/{url}"},
                               "logout": {"path": "/logout"}}));
    let login = site.begin(&NAVIGATION);
    assert_eq!((login.went, login.effects.len()), (forward(PASS), 5));
    let login = site.begin(&NAVIGATION);
    assert_eq!(login.filter_state(FilterState::Reason), Some("redirected"));
    assert_eq!(login.outcomes(), [Outcome::ShadowDenied]);
    let logout = site.begin(&[(":method", "POST"), (":path", "/logout"), ("cookie", &cookie(0))]);
    assert_eq!(logout.outcomes(), [Outcome::ShadowAllowed]);
    assert_eq!(logout.went, forward(PASS));
    let foreign = site.begin(&[(":method", "POST"), (":path", "/logout"), ("sec-fetch-site", "cross-site")]);
    assert_eq!(foreign.outcomes(), [Outcome::ShadowDenied]);
    assert_eq!(foreign.went, forward(PASS));
}

#[test]
fn every_request_counts_once_whatever_it_is() {
    let site = shadowed(json!({"rules": [
        {"match": {"paths": ["/off"]}, "session": "off"},
        {"match": {"paths": ["/optional"]}, "session": "optional"},
        {"match": {"paths": ["/write"]}, "session": "off", "origins": []}
    ], "cors_preflight": "pass"}));
    for (headers, outcome) in [
        (vec![(":path", "/off")], Outcome::ShadowAllowed),
        (vec![(":path", "/optional")], Outcome::ShadowAllowed),
        (vec![(":path", "/write"), (":method", "POST"), ("origin", "https://evil.example")], Outcome::ShadowDenied),
        (
            vec![(":method", "OPTIONS"), ("origin", "https://a.example"), ("access-control-request-method", "PUT")],
            Outcome::ShadowAllowed,
        ),
    ] {
        let told = site.begin(&headers);
        assert_eq!(
            (told.went, told.effects.iter().filter(|e| matches!(e, Effect::Count(_))).count()),
            (forward(PASS), 1)
        );
        assert_eq!(site.begin(&headers).outcomes(), [outcome], "{headers:?}");
    }
}

#[test]
fn one_rule_may_be_in_shadow_while_the_others_are_not() {
    let site = site(json!({"rules": [{"match": {"paths": ["/new/*"]}, "session": "required", "shadow": true}]}));
    assert_eq!(site.path("/new/x"), forward(PASS));
    assert_eq!(site.path("/old"), REQUIRED);
}

#[test]
fn what_cannot_be_read_passes_only_if_every_rule_that_may_be_meant_is_in_shadow() {
    let rules = |shadow: [bool; 2]| {
        site(json!({"rules": [
            {"match": {"paths": ["/a/b"]}, "session": "required", "shadow": shadow[0]},
            {"match": {"hosts": ["b.example"]}, "session": "off", "shadow": shadow[1]}
        ], "default": {"session": "off", "shadow": shadow[1]}}))
    };
    let ambiguous = Went::Reply(400, "ambiguous_path");
    for (shadow, went) in
        [([true, true], forward(PASS)), ([true, false], Went::Reply(400, "ambiguous_path")), ([false, true], ambiguous)]
    {
        assert_eq!(rules(shadow).path("/a%2fb"), went, "{shadow:?}");
    }
    // Of a path that no server agrees on, any rule may be meant; of a host that is none, too.
    for (shadow, path, host) in [
        ([true, true], forward(PASS), forward(PASS)),
        ([true, false], Went::Reply(400, "ambiguous_path"), Went::Reply(400, "bad_host")),
    ] {
        assert_eq!(rules(shadow).path("/a/%00"), path, "{shadow:?}");
        assert_eq!(rules(shadow).judge(&[(":authority", "a,b")]), host, "{shadow:?}");
    }
    let told = rules([true, true]).path("/a/%00");
    assert_eq!(told, forward(PASS));
    assert_eq!(rules([true, true]).begin(&[(":path", "/a/%00")]).outcomes(), [Outcome::ShadowDenied]);
}

#[test]
fn an_open_request_in_shadow_is_left_alone() {
    let site = shadowed(json!({"default": {"session": "required", "recheck": "30s"}}));
    assert!(site.settle(&session()).open.watch.is_none());
}
