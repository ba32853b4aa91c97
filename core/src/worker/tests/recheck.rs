//! Ticks: how many streams are rechecked in one, and which of them share a call.

use std::collections::HashSet;

use super::*;

/// A shell with streams of these tokens, all of which went on with a session, 30 s later.
fn open(max_in_flight: u64, ages_ms: impl Iterator<Item = u64>) -> (Shell, Vec<StreamRef>) {
    let service = json!({"cluster": "rs", "max_in_flight": max_in_flight});
    let site = site(json!({"rest_sessions": service, "default": {"session": "required", "recheck": "30s"}}));
    let mut shell = site.shell();
    let open = |age_ms| {
        let stream = shell.request(&[("cookie", &cookie(age_ms))]);
        shell.respond(&session());
        stream
    };
    let streams: Vec<_> = ages_ms.map(open).collect();
    shell.completed.clear();
    shell.dispatches = 0;
    shell.advance(30_000);
    (shell, streams)
}

/// Takes items from the worker's queue until it is empty.
fn wake_up(shell: &mut Shell) {
    while shell.wakeups > 0 {
        shell.wake_up();
    }
}

#[test]
fn a_tick_rechecks_at_most_64_streams() {
    let (mut shell, _) = open(256, 0..100);
    shell.tick();
    assert_eq!((shell.dispatches, shell.calls.len()), (64, 64));
    shell.tick();
    assert_eq!((shell.dispatches, shell.calls.len()), (100, 100), "the others are due in the next one");
    shell.tick();
    assert_eq!(shell.dispatches, 100);
    while !shell.calls.is_empty() {
        shell.respond(&none());
    }
    assert_eq!(shell.count(Counter::RecheckClosed), 100);
}

#[test]
fn every_stream_is_rechecked_even_if_more_become_due_than_a_tick_rechecks() {
    let (mut shell, streams) = open(256, 0..300);
    let mut rechecked = HashSet::new();
    for _ in 0..6 {
        shell.tick();
        while let Some(call) = shell.calls.first() {
            rechecked.insert(call.request.token().to_owned());
            shell.respond(&session());
        }
        wake_up(&mut shell);
        // By now those that were rechecked are due again.
        shell.advance(30_000);
    }
    assert_eq!(rechecked.len(), streams.len());
}

#[test]
fn a_tick_makes_no_more_calls_than_may_be_in_flight() {
    let (mut shell, _) = open(10, 0..100);
    let mut ticks = 0;
    while shell.count(Counter::RecheckClosed) < 100 {
        shell.tick();
        wake_up(&mut shell);
        ticks += 1;
        assert_eq!((shell.dispatches, shell.calls.len()), (10 * ticks, 10));
        while !shell.calls.is_empty() {
            shell.respond(&none());
        }
    }
    assert_eq!(ticks, 10, "a recheck that is not admitted is repeated at the next tick");
    assert_eq!(shell.outcomes(), [Outcome::Allowed; 100]);
}

#[test]
fn rechecks_that_are_over_at_once_are_completed_in_several_callbacks() {
    let (mut shell, _) = open(1, 0..40);
    shell.tick();
    assert_eq!((shell.calls.len(), shell.completed.len(), shell.wakeups), (1, 16, 1));
    wake_up(&mut shell);
    assert_eq!(shell.completed.len(), 39);
}

#[test]
fn streams_of_one_session_share_one_call_in_a_tick() {
    let (mut shell, streams) = open(256, [0, 0].into_iter());
    shell.tick();
    assert_eq!(shell.calls.len(), 1);
    assert_eq!(shell.calls[0].request.token(), token_made_at(NOW_MS));
    shell.respond(&none());
    for stream in streams {
        assert!(shell.actions(stream).any(|action| matches!(action, Action::Close)));
    }
    assert_eq!(shell.count(Counter::RecheckClosed), 2);
}

#[test]
fn a_recheck_whose_dispatch_is_refused_keeps_the_stream_open_until_its_next_recheck() {
    let (mut shell, streams) = open(256, [0, 0].into_iter());
    shell.refuses_dispatches = true;
    shell.tick();
    assert_eq!((shell.dispatches, shell.completed.len()), (1, 2));
    shell.refuses_dispatches = false;
    shell.tick();
    assert_eq!(shell.dispatches, 1);
    shell.advance(30_000);
    shell.tick();
    assert_eq!(shell.dispatches, 2);
    let is_closed = |stream: &StreamRef| shell.actions(*stream).any(|action| matches!(action, Action::Close));
    assert!(!streams.iter().any(is_closed));
}

#[test]
fn a_stream_that_has_ended_is_not_rechecked() {
    let (mut shell, streams) = open(256, 0..2);
    shell.end(streams[0]);
    shell.tick();
    assert_eq!(shell.calls.len(), 1);
    shell.end(streams[1]);
    shell.respond(&none());
    assert_eq!((shell.completed.len(), shell.count(Counter::RecheckClosed)), (0, 0));
}

#[test]
fn a_tick_without_the_time_rechecks_nothing() {
    let (mut shell, _) = open(256, 0..2);
    shell.environment.refuses_clock.set(true);
    shell.tick();
    assert_eq!(shell.dispatches, 0);
    shell.environment.refuses_clock.set(false);
    shell.tick();
    assert_eq!(shell.dispatches, 2);
}
