//! The memory that requests hold while they wait: little for each, bounded for all, and given back whatever becomes of them.

use super::*;

const MIB: usize = 1 << 20;

/// As little memory as may be configured.
fn small(changes: Value) -> Site {
    let rules = json!([
        {"match": {"paths": ["/optional"]}, "session": "optional"},
        {"match": {"paths": ["/shadow"]}, "session": "required", "shadow": true},
        {"match": {"paths": ["/plain"]}, "session": "required", "write_back": false}
    ]);
    let base = json!({"max_pending_bytes": MIB, "rules": rules, "write_back": {}, "cache": {"ttl": "60s"},
                      "logout": {"path": "/logout"}, "login": {"url": "https://login.example/?next={url}"},
                      "hosts": ["shop.example"]});
    site(with(base, changes))
}

fn pending_bytes(shell: &Shell) -> i64 {
    i64::try_from(shell.worker.pending_bytes()).unwrap()
}

#[test]
fn the_gauge_shows_large_moves_at_once_and_small_ones_at_the_next_tick() {
    let mut shell = small(json!({})).shell();
    shell.request(&[("cookie", &cookie(0))]);
    let before = shell.gauges()[3];
    shell.request(&[("cookie", &cookie(1))]);
    assert!(pending_bytes(&shell) > before);
    assert_eq!(shell.gauges()[3], before);
    shell.tick();
    assert_eq!(shell.gauges()[3], pending_bytes(&shell));
    fill(&mut shell);
    assert!(pending_bytes(&shell) - shell.gauges()[3] < 65_536);
}

fn limit() -> i64 {
    i64::try_from(MIB).unwrap()
}

/// Headers of 60 KB, as a client sends them in a few bytes each.
fn large() -> Vec<(String, String)> {
    (0..15).map(|number| (format!("x-filler-{number}"), "x".repeat(4_000))).collect()
}

fn request(shell: &mut Shell, own: &[(&str, &str)]) -> StreamRef {
    let large = large();
    let mut headers: Vec<(&str, &str)> = large.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    headers.extend(own);
    shell.request(&headers)
}

fn status(shell: &Shell, stream: StreamRef) -> Option<u16> {
    shell.actions(stream).find_map(|action| if let Action::Reply(reply) = action { Some(reply.status) } else { None })
}

fn goes_on(shell: &Shell, stream: StreamRef) -> bool {
    shell.actions(stream).any(|action| matches!(action, Action::ContinueRequest))
}

/// Requests with one token that go on and wait for their response, until there is no room for a further one.
fn fill(shell: &mut Shell) -> Vec<StreamRef> {
    let mut streams = vec![request(shell, &[("cookie", &cookie(0))])];
    shell.respond(&session());
    loop {
        let stream = request(shell, &[("cookie", &cookie(0))]);
        if status(shell, stream).is_some() {
            return streams;
        }
        assert!(goes_on(shell, stream));
        streams.push(stream);
    }
}

#[test]
fn a_request_holds_little_of_large_headers_while_it_waits() {
    let mut shell = small(json!({})).shell();
    let own = cookie(0);
    let navigation = [("cookie", own.as_str()), NAVIGATION[0], NAVIGATION[1]];
    for headers in [&navigation[..], &navigation[..1], &[navigation[0], (":path", "/shadow")]] {
        let before = pending_bytes(&shell);
        let stream = request(&mut shell, headers);
        assert!(status(&shell, stream).is_none());
        let holds = pending_bytes(&shell) - before;
        assert!((200..6_000).contains(&holds), "{holds}");
    }
    shell.respond(&session());
    let before = pending_bytes(&shell);
    request(&mut shell, &navigation);
    let holds = pending_bytes(&shell) - before;
    assert!((200..3_000).contains(&holds), "{holds} while it waits for its response");
}

#[test]
fn a_request_that_waited_is_judged_by_what_its_headers_said() {
    let site = small(json!({"default": {"session": "required", "origins": ["https://friend.example"]}}));
    let headers = [NAVIGATION[0], ("origin", "https://friend.example")];
    let handled = site.settle_with(&headers, &none());
    let location = "https://login.example/?next=https%3A%2F%2Fshop.example%2Fsomewhere".to_owned();
    assert_eq!(handled.verdict(), Verdict::Redirect(302, location));
    let handled = site.settle_with(&headers[1..], &none());
    assert_eq!(handled.verdict(), denied());
    assert_eq!(handled.reply_header("access-control-allow-origin"), ["https://friend.example"]);
}

#[test]
fn the_call_for_a_change_has_the_trace_headers_of_its_request() {
    for is_cached in [false, true] {
        let mut shell = small(json!({})).shell();
        if is_cached {
            shell.request(&[("cookie", &cookie(0))]);
            shell.respond(&session());
        }
        let stream = request(&mut shell, &[("cookie", &cookie(0)), ("x-request-id", "abc"), ("b3", "1-2-1")]);
        if !is_cached {
            shell.respond(&session());
        }
        shell.upstream_responds(stream, &[("x-session-set", r#"{"a":1}"#)]);
        let call = &shell.calls[0].request;
        assert_eq!((call.method(), call.header("x-request-id"), call.header("b3")), ("POST", "abc", "1-2-1"));
    }
}

#[test]
fn beyond_the_limit_a_request_that_would_hold_memory_gets_503() {
    let mut shell = small(json!({})).shell();
    let streams = fill(&mut shell);
    assert!(streams.len() > 200, "{}", streams.len());
    let full = pending_bytes(&shell);
    assert!((limit()..limit() + 4_000).contains(&full), "{full}");
    let calls = shell.dispatches;
    let denied = request(&mut shell, &[("cookie", &cookie(1))]);
    assert_eq!(status(&shell, denied), Some(503));
    assert_eq!(shell.outcomes().pop(), Some(Outcome::DeniedBusy));
    let logout = request(&mut shell, &[("cookie", &cookie(1)), (":path", "/logout"), (":method", "POST")]);
    assert_eq!((status(&shell, logout), shell.outcomes().pop()), (Some(503), Some(Outcome::LogoutFailure)));
    for (path, age, outcome) in [
        ("/optional", 1, Outcome::Anonymous),
        ("/shadow", 1, Outcome::ShadowDenied),
        // The cache answers, and nothing is kept of the request.
        ("/plain", 0, Outcome::Allowed),
    ] {
        let stream = request(&mut shell, &[("cookie", &cookie(age)), (":path", path)]);
        assert!(goes_on(&shell, stream), "{path}");
        assert_eq!(shell.outcomes().pop(), Some(outcome), "{path}");
    }
    assert_eq!((shell.dispatches, pending_bytes(&shell)), (calls, full));
    // There is room again once a response has come, or a stream has ended.
    shell.upstream_responds(streams[0], &[]);
    shell.end(streams[1]);
    let next = request(&mut shell, &[("cookie", &cookie(0))]);
    assert!(goes_on(&shell, next));
}

#[test]
fn beyond_the_limit_requests_that_would_share_a_call_get_503() {
    let mut shell = small(json!({})).shell();
    let mut waiting = 0;
    loop {
        let stream = request(&mut shell, &[("cookie", &cookie(0))]);
        if status(&shell, stream) == Some(503) {
            break;
        }
        waiting += 1;
        assert!(waiting < 10_000);
    }
    assert_eq!(shell.calls.len(), 1);
    shell.respond(&session());
    while shell.wakeups > 0 {
        shell.wake_up();
    }
    assert_eq!(shell.count(Counter::Outcome(Outcome::Allowed)), waiting, "those that wait do not need more");
}

#[test]
fn clients_that_leave_and_come_again_while_a_call_is_in_flight_are_counted_until_it_is_over() {
    let mut shell = small(json!({})).shell();
    let mut requests = 0;
    loop {
        let stream = shell.request(&[("cookie", &cookie(0))]);
        if let Some((_, Action::Reply(reply))) = shell.carried_out.last() {
            assert_eq!(reply.status, 503);
            break;
        }
        shell.end(stream);
        requests += 1;
        assert!(requests < 60_000);
    }
    assert_eq!(shell.calls.len(), 1);
    shell.respond(&session());
    assert_eq!(pending_bytes(&shell), 0);
}

#[test]
fn beyond_the_limit_no_response_waits_for_a_change_but_for_an_end() {
    let mut shell = small(json!({"write_back": {"on_failure": "deny"}})).shell();
    let streams = fill(&mut shell);
    shell.upstream_responds(streams[0], &[("x-session-kill", "1")]);
    assert_eq!(shell.calls.len(), 1, "it ends the session");
    let more = streams.len() + 5;
    // Large changes of one session wait for each other.
    let mut shell = small(json!({"max_pending_bytes": 2 * MIB, "write_back": {"on_failure": "deny"}})).shell();
    let mut streams = vec![request(&mut shell, &[("cookie", &cookie(0))])];
    shell.respond(&session());
    streams.extend((0..more).map(|_| request(&mut shell, &[("cookie", &cookie(0))])));
    let body = format!(r#"{{"a":"{}"}}"#, "x".repeat(50_000));
    let mut bodies = (0..).map(|number: u32| body.replace("\"a\"", &format!("\"a{number}\"")));
    for stream in &streams {
        shell.upstream_responds(*stream, &[("x-session-set", &bodies.next().unwrap())]);
    }
    assert!(pending_bytes(&shell) < 2 * limit() + 200_000, "{}", pending_bytes(&shell));
    let refused = streams.iter().filter(|stream| status(&shell, **stream) == Some(503)).count();
    assert!((1..more).contains(&refused), "{refused}");
    while !shell.calls.is_empty() {
        shell.respond(&session());
    }
    assert_eq!(pending_bytes(&shell), 0, "every response has gone on or is replaced");
}

#[test]
fn what_a_request_held_is_given_back_however_it_ends() {
    let own = cookie(0);
    let logout = [("cookie", own.as_str()), (":path", "/logout"), (":method", "POST")];
    for (what, headers) in [
        ("a request", &logout[..1]),
        ("an optional one", &[logout[0], (":path", "/optional")]),
        ("one in shadow", &[logout[0], (":path", "/shadow")]),
        ("a logout", &logout[..]),
    ] {
        let answer = if what == "a logout" { killed(true) } else { session() };
        for end in 0..6 {
            let mut shell = small(json!({})).shell();
            let stream = request(&mut shell, headers);
            assert!(pending_bytes(&shell) > 0, "{what}");
            match end {
                0 => {
                    shell.end(stream);
                    shell.respond(&answer);
                }
                1 => {
                    shell.respond(&answer);
                    shell.end(stream);
                }
                2 => {
                    shell.respond(&Response::Timeout);
                    shell.end(stream);
                }
                3 => {
                    shell.gone.insert(stream.id);
                    shell.respond(&answer);
                }
                4 => {
                    shell.respond(&answer);
                    shell.upstream_responds(stream, &[("x-session-set", r#"{"a":1}"#)]);
                    while !shell.calls.is_empty() {
                        shell.respond(&session());
                    }
                }
                _ => shell.retire(),
            }
            shell.tick();
            assert_eq!(shell.gauges()[3], 0, "{what} {end}");
            shell.end(stream);
            assert_eq!((shell.gauges()[3], pending_bytes(&shell)), (0, 0), "{what} {end}");
        }
    }
}

#[test]
fn a_worker_without_a_request_shows_nothing_in_gauges() {
    let mut shell = small(json!({})).shell();
    shell.tick();
    assert_eq!(shell.gauges(), [0; 4]);
    shell.request(&[(":path", "/")]);
    assert!(shell.gauges()[1] > 0, "the cache's bookkeeping");
    shell.retire();
    assert_eq!(shell.gauges(), [0; 4]);
    shell.request(&[("cookie", &cookie(0))]);
    assert_eq!(shell.gauges()[1..], [0; 3], "what outlives the configuration is not shown");
}
