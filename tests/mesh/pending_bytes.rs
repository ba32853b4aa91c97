//! The memory of requests that wait: many slow requests with large headers, each of which costs its client some 100 bytes on
//! the wire (HPACK, RFC 7541, section 2.3.2), leave the filter's VM small, and are refused beyond `max_pending_bytes`.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::harness::http2::ConcurrentRequests;
use crate::harness::mesh::{Mesh, Setup};
use crate::harness::runtime;
use crate::harness::stub::{CalloutResponse, Stub};
use crate::setup::{held_service, long_timeout};
use test_support::http1::Request;
use test_support::token;
use test_support::wait;

/// Over several connections, since each carries few streams at once. All fit into the upstream cluster's connections.
const CONNECTIONS: usize = 9;
const STREAMS: usize = 100;

const MIB: u64 = 1 << 20;

/// Nearly the 60 KiB that Envoy takes. A value of this size has room in the table of header compression, so that each
/// repetition is one byte on the wire.
fn large_request(token: &str) -> Request {
    (0..19).fold(Request::get("/").session(token), |request, _| request.header("x-filler", "x".repeat(2_900)))
}

/// An upstream that reads requests and never responds.
fn silent_upstream() -> SocketAddr {
    let listener = runtime::wait_for("a port", TcpListener::bind("127.0.0.1:0")).expect("a listener on loopback");
    let address = listener.local_addr().expect("a listener has an address");
    runtime::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            runtime::spawn(async move {
                let mut buffer = [0; 4_096];
                while matches!(connection.read(&mut buffer).await, Ok(1..)) {}
            });
        }
    });
    address
}

fn keys(more: Value) -> Value {
    let mut keys = long_timeout(json!({"write_back": {}, "cache": {"ttl": "1h"}}));
    keys.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    keys
}

/// Sends many large requests at once. `arrived`: when all of them have been handled.
fn flood(mesh: &Mesh, token: &str, arrived: impl Fn() -> bool) -> Vec<ConcurrentRequests> {
    let request = large_request(token);
    let floods = (0..CONNECTIONS).map(|_| mesh.send_concurrently(&request, STREAMS)).collect();
    wait::until_true("all requests to be handled", arrived);
    floods
}

fn total() -> u64 {
    (CONNECTIONS * STREAMS) as u64
}

/// The growth of the filter's VMs while many requests wait, whose headers take some 50 MB.
fn growth(mesh: &Mesh, flood: impl FnOnce() -> Vec<ConcurrentRequests>) -> (u64, Vec<ConcurrentRequests>) {
    let before = mesh.envoy.vm_bytes();
    let floods = flood();
    (mesh.envoy.vm_bytes() - before, floods)
}

#[test]
fn many_requests_whose_responses_are_to_come_leave_the_vm_small() {
    let stub = Stub::with_active_session();
    let mesh = Setup::new(keys(json!({}))).sessions(stub.address()).upstream(silent_upstream()).start();
    let token = token::fresh();
    let (grown, floods) = growth(&mesh, || flood(&mesh, &token, || mesh.counter("allowed_total") == total()));
    assert!(grown < 8 * MIB, "the filter's VMs have grown by {grown} bytes");
    // Small moves are shown at the next tick.
    let expected = total() * 400..total() * 4_000;
    wait::until_true("the gauge to show them", || expected.contains(&mesh.counter("pending_bytes")));
    drop(floods);
    wait::until_equal("the memory to be given back", &0, || mesh.counter("pending_bytes"));
}

#[test]
fn many_requests_that_wait_for_their_session_leave_the_vm_small() {
    let (latch, stub) = held_service(|_| CalloutResponse::none());
    let mesh = Setup::new(keys(json!({}))).sessions(stub.address()).start();
    let token = token::fresh();
    let (grown, floods) = growth(&mesh, || flood(&mesh, &token, || mesh.counter("coalesced_total") == total() - 1));
    assert!(grown < 8 * MIB, "the filter's VMs have grown by {grown} bytes");
    assert!(mesh.counter("pending_bytes") < total() * 4_000);
    latch.open();
    assert!(floods.into_iter().flat_map(ConcurrentRequests::statuses).all(|status| status == 401));
    wait::until_equal("the memory to be given back", &0, || mesh.counter("pending_bytes"));
}

#[test]
fn beyond_max_pending_bytes_requests_are_refused_until_others_end() {
    let stub = Stub::with_active_session();
    let limited = keys(json!({"max_pending_bytes": MIB}));
    let mesh = Setup::new(limited).sessions(stub.address()).upstream(silent_upstream()).start();
    let token = token::fresh();
    let outcomes = || mesh.counter("allowed_total") + mesh.counter("denied_busy_total");
    let mut floods = flood(&mesh, &token, || outcomes() == total());
    // How much a request holds is not known here.
    while mesh.counter("denied_busy_total") == 0 {
        let before = outcomes();
        floods.extend((0..2).map(|_| mesh.send_concurrently(&large_request(&token), STREAMS)));
        wait::until_equal("two more connections", &(before + 2 * STREAMS as u64), outcomes);
        assert!(before < 4 * total(), "{} bytes", mesh.counter("pending_bytes"));
    }
    // On a busy machine, Envoy's idle timeout may have ended some streams already.
    let pending_bytes = mesh.counter("pending_bytes");
    assert!((MIB / 2..MIB + 16_384).contains(&pending_bytes), "{pending_bytes}");
    drop(floods);
    wait::until_equal("the memory to be given back", &0, || mesh.counter("pending_bytes"));
    drop(mesh.begin(&Request::get("/").session(&token)));
    let denied = mesh.counter("denied_busy_total");
    wait::until_equal("a request to have room again", &(mesh.sent() - denied), || mesh.counter("allowed_total"));
}
