//! Calls that end or change sessions: requests for one session share them, and one session's calls harm no other.

use super::*;
use crate::cache::shared_data::LocalData;
use crate::telemetry::Cause;

/// Sessions that upstreams may change. `negative_ttl`: of the cache, if there is one.
fn shop(negative_ttl: Option<&str>) -> Site {
    let mut keys = json!({"logout": {"path": "/logout"}, "write_back": {"on_failure": "deny"}});
    if let Some(negative_ttl) = negative_ttl {
        keys["cache"] = json!({"ttl": "60s", "negative_ttl": negative_ttl});
    }
    site(keys)
}

fn log_out(shell: &mut Shell, ages: &[u64]) -> StreamRef {
    let cookies: Vec<String> = ages.iter().map(|age| cookie(*age)).collect();
    shell.request(&[("cookie", &cookies.join("; ")), (":path", "/logout"), (":method", "POST")])
}

/// The status of the local reply, if there is one.
fn status(shell: &Shell, stream: StreamRef) -> Option<u16> {
    shell.actions(stream).find_map(|action| if let Action::Reply(reply) = action { Some(reply.status) } else { None })
}

fn continues_response(shell: &Shell, stream: StreamRef) -> bool {
    shell.actions(stream).any(|action| matches!(action, Action::ContinueResponse))
}

/// Requests that went on with the session of this token.
fn forwarded<const N: usize>(shell: &mut Shell, age: u64) -> [StreamRef; N] {
    let streams = [(); N].map(|()| shell.request(&[("cookie", &cookie(age))]));
    while !shell.calls.is_empty() {
        shell.respond(&session());
    }
    while shell.wakeups > 0 {
        shell.wake_up();
    }
    streams
}

fn set(shell: &mut Shell, stream: StreamRef, body: &str) {
    shell.upstream_responds(stream, &[("x-session-set", body)]);
}

fn bodies(shell: &Shell) -> Vec<&str> {
    shell.calls.iter().map(|call| call.request.body.as_deref().unwrap_or(call.request.method())).collect()
}

fn kills(shell: &Shell) -> usize {
    shell.calls.iter().filter(|call| call.request.method() == "DELETE").count()
}

#[test]
fn changes_of_one_session_are_made_one_call_after_the_other_and_those_that_wait_share_one() {
    let mut shell = shop(None).shell();
    let streams: [_; 4] = forwarded(&mut shell, 0);
    for (stream, body) in streams.into_iter().zip([r#"{"a":1}"#, r#"{"b":2,"c":1}"#, r#"{"c":null}"#, r#"{"d":"x"}"#]) {
        set(&mut shell, stream, body);
    }
    assert_eq!(bodies(&shell), [r#"{"a":1}"#]);
    assert!(streams.iter().all(|stream| !continues_response(&shell, *stream)));
    shell.respond(&session());
    assert!(continues_response(&shell, streams[0]), "the first does not wait for the others");
    assert_eq!(bodies(&shell), [r#"{"b":2,"c":null,"d":"x"}"#], "in their order");
    assert!(streams[1..].iter().all(|stream| !continues_response(&shell, *stream)));
    shell.respond(&session());
    assert!(streams.iter().all(|stream| continues_response(&shell, *stream)));
    assert_eq!(shell.count(Counter::WriteBacks), 4);
    // The next one waits for nothing.
    let [next] = forwarded(&mut shell, 0);
    set(&mut shell, next, "{\"e\":1}");
    assert_eq!(bodies(&shell), [r#"{"e":1}"#]);
}

#[test]
fn changes_of_different_sessions_do_not_wait_for_each_other() {
    let mut shell = shop(None).shell();
    let [first] = forwarded(&mut shell, 0);
    let [second] = forwarded(&mut shell, 1);
    set(&mut shell, first, r#"{"a":1}"#);
    set(&mut shell, second, r#"{"a":2}"#);
    assert_eq!(bodies(&shell), [r#"{"a":1}"#, r#"{"a":2}"#]);
}

#[test]
fn changes_that_one_call_cannot_hold_are_made_in_several() {
    let mut shell = shop(None).shell();
    let streams: [_; 4] = forwarded(&mut shell, 0);
    let large = |key: &str| format!(r#"{{"{key}":"{}"}}"#, "x".repeat(40_000));
    let changes = [r#"{"a":1}"#.to_owned(), large("b"), large("c"), r#"{"d":1}"#.to_owned()];
    for (stream, body) in streams.into_iter().zip(&changes) {
        set(&mut shell, stream, body);
    }
    shell.respond(&session());
    assert_eq!(bodies(&shell), [large("b")]);
    shell.respond(&session());
    let last = format!(r#"{},"d":1}}"#, large("c").trim_end_matches('}'));
    assert_eq!(bodies(&shell), [last]);
    shell.respond(&session());
    assert!(streams.iter().all(|stream| continues_response(&shell, *stream)));
}

#[test]
fn a_change_that_waits_fails_with_the_call_that_makes_it_and_not_with_the_one_before() {
    let mut shell = shop(None).shell();
    let streams: [_; 3] = forwarded(&mut shell, 0);
    for stream in streams {
        set(&mut shell, stream, r#"{"a":1}"#);
    }
    shell.respond(&Response::Status(500));
    assert_eq!(status(&shell, streams[0]), Some(503));
    shell.respond(&session());
    assert_eq!(streams.map(|stream| status(&shell, stream)), [Some(503), None, None]);
    assert!(continues_response(&shell, streams[1]) && continues_response(&shell, streams[2]));
    assert_eq!((shell.count(Counter::WriteBackFailures), shell.count(Counter::WriteBacks)), (1, 2));
}

#[test]
fn a_change_waits_no_longer_than_the_timeout_from_its_response_on() {
    let mut shell = shop(None).shell();
    let streams: [_; 3] = forwarded(&mut shell, 0);
    set(&mut shell, streams[0], r#"{"a":1}"#);
    shell.advance(200);
    set(&mut shell, streams[1], r#"{"a":2}"#);
    shell.advance(100);
    set(&mut shell, streams[2], r#"{"a":3}"#);
    // The default `timeout` is 500 ms: 300 ms are left for both.
    shell.advance(100);
    shell.respond(&Response::Timeout);
    assert_eq!(bodies(&shell), [r#"{"a":3}"#]);
    shell.advance(300);
    shell.respond(&Response::Timeout);
    assert_eq!(streams.map(|stream| status(&shell, stream)), [Some(503); 3]);
    // A response that comes after the deadline leaves the next change no time: no call is made.
    let streams: [_; 2] = forwarded(&mut shell, 0);
    for stream in streams {
        set(&mut shell, stream, r#"{"a":1}"#);
    }
    shell.advance(500);
    shell.respond(&Response::Timeout);
    assert_eq!((bodies(&shell), streams.map(|stream| status(&shell, stream))), (vec![], [Some(503); 2]));
}

#[test]
fn a_change_is_made_for_a_client_that_has_left() {
    let mut shell = shop(None).shell();
    let streams: [_; 2] = forwarded(&mut shell, 0);
    for stream in streams {
        set(&mut shell, stream, r#"{"a":1}"#);
        shell.end(stream);
    }
    shell.respond(&session());
    assert_eq!(bodies(&shell), [r#"{"a":1}"#]);
    shell.respond(&session());
    assert_eq!(shell.gauges()[3], 0);
}

#[test]
fn changes_that_wait_are_all_refused_if_the_host_refuses_their_call() {
    let mut shell = shop(None).shell();
    let streams: [_; 3] = forwarded(&mut shell, 0);
    for stream in streams {
        set(&mut shell, stream, r#"{"a":1}"#);
    }
    shell.refuses_dispatches = true;
    shell.respond(&session());
    assert_eq!(streams.map(|stream| status(&shell, stream)), [None, Some(503), Some(503)]);
    for stream in streams {
        shell.end(stream);
    }
    assert_eq!(shell.gauges(), [0; 4]);
}

#[test]
fn one_session_whose_changes_conflict_opens_the_breaker_for_nobody() {
    let mut shell = shop(None).shell();
    for _ in 0..10 {
        let streams: [_; 8] = forwarded(&mut shell, 0);
        for stream in streams {
            set(&mut shell, stream, r#"{"a":1}"#);
        }
        for _ in 0..2 {
            shell.respond(&Response::Status(500));
        }
    }
    assert_eq!(shell.count(Counter::CallFailures(Cause::Breaker)), 0);
    let [other] = forwarded(&mut shell, 1);
    set(&mut shell, other, r#"{"b":1}"#);
    assert_eq!(bodies(&shell), [r#"{"b":1}"#], "others still change their sessions");
}

#[test]
fn changes_that_fail_for_many_sessions_stop_changes_but_neither_lookups_nor_logouts() {
    let mut shell = shop(None).shell();
    for age in 0..5 {
        let [stream] = forwarded(&mut shell, age);
        set(&mut shell, stream, r#"{"a":1}"#);
        shell.respond(&Response::Status(500));
    }
    let [stream] = forwarded(&mut shell, 9);
    set(&mut shell, stream, r#"{"a":1}"#);
    assert_eq!((status(&shell, stream), shell.count(Counter::CallFailures(Cause::Breaker))), (Some(503), 1));
    let stream = log_out(&mut shell, &[9]);
    shell.respond(&killed(true));
    assert_eq!(status(&shell, stream), Some(204));
}

#[test]
fn logouts_with_one_token_share_a_kill() {
    let mut shell = shop(None).shell();
    let streams = [0; 20].map(|age| log_out(&mut shell, &[age]));
    assert_eq!(shell.calls.len(), 1);
    let with_another = log_out(&mut shell, &[0, 1]);
    assert_eq!(shell.calls.len(), 2);
    shell.respond(&killed(true));
    while shell.wakeups > 0 {
        shell.wake_up();
    }
    assert!(streams.iter().all(|stream| status(&shell, *stream) == Some(204)));
    assert_eq!(status(&shell, with_another), None, "one of its sessions is still being ended");
    shell.respond(&killed(false));
    assert_eq!(status(&shell, with_another), Some(204));
    assert_eq!(shell.count(Counter::Ends), 1);
    log_out(&mut shell, &[0]);
    assert_eq!(kills(&shell), 1, "the shared one is over");
}

#[test]
fn a_shared_kill_that_fails_logs_nobody_out() {
    for failure in [Response::Timeout, Response::Status(500), Response::Status(404)] {
        let mut shell = shop(Some("1s")).shell();
        let streams = [0, 0].map(|age| log_out(&mut shell, &[age]));
        shell.respond(&failure);
        assert_eq!(streams.map(|stream| status(&shell, stream)), [Some(503); 2]);
        log_out(&mut shell, &[0]);
        assert_eq!(kills(&shell), 1, "a failure is remembered as nothing");
    }
}

#[test]
fn a_kill_that_may_outlast_the_timeout_of_a_logout_is_not_joined() {
    let slow = json!({"cluster": "rs", "timeout": "10s"});
    let rules = json!([{"match": {"hosts": ["slow.example"]}, "session": "off", "rest_sessions": slow}]);
    let mut shell = site(json!({"logout": {"path": "/logout"}, "rules": rules})).shell();
    let own = cookie(0);
    let logout = [("cookie", own.as_str()), (":path", "/logout"), (":method", "POST")];
    shell.request(&[&logout[..], &[(":authority", "slow.example")]].concat());
    shell.request(&logout);
    assert_eq!(kills(&shell), 2);
    shell.request(&[&logout[..], &[(":authority", "slow.example")]].concat());
    assert_eq!(kills(&shell), 2, "the shorter one is joined");
}

#[test]
fn a_token_that_was_unknown_less_than_a_second_ago_is_not_killed_again() {
    for (negative_ttl, spared_ms) in [("1h", 1_000), ("300ms", 299)] {
        let mut shell = shop(Some(negative_ttl)).shell();
        let first = log_out(&mut shell, &[0]);
        shell.respond(&killed(false));
        assert_eq!(status(&shell, first), Some(204));
        shell.advance(spared_ms);
        let second = log_out(&mut shell, &[0]);
        assert_eq!((status(&shell, second), shell.calls.len()), (Some(204), 0));
        shell.advance(1);
        log_out(&mut shell, &[0]);
        assert_eq!(kills(&shell), 1, "{negative_ttl}");
        assert_eq!(shell.count(Counter::Ends), 0);
    }
    // A lookup that found nothing counts as well.
    let mut shell = shop(Some("1s")).shell();
    shell.request(&[("cookie", &cookie(0))]);
    shell.respond(&none());
    let logout = log_out(&mut shell, &[0]);
    assert_eq!((status(&shell, logout), shell.calls.len()), (Some(204), 0));
}

#[test]
fn a_session_that_another_worker_found_is_killed_although_this_one_found_none() {
    let site = shop(Some("1s"));
    let shared = LocalData::default();
    let mut shells = [Shell::sharing(&site.config, &shared), Shell::sharing(&site.config, &shared)];
    shells[0].request(&[("cookie", &cookie(0))]);
    shells[0].respond(&none());
    shells[1].request(&[("cookie", &cookie(0))]);
    shells[1].respond(&session());
    let logout = log_out(&mut shells[0], &[0]);
    assert_eq!((status(&shells[0], logout), kills(&shells[0])), (None, 1));
    // It is not served any more, before rest-sessions has answered.
    let calls = shells[1].dispatches;
    shells[1].request(&[("cookie", &cookie(0))]);
    assert_eq!(shells[1].dispatches, calls + 1);
}

#[test]
fn a_session_that_was_found_after_all_is_killed() {
    let mut shell = shop(Some("1h")).shell();
    shell.request(&[("cookie", &cookie(0))]);
    shell.respond(&none());
    shell.advance(1_001);
    let logout = log_out(&mut shell, &[0]);
    assert_eq!((status(&shell, logout), kills(&shell)), (None, 1));
    shell.respond(&killed(true));
    assert_eq!((status(&shell, logout), shell.count(Counter::Ends)), (Some(204), 1));
}

#[test]
fn junk_logouts_leave_lookups_their_calls_and_lookups_leave_logouts_theirs() {
    let mut shell = shop(None).shell();
    exhaust_kills_in_flight(&mut shell, "session-cookie", 0);
    let busy = log_out(&mut shell, &[0]);
    assert_eq!(status(&shell, busy), Some(503));
    let calls = shell.calls.len();
    let stream = shell.request(&[("cookie", &cookie(0))]);
    assert_eq!((status(&shell, stream), shell.calls.len()), (None, calls + 1));

    let mut shell = shop(None).shell();
    exhaust_calls_in_flight(&mut shell, "session-cookie", 0);
    let busy = shell.request(&[("cookie", &cookie(0))]);
    assert_eq!(status(&shell, busy), Some(503));
    let logout = log_out(&mut shell, &[0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!((status(&shell, logout), kills(&shell)), (None, 8));
}

#[test]
fn a_session_beyond_a_limit_that_is_being_ended_is_not_killed_again() {
    let mut shell = site(json!({"logout": {"path": "/logout"}, "limits": {"idle": "2s"}})).shell();
    log_out(&mut shell, &[0]);
    shell.request(&[("cookie", &cookie(0))]);
    let lookup = shell.calls.len() - 1;
    shell.calls.swap(0, lookup);
    shell.respond(&Response::Json(json!({"id": "user123", "ttl": 7200, "idle": 10})));
    assert_eq!((kills(&shell), shell.dispatches), (1, 2));
}
