//! What the host refuses: a change of headers, a dispatch, the clock.

use super::*;
use crate::cache::shared_data::LocalData;
use crate::exchange::Refused;
use crate::telemetry::{Cause, LogLine};
use crate::worker::Event;
use crate::worker::Expectations;

/// `/optional`, `/shadow` and `/logout` beside the default, which requires a session.
fn shop(changes: Value) -> Site {
    let rules = json!([
        {"match": {"paths": ["/optional"]}, "session": "optional"},
        {"match": {"paths": ["/shadow"]}, "session": "required", "shadow": true}
    ]);
    site(with(json!({"rules": rules, "logout": {"path": "/logout"}, "write_back": {}}), changes))
}

/// The actions about a stream are the reply to a refused change of headers, and nothing that lets it go on.
fn assert_answered_503(shell: &Shell, stream: StreamRef) {
    let replies: Vec<_> = shell
        .actions(stream)
        .filter_map(|action| if let Action::Reply(reply) = action { Some(reply) } else { None })
        .collect();
    let [reply] = &replies[..] else { panic!("{replies:?}") };
    assert_eq!(replied(reply), super::reply(503, "sessions_unavailable"));
    assert!(!reply.headers.iter().any(|(name, _)| *name == "retry-after"), "it is no outage");
    let refused = LogLine::HostCallRefused { status: 2 };
    assert!(shell.actions(stream).any(|action| matches!(action, Action::Log(line) if *line == refused)));
}

fn goes_on(shell: &Shell, stream: StreamRef) -> bool {
    shell.actions(stream).any(|action| matches!(action, Action::ContinueRequest))
}

#[test]
fn a_request_whose_spoofed_header_cannot_be_removed_gets_503_and_makes_no_call() {
    let own = cookie(0);
    for headers in [
        vec![],
        vec![("cookie", own.as_str())],
        vec![("cookie", own.as_str()), (":path", "/optional")],
        vec![("cookie", own.as_str()), (":path", "/shadow")],
        vec![(":path", "/shadow")],
        vec![("cookie", own.as_str()), (":path", "/logout"), (":method", "POST")],
        vec![(":path", "/logout"), (":method", "POST")],
    ] {
        let mut shell = shop(json!({"rest_sessions": {"cluster": "rs", "max_in_flight": 1}})).shell();
        shell.refuses_changes_of = Some(HeaderMap::RequestHeaders);
        let stream = shell.request(&[&headers[..], &[("x-session-user", "root")]].concat());
        assert_answered_503(&shell, stream);
        assert_eq!(shell.outcomes(), [Outcome::DeniedUnavailable], "{headers:?}");
        assert_eq!((shell.dispatches, shell.count(Counter::Calls)), (0, 0), "{headers:?}");
        assert!(!goes_on(&shell, stream), "{headers:?}");
        assert_eq!(shell.worker.expectations(stream), Expectations::default());

        shell.refuses_changes_of = None;
        shell.end(stream);
        shell.retire();
        assert_eq!(shell.outcomes(), [Outcome::DeniedUnavailable], "nothing is left pending: {headers:?}");
        assert_eq!(shell.gauges(), [0; 4], "{headers:?}");
    }
}

#[test]
fn the_next_call_is_admitted_after_an_undone_dispatch() {
    let mut shell = shop(json!({"rest_sessions": {"cluster": "rs", "max_in_flight": 1}})).shell();
    shell.refuses_changes_of = Some(HeaderMap::RequestHeaders);
    let refused = shell.request(&[("cookie", &cookie(0)), ("x-session-user", "root")]);
    shell.refuses_changes_of = None;
    let next = shell.request(&[("cookie", &cookie(0))]);
    assert_eq!(shell.calls.len(), 1, "it does not join a call that was not made");
    assert_eq!(shell.count(Counter::Coalesced), 0);
    shell.respond(&session());
    assert_eq!(shell.completed, [next]);
    assert_eq!(shell.outcomes(), [Outcome::DeniedUnavailable, Outcome::Allowed]);
    assert!(goes_on(&shell, next) && !goes_on(&shell, refused));
}

#[test]
fn all_kills_of_a_refused_logout_are_cancelled() {
    let mut shell = shop(json!({"rest_sessions": {"cluster": "rs", "max_in_flight": 2}})).shell();
    shell.refuses_changes_of = Some(HeaderMap::RequestHeaders);
    let cookies = [cookie(0), cookie(1)];
    let logout = [(":path", "/logout"), (":method", "POST"), ("cookie", &cookies[0]), ("cookie", &cookies[1])];
    shell.request(&[&logout[..], &[("x-session-user", "root")]].concat());
    shell.refuses_changes_of = None;
    shell.request(&logout);
    assert_eq!(shell.calls.len(), 2);
    shell.respond(&killed(true));
    shell.respond(&killed(true));
    assert_eq!(shell.outcomes(), [Outcome::DeniedUnavailable, Outcome::Logout]);
}

#[test]
fn an_undone_probe_of_an_open_circuit_lets_the_next_call_probe() {
    let breaker = json!({"failures": 1, "open_for": "1s"});
    let mut shell = shop(json!({"rest_sessions": {"cluster": "rs", "breaker": breaker}})).shell();
    shell.request(&[("cookie", &cookie(0))]);
    shell.respond(&Response::Reset);
    shell.request(&[("cookie", &cookie(0))]);
    assert_eq!(shell.count(Counter::CallFailures(Cause::Breaker)), 1, "the circuit is open");
    shell.advance(1_000);
    shell.refuses_changes_of = Some(HeaderMap::RequestHeaders);
    shell.request(&[("cookie", &cookie(0)), ("x-session-user", "root")]);
    shell.refuses_changes_of = None;
    shell.request(&[("cookie", &cookie(0))]);
    assert_eq!(shell.calls.len(), 1, "it probes");
    shell.respond(&session());
    assert_eq!(
        shell.outcomes(),
        [Outcome::DeniedUnavailable, Outcome::DeniedUnavailable, Outcome::DeniedUnavailable, Outcome::Allowed]
    );
}

#[test]
fn a_request_that_joined_a_call_and_is_refused_is_not_completed_with_it() {
    let mut shell = shop(json!({})).shell();
    let first = shell.request(&[("cookie", &cookie(0))]);
    shell.refuses_changes_of = Some(HeaderMap::RequestHeaders);
    let refused = shell.request(&[("cookie", &cookie(0)), ("x-session-user", "root")]);
    shell.refuses_changes_of = None;
    shell.respond(&session());
    assert_eq!(shell.completed, [first]);
    assert_answered_503(&shell, refused);
    assert_eq!(shell.outcomes(), [Outcome::DeniedUnavailable, Outcome::Allowed]);
}

#[test]
fn a_request_whose_annotation_cannot_be_set_gets_503_and_is_not_followed() {
    let mut shell = site(json!({"default": {"session": "required", "recheck": "30s"}, "write_back": {}})).shell();
    let stream = shell.request(&[("cookie", &cookie(0))]);
    shell.refuses_changes_of = Some(HeaderMap::RequestHeaders);
    shell.respond(&session());
    assert_answered_503(&shell, stream);
    assert!(!goes_on(&shell, stream));
    assert_eq!(shell.outcomes(), [Outcome::DeniedUnavailable]);
    assert_eq!(shell.worker.expectations(stream), Expectations::default());
    shell.advance(30_000);
    shell.tick();
    assert_eq!(shell.dispatches, 1);
}

#[test]
fn a_refused_change_of_a_response_gets_503_cancels_its_call_and_counts_no_request() {
    let limit = json!({"rest_sessions": {"cluster": "rs", "max_in_flight": 1}});
    let Handled { mut shell, stream } = shop(limit).settle(&session());
    shell.refuses_changes_of = Some(HeaderMap::ResponseHeaders);
    shell.upstream_responds(stream, &[("x-session-kill", "1")]);
    assert_answered_503(&shell, stream);
    assert_eq!(shell.outcomes(), [Outcome::Allowed]);
    assert_eq!(shell.dispatches, 1, "the session is not ended");
    shell.request(&[("cookie", &cookie(0))]);
    assert_eq!(shell.calls.len(), 1, "the next call is admitted");
}

#[test]
fn a_response_whose_cookie_cannot_be_deleted_gets_503_and_counts_no_request() {
    let Handled { mut shell, stream } = shop(json!({})).settle(&session());
    shell.upstream_responds(stream, &[("x-session-kill", "1")]);
    shell.refuses_changes_of = Some(HeaderMap::ResponseHeaders);
    shell.respond(&killed(true));
    assert_answered_503(&shell, stream);
    assert!(!shell.actions(stream).any(|action| matches!(action, Action::ContinueResponse)));
    assert_eq!(shell.outcomes(), [Outcome::Allowed]);
}

#[test]
fn a_shadow_request_counts_its_own_decision_also_if_a_change_of_its_response_is_refused() {
    let mut shell = shop(json!({})).shell();
    let stream = shell.request(&[("cookie", &cookie(0)), (":path", "/shadow")]);
    shell.refuses_changes_of = Some(HeaderMap::ResponseHeaders);
    shell.upstream_responds(stream, &[("x-session-kill", "1")]);
    assert_answered_503(&shell, stream);
    assert_eq!(shell.outcomes(), []);
    shell.respond(&none());
    assert_eq!(shell.outcomes(), [Outcome::ShadowDenied]);
}

#[test]
fn a_header_map_that_cannot_be_read_counts_a_request_only_if_it_is_undecided() {
    let refuse = |shell: &mut Shell, stream, map| {
        shell.handle(Event::Refused { stream, map, status: Refused(2), undone: Vec::new() }, Some(stream));
        assert_answered_503(shell, stream);
    };
    let mut shell = shop(json!({})).shell();
    let stream = shell.worker.admit(1);
    refuse(&mut shell, stream, HeaderMap::RequestHeaders);
    assert_eq!(shell.outcomes(), [Outcome::DeniedUnavailable]);

    let maps = [HeaderMap::RequestTrailers, HeaderMap::ResponseHeaders, HeaderMap::ResponseTrailers];
    for map in maps {
        let mut shell = shop(json!({})).shell();
        let stream = shell.request(&[("cookie", &cookie(0))]);
        refuse(&mut shell, stream, map);
        shell.respond(&session());
        assert_eq!(shell.outcomes(), [Outcome::DeniedUnavailable], "{map:?}");
        assert!(!goes_on(&shell, stream), "{map:?}");

        let Handled { mut shell, stream } = shop(json!({})).settle(&session());
        refuse(&mut shell, stream, map);
        assert_eq!(shell.outcomes(), [Outcome::Allowed], "{map:?}");
    }
}

#[test]
fn gauges_follow_the_cache_also_if_a_change_after_the_lookup_is_refused() {
    let shared = LocalData::default();
    let config = shop(json!({"cache": {"ttl": "60s"}})).config;
    let mut shells = [Shell::sharing(&config, &shared), Shell::sharing(&config, &shared)];
    shells[0].request(&[("cookie", &cookie(0))]);
    shells[0].respond(&session());
    shells[1].refuses_changes_of = Some(HeaderMap::RequestHeaders);
    shells[1].request(&[("cookie", &cookie(0)), ("x-session-user", "root")]);
    shells.iter_mut().for_each(Shell::tick);
    let [first, second] = [0, 1].map(|index: usize| shells[index].gauges());
    assert_eq!(second[..3], first[..3], "both workers hold the session");
    assert!(first[3] > 0 && second[3] == 0, "one waits for the response of an upstream");
    for mut shell in shells {
        shell.retire();
        assert_eq!(shell.gauges(), [0; 4]);
    }
}

#[test]
fn a_refused_dispatch_completes_its_request_at_once_as_an_outage() {
    for (path, failure_mode, outcome, continues) in [
        ("/", "deny", Outcome::DeniedUnavailable, false),
        ("/", "allow", Outcome::FailedOpen, true),
        ("/optional", "deny", Outcome::Anonymous, true),
        ("/shadow", "deny", Outcome::ShadowDenied, true),
        ("/shadow", "allow", Outcome::ShadowAllowed, true),
        ("/logout", "deny", Outcome::LogoutFailure, false),
    ] {
        let mut shell = shop(json!({"failure_mode": failure_mode})).shell();
        shell.refuses_dispatches = true;
        let method = if path == "/logout" { "POST" } else { "GET" };
        let stream = shell.request(&[("cookie", &cookie(0)), (":path", path), (":method", method)]);
        assert_eq!(shell.outcomes(), [outcome], "{path}");
        assert_eq!(goes_on(&shell, stream), continues, "{path}");
        assert_eq!(shell.count(Counter::CallFailures(Cause::Dispatch)), 1, "{path}");
        assert_eq!(shell.gauges(), [0; 4], "{path}");
        shell.end(stream);
        shell.retire();
        assert_eq!(shell.outcomes(), [outcome], "{path}");
    }
}

#[test]
fn a_refused_dispatch_is_an_outage_during_which_a_stale_session_is_used() {
    let mut shell = shop(json!({"cache": {"ttl": "1s", "stale_if_error": "60s"}})).shell();
    shell.request(&[("cookie", &cookie(0))]);
    shell.respond(&session());
    shell.advance(2_000);
    shell.refuses_dispatches = true;
    let stale = shell.request(&[("cookie", &cookie(0))]);
    assert!(goes_on(&shell, stale));
    assert_eq!(shell.outcomes(), [Outcome::Allowed, Outcome::Allowed]);
    assert_eq!(shell.count(Counter::CacheStale), 1);
    let other = shell.request(&[("cookie", &cookie(1))]);
    assert!(!goes_on(&shell, other));
    assert_eq!(shell.outcomes()[2..], [Outcome::DeniedUnavailable]);
}

#[test]
fn a_request_whose_tokens_creation_time_cannot_be_checked_gets_503() {
    let mut shell = shop(json!({})).shell();
    shell.environment.refuses_clock.set(true);
    let stream = shell.request(&[("cookie", &cookie(0)), ("x-session-user", "root")]);
    let actions: Vec<_> = shell.actions(stream).collect();
    let [
        Action::Count(Counter::Outcome(Outcome::DeniedUnavailable)),
        Action::Log(LogLine::HostCallRefused { status: 1 }),
        Action::Reply(_),
    ] = actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(shell.dispatches, 0);
}

#[test]
fn without_the_time_no_cached_session_is_used() {
    let cookie = format!("session-cookie={}", "a".repeat(64));
    let mut shell = shop(json!({"cache": {"ttl": "1s"}})).shell();
    shell.request(&[("cookie", &cookie)]);
    shell.respond(&session());
    shell.advance(2_000);
    shell.environment.refuses_clock.set(true);
    let stream = shell.request(&[("cookie", &cookie)]);
    assert!(!goes_on(&shell, stream), "the entry is past its time");
    shell.environment.refuses_clock.set(false);
    shell.respond(&none());
    assert_eq!(shell.outcomes(), [Outcome::Allowed, Outcome::DeniedNoSession]);
}
