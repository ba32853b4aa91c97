//! A stream that stays open is closed once its session would not permit its request.

use super::*;
use crate::worker::Expectations;

fn watched(changes: Value) -> Site {
    site(json!({"default": with(json!({"session": "required", "recheck": "30s"}), changes)}))
}

/// A stream with a session, after a recheck with this response. Returns the actions that follow from the response.
fn rechecked(site: &Site, response: &Response) -> (Handled, Vec<Action>) {
    recheck(site.settle(&session()), response)
}

fn recheck(mut handled: Handled, response: &Response) -> (Handled, Vec<Action>) {
    let Handled { shell, stream } = &mut handled;
    let stream = *stream;
    assert_eq!(
        shell.worker.expectations(stream),
        Expectations { recheck_every_ms: Some(30_000), ..Expectations::default() }
    );
    shell.advance(29_999);
    shell.tick();
    assert!(shell.calls.is_empty(), "it is not due");
    if let Response::Busy = response {
        exhaust_calls_in_flight(shell, "session-cookie", 0);
    }
    shell.advance(1);
    let mut before = shell.carried_out.len();
    shell.tick();
    if !matches!(response, Response::Busy) {
        before = shell.carried_out.len();
        shell.respond(response);
    }
    let actions: Vec<_> = shell.carried_out.drain(before..).collect();
    let own = actions.into_iter().filter(|(other, _)| *other == Some(stream)).map(|(_, action)| action).collect();
    (handled, own)
}

fn is_closed(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Close))
}

#[test]
fn a_stream_is_closed_once_its_session_has_ended() {
    for mode in ["required", "optional"] {
        let (handled, actions) = rechecked(&watched(json!({"session": mode})), &none());
        assert!(is_closed(&actions), "{mode}");
        assert!(actions.iter().any(|action| matches!(action, Action::Count(Counter::RecheckClosed))));
        assert_eq!(handled.outcomes(), [Outcome::Allowed], "its request was counted before");
    }
}

#[test]
fn a_stream_stays_open_while_its_session_is_active_or_its_lookup_fails() {
    let site = watched(json!({}));
    for response in [session(), Response::Timeout, Response::Status(404)] {
        let (mut handled, actions) = rechecked(&site, &response);
        assert!(actions.is_empty(), "{response:?} {actions:?}");
        handled.shell.advance(29_999);
        handled.shell.tick();
        assert!(handled.shell.calls.is_empty(), "{response:?}");
        handled.shell.advance(1);
        handled.shell.tick();
        assert_eq!(handled.shell.calls.len(), 1, "{response:?}");
    }
}

#[test]
fn a_recheck_that_is_not_admitted_is_repeated_once_a_call_is_over_or_at_the_next_tick() {
    for mode in ["required", "optional"] {
        for by_tick in [true, false] {
            let (mut handled, actions) = rechecked(&watched(json!({"session": mode})), &Response::Busy);
            assert!(actions.is_empty(), "{actions:?}");
            let shell = &mut handled.shell;
            let before = shell.dispatches;
            if by_tick {
                shell.tick();
                assert_eq!(shell.dispatches, before, "{mode}: it is not admitted still");
            }
            shell.advance(1);
            shell.respond(&none());
            assert_eq!(shell.dispatches, before + 1, "{mode}");
            shell.tick();
            assert_eq!(shell.dispatches, before + 1, "{mode}: it is being looked up");
        }
    }
}

#[test]
fn a_stream_is_closed_once_its_session_fails_a_requirement() {
    let site = watched(json!({"require": [{"field": "d.role", "present": false}]}));
    assert!(is_closed(&rechecked(&site, &session_with(json!({"role": true}))).1));
    assert!(!is_closed(&rechecked(&site, &session()).1));
}

#[test]
fn a_request_that_failed_open_is_rechecked() {
    let site = site(json!({"default": {"session": "required", "recheck": "30s"}, "failure_mode": "allow"}));
    let handled = site.settle(&Response::Timeout);
    assert_eq!(handled.outcomes(), [Outcome::FailedOpen]);
    assert!(is_closed(&recheck(handled, &none()).1));
}

#[test]
fn a_request_without_a_session_or_under_a_rule_without_recheck_is_not_rechecked() {
    let optional = watched(json!({"session": "optional"}));
    let without_recheck = site(json!({}));
    for (site, response) in [(&optional, none()), (&optional, Response::Timeout), (&without_recheck, session())] {
        let mut handled = site.settle(&response);
        assert_eq!(handled.shell.worker.expectations(handled.stream), Expectations::default(), "{response:?}");
        handled.shell.advance(30_000);
        handled.shell.tick();
        assert_eq!(handled.shell.dispatches, 1, "{response:?}");
    }
}
