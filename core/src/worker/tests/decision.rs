//! What the state of a session leads to.

use super::*;
use crate::http::headers::Headers;
use crate::worker::Event;

#[test]
fn session_mode_failure_mode_and_lookup_decide_a_request() {
    let annotate = json!({"headers": {"x-session-user": "id", "x-status": "status"}});
    let with = |session: &str, failure_mode: &str| {
        site(json!({"default": {"session": session}, "failure_mode": failure_mode, "annotate": annotate}))
    };
    let (outage, bad, busy) = (|| Response::Timeout, || Response::Status(404), || Response::Busy);
    let active = || forward(&[("x-session-user", "user123"), ("x-status", "active")]);
    let unavailable = || forward(&[("x-status", "unavailable")]);
    let denied_unavailable = || reply(503, "sessions_unavailable");
    let denied_busy = || reply(503, "sessions_busy");

    for (session_mode, failure_mode, response, verdict, outcome) in [
        ("required", "deny", session(), active(), Outcome::Allowed),
        ("required", "deny", none(), denied(), Outcome::DeniedNoSession),
        ("required", "deny", outage(), denied_unavailable(), Outcome::DeniedUnavailable),
        ("required", "deny", bad(), denied_unavailable(), Outcome::DeniedUnavailable),
        ("required", "deny", busy(), denied_busy(), Outcome::DeniedBusy),
        ("required", "allow", session(), active(), Outcome::Allowed),
        ("required", "allow", none(), denied(), Outcome::DeniedNoSession),
        ("required", "allow", outage(), unavailable(), Outcome::FailedOpen),
        ("required", "allow", bad(), denied_unavailable(), Outcome::DeniedUnavailable),
        ("required", "allow", busy(), denied_busy(), Outcome::DeniedBusy),
        ("optional", "deny", session(), active(), Outcome::Allowed),
        ("optional", "deny", none(), forward(&[("x-status", "none")]), Outcome::Anonymous),
        ("optional", "deny", outage(), unavailable(), Outcome::Anonymous),
        ("optional", "deny", bad(), unavailable(), Outcome::Anonymous),
        ("optional", "deny", busy(), unavailable(), Outcome::Anonymous),
    ] {
        let handled = with(session_mode, failure_mode).settle(&response);
        assert_eq!(handled.verdict(), verdict, "{session_mode} {failure_mode} {response:?}");
        assert_eq!(handled.outcomes(), [outcome], "{session_mode} {failure_mode} {response:?}");
    }
    assert_eq!(with("required", "deny").path("/"), denied());
    assert_eq!(with("optional", "deny").path("/"), forward(&[("x-status", "none")]));
    assert_eq!(with("off", "deny").path("/"), unchanged());
}

#[test]
fn only_an_outage_says_when_to_try_again() {
    let retry_after = |response| {
        let handled = site(json!({})).settle(&response);
        assert!(handled.reply().is_some());
        handled.reply_header("retry-after") == ["1"]
    };
    assert!(retry_after(Response::NotDispatched));
    assert!(!retry_after(Response::TooLarge));
}

#[test]
fn a_session_that_is_too_large_is_not_passed_on_in_part() {
    let annotate = json!({"headers": {"x-session-user": "id", "x-status": "status"}, "max_bytes": 12});
    let required = site(json!({"annotate": annotate})).settle(&session());
    assert_eq!(required.verdict(), reply(500, "session_too_large"));
    assert_eq!(required.outcomes(), [Outcome::SessionTooLarge]);
    let optional = site(json!({"annotate": annotate, "default": {"session": "optional"}})).settle(&session());
    assert_eq!(optional.verdict(), forward(&[("x-status", "unavailable")]));
    assert_eq!(optional.outcomes(), [Outcome::SessionTooLarge]);
}

#[test]
fn filter_state_names_the_decision() {
    let rules = json!([{"name": "some", "match": {"paths": ["/somewhere"]}, "session": "required"}]);
    let handled = site(json!({"rules": rules})).settle(&session());
    for (key, value) in [
        (FilterState::Decision, "allow"),
        (FilterState::Reason, "session"),
        (FilterState::Rule, "some"),
        (FilterState::User, "user123"),
        (FilterState::Source, "cookie:session-cookie"),
    ] {
        assert_eq!(handled.filter_state(key), Some(value));
    }
    let denied = site(json!({})).settle(&none());
    assert_eq!(denied.filter_state(FilterState::Decision), Some("deny"));
    assert_eq!(denied.filter_state(FilterState::User), None);
    let off = site(json!({"filter_state": false})).settle(&session());
    assert_eq!(off.filter_state(FilterState::Decision), None);
}

#[test]
fn no_action_shows_a_token_when_it_is_printed() {
    let site = site(json!({}));
    let cookie = cookie(42_000);
    let (_, token) = cookie.split_once('=').unwrap();
    for response in [session(), none(), Response::Reset] {
        let mut shell = site.shell();
        let stream = shell.worker.admit(1);
        let headers = Headers::from_pairs(&[
            (":method", "GET"),
            (":path", "/"),
            (":authority", "shop.example"),
            ("cookie", cookie.as_str()),
        ]);
        let mut actions = Vec::new();
        let event = Event::RequestHeaders { stream, headers, end_of_stream: true };
        shell.worker.handle(event, &shell.environment, &mut actions);
        assert!(actions.iter().any(|action| matches!(action, Action::Dispatch(_))));
        assert!(!format!("{actions:?}").contains(token), "{response:?}");

        let handled = site.settle(&response);
        assert!(!format!("{:?}", handled.shell.carried_out).contains(token), "{response:?}");
    }
}

#[test]
fn a_session_is_looked_up_at_its_rules_service_in_its_rules_app() {
    let site = site(json!({"rules": [{"match": {"paths": ["/b"]}, "session": "required", "app": "backoffice",
                                      "rest_sessions": {"cluster": "other"}}]}));
    let token = token_made_at(NOW_MS);
    let handled = site.begin(&[(":path", "/b"), ("cookie", &format!("session-cookie={token}"))]);
    let request = &handled.shell.calls[0].request;
    assert_eq!(request.token(), token);
    assert_eq!(request.header(":path"), format!("/backoffice/get/{token}"));
    assert_eq!(&*request.cluster, "other");
}
