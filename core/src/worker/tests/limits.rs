//! Sessions beyond a limit: they count as none, and are ended unless only shadow rules looked them up.

use super::*;

/// `/shadow` beside the default, which requires a session.
fn limited() -> Site {
    let rules = json!([{"match": {"paths": ["/shadow"]}, "session": "required", "shadow": true}]);
    site(json!({"rules": rules, "limits": {"idle": "60s"}, "cache": {"ttl": "10s"}}))
}

fn idle(seconds: u64) -> Response {
    Response::Json(json!({"id": "user123", "ttl": 7200, "idle": seconds}))
}

fn request(shell: &mut Shell, path: &str) -> StreamRef {
    shell.request(&[("cookie", &cookie(0)), (":path", path)])
}

#[test]
fn a_session_beyond_a_limit_counts_as_none_and_is_ended() {
    let mut shell = limited().shell();
    request(&mut shell, "/");
    shell.respond(&idle(61));
    assert_eq!(shell.outcomes(), [Outcome::DeniedNoSession]);
    assert_eq!(shell.calls[0].request.method(), "DELETE");
    assert_eq!(shell.calls[0].request.token(), token_made_at(NOW_MS));
    shell.respond(&killed(true));
    assert_eq!(shell.count(Counter::Ends), 1);
    assert_eq!((shell.outcomes().len(), shell.gauges()[0]), (1, 0));
}

#[test]
fn a_session_within_its_limit_is_not_ended() {
    let mut shell = limited().shell();
    request(&mut shell, "/");
    shell.respond(&idle(60));
    assert_eq!(shell.outcomes(), [Outcome::Allowed]);
    assert_eq!((shell.calls.len(), shell.count(Counter::Ends)), (0, 0));
}

#[test]
fn a_session_beyond_a_limit_is_not_ended_for_requests_in_shadow_alone() {
    let mut shell = limited().shell();
    request(&mut shell, "/shadow");
    shell.respond(&idle(61));
    assert_eq!(shell.outcomes(), [Outcome::ShadowDenied]);
    assert_eq!((shell.calls.len(), shell.count(Counter::Ends)), (0, 0));

    request(&mut shell, "/shadow");
    request(&mut shell, "/");
    shell.respond(&idle(61));
    assert_eq!(shell.outcomes()[1..], [Outcome::ShadowDenied, Outcome::DeniedNoSession]);
    assert_eq!(shell.calls[0].request.method(), "DELETE");
}
