//! A request with several tokens in one source: all are looked up, and the one active session is the request's.

use super::*;
use crate::cache::shared_data::LocalData;
use crate::worker::Event;
use crate::worker::Expectations;

/// `/optional` and `/shadow` beside the default, which requires a session.
fn shop(changes: Value) -> Site {
    let rules = json!([
        {"match": {"paths": ["/optional"]}, "session": "optional"},
        {"match": {"paths": ["/shadow"]}, "session": "required", "shadow": true}
    ]);
    let annotate = json!({"headers": {"x-session-user": "id", "x-status": "status"}});
    site(with(json!({"rules": rules, "annotate": annotate}), changes))
}

/// The token with this number.
fn token(number: u64) -> String {
    token_made_at(NOW_MS - 1_000 - number)
}

/// A Cookie header with the tokens of these numbers.
fn cookies(numbers: impl IntoIterator<Item = u64>) -> String {
    numbers.into_iter().map(|number| format!("session-cookie={}", token(number))).collect::<Vec<_>>().join("; ")
}

fn request(shell: &mut Shell, path: &str, numbers: impl IntoIterator<Item = u64>) -> StreamRef {
    shell.request(&[("cookie", &cookies(numbers)), (":path", path)])
}

/// The session of the token with this number.
fn session_of(number: u64) -> Response {
    Response::Json(json!({"id": format!("user{number}"), "ttl": 7200}))
}

/// The response to the call about the token with this number.
fn respond(shell: &mut Shell, number: u64, response: &Response) {
    let index = shell.calls.iter().position(|call| call.request.token() == token(number));
    shell.calls.swap(0, index.expect("the token is being looked up"));
    shell.respond(response);
}

/// What a request on this path leads to, whose tokens are looked up with these results. They arrive in any order with the
/// same outcome.
fn decided(site: &Site, path: &str, results: &[Response]) -> (Verdict, Vec<Outcome>, usize) {
    let count = u64::try_from(results.len()).unwrap();
    let [forwards, backwards] = [false, true].map(|is_reversed| {
        let mut shell = site.shell();
        let stream = request(&mut shell, path, 0..count);
        assert_eq!(shell.calls.len(), results.len());
        let mut order: Vec<_> = (0..).zip(results).collect();
        if is_reversed {
            order.reverse();
        }
        for (number, response) in order {
            assert_eq!(shell.outcomes(), [], "it waits for all of them");
            respond(&mut shell, number, response);
        }
        assert_eq!(shell.gauges(), [0; 4]);
        let (outcomes, conflicts) = (shell.outcomes(), shell.count(Counter::Conflicts));
        (Handled { shell, stream }.verdict(), outcomes, conflicts)
    });
    assert_eq!(forwards, backwards);
    forwards
}

fn as_user(number: u64) -> Verdict {
    forward(&[("x-session-user", &format!("user{number}")), ("x-status", "active")])
}

#[test]
fn an_old_cookie_of_the_same_name_keeps_nobody_out() {
    let site = shop(json!({}));
    let allowed = |user| (as_user(user), vec![Outcome::Allowed], 0);
    assert_eq!(decided(&site, "/", &[none(), session_of(1)]), allowed(1));
    assert_eq!(decided(&site, "/", &[session_of(0), none()]), allowed(0));
    assert_eq!(decided(&site, "/", &[none(), none(), none(), session_of(3)]), allowed(3));
}

#[test]
fn without_an_active_session_among_several_tokens_there_is_none() {
    let site = shop(json!({}));
    assert_eq!(decided(&site, "/", &[none(), none()]), (denied(), vec![Outcome::DeniedNoSession], 0));
    let anonymous = (forward(&[("x-status", "none")]), vec![Outcome::Anonymous], 0);
    assert_eq!(decided(&site, "/optional", &[none(), none()]), anonymous);
}

#[test]
fn two_active_sessions_are_a_conflict_and_nobody_gets_one_of_them() {
    let site = shop(json!({"failure_mode": "allow"}));
    let denied = (denied(), vec![Outcome::DeniedNoSession], 1);
    for other in [none(), session_of(2), Response::Timeout, Response::Status(404)] {
        assert_eq!(decided(&site, "/", &[session_of(0), session_of(1), other]), denied);
    }
    let anonymous = (forward(&[("x-status", "none")]), vec![Outcome::Anonymous], 1);
    assert_eq!(decided(&site, "/optional", &[session_of(0), session_of(1)]), anonymous);
}

#[test]
fn the_401_of_a_conflict_equals_the_401_without_a_token() {
    let mut shell = shop(json!({})).shell();
    let without = shell.request(&[]);
    let with_conflict = request(&mut shell, "/", 0..2);
    respond(&mut shell, 0, &session_of(0));
    respond(&mut shell, 1, &session_of(1));
    let reply = |stream| {
        let mut replies = shell.actions(stream).filter_map(|action| match action {
            Action::Reply(reply) => Some(format!("{reply:?}")),
            _ => None,
        });
        replies.next().unwrap()
    };
    assert_eq!(reply(without), reply(with_conflict));
}

#[test]
fn more_than_four_tokens_are_a_conflict_without_a_call() {
    for (path, outcome) in [("/", Outcome::DeniedNoSession), ("/optional", Outcome::Anonymous)] {
        let mut shell = shop(json!({})).shell();
        request(&mut shell, path, 0..5);
        assert_eq!((shell.outcomes(), shell.count(Counter::Conflicts)), (vec![outcome], 1));
        assert_eq!(shell.dispatches, 0);
    }
    let mut shell = shop(json!({})).shell();
    request(&mut shell, "/", [0, 1, 2, 3, 0, 3]);
    assert_eq!(shell.dispatches, 4, "the same token again is one token");
}

#[test]
fn an_outage_or_a_bad_answer_of_one_lookup_is_one_of_the_request() {
    let deny = shop(json!({}));
    let allow = shop(json!({"failure_mode": "allow"}));
    let unavailable = (reply(503, "sessions_unavailable"), vec![Outcome::DeniedUnavailable], 0);
    let failed_open = (forward(&[("x-status", "unavailable")]), vec![Outcome::FailedOpen], 0);
    let anonymous = (forward(&[("x-status", "unavailable")]), vec![Outcome::Anonymous], 0);
    for other in [session_of(1), none(), Response::Timeout] {
        let outage = [Response::Reset, other.clone()];
        assert_eq!(decided(&deny, "/", &outage), unavailable, "{other:?}");
        assert_eq!(decided(&allow, "/", &outage), failed_open, "{other:?}");
        assert_eq!(decided(&deny, "/optional", &outage), anonymous, "{other:?}");
        let bad = [Response::TooLarge, other.clone()];
        assert_eq!(decided(&deny, "/", &bad), unavailable, "{other:?}");
        assert_eq!(decided(&allow, "/", &bad), unavailable, "{other:?}");
        assert_eq!(decided(&deny, "/optional", &bad), anonymous, "{other:?}");
    }
}

#[test]
fn a_refused_dispatch_of_one_lookup_is_an_outage_of_the_request_once_the_others_are_over() {
    let mut shell = shop(json!({})).shell();
    request(&mut shell, "/", [0]);
    shell.refuses_dispatches = true;
    let stream = request(&mut shell, "/", [0, 1]);
    assert_eq!(shell.outcomes(), [], "the first token joined the call in flight");
    respond(&mut shell, 0, &session_of(0));
    assert_eq!(shell.outcomes(), [Outcome::Allowed, Outcome::DeniedUnavailable]);
    assert_eq!(shell.completed.len(), 2);
    shell.end(stream);

    let mut shell = shop(json!({})).shell();
    shell.refuses_dispatches = true;
    for path in ["/", "/shadow"] {
        request(&mut shell, path, 0..4);
    }
    assert_eq!(shell.outcomes(), [Outcome::DeniedUnavailable, Outcome::ShadowDenied], "all are refused");
    assert_eq!((shell.completed.len(), shell.gauges()), (2, [0; 4]));
}

#[test]
fn a_lookup_that_is_not_admitted_makes_the_request_busy_once_the_others_are_over() {
    let limited = |max_in_flight: u64| {
        let service = json!({"cluster": "rs", "max_in_flight": max_in_flight});
        shop(json!({"rest_sessions": service, "failure_mode": "allow"})).shell()
    };
    for result in [session_of(0), none(), Response::Timeout] {
        let mut shell = limited(1);
        let stream = request(&mut shell, "/", 0..4);
        assert_eq!((shell.calls.len(), shell.outcomes().len()), (1, 0));
        respond(&mut shell, 0, &result);
        assert_eq!(shell.outcomes(), [Outcome::DeniedBusy], "{result:?}");
        assert_eq!(Handled { shell, stream }.verdict(), reply(503, "sessions_busy"));
    }
    let mut shell = limited(1);
    request(&mut shell, "/", [9]);
    request(&mut shell, "/", 0..2);
    assert_eq!(shell.outcomes(), [Outcome::DeniedBusy], "none is admitted, so it is decided at once");
}

#[test]
fn each_lookup_is_shared_with_the_other_requests_for_its_token() {
    let mut shell = shop(json!({})).shell();
    request(&mut shell, "/", [0]);
    request(&mut shell, "/", [1, 0]);
    request(&mut shell, "/", [0, 1, 2]);
    assert_eq!((shell.calls.len(), shell.count(Counter::Coalesced)), (3, 3));
    respond(&mut shell, 1, &none());
    respond(&mut shell, 0, &session_of(0));
    assert_eq!(shell.outcomes(), [Outcome::Allowed; 2]);
    respond(&mut shell, 2, &session_of(2));
    assert_eq!(shell.outcomes()[2..], [Outcome::DeniedNoSession]);
    assert_eq!(shell.count(Counter::Conflicts), 1);
}

#[test]
fn each_lookup_may_come_from_the_cache() {
    let mut shell = shop(json!({"cache": {"ttl": "10s", "negative_ttl": "10s"}})).shell();
    request(&mut shell, "/", [0, 1]);
    respond(&mut shell, 0, &none());
    respond(&mut shell, 1, &session_of(1));
    let stream = request(&mut shell, "/", [0, 1]);
    assert_eq!((shell.dispatches, shell.count(Counter::CacheHits), shell.count(Counter::CacheNegativeHits)), (2, 1, 1));
    assert_eq!(shell.outcomes(), [Outcome::Allowed; 2]);
    request(&mut shell, "/", [2, 1]);
    assert_eq!((shell.dispatches, shell.outcomes().len()), (3, 2), "one is cached, the other is looked up");
    respond(&mut shell, 2, &none());
    assert_eq!(shell.outcomes(), [Outcome::Allowed; 3]);
    assert_eq!(Handled { shell, stream }.verdict(), as_user(1));
}

#[test]
fn in_an_outage_each_lookup_may_use_a_stale_session() {
    let cache = json!({"ttl": "1s", "stale_if_error": "60s", "negative_ttl": "60s"});
    let mut shell = shop(json!({"cache": cache})).shell();
    request(&mut shell, "/", [0, 1]);
    respond(&mut shell, 0, &none());
    respond(&mut shell, 1, &session_of(1));
    shell.advance(2_000);
    request(&mut shell, "/", [0, 1]);
    respond(&mut shell, 1, &Response::Reset);
    assert_eq!((shell.outcomes(), shell.count(Counter::CacheStale)), (vec![Outcome::Allowed; 2], 1));
    request(&mut shell, "/", [1, 2]);
    respond(&mut shell, 2, &Response::Reset);
    respond(&mut shell, 1, &Response::Reset);
    assert_eq!(shell.outcomes()[2..], [Outcome::DeniedUnavailable], "of the other one nothing is known");
}

#[test]
fn a_session_beyond_a_limit_is_ended_and_the_other_one_is_the_requests() {
    let mut shell = shop(json!({"limits": {"idle": "60s"}})).shell();
    let stream = request(&mut shell, "/", [0, 1]);
    respond(&mut shell, 1, &Response::Json(json!({"id": "user1", "ttl": 7200, "idle": 1})));
    respond(&mut shell, 0, &Response::Json(json!({"id": "user0", "ttl": 7200, "idle": 61})));
    assert_eq!((shell.outcomes(), shell.count(Counter::Conflicts)), (vec![Outcome::Allowed], 0));
    let [kill] = &shell.calls[..] else { panic!("{} calls", shell.calls.len()) };
    assert_eq!((kill.request.method(), kill.request.token()), ("DELETE", &*token(0)));
    respond(&mut shell, 0, &killed(true));
    assert_eq!(Handled { shell, stream }.verdict(), as_user(1));
}

#[test]
fn a_session_that_ends_during_its_lookup_is_looked_up_again_before_the_request_is_decided() {
    let shared_data = LocalData::default();
    let site = shop(json!({"logout": {"path": "/logout"}, "cache": {"ttl": "10s"}}));
    let [mut shell, mut other] = [(); 2].map(|()| Shell::sharing(&site.config, &shared_data));
    request(&mut shell, "/", [0]);
    respond(&mut shell, 0, &session_of(0));
    shell.advance(11_000);
    request(&mut shell, "/", [0, 1]);
    respond(&mut shell, 1, &none());
    other.request(&[("cookie", &cookies([0])), (":path", "/logout"), (":method", "POST")]);
    respond(&mut shell, 0, &session_of(0));
    assert_eq!(shell.outcomes(), [Outcome::Allowed], "its result is discarded and the lookup repeated");
    respond(&mut shell, 0, &none());
    assert_eq!(shell.outcomes(), [Outcome::Allowed, Outcome::DeniedNoSession]);
}

#[test]
fn a_client_that_leaves_while_some_lookups_are_over_is_counted_once() {
    for (path, outcome) in [("/", Outcome::Abandoned), ("/shadow", Outcome::ShadowAllowed)] {
        let mut shell = shop(json!({})).shell();
        let stream = request(&mut shell, path, 0..3);
        respond(&mut shell, 1, &session_of(1));
        shell.end(stream);
        respond(&mut shell, 0, &none());
        respond(&mut shell, 2, &none());
        assert_eq!(shell.outcomes(), [outcome], "{path}");
        shell.retire();
        assert_eq!(shell.outcomes(), [outcome], "{path}");
    }
}

#[test]
fn a_request_in_shadow_goes_on_at_once_and_its_conflict_is_counted() {
    let mut shell = shop(json!({})).shell();
    let stream = request(&mut shell, "/shadow", 0..2);
    assert!(shell.actions(stream).any(|action| matches!(action, Action::ContinueRequest)));
    respond(&mut shell, 0, &session_of(0));
    respond(&mut shell, 1, &session_of(1));
    assert_eq!((shell.outcomes(), shell.count(Counter::Conflicts)), (vec![Outcome::ShadowDenied], 1));
    assert_eq!(Handled { shell, stream }.verdict(), unchanged());
}

#[test]
fn a_configuration_that_goes_abandons_requests_in_shadow_with_some_lookups_over() {
    let mut shell = shop(json!({})).shell();
    let stream = request(&mut shell, "/shadow", 0..2);
    respond(&mut shell, 0, &session_of(0));
    shell.retire();
    shell.end(stream);
    assert_eq!((shell.outcomes(), shell.gauges()), (vec![Outcome::Abandoned], [0; 4]));
}

#[test]
fn calls_after_a_refused_change_of_headers_are_not_made() {
    let service = json!({"cluster": "rs", "max_in_flight": 2});
    let mut shell = shop(json!({"rest_sessions": service})).shell();
    shell.refuses_changes_of = Some(HeaderMap::RequestHeaders);
    shell.request(&[("cookie", &cookies(0..2)), ("x-session-user", "root")]);
    assert_eq!((shell.outcomes(), shell.dispatches), (vec![Outcome::DeniedUnavailable], 0));
    shell.refuses_changes_of = None;
    request(&mut shell, "/", 0..2);
    assert_eq!(shell.calls.len(), 2, "both are admitted again");
}

#[test]
fn a_response_changes_the_active_session() {
    for (change, method) in [(("x-session-set", r#"{"a":1}"#), "POST"), (("x-session-kill", "1"), "DELETE")] {
        let mut shell = shop(json!({"write_back": {}})).shell();
        let stream = request(&mut shell, "/", 0..2);
        respond(&mut shell, 1, &session_of(1));
        respond(&mut shell, 0, &none());
        shell.upstream_responds(stream, &[change]);
        let [call] = &shell.calls[..] else { panic!("{} calls", shell.calls.len()) };
        assert_eq!((call.request.method(), call.request.token()), (method, &*token(1)));
    }
}

#[test]
fn a_response_to_a_conflict_changes_no_session() {
    let mut shell = shop(json!({"write_back": {}})).shell();
    let stream = request(&mut shell, "/optional", 0..2);
    respond(&mut shell, 0, &session_of(0));
    respond(&mut shell, 1, &session_of(1));
    assert_eq!(shell.worker.expectations(stream), Expectations::default());
    shell.upstream_responds(stream, &[("x-session-kill", "1")]);
    assert_eq!((shell.calls.len(), shell.count(Counter::WriteBacksDropped)), (0, 1));
}

#[test]
fn the_active_session_is_rechecked() {
    let mut shell = shop(json!({"default": {"session": "required", "recheck": "30s"}})).shell();
    let stream = request(&mut shell, "/", 0..2);
    respond(&mut shell, 0, &none());
    respond(&mut shell, 1, &session_of(1));
    shell.advance(30_000);
    shell.tick();
    assert_eq!(shell.calls.len(), 1);
    respond(&mut shell, 1, &none());
    assert!(shell.actions(stream).any(|action| matches!(action, Action::Close)));
}

#[test]
fn a_stream_that_failed_open_is_rechecked_with_its_active_session() {
    let rule = json!({"session": "required", "recheck": "30s"});
    let mut shell = shop(json!({"default": rule, "failure_mode": "allow"})).shell();
    request(&mut shell, "/", 0..2);
    respond(&mut shell, 0, &Response::Timeout);
    respond(&mut shell, 1, &session_of(1));
    assert_eq!(shell.outcomes(), [Outcome::FailedOpen]);
    shell.advance(30_000);
    shell.tick();
    respond(&mut shell, 1, &session_of(1));
    assert_eq!(shell.count(Counter::RecheckClosed), 0);
}

#[test]
fn all_tokens_are_removed_from_the_request_if_they_are_not_forwarded() {
    let mut shell = shop(json!({"forward_token": false})).shell();
    let stream = shell.request(&[("cookie", &format!("{}; a=1", cookies(0..4)))]);
    let handled = Handled { shell, stream };
    let changes: Vec<_> = handled.changes(HeaderMap::RequestHeaders).collect();
    assert_eq!(changes, [&HeaderChange::Remove("cookie".into()), &HeaderChange::Add("cookie".into(), "a=1".into())]);
}

#[test]
fn no_lookup_of_a_request_takes_longer_than_the_timeout() {
    let mut shell = shop(json!({"rest_sessions": {"cluster": "rs", "timeout": "400ms"}})).shell();
    request(&mut shell, "/", [0]);
    shell.advance(100);
    let stream = shell.worker.admit(99);
    let cookies = cookies(0..3);
    let headers = [(":method", "GET"), (":path", "/"), (":authority", "shop.example"), ("cookie", &cookies)];
    let headers = crate::http::headers::Headers::from_pairs(&headers);
    let mut actions = Vec::new();
    let event = Event::RequestHeaders { stream, headers, end_of_stream: true };
    shell.worker.handle(event, &shell.environment, &mut actions);
    let timeouts = actions.iter().filter_map(|action| match action {
        Action::Dispatch(dispatch) => Some(dispatch.timeout.as_millis()),
        _ => None,
    });
    assert_eq!(timeouts.collect::<Vec<_>>(), [400, 400], "and the call that it joins is over sooner");
}
