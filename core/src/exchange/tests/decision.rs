//! What the state of a session leads to.

use super::*;
use crate::session::lookup::{BadResponse, Failure, Outage};

#[test]
fn the_decision_table() {
    let annotate = json!({"headers": {"x-session-user": "id", "x-status": "status"}});
    let with = |session: &str, failure_mode: &str| {
        site(json!({"default": {"session": session}, "failure_mode": failure_mode, "annotate": annotate}))
    };
    let outage = || Lookup::Failed(Failure::Outage(Outage::Timeout));
    let bad = || Lookup::Failed(Failure::Bad(BadResponse::Status(404)));
    let active = &[("x-session-user", "user123"), ("x-status", "active")];
    let unavailable = || forward(&[("x-status", "unavailable")]);
    let away = Went::Reply(503, "sessions_unavailable");
    let busy = Went::Reply(503, "sessions_busy");

    for (session_mode, failure_mode, lookup, went, outcome) in [
        ("required", "deny", session(), forward(active), Outcome::Allowed),
        ("required", "deny", Lookup::None, REQUIRED, Outcome::DeniedNoSession),
        ("required", "deny", outage(), away, Outcome::DeniedUnavailable),
        ("required", "deny", bad(), Went::Reply(503, "sessions_unavailable"), Outcome::DeniedUnavailable),
        ("required", "deny", Lookup::Failed(Failure::Busy), busy, Outcome::DeniedBusy),
        ("required", "allow", session(), forward(active), Outcome::Allowed),
        ("required", "allow", Lookup::None, REQUIRED, Outcome::DeniedNoSession),
        ("required", "allow", outage(), unavailable(), Outcome::FailedOpen),
        ("required", "allow", bad(), Went::Reply(503, "sessions_unavailable"), Outcome::DeniedUnavailable),
        ("required", "allow", Lookup::Failed(Failure::Busy), Went::Reply(503, "sessions_busy"), Outcome::DeniedBusy),
        ("optional", "deny", session(), forward(active), Outcome::Allowed),
        ("optional", "deny", Lookup::None, forward(&[("x-status", "none")]), Outcome::Anonymous),
        ("optional", "deny", outage(), unavailable(), Outcome::Anonymous),
        ("optional", "deny", bad(), unavailable(), Outcome::Anonymous),
        ("optional", "deny", Lookup::Failed(Failure::Busy), unavailable(), Outcome::Anonymous),
    ] {
        let told = with(session_mode, failure_mode).settle(&lookup);
        assert_eq!(told.went, went, "{session_mode} {failure_mode} {lookup:?}");
        assert_eq!(told.outcomes(), [outcome], "{session_mode} {failure_mode} {lookup:?}");
    }
    assert_eq!(with("required", "deny").path("/"), REQUIRED);
    assert_eq!(with("optional", "deny").path("/"), forward(&[("x-status", "none")]));
    assert_eq!(with("off", "deny").path("/"), forward(PASS));
}

#[test]
fn only_an_outage_says_when_to_try_again() {
    let retry_after = |lookup| {
        let reply = site(json!({})).settle(&lookup).reply.unwrap();
        reply.headers.iter().any(|(name, value)| *name == "retry-after" && value == "1")
    };
    assert!(retry_after(Lookup::Failed(Failure::Outage(Outage::Dispatch))));
    assert!(!retry_after(Lookup::Failed(Failure::Bad(BadResponse::TooLarge))));
}

#[test]
fn a_session_that_is_too_large_is_never_passed_on_in_part() {
    let annotate = json!({"headers": {"x-session-user": "id", "x-status": "status"}, "max_bytes": 12});
    let required = site(json!({"annotate": annotate})).settle(&session());
    assert_eq!(required.went, Went::Reply(500, "session_too_large"));
    assert_eq!(required.outcomes(), [Outcome::SessionTooLarge]);
    let optional = site(json!({"annotate": annotate, "default": {"session": "optional"}})).settle(&session());
    assert_eq!(optional.went, forward(&[("x-status", "unavailable")]));
    assert_eq!(optional.outcomes(), [Outcome::SessionTooLarge]);
}

#[test]
fn filter_state_tells_the_decision() {
    let told = site(json!({"rules": [{"name": "some", "match": {"paths": ["/somewhere"]}, "session": "required"}]}))
        .settle(&session());
    for (key, value) in [
        (FilterState::Decision, "allow"),
        (FilterState::Reason, "session"),
        (FilterState::Rule, "some"),
        (FilterState::User, "user123"),
        (FilterState::Source, "cookie:session-cookie"),
    ] {
        assert_eq!(told.filter_state(key), Some(value));
    }
    let denied = site(json!({})).settle(&Lookup::None);
    assert_eq!(denied.filter_state(FilterState::Decision), Some("deny"));
    assert_eq!(denied.filter_state(FilterState::User), None);
    let silent = site(json!({"filter_state": false})).settle(&session());
    assert_eq!(silent.filter_state(FilterState::Decision), None);
}

#[test]
fn a_token_is_in_no_effect() {
    let site = site(json!({}));
    let token = token_made_at(NOW_MS - 42_000);
    for lookup in [session(), Lookup::None, Lookup::Failed(Failure::Outage(Outage::Connect))] {
        let told = site.settle(&lookup);
        assert!(!format!("{:?}", told.effects).contains(&token));
    }
}
#[test]
fn the_session_of_the_token_is_asked_for_as_its_rule_says() {
    let site = site(json!({"rules": [{"match": {"paths": ["/b"]}, "session": "required", "app": "backoffice",
                                      "rest_sessions": {"cluster": "other"}}]}));
    let token = token_made_at(NOW_MS);
    let told = site.begin(&[(":path", "/b"), ("cookie", &format!("session-cookie={token}"))]);
    let exchange = told.asks.unwrap();
    assert_eq!(exchange.token().reveal(), token);
    assert_eq!(
        (&*exchange.rule().backend.namespace.app, &*exchange.rule().backend.service.cluster),
        ("backoffice", "other")
    );
}
