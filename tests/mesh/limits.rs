//! Limits on the age and idle time of sessions: a session beyond one is killed, even if rest-sessions would keep it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::sessions::{APP, RestSessions};
use crate::harness::stub::{Call, CalloutResponse, Stub};
use crate::setup::{CONNECTIONS, extended};
use test_support::http1::{Connection, Request};
use test_support::token;
use test_support::wait;

const HOUR: Duration = Duration::from_secs(3_600);

/// A session service that knows every token until it is killed.
fn killable_service() -> Stub {
    let killed = Mutex::new(HashSet::new());
    Stub::start(move |call: &Call| {
        let mut killed = killed.lock().unwrap();
        match call.method.as_str() {
            "DELETE" => CalloutResponse::json(200, &json!({"kill": u8::from(killed.insert(call.token().to_owned()))})),
            _ if killed.contains(call.token()) => CalloutResponse::none(),
            _ => CalloutResponse::session(),
        }
    })
}

/// A session service that counts each lookup as a use, as the original does, and ignores `max_idle`.
#[derive(Clone, Default)]
struct Original(Arc<Mutex<HashMap<String, Instant>>>);

impl Original {
    fn start(&self) -> Stub {
        let sessions = Arc::clone(&self.0);
        Stub::start(move |call: &Call| {
            let mut sessions = sessions.lock().unwrap();
            if call.method == "DELETE" {
                return CalloutResponse::json(200, &json!({"kill": u8::from(sessions.remove(call.token()).is_some())}));
            }
            match sessions.get_mut(call.token()) {
                None => CalloutResponse::none(),
                Some(used) => {
                    let idle = used.elapsed().as_secs();
                    *used = Instant::now();
                    CalloutResponse::json(200, &json!({"id": "user123", "ttl": 86400, "idle": idle}))
                }
            }
        })
    }

    /// A session that was used so long ago.
    fn create(&self, idle: Duration) -> String {
        let token = token::aged(Duration::from_secs(60));
        let used = Instant::now().checked_sub(idle).expect("the machine runs for longer than a minute");
        self.0.lock().unwrap().insert(token.clone(), used);
        token
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

const SESSIONS: usize = 30;
const AT_ONCE: usize = 12;
const WORKERS: u32 = 4;

/// Sends 12 requests at once with each of these sessions, each on a connection of its own. Returns how many passed.
fn passed(mesh: &Mesh, tokens: &[String]) -> usize {
    let mut passed = 0;
    for token in tokens {
        let barrier = Barrier::new(AT_ONCE);
        let statuses: Vec<u16> = thread::scope(|scope| {
            let senders: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    scope.spawn(|| {
                        let request = Request::get("/").session(token);
                        let connection = Connection::open(mesh.address());
                        barrier.wait();
                        mesh.count_one();
                        connection.send(&request).read(false).status
                    })
                })
                .collect();
            senders.into_iter().map(|sender| sender.join().expect("it gets a response")).collect()
        });
        assert!(statuses.iter().all(|status| matches!(status, 200 | 401)), "{statuses:?}");
        passed += statuses.iter().filter(|status| **status == 200).count();
    }
    passed
}

fn limited(limits: Value, keys: Value) -> Value {
    extended(plugin(json!({"limits": limits})), keys)
}

/// Waits for a kill call of the session. Several requests may each cause one.
#[track_caller]
fn expect_kill(stub: &Stub, token: &str) {
    let kill = format!("/{APP}/kill/{token}");
    wait::until("a kill", || {
        stub.calls_for(token).into_iter().find(|call| (call.method.as_str(), &call.path) == ("DELETE", &kill))
    });
}

#[test]
fn a_session_beyond_its_maximum_age_is_killed_and_denied() {
    let stub = killable_service();
    let mesh = Setup::new(limited(json!({"age": "12h"}), json!({}))).sessions(stub.address()).start();
    let (old, young) = (token::aged(13 * HOUR), token::aged(11 * HOUR));
    let denied = mesh.denies(&Request::get("/").session(&old), 401, "session_required");
    assert_eq!(denied.lasting_headers(), mesh.denies(&Request::get("/"), 401, "session_required").lasting_headers());
    mesh.passes(&Request::get("/").session(&young));
    expect_kill(&stub, &old);
    assert_eq!(stub.calls_for(&young).len(), 1);
    assert_eq!(mesh.counter("ends_total"), 1);
}

#[test]
fn a_session_beyond_its_maximum_idle_time_is_killed_in_the_store() {
    let sessions = RestSessions::over_redis();
    let mesh = Setup::new(limited(json!({"idle": "30m"}), json!({"cache": {"ttl": "1s"}})))
        .sessions(sessions.address())
        .start();
    let (idle, used) = (sessions.create("user1", &json!(null)), sessions.create("user2", &json!(null)));
    let last_used = |token: &str, ago: Duration| {
        let then = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") - ago;
        sessions.set_last_activity(token, then.as_secs());
    };
    last_used(&idle, Duration::from_secs(31 * 60));
    last_used(&used, Duration::from_secs(29 * 60));
    mesh.passes(&Request::get("/").session(&used));
    mesh.denies(&Request::get("/").session(&idle), 401, "session_required");
    wait::until("the session to be gone", || {
        let response = sessions.call("GET", &format!("/{APP}/get/{idle}"), "");
        (response.text() == "{}").then_some(())
    });
    mesh.denies(&Request::get("/").session(&idle), 401, "session_required");
}

#[test]
fn a_cached_session_is_denied_at_its_maximum_age_by_every_worker() {
    let stub = killable_service();
    let keys = limited(json!({"age": "1h"}), json!({"cache": {"ttl": "1h", "stale_if_error": "1h"}}));
    let mesh = Setup::new(keys).sessions(stub.address()).workers(2).start();
    let token = token::aged(HOUR - Duration::from_secs(3));
    let request = Request::get("/").session(&token);
    for _ in 0..CONNECTIONS {
        mesh.passes(&request);
    }
    wait::until("the session to reach its maximum age", || (mesh.send(&request).status == 401).then_some(()));
    for _ in 0..CONNECTIONS {
        mesh.denies(&request, 401, "session_required");
    }
    expect_kill(&stub, &token);
}

#[test]
fn a_session_beyond_a_limit_passes_optional_routes_and_redirects_navigations_to_login() {
    let stub = killable_service();
    let keys = limited(
        json!({"age": "12h"}),
        json!({
            "hosts": ["shop.example.com"],
            "login": {"url": "/login"},
            "rules": [{"match": {"paths": ["/login"]}, "session": "off"}, {"match": {"paths": ["/"]}, "session": "optional"}],
        }),
    );
    let mesh = Setup::new(keys).sessions(stub.address()).start();
    let old = token::aged(13 * HOUR);
    assert_eq!(mesh.passes(&Request::get("/").session(&old)).session_headers(), Vec::<&str>::new());
    let page = Request::get("/account").session(&old).header("sec-fetch-mode", "navigate");
    let response = mesh.send(&page);
    assert_eq!((response.status, response.header("location").as_deref()), (302, Some("/login")));
}

#[test]
fn a_session_beyond_a_limit_is_not_killed_in_shadow() {
    let stub = killable_service();
    let keys = limited(json!({"age": "12h"}), json!({"shadow": true}));
    let mesh = Setup::new(keys).sessions(stub.address()).start();
    let old = token::aged(13 * HOUR);
    mesh.passes(&Request::get("/").session(&old));
    mesh.expect_outcomes(&[("shadow_denied_total", 1)]);
    assert_eq!(stub.only_call_for(&old).method, "GET");
}

#[test]
fn a_failed_kill_of_a_session_beyond_a_limit_is_repeated_with_the_next_request() {
    let stub = Stub::start(|call: &Call| match call.method.as_str() {
        "DELETE" => CalloutResponse::text(500, "{}"),
        _ => CalloutResponse::session(),
    });
    let mesh = Setup::new(limited(json!({"age": "12h"}), json!({"cache": {"ttl": "1h", "negative_ttl": "0s"}})))
        .sessions(stub.address())
        .start();
    let old = token::aged(13 * HOUR);
    let kills = || stub.calls_for(&old).iter().filter(|call| call.method == "DELETE").count();
    for count in 1..=2 {
        mesh.denies(&Request::get("/").session(&old), 401, "session_required");
        wait::until_equal("a kill", &count, kills);
    }
}

#[test]
fn no_request_of_many_at_once_passes_with_a_session_that_was_idle_for_too_long() {
    let sessions = RestSessions::over_redis();
    let mesh =
        Setup::new(limited(json!({"idle": "30m"}), json!({}))).sessions(sessions.address()).workers(WORKERS).start();
    let then = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") - Duration::from_secs(31 * 60);
    let create = |number: usize| {
        let token = sessions.create(&format!("user{number}"), &json!(null));
        sessions.set_last_activity(&token, then.as_secs());
        token
    };
    let tokens: Vec<String> = (0..SESSIONS).map(create).collect();
    assert_eq!(passed(&mesh, &tokens), 0);
    mesh.expect_outcomes(&[("denied_no_session_total", (SESSIONS * AT_ONCE) as u64)]);
}

#[test]
fn no_request_of_many_at_once_passes_with_such_a_session_of_a_service_that_counts_each_lookup_as_a_use() {
    for keys in [json!({}), json!({"cache": {"ttl": "1s"}}), json!({"cache": {"ttl": "1s", "shared": false}})] {
        let original = Original::default();
        let stub = original.start();
        let mesh = Setup::new(limited(json!({"idle": "20s"}), keys)).sessions(stub.address()).workers(WORKERS).start();
        let tokens: Vec<String> = (0..SESSIONS).map(|_| original.create(Duration::from_secs(22))).collect();
        assert_eq!(passed(&mesh, &tokens), 0);
        wait::until_equal("the sessions to be killed", &0, || original.count());
    }
}

#[test]
fn every_request_of_many_at_once_passes_with_a_session_within_the_limit() {
    let original = Original::default();
    let stub = original.start();
    let mesh = Setup::new(limited(json!({"idle": "20s"}), json!({}))).sessions(stub.address()).workers(WORKERS).start();
    for idle in [0, 1, 5] {
        let tokens: Vec<String> = (0..10).map(|_| original.create(Duration::from_secs(idle))).collect();
        assert_eq!(passed(&mesh, &tokens), tokens.len() * AT_ONCE);
    }
}

#[test]
fn a_lookup_that_may_have_counted_as_a_use_is_not_repeated() {
    let stub = Stub::start(|call: &Call| match call.method.as_str() {
        "GET" => CalloutResponse::ResetBeforeHeaders,
        _ => CalloutResponse::none(),
    });
    for (limits, calls) in [(json!({"idle": "30m"}), 1), (json!({"age": "12h"}), 2)] {
        let mesh = Setup::new(limited(limits, json!({}))).sessions(stub.address()).start();
        let token = token::fresh();
        mesh.denies(&Request::get("/").session(&token), 503, "sessions_unavailable");
        assert_eq!(stub.calls_for(&token).len(), calls);
    }
}

#[test]
fn a_lookup_whose_answer_was_lost_does_not_revive_a_session_of_rest_sessions() {
    let sessions = Arc::new(RestSessions::over_redis());
    let token = sessions.create("user1", &json!(null));
    let then = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") - Duration::from_secs(31 * 60);
    sessions.set_last_activity(&token, then.as_secs());
    let (service, loses) = (Arc::clone(&sessions), AtomicBool::new(true));
    let stub = Stub::start(move |call: &Call| {
        let answer = service.call(&call.method, &call.path, "");
        if loses.swap(false, Ordering::SeqCst) {
            return CalloutResponse::ResetBeforeHeaders;
        }
        CalloutResponse::text(answer.status, answer.text())
    });
    let mesh = Setup::new(limited(json!({"idle": "30m"}), json!({}))).sessions(stub.address()).start();
    mesh.denies(&Request::get("/").session(&token), 503, "sessions_unavailable");
    mesh.denies(&Request::get("/").session(&token), 401, "session_required");
}
