//! Workers of one Envoy: what one of them learns of a session holds for the others.

use super::*;
use crate::cache::shared_data::LocalData;

/// Two workers of one Envoy, and the requests' cookie.
fn two_workers(cache: Value) -> ([Shell; 2], String) {
    let site = site(json!({"cache": with(json!({"ttl": "60s"}), cache), "logout": {"path": "/logout"}}));
    let shared_data = LocalData::default();
    ([0, 1].map(|_| Shell::sharing(&site.config, &shared_data)), cookie(0))
}

/// Both workers hold the session. The first makes a call for it, and the second one too if it does not share.
fn warm_up(shells: &mut [Shell; 2], cookie: &str) {
    for shell in shells {
        shell.request(&[("cookie", cookie)]);
        if !shell.calls.is_empty() {
            shell.respond(&session());
        }
        let dispatches = shell.dispatches;
        shell.request(&[("cookie", cookie)]);
        assert_eq!(shell.outcomes(), [Outcome::Allowed; 2]);
        assert_eq!((shell.dispatches, shell.count(Counter::CacheHits) > 0), (dispatches, true), "it is cached");
    }
}

fn log_out(shell: &mut Shell, cookie: &str) {
    shell.request(&[("cookie", cookie), (":path", "/logout"), (":method", "POST")]);
}

#[test]
fn a_session_that_one_worker_holds_is_shared_with_the_other() {
    let (mut shells, cookie) = two_workers(json!({}));
    warm_up(&mut shells, &cookie);
    assert_eq!([shells[0].dispatches, shells[1].dispatches], [1, 0]);
    assert_eq!(shells[1].count(Counter::CacheSharedHits), 1);
}

#[test]
fn after_a_kill_the_other_worker_looks_the_session_up_again_on_its_next_request() {
    let (mut shells, cookie) = two_workers(json!({}));
    warm_up(&mut shells, &cookie);
    log_out(&mut shells[0], &cookie);
    // The kill is not over yet.
    shells[1].request(&[("cookie", &cookie)]);
    assert_eq!(shells[1].calls.len(), 1);
    shells[0].respond(&killed(true));
    shells[1].respond(&none());
    assert_eq!(shells[1].outcomes()[2..], [Outcome::DeniedNoSession]);
}

#[test]
fn a_lookup_that_began_before_a_kill_is_repeated_after_it() {
    let (mut shells, cookie) = two_workers(json!({}));
    warm_up(&mut shells, &cookie);
    log_out(&mut shells[0], &cookie);
    shells[1].request(&[("cookie", &cookie)]);
    shells[0].respond(&killed(true));
    shells[1].respond(&session());
    assert_eq!(shells[1].outcomes().len(), 2, "the response may be from before the kill");
    assert_eq!(shells[1].calls.len(), 1);
    shells[1].respond(&none());
    assert_eq!(shells[1].outcomes()[2..], [Outcome::DeniedNoSession]);
}

#[test]
fn workers_that_do_not_share_serve_their_entries_after_a_kill_in_another() {
    let (mut shells, cookie) = two_workers(json!({"shared": false}));
    warm_up(&mut shells, &cookie);
    assert_eq!([shells[0].dispatches, shells[1].dispatches], [1, 1]);
    log_out(&mut shells[0], &cookie);
    shells[0].respond(&killed(true));
    shells[1].request(&[("cookie", &cookie)]);
    assert_eq!((shells[1].calls.len(), &shells[1].outcomes()[2..]), (0, &[Outcome::Allowed][..]));
    shells[0].request(&[("cookie", &cookie)]);
    assert_eq!(shells[0].calls.len(), 1, "the worker itself looks it up again");
}
