//! `limits.idle`: a session that was idle for too long is let in by no worker, whichever lookup resets its idle time.

use std::collections::HashMap;

use super::*;
use crate::cache::shared_data::LocalData;
use crate::telemetry::Gauge;

/// Workers of one Envoy under a limit of 60 s.
fn workers<const N: usize>(keys: Value) -> [Shell; N] {
    let rules = json!([{"match": {"paths": ["/shadow"]}, "session": "required", "shadow": true}]);
    let site = site(with(json!({"rules": rules, "limits": {"idle": "60s"}}), keys));
    let shared_data = LocalData::default();
    [(); N].map(|()| Shell::sharing(&site.config, &shared_data))
}

fn idle(seconds: u64) -> Response {
    Response::Json(session_idle_for(seconds))
}

fn session_idle_for(seconds: u64) -> Value {
    json!({"id": "user123", "ttl": 7200, "idle": seconds})
}

fn request(shell: &mut Shell, path: &str) -> StreamRef {
    shell.request(&[("cookie", &cookie(0)), (":path", path)])
}

fn retry_on(shell: &Shell) -> &str {
    shell.calls.last().unwrap().request.header("x-envoy-retry-on")
}

#[test]
fn a_lookup_says_the_limit_in_whole_seconds() {
    for (limit, query) in [("60s", "?max_idle=60"), ("1500ms", "?max_idle=1"), ("30m", "?max_idle=1800")] {
        let [mut shell] = workers(json!({"limits": {"idle": limit}}));
        request(&mut shell, "/");
        assert!(shell.calls[0].request.header(":path").ends_with(query), "{limit}");
    }
    let [mut shell] = workers(json!({"limits": {"age": "12h"}}));
    request(&mut shell, "/");
    assert!(!shell.calls[0].request.header(":path").contains('?'));
}

#[test]
fn a_request_in_shadow_does_not_let_the_service_end_the_session() {
    let [mut shell] = workers(json!({}));
    request(&mut shell, "/shadow");
    assert!(!shell.calls[0].request.header(":path").contains('?'));
    assert_eq!(retry_on(&shell), "connect-failure,refused-stream");
}

#[test]
fn a_request_in_shadow_does_not_revive_a_session_for_others() {
    for keys in [json!({}), json!({"cache": {"ttl": "10s"}})] {
        for is_known_to_enforce in [false, true] {
            let [mut first, mut second] = workers(keys.clone());
            if is_known_to_enforce {
                second.request(&[("cookie", &cookie(1))]);
                second.respond(&Response::Judged(60, session_idle_for(0)));
            }
            request(&mut first, "/shadow");
            first.respond(&idle(61));
            assert_eq!((first.outcomes(), first.calls.len()), (vec![Outcome::ShadowDenied], 0), "{keys}");
            request(&mut second, "/");
            second.respond(&Response::Judged(60, session_idle_for(0)));
            assert_eq!(second.outcomes().last(), Some(&Outcome::DeniedNoSession), "{keys} {is_known_to_enforce}");
            assert_eq!(second.calls[0].request.method(), "DELETE");
        }
    }
}

#[test]
fn the_service_that_enforces_the_limit_judges_it() {
    let [mut shell] = workers(json!({}));
    request(&mut shell, "/");
    // `idle` may be a second more than the time since the last use.
    shell.respond(&Response::Judged(60, session_idle_for(61)));
    request(&mut shell, "/");
    shell.respond(&Response::Judged(60, json!({})));
    assert_eq!(shell.outcomes(), [Outcome::Allowed, Outcome::DeniedNoSession]);
    assert_eq!((shell.calls.len(), shell.timer_ms), (0, None), "nothing is killed, nothing waits");
}

#[test]
fn a_service_that_says_that_it_enforces_the_limit_and_sends_a_session_far_beyond_it_is_not_believed() {
    for session in [session_idle_for(62), json!({"id": "user123", "ttl": 7200})] {
        let [mut first, mut second] = workers(json!({}));
        request(&mut first, "/");
        first.respond(&Response::Judged(60, session));
        assert_eq!(first.outcomes(), [Outcome::DeniedNoSession]);
        assert_eq!(first.calls[0].request.method(), "DELETE");
        request(&mut second, "/");
        second.respond(&Response::Judged(60, session_idle_for(0)));
        assert_eq!(second.outcomes(), [Outcome::DeniedNoSession], "it is condemned");
    }
}

#[test]
fn another_limit_than_the_one_asked_for_is_not_this_limit() {
    let [mut shell] = workers(json!({}));
    request(&mut shell, "/");
    shell.respond(&Response::Judged(3_600, session_idle_for(61)));
    assert_eq!(shell.outcomes(), [Outcome::DeniedNoSession]);
    assert_eq!(shell.calls[0].request.method(), "DELETE");
}

#[test]
fn a_lookup_is_retried_after_a_reset_only_while_the_service_is_known_to_enforce_the_limit() {
    let [mut shell] = workers(json!({}));
    request(&mut shell, "/");
    assert!(!retry_on(&shell).contains("reset"), "nothing is known");
    shell.respond(&Response::Judged(60, session_idle_for(0)));
    request(&mut shell, "/");
    assert!(retry_on(&shell).ends_with(",reset"));
    shell.respond(&Response::Reset);
    request(&mut shell, "/");
    assert!(retry_on(&shell).ends_with(",reset"), "an outage says nothing");
    shell.respond(&idle(0));
    request(&mut shell, "/");
    assert!(!retry_on(&shell).contains("reset"), "it was replaced by one that ignores the limit");
}

#[test]
fn an_answer_waits_for_the_lookup_of_another_worker_that_may_have_reset_the_idle_time() {
    let [mut first, mut second] = workers(json!({}));
    request(&mut first, "/");
    request(&mut second, "/");
    second.respond(&idle(0));
    assert_eq!((second.outcomes(), second.timer_ms), (vec![], Some(5)));
    second.tick();
    assert_eq!((second.outcomes(), second.calls.len()), (vec![], 0), "the other lookup is in flight");
    first.respond(&idle(61));
    assert_eq!(first.outcomes(), [Outcome::DeniedNoSession]);
    second.tick();
    assert_eq!(second.timer_ms, Some(1000), "nothing waits any more");
    second.respond(&idle(0));
    assert_eq!(second.outcomes(), [Outcome::DeniedNoSession], "its kill is under way");
}

#[test]
fn an_answer_does_not_wait_for_a_lookup_of_another_worker_that_was_not_made() {
    let [mut first, mut second] = workers(json!({}));
    first.refuses_changes_of = Some(HeaderMap::RequestHeaders);
    first.request(&[("cookie", &cookie(0)), ("x-session-user", "root")]);
    assert_eq!((first.outcomes(), first.dispatches), (vec![Outcome::DeniedUnavailable], 0));
    request(&mut second, "/");
    second.respond(&idle(0));
    assert_eq!((second.outcomes(), second.timer_ms), (vec![Outcome::Allowed], None));
}

#[test]
fn answers_that_begin_to_wait_do_not_put_the_end_of_a_wait_off() {
    let [mut first, mut second] = workers(json!({}));
    request(&mut first, "/");
    request(&mut second, "/");
    second.respond(&idle(0));
    assert_eq!(second.timer_ms.take(), Some(5));
    request(&mut second, "/");
    second.respond(&idle(0));
    assert_eq!(second.timer_ms, None);
    first.respond(&idle(0));
    second.tick();
    assert_eq!(second.timer_ms, Some(1000));
}

#[test]
fn an_answer_that_waited_lets_the_session_in_if_the_other_lookup_found_it_within_the_limit() {
    let [mut first, mut second] = workers(json!({}));
    request(&mut first, "/");
    request(&mut second, "/");
    second.respond(&idle(0));
    first.respond(&idle(50));
    second.tick();
    second.respond(&idle(0));
    assert_eq!([first.outcomes(), second.outcomes()], [[Outcome::Allowed], [Outcome::Allowed]]);
}

#[test]
fn an_answer_that_was_idle_for_longer_than_the_other_lookup_takes_does_not_wait() {
    let [mut first, mut second] = workers(json!({}));
    request(&mut first, "/");
    request(&mut second, "/");
    second.advance(400);
    second.respond(&idle(3));
    assert_eq!(second.outcomes(), [Outcome::Allowed]);
    // The other one need not wait for the first any more.
    first.respond(&idle(0));
    assert_eq!(first.outcomes(), [Outcome::Allowed]);
}

#[test]
fn an_answer_waits_no_longer_than_the_timeout() {
    let [mut first, mut second] = workers(json!({}));
    request(&mut second, "/");
    second.advance(400);
    first.advance(400);
    request(&mut first, "/");
    second.respond(&idle(0));
    second.advance(99);
    second.tick();
    assert_eq!(second.outcomes(), []);
    second.advance(1);
    second.tick();
    assert_eq!(second.outcomes(), [Outcome::DeniedUnavailable]);
    assert_eq!((second.calls.len(), second.gauges()[0]), (0, 0));
}

#[test]
fn a_lookup_whose_worker_is_gone_is_waited_for_until_its_deadline() {
    let [mut first, mut second] = workers(json!({}));
    request(&mut first, "/");
    drop(first);
    second.advance(300);
    request(&mut second, "/");
    second.respond(&idle(0));
    second.advance(200);
    second.tick();
    second.respond(&idle(0));
    assert_eq!(second.outcomes(), [Outcome::Allowed]);
}

#[test]
fn a_session_beyond_the_limit_is_condemned_in_every_worker_until_its_kill_is_confirmed() {
    for keys in [json!({}), json!({"cache": {"ttl": "10s"}}), json!({"cache": {"ttl": "10s", "shared": false}})] {
        let [mut first, mut second] = workers(keys.clone());
        request(&mut first, "/");
        first.respond(&idle(61));
        first.respond(&Response::Reset);
        for shell in [&mut first, &mut second] {
            shell.advance(2_000);
            request(shell, "/");
            shell.respond(&idle(0));
            assert_eq!(shell.outcomes().last(), Some(&Outcome::DeniedNoSession), "{keys}");
            assert_eq!(shell.calls[0].request.method(), "DELETE");
        }
        // A lookup that the service served before the kill.
        request(&mut second, "/");
        first.respond(&killed(true));
        let lookup = second.calls.pop().expect("the lookup of the request");
        second.respond_to_call(&lookup, &idle(0));
        second.respond(&killed(false));
        while !second.calls.is_empty() {
            second.respond(&none());
        }
        assert_eq!(second.outcomes(), [Outcome::DeniedNoSession; 2], "{keys}");
    }
}

#[test]
fn a_condemned_session_that_nobody_asked_for_is_forgotten_with_its_time_to_live() {
    let [mut first, mut second] = workers(json!({}));
    request(&mut first, "/");
    first.respond(&idle(61));
    first.respond(&Response::Reset);
    second.advance(7_200_000);
    request(&mut second, "/");
    second.respond(&idle(0));
    assert_eq!(second.outcomes(), [Outcome::Allowed]);
}

#[test]
fn an_answer_from_before_an_invalidation_condemns_the_session_too() {
    let [mut first, mut second] = workers(json!({"cache": {"ttl": "10s"}, "logout": {"path": "/logout"}}));
    request(&mut first, "/");
    second.request(&[("cookie", &cookie(0)), (":path", "/logout"), (":method", "POST")]);
    second.respond(&Response::Reset);
    first.respond(&idle(61));
    assert_eq!(first.outcomes(), [Outcome::DeniedNoSession]);
    assert_eq!(first.calls[0].request.method(), "DELETE");
}

/// A session service that counts each lookup as a use, as the original does.
struct Original {
    used_ms: HashMap<String, u64>,
}

impl Original {
    /// Serves a call at this time.
    fn serve(&mut self, call: &super::shell::Call, now_ms: u64) -> Response {
        let token = call.request.token().to_owned();
        if call.request.method() == "DELETE" {
            return killed(self.used_ms.remove(&token).is_some());
        }
        match self.used_ms.insert(token.clone(), now_ms) {
            // Clocks in whole seconds.
            Some(used_ms) => idle(now_ms / 1_000 - used_ms / 1_000),
            None => {
                self.used_ms.remove(&token);
                none()
            }
        }
    }
}

/// Four workers get requests for one session at once. Calls are served, and answers come, in any order. Returns the
/// outcomes.
fn storm(seed: u64, idle_s: u64, keys: Value) -> Vec<Outcome> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    let mut shells: [Shell; 4] = workers(keys);
    let token = token_made_at(NOW_MS);
    let mut now_ms = NOW_MS + u64::try_from(random(1_000)).unwrap();
    let mut original = Original { used_ms: HashMap::from([(token, now_ms - idle_s * 1_000)]) };
    let mut answers: [Vec<(super::shell::Call, Response)>; 4] = Default::default();
    let mut left = 12;
    for step in 0..2_000 {
        if step % 4 == 0 {
            now_ms += 1;
            shells.iter_mut().for_each(|shell| shell.advance(1));
        }
        let place = random(4);
        let shell = &mut shells[place];
        match random(6) {
            0 if left > 0 => {
                left -= 1;
                shell.request(&[("cookie", &cookie(0))]);
            }
            1 | 2 if !shell.calls.is_empty() => {
                let call = shell.calls.remove(random(shell.calls.len()));
                let response = original.serve(&call, now_ms);
                answers[place].push((call, response));
            }
            3 | 4 if !answers[place].is_empty() => {
                let (call, response) = answers[place].remove(random(answers[place].len()));
                shell.respond_to_call(&call, &response);
            }
            _ => {
                if shell.timer_ms.is_some_and(|period_ms| period_ms > 0) {
                    shell.tick();
                }
                while shell.wakeups > 0 {
                    shell.wake_up();
                }
            }
        }
    }
    for shell in &shells {
        assert_eq!(shell.gauges()[Gauge::ALL.iter().position(|gauge| *gauge == Gauge::InFlight).unwrap()], 0);
    }
    shells.iter().flat_map(Shell::outcomes).collect()
}

#[test]
fn no_request_of_many_at_once_gets_in_with_a_session_beyond_the_limit() {
    for keys in [json!({}), json!({"cache": {"ttl": "5s"}}), json!({"cache": {"ttl": "5s", "shared": false}})] {
        for seed in 1..=400 {
            let outcomes = storm(seed, 3_600, keys.clone());
            assert_eq!(outcomes.len(), 12, "seed {seed}: each request is decided");
            assert!(!outcomes.contains(&Outcome::Allowed), "seed {seed} {keys}: {outcomes:?}");
        }
    }
}

#[test]
fn every_request_of_many_at_once_gets_in_with_a_session_within_the_limit() {
    for keys in [json!({}), json!({"cache": {"ttl": "5s"}})] {
        for seed in 1..=200 {
            for idle_s in [0, 1, 2, 30, 58] {
                let outcomes = storm(seed, idle_s, keys.clone());
                assert_eq!(outcomes, [Outcome::Allowed; 12], "seed {seed}, idle for {idle_s} s, {keys}");
            }
        }
    }
}
