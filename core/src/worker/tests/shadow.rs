//! Under a shadow rule a request goes on unchanged, and what the rule would have done is counted.

use super::*;
use crate::worker::Expectations;

fn shadowed(changes: Value) -> Site {
    let annotate = json!({"headers": {"x-session-user": "id", "x-status": "status"}});
    site(with(json!({"shadow": true, "annotate": annotate}), changes))
}

#[test]
fn a_request_without_a_token_goes_on_and_counts_as_denied() {
    let handled = shadowed(json!({})).begin(&[]);
    assert_eq!(handled.verdict(), unchanged());
    assert_eq!(handled.outcomes(), [Outcome::ShadowDenied]);
    assert_eq!(handled.filter_state(FilterState::Decision), Some("deny"));
    assert_eq!(handled.filter_state(FilterState::Reason), Some("no_session"));
}

#[test]
fn the_decision_of_a_lookup_is_counted_and_changes_nothing() {
    let site = shadowed(json!({"failure_mode": "deny"}));
    for (response, outcome, reason) in [
        (session(), Outcome::ShadowAllowed, "session"),
        (none(), Outcome::ShadowDenied, "no_session"),
        (Response::Timeout, Outcome::ShadowDenied, "unavailable"),
        (Response::NotDispatched, Outcome::ShadowDenied, "unavailable"),
        (Response::Busy, Outcome::ShadowDenied, "busy"),
    ] {
        let handled = site.settle(&response);
        assert_eq!(handled.verdict(), unchanged(), "{response:?}");
        assert_eq!(handled.outcomes(), [outcome], "{response:?}");
        assert_eq!(handled.filter_state(FilterState::Reason), Some(reason), "{response:?}");
    }
}

#[test]
fn spoofed_headers_are_removed_also_in_shadow() {
    let handled = shadowed(json!({})).begin(&[("x-session-user", "root"), ("x_status", "active")]);
    assert_eq!(handled.verdict(), Verdict::Forward(vec!["x-session-user".to_owned(), "x_status".to_owned()], vec![]));
}

#[test]
fn the_token_is_not_removed_in_shadow() {
    let site = shadowed(json!({"forward_token": false}));
    let handled = site.begin(&[("cookie", &cookie(0))]);
    assert_eq!(handled.changes(HeaderMap::RequestHeaders).count(), 0);
    assert_eq!(handled.after(&session()).verdict(), unchanged());
}

#[test]
fn a_shadow_rule_neither_redirects_to_log_in_nor_logs_out() {
    let site = shadowed(json!({"hosts": ["shop.example"], "login": {"url": "https://login.example/{url}"},
                               "logout": {"path": "/logout"}}));
    let login = site.begin(&NAVIGATION);
    assert_eq!(login.verdict(), unchanged());
    let others = login.actions().filter(|action| {
        !matches!(action, Action::Count(_) | Action::FilterState(..) | Action::Log(_) | Action::ContinueRequest)
    });
    assert_eq!((login.actions().count(), others.count()), (6, 0));
    assert_eq!(login.filter_state(FilterState::Reason), Some("redirected"));
    assert_eq!(login.outcomes(), [Outcome::ShadowDenied]);
    let logout = site.begin(&[(":method", "POST"), (":path", "/logout"), ("cookie", &cookie(0))]);
    assert_eq!(logout.outcomes(), [Outcome::ShadowAllowed]);
    assert_eq!(logout.shell.dispatches, 0);
    assert_eq!(logout.verdict(), unchanged());
    let cross_site = site.begin(&[(":method", "POST"), (":path", "/logout"), ("sec-fetch-site", "cross-site")]);
    assert_eq!(cross_site.outcomes(), [Outcome::ShadowDenied]);
    assert_eq!(cross_site.verdict(), unchanged());
}

#[test]
fn every_kind_of_request_counts_once() {
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
        let handled = site.begin(&headers);
        assert_eq!(handled.verdict(), unchanged(), "{headers:?}");
        assert_eq!(handled.counters(), [Counter::Outcome(outcome)], "{headers:?}");
    }
}

#[test]
fn a_single_rule_may_be_in_shadow() {
    let site = site(json!({"rules": [{"match": {"paths": ["/new/*"]}, "session": "required", "shadow": true}]}));
    assert_eq!(site.path("/new/x"), unchanged());
    assert_eq!(site.path("/old"), denied());
}

#[test]
fn an_ambiguous_request_goes_on_only_if_every_rule_that_may_apply_is_in_shadow() {
    let rules = |shadow: [bool; 2]| {
        site(json!({"rules": [
            {"match": {"paths": ["/a/b"]}, "session": "required", "shadow": shadow[0]},
            {"match": {"hosts": ["b.example"]}, "session": "off", "shadow": shadow[1]}
        ], "default": {"session": "off", "shadow": shadow[1]}}))
    };
    let ambiguous = || reply(400, "ambiguous_path");
    for (shadow, verdict) in [([true, true], unchanged()), ([true, false], ambiguous()), ([false, true], ambiguous())] {
        assert_eq!(rules(shadow).path("/a%2fb"), verdict, "{shadow:?}");
    }
    // Any rule may apply to a path that servers read in different ways, and to a malformed host.
    for (shadow, path, host) in
        [([true, true], unchanged(), unchanged()), ([true, false], ambiguous(), reply(400, "bad_host"))]
    {
        assert_eq!(rules(shadow).path("/a/%00"), path, "{shadow:?}");
        assert_eq!(rules(shadow).verdict(&[(":authority", "a,b")]), host, "{shadow:?}");
    }
    let methods = |shadow: [bool; 2]| {
        site(json!({"rules": [{"match": {"methods": ["DELETE"]}, "session": "required", "shadow": shadow[0]}],
                    "default": {"session": "off", "shadow": shadow[1]}}))
    };
    for (shadow, verdict) in [
        ([true, true], unchanged()),
        ([true, false], reply(400, "bad_method")),
        ([false, true], reply(400, "bad_method")),
    ] {
        assert_eq!(methods(shadow).verdict(&[(":method", "delete")]), verdict, "{shadow:?}");
        assert_eq!(methods(shadow).path("/a?_method=delete"), verdict, "{shadow:?}");
    }
    let handled = rules([true, true]).begin(&[(":path", "/a/%00")]);
    assert_eq!(handled.verdict(), unchanged());
    assert_eq!(handled.outcomes(), [Outcome::ShadowDenied]);
}

#[test]
fn a_stream_in_shadow_is_not_rechecked() {
    let site = shadowed(json!({"default": {"session": "required", "recheck": "30s"}}));
    let mut handled = site.settle(&session());
    assert_eq!(handled.shell.worker.expectations(handled.stream), Expectations::default());
    handled.shell.advance(30_000);
    handled.shell.tick();
    assert_eq!(handled.shell.dispatches, 1);
}
