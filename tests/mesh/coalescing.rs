//! Coalescing: concurrent requests for one session share one call.

use serde_json::{Value, json};

use crate::harness::mesh::{Mesh, Setup};
use crate::harness::stub::{Call, CalloutResponse, Latch, Stub};
use crate::setup::{held_service, long_timeout};
use test_support::http1::Request;
use test_support::token;
use test_support::wait::until_equal;

/// A session service that holds its responses until the latch opens, and an Envoy in front of it.
fn held_mesh(keys: Value, respond: impl Fn(&Call) -> CalloutResponse + Send + Sync + 'static) -> (Latch, Stub, Mesh) {
    let (latch, stub) = held_service(respond);
    let mesh = Setup::new(long_timeout(keys)).sessions(stub.address()).start();
    (latch, stub, mesh)
}

/// Waits until this many requests have joined a call in flight.
fn wait_for_joined(mesh: &Mesh, count: u64) {
    until_equal("the requests that joined a call", &count, || mesh.counter("coalesced_total"));
}

/// A thousand concurrent requests for one session share one call, and all get this status.
fn send_a_thousand(keys: Value, response: CalloutResponse, status: u16) -> Mesh {
    let (latch, stub, mesh) = held_mesh(keys, move |_| response.clone());
    let requests = mesh.send_concurrently(&Request::get("/").session(&token::fresh()), 1_000);
    wait_for_joined(&mesh, 999);
    latch.open();
    assert!(requests.statuses().iter().all(|found| *found == status));
    assert_eq!(stub.calls().len(), 1);
    mesh
}

#[test]
fn a_thousand_requests_for_an_unknown_token_share_one_call_and_are_all_denied() {
    let mesh = send_a_thousand(json!({}), CalloutResponse::none(), 401);
    mesh.expect_outcomes(&[("denied_no_session_total", 1_000)]);
    mesh.expect_counters(&[("calls_total", 1), ("coalesced_total", 999)]);
}

#[test]
fn a_thousand_requests_for_one_session_share_one_call_and_all_pass() {
    let mesh = send_a_thousand(json!({}), CalloutResponse::session(), 200);
    mesh.expect_outcomes(&[("allowed_total", 1_000)]);
    mesh.expect_counters(&[("calls_total", 1), ("coalesced_total", 999)]);
}

#[test]
fn a_thousand_requests_share_one_call_also_with_a_cache() {
    let keys = json!({"cache": {"ttl": "1h", "negative_ttl": "1h"}});
    let denied = send_a_thousand(keys.clone(), CalloutResponse::none(), 401);
    denied.expect_outcomes(&[("denied_no_session_total", 1_000)]);
    let allowed = send_a_thousand(keys, CalloutResponse::session(), 200);
    allowed.expect_outcomes(&[("allowed_total", 1_000)]);
    for mesh in [denied, allowed] {
        mesh.expect_counters(&[("calls_total", 1), ("coalesced_total", 999), ("cache_misses_total", 1_000)]);
    }
}

#[test]
fn coalesced_requests_pass_after_the_request_that_started_the_call_disconnects() {
    let (latch, stub, mesh) = held_mesh(json!({}), |_| CalloutResponse::session());
    let token = token::fresh();
    let mut requests = mesh.send_concurrently(&Request::get("/").session(&token), 300);
    wait_for_joined(&mesh, 299);
    requests.cancel(100);
    until_equal("the abandoned requests", &100, || mesh.counter("abandoned_total"));
    let mut late = mesh.begin(&Request::get("/").session(&token));
    wait_for_joined(&mesh, 300);
    latch.open();
    assert!(requests.statuses().iter().all(|status| *status == 200));
    assert_eq!(late.read(false).status, 200);
    assert_eq!(stub.calls().len(), 1);
    mesh.expect_outcomes(&[("allowed_total", 201), ("abandoned_total", 100)]);
}

#[test]
fn coalesced_requests_of_two_tokens_each_get_the_response_for_their_token() {
    let (latch, _stub, mesh) = held_mesh(json!({}), |call| {
        if call.token().ends_with('0') { CalloutResponse::none() } else { CalloutResponse::session() }
    });
    // Tokens without a creation time, whose last character can be chosen.
    let tokens = ["0", "1"].map(|last| format!("{}{last}", "a".repeat(63)));
    let requests = tokens.each_ref().map(|token| mesh.send_concurrently(&Request::get("/").session(token), 100));
    wait_for_joined(&mesh, 198);
    latch.open();
    let [unknown, known] = requests.map(|requests| requests.statuses());
    assert!(unknown.iter().all(|status| *status == 401) && known.iter().all(|status| *status == 200));
    mesh.expect_counters(&[("calls_total", 2), ("coalesced_total", 198)]);
}
