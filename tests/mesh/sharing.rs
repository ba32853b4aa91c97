//! One call for all who ask for the same session at the same time.

use serde_json::{Value, json};
use test_support::http1::Request;
use test_support::token;
use test_support::wait::until_equal;

use crate::harness::mesh::{Mesh, Setup, plugin};
use crate::harness::stub::{Answer, Call, Latch, Stub};

/// A service that answers once the latch is opened, and an Envoy in front of it.
fn held_back(keys: Value, answer: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> (Latch, Stub, Mesh) {
    let latch = Latch::default();
    let held = latch.clone();
    let stub = Stub::start(move |call| Answer::After(held.clone(), Box::new(answer(call))));
    let mut keys: Value = plugin(keys);
    keys["rest_sessions"]["timeout"] = "15s".into();
    let mesh = Setup::new(keys).sessions(stub.address()).start();
    (latch, stub, mesh)
}

/// Waits until so many requests share a call that another one made.
fn joined(mesh: &Mesh, count: u64) {
    until_equal("the requests that joined a call", &count, || mesh.counter("coalesced_total"));
}

/// A thousand requests for one session wait for one call, and all have this status. What was counted beside the calls
/// is left to the test.
fn a_thousand_together(keys: Value, answer: Answer, status: u16) -> Mesh {
    let (latch, stub, mesh) = held_back(keys, move |_| answer.clone());
    let crowd = mesh.send_concurrently(&Request::get("/").session(&token::fresh()), 1_000);
    joined(&mesh, 999);
    latch.open();
    assert!(crowd.statuses().iter().all(|found| *found == status));
    assert_eq!(stub.calls().len(), 1);
    mesh
}

#[test]
fn a_thousand_requests_for_one_session_make_one_call_and_are_denied_together() {
    let mesh = a_thousand_together(json!({}), Answer::none(), 401);
    mesh.expect_outcomes(&[("denied_no_session_total", 1_000)]);
    mesh.expect_counters(&[("calls_total", 1), ("coalesced_total", 999)]);
}

#[test]
fn a_thousand_requests_for_one_session_make_one_call_and_pass_together() {
    let mesh = a_thousand_together(json!({}), Answer::session(), 200);
    mesh.expect_outcomes(&[("allowed_total", 1_000)]);
    mesh.expect_counters(&[("calls_total", 1), ("coalesced_total", 999)]);
}

#[test]
fn a_thousand_requests_make_one_call_also_where_answers_are_kept() {
    let keys = json!({"cache": {"ttl": "1h", "negative_ttl": "1h"}});
    let denied = a_thousand_together(keys.clone(), Answer::none(), 401);
    denied.expect_outcomes(&[("denied_no_session_total", 1_000)]);
    let allowed = a_thousand_together(keys, Answer::session(), 200);
    allowed.expect_outcomes(&[("allowed_total", 1_000)]);
    for mesh in [denied, allowed] {
        mesh.expect_counters(&[("calls_total", 1), ("coalesced_total", 999), ("cache_misses_total", 1_000)]);
    }
}

#[test]
fn those_who_stay_pass_together_also_when_the_one_who_asked_first_leaves() {
    let (latch, stub, mesh) = held_back(json!({}), |_| Answer::session());
    let token = token::fresh();
    let mut crowd = mesh.send_concurrently(&Request::get("/").session(&token), 300);
    joined(&mesh, 299);
    crowd.cancel(100);
    until_equal("those who left to be counted", &100, || mesh.counter("abandoned_total"));
    let mut late = mesh.begin(&Request::get("/").session(&token));
    joined(&mesh, 300);
    latch.open();
    assert!(crowd.statuses().iter().all(|status| *status == 200));
    assert_eq!(late.read(false).status, 200);
    assert_eq!(stub.calls().len(), 1);
    mesh.expect_outcomes(&[("allowed_total", 201), ("abandoned_total", 100)]);
}

#[test]
fn crowds_for_several_sessions_each_get_their_own_answer() {
    let (latch, _stub, mesh) =
        held_back(json!({}), |call| if call.token().ends_with('0') { Answer::none() } else { Answer::session() });
    // A token of another kind, which bears no time, so that its last character can be chosen.
    let tokens = ["0", "1"].map(|last| format!("{}{last}", "a".repeat(63)));
    let crowds = tokens.each_ref().map(|token| mesh.send_concurrently(&Request::get("/").session(token), 100));
    joined(&mesh, 198);
    latch.open();
    let [unknown, known] = crowds.map(|crowd| crowd.statuses());
    assert!(unknown.iter().all(|status| *status == 401) && known.iter().all(|status| *status == 200));
    mesh.expect_counters(&[("calls_total", 2), ("coalesced_total", 198)]);
}
