//! Ticks: how many streams are rechecked in one, and which of them share a call.

use std::collections::{HashMap, HashSet, VecDeque};

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
fn at_most_64_rechecks_have_a_call_at_once_and_each_call_that_is_over_lets_the_next_begin() {
    let (mut shell, _) = open(256, 0..100);
    shell.tick();
    assert_eq!((shell.dispatches, shell.calls.len()), (64, 64));
    shell.tick();
    assert_eq!(shell.dispatches, 64);
    while !shell.calls.is_empty() {
        shell.respond(&none());
        assert!(shell.calls.len() <= 64);
    }
    assert_eq!((shell.dispatches, shell.count(Counter::RecheckClosed)), (100, 100));
}

#[test]
fn every_stream_is_rechecked_even_if_more_become_due_than_are_rechecked_in_time() {
    let (mut shell, streams) = open(256, 0..300);
    let mut rechecked = HashSet::new();
    for _ in 0..6 {
        shell.tick();
        for call in shell.calls.drain(..).collect::<Vec<_>>() {
            rechecked.insert(call.request.token().to_owned());
            shell.respond_to_call(&call, &session());
        }
        wake_up(&mut shell);
        // By now those that were rechecked are due again.
        shell.advance(30_000);
    }
    assert_eq!(rechecked.len(), streams.len());
}

/// The times at which each session was looked up, of streams that were opened over one interval of 30 s and are followed
/// for two more. rest-sessions answers `latency_ms` after each call.
fn rechecks_of(streams: u64, max_in_flight: u64, latency_ms: u64) -> HashMap<String, Vec<u64>> {
    const STEP_MS: u64 = 5;
    let service = json!({"cluster": "rs", "max_in_flight": max_in_flight});
    let site = site(json!({"rest_sessions": service, "default": {"session": "required", "recheck": "30s"}}));
    let mut shell = site.shell();
    let tick_ms = u64::from(shell.worker.tick_period_ms());
    let mut rechecks: HashMap<String, Vec<u64>> = HashMap::new();
    for number in 0..streams {
        shell.request(&[("cookie", &cookie(number))]);
        rechecks.insert(token_made_at(NOW_MS - number), vec![0]);
        shell.respond(&session());
        shell.carried_out.clear();
    }
    let mut seen = shell.dispatches;
    let mut answers: VecDeque<u64> = VecDeque::new();
    for now_ms in (0..=100_000).step_by(usize::try_from(STEP_MS).unwrap()) {
        if now_ms % tick_ms == 0 {
            shell.tick();
        }
        while answers.front().is_some_and(|due_ms| *due_ms <= now_ms) {
            answers.pop_front();
            shell.respond(&session());
        }
        wake_up(&mut shell);
        assert!(u64::try_from(shell.calls.len()).unwrap() <= max_in_flight.min(64));
        let made = shell.dispatches - seen;
        seen = shell.dispatches;
        for call in &shell.calls[shell.calls.len() - made..] {
            rechecks.get_mut(call.request.token()).unwrap().push(now_ms);
            answers.push_back(now_ms + latency_ms);
        }
        shell.carried_out.clear();
        shell.completed.clear();
        shell.advance(STEP_MS);
    }
    rechecks
}

/// The longest time between two rechecks of one stream.
fn longest_wait_ms(rechecks: &HashMap<String, Vec<u64>>) -> u64 {
    let waits = rechecks.values().flat_map(|times| {
        assert!(times.len() >= 3, "it was rechecked at {times:?}");
        times.windows(2).map(|pair| pair[1] - pair[0])
    });
    waits.max().unwrap()
}

#[test]
fn each_of_10000_streams_that_are_due_at_once_is_rechecked_in_time() {
    // 64 calls in each 20 ms take 3.1 s for all; the tick comes each second.
    let longest_ms = longest_wait_ms(&rechecks_of(10_000, 256, 20));
    assert!((30_000..=30_000 + 1_000 + 10_000 * 20 / 64 + 100).contains(&longest_ms), "{longest_ms} ms");
}

#[test]
fn each_of_1500_streams_is_rechecked_where_few_calls_may_be_in_flight() {
    // 4 calls in each 20 ms take 7.5 s for all.
    let longest_ms = longest_wait_ms(&rechecks_of(1_500, 4, 20));
    assert!((30_000..=30_000 + 1_000 + 1_500 * 20 / 4 + 100).contains(&longest_ms), "{longest_ms} ms");
}

#[test]
fn rechecks_go_on_while_requests_take_every_call() {
    let (mut shell, streams) = open(8, 0..40);
    let mut others = 1_000_000_u64;
    let mut rechecked = HashSet::new();
    // Eight calls of requests are in flight, and more requests come than calls end.
    let fill = |shell: &mut Shell, others: &mut u64| {
        for _ in 0..12 {
            *others += 1;
            shell.request(&[("cookie", &cookie(*others))]);
        }
    };
    fill(&mut shell, &mut others);
    let own: HashSet<String> = (0..40).map(|age_ms| token_made_at(NOW_MS - age_ms)).collect();
    shell.tick();
    for _ in 0..200 {
        let token = shell.calls[0].request.token().to_owned();
        if own.contains(&token) {
            rechecked.insert(token);
        }
        shell.advance(1);
        shell.respond(&session());
        wake_up(&mut shell);
        fill(&mut shell, &mut others);
        assert!(shell.calls.len() <= 8);
    }
    assert_eq!(rechecked.len(), streams.len());
}

#[test]
fn a_service_that_takes_no_more_calls_does_not_keep_the_streams_of_another_from_their_recheck() {
    let service = |cluster, max_in_flight| json!({"cluster": cluster, "max_in_flight": max_in_flight});
    let rules = json!([{"match": {"paths": ["/other"]}, "session": "required", "recheck": "30s",
                        "rest_sessions": service("other", 256)}]);
    let site = site(json!({"rest_sessions": service("rs", 1), "rules": rules,
                           "default": {"session": "required", "recheck": "30s"}}));
    let mut shell = site.shell();
    for age_ms in 0..100 {
        shell.request(&[("cookie", &cookie(age_ms))]);
        shell.respond(&session());
    }
    shell.request(&[("cookie", &cookie(0)), (":path", "/other")]);
    shell.respond(&session());
    shell.advance(30_000);
    // The one call of the first service never ends.
    let ticks = (1..100).find(|_| {
        shell.tick();
        shell.advance(1_000);
        shell.calls.iter().any(|call| &*call.request.cluster == "other")
    });
    assert!(ticks.is_some_and(|ticks| ticks <= 13), "{ticks:?}");
}

#[test]
fn streams_that_have_ended_leave_nothing_behind_for_the_time_of_their_interval() {
    let site = site(json!({"default": {"session": "required", "recheck": "30d"}, "cache": {"ttl": "1h"}}));
    let mut shell = site.shell();
    for _ in 0..10_000 {
        let stream = shell.request(&[("cookie", &cookie(0))]);
        if !shell.calls.is_empty() {
            shell.respond(&session());
        }
        shell.end(stream);
    }
    assert!(shell.worker.streams.places() < 2_000, "{}", shell.worker.streams.places());
}

#[test]
fn a_tick_makes_no_more_calls_than_may_be_in_flight() {
    let (mut shell, _) = open(10, 0..100);
    while shell.count(Counter::RecheckClosed) < 100 {
        shell.tick();
        assert!((1..=10).contains(&shell.calls.len()));
        while !shell.calls.is_empty() {
            shell.advance(1);
            shell.respond(&none());
            wake_up(&mut shell);
            assert!(shell.calls.len() <= 10);
        }
    }
    assert_eq!(shell.dispatches, 100, "a recheck that is not admitted makes no call");
    assert_eq!(shell.outcomes(), [Outcome::Allowed; 100]);
}

#[test]
fn rechecks_that_are_over_at_once_are_completed_in_several_callbacks() {
    let (mut shell, _) = open(256, 0..40);
    shell.refuses_dispatches = true;
    shell.tick();
    let first = shell.completed.len();
    assert_eq!(first, 16);
    while shell.wakeups > 0 {
        let before = shell.completed.len();
        shell.wake_up();
        assert!(shell.completed.len() - before <= 16);
    }
    assert_eq!(shell.completed.len(), 40);
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
