//! Streams that wait: each is completed once, few in one callback, and counted once also if it has ended.

use super::*;
use crate::action::Completion;
use crate::worker::Event;

/// `/shadow` beside the default, which requires a session.
fn shop() -> Site {
    let rules = json!([{"match": {"paths": ["/shadow"]}, "session": "required", "shadow": true}]);
    site(json!({"rules": rules, "logout": {"path": "/logout"}}))
}

fn request(shell: &mut Shell, path: &str) -> StreamRef {
    shell.request(&[("cookie", &cookie(0)), (":path", path)])
}

/// A shell with 40 requests on one token, all waiting for one call.
fn forty_waiting() -> (Shell, Vec<StreamRef>) {
    let mut shell = shop().shell();
    let streams: Vec<_> = (0..40).map(|_| request(&mut shell, "/")).collect();
    assert_eq!((shell.dispatches, shell.calls.len()), (1, 1));
    assert_eq!((shell.count(Counter::Calls), shell.count(Counter::Coalesced)), (1, 39));
    (shell, streams)
}

#[test]
fn requests_for_one_session_share_one_call_and_at_most_16_are_completed_in_one_callback() {
    let (mut shell, streams) = forty_waiting();
    shell.respond(&session());
    for completed in [16, 32] {
        assert_eq!((shell.completed.len(), shell.wakeups), (completed, 1));
        shell.wake_up();
    }
    assert_eq!((&shell.completed, shell.wakeups), (&streams, 0));
    assert_eq!(shell.outcomes(), [Outcome::Allowed; 40]);
    shell.handle(Event::Wakeup, None);
    assert_eq!(shell.completed.len(), 40, "a further wakeup completes nothing");
}

#[test]
fn all_streams_are_completed_in_one_callback_if_the_host_refuses_wakeups() {
    let (mut shell, streams) = forty_waiting();
    shell.refuses_wakeups = true;
    shell.respond(&session());
    assert_eq!((&shell.completed, shell.wakeups), (&streams, 0));
    assert_eq!(shell.outcomes(), [Outcome::Allowed; 40]);
}

#[test]
fn a_refused_wakeup_completes_all_streams_in_one_list() {
    let (mut shell, _) = forty_waiting();
    shell.respond(&session());
    let mut actions = Vec::new();
    shell.worker.handle(Event::WakeupRefused, &shell.environment, &mut actions);
    assert_eq!(actions.len(), 24);
    assert!(actions.iter().all(|action| matches!(action, Action::Complete(_))));
}

#[test]
fn a_refused_dispatch_completes_its_own_stream_while_others_wait_for_a_wakeup() {
    let (mut shell, streams) = forty_waiting();
    shell.respond(&session());
    assert_eq!((shell.completed.len(), shell.wakeups), (16, 1));
    shell.refuses_dispatches = true;
    let refused = shell.request(&[("cookie", &cookie(7_000))]);
    assert_eq!(shell.completed[16..], [refused], "no other stream in the callback of this one");
    assert!(shell.actions(refused).any(|action| matches!(action, Action::Reply(reply) if reply.status == 503)));
    while shell.wakeups > 0 {
        shell.wake_up();
    }
    assert_eq!(shell.completed.len(), streams.len() + 1);
}

#[test]
fn streams_that_have_ended_take_no_part_of_a_callback() {
    let (mut shell, streams) = forty_waiting();
    streams[..24].iter().for_each(|stream| shell.end(*stream));
    shell.respond(&session());
    assert_eq!((&shell.completed[..], shell.wakeups), (&streams[24..], 0));
    assert_eq!(shell.outcomes(), [[Outcome::Abandoned; 24].as_slice(), &[Outcome::Allowed; 16]].concat());
}

#[test]
fn requests_for_the_session_during_completions_join_no_call_that_is_over() {
    let (mut shell, _) = forty_waiting();
    shell.respond(&session());
    request(&mut shell, "/");
    assert_eq!((shell.dispatches, shell.calls.len()), (2, 1));
    shell.wake_up();
    shell.wake_up();
    assert_eq!(shell.outcomes(), [Outcome::Allowed; 40]);
    shell.respond(&none());
    assert_eq!(shell.outcomes()[40..], [Outcome::DeniedNoSession]);
}

#[test]
fn a_stream_that_the_host_does_not_know_any_more_is_counted_as_abandoned_once() {
    for (path, method, response) in [("/", "GET", session()), ("/logout", "POST", killed(true))] {
        let mut shell = shop().shell();
        let stream = shell.request(&[("cookie", &cookie(0)), (":path", path), (":method", method)]);
        shell.gone.insert(stream.id);
        shell.respond(&response);
        assert_eq!(shell.completed, [stream]);
        assert_eq!(shell.outcomes(), [Outcome::Abandoned], "{path}");
        shell.end(stream);
        shell.retire();
        assert_eq!(shell.outcomes(), [Outcome::Abandoned], "{path}");
        assert!(shell.actions(stream).all(|action| !matches!(action, Action::Reply(_) | Action::ContinueRequest)));
    }
}

/// The only completion among these actions.
fn completion(actions: &mut Vec<Action>) -> Completion {
    let mut completions = actions
        .drain(..)
        .filter_map(|action| if let Action::Complete(completion) = action { Some(completion) } else { None });
    let completion = completions.next().expect("a stream goes on");
    assert!(completions.next().is_none());
    completion
}

#[test]
fn a_shadow_request_whose_stream_is_gone_counts_its_decision_and_does_nothing_else() {
    for (response, outcome) in
        [(session(), Outcome::ShadowAllowed), (none(), Outcome::ShadowDenied), (Response::Reset, Outcome::ShadowDenied)]
    {
        for was_reported in [true, false] {
            let mut shell = shop().shell();
            let stream = request(&mut shell, "/shadow");
            if was_reported {
                shell.end(stream);
            }
            assert_eq!(shell.outcomes(), []);
            let call = shell.calls.remove(0);
            let mut actions = Vec::new();
            let event = Event::CalloutResponse { call: call.id, response: response.callout_response() };
            shell.worker.handle(event, &shell.environment, &mut actions);
            let completion = completion(&mut actions);
            shell.worker.handle(Event::StreamGone(completion), &shell.environment, &mut actions);
            let [Action::Count(Counter::Outcome(counted))] = &actions[..] else { panic!("{actions:?}") };
            assert_eq!(*counted, outcome);
        }
    }
}

#[test]
fn a_stream_that_ends_while_it_waits_is_counted_as_abandoned_once() {
    for (path, method, response) in [("/", "GET", session()), ("/logout", "POST", killed(true))] {
        let mut shell = shop().shell();
        let stream = shell.request(&[("cookie", &cookie(0)), (":path", path), (":method", method)]);
        shell.end(stream);
        assert_eq!(shell.outcomes(), [Outcome::Abandoned], "{path}");
        shell.end(stream);
        shell.respond(&response);
        assert_eq!((shell.outcomes(), shell.completed.len()), (vec![Outcome::Abandoned], 0), "{path}");
        assert_eq!(shell.gauges(), [0; 4], "the call is over");
    }
}

#[test]
fn a_completion_of_a_stream_that_ends_before_it_is_carried_out_does_nothing() {
    let mut shell = shop().shell();
    let stream = request(&mut shell, "/");
    let call = shell.calls.remove(0);
    let mut actions = Vec::new();
    let event = Event::CalloutResponse { call: call.id, response: session().callout_response() };
    shell.worker.handle(event, &shell.environment, &mut actions);
    let completion = completion(&mut actions);
    shell.end(stream);
    shell.worker.handle(Event::Complete(completion), &shell.environment, &mut actions);
    assert!(actions.is_empty(), "{actions:?}");
    assert_eq!(shell.outcomes(), [Outcome::Abandoned]);
}

#[test]
fn a_response_does_not_reach_a_later_stream_of_the_same_number() {
    let mut shell = shop().shell();
    let first = shell.request_on(7, &[("cookie", &cookie(0))]);
    shell.handle(Event::StreamEnded(first), None);
    let second = shell.request_on(7, &[("cookie", &cookie(1))]);
    assert_ne!(first, second);
    shell.respond_to(first, &session());
    assert_eq!(shell.completed, []);
    assert_eq!(shell.outcomes(), [Outcome::Abandoned]);
    shell.handle(Event::StreamEnded(first), None);
    assert_eq!(shell.outcomes(), [Outcome::Abandoned], "the second still waits");
    shell.respond_to(second, &none());
    assert_eq!(shell.completed, [second]);
    assert_eq!(shell.outcomes(), [Outcome::Abandoned, Outcome::DeniedNoSession]);
}

#[test]
fn a_response_to_an_unknown_call_completes_nothing() {
    let mut shell = shop().shell();
    request(&mut shell, "/");
    let before = shell.carried_out.len();
    let response = session().callout_response();
    shell.handle(Event::CalloutResponse { call: 99, response }, None);
    let [(None, Action::Log(line))] = &shell.carried_out[before..] else { panic!("{:?}", shell.carried_out) };
    assert_eq!(line.to_string(), "event=unknown_call call=99");
}

#[test]
fn a_worker_that_retires_takes_its_gauges_back_and_counts_shadow_requests_as_abandoned() {
    let rules = json!([{"match": {"paths": ["/shadow"]}, "session": "required", "shadow": true}]);
    let mut shell = site(json!({"rules": rules, "cache": {"ttl": "60s"}})).shell();
    shell.request(&[("cookie", &cookie(9))]);
    shell.respond(&session());
    let waiting = shell.request(&[("cookie", &cookie(0))]);
    let shadows = [1, 2].map(|age_ms| shell.request(&[("cookie", &cookie(age_ms)), (":path", "/shadow")]));
    shell.end(shadows[0]);
    let [in_flight, bytes, entries, pending_bytes] = shell.gauges();
    assert_eq!((in_flight, entries), (3, 1));
    assert!(bytes > 0 && pending_bytes > 0);
    assert_eq!(shell.outcomes(), [Outcome::Allowed]);
    shell.retire();
    assert_eq!(shell.gauges(), [0; 4]);
    assert_eq!(shell.outcomes(), [Outcome::Allowed, Outcome::Abandoned, Outcome::Abandoned]);
    shell.end(waiting);
    shell.end(shadows[1]);
    assert_eq!(shell.outcomes()[3..], [Outcome::Abandoned], "the one that waited");
    assert_eq!(shell.gauges(), [0; 4]);
}
