//! The soak: a real Envoy with the filter and two workers under full load and every fault at once, for a bounded time.
//!
//! h2load and further clients send valid, junk, unknown, conflicting and forged requests, leave, change and end sessions
//! and hold WebSockets, while rest-sessions and Redis are killed and started again and the configuration is replaced.
//! `SOAK_SECONDS` is the time, a minute by default; `make soak` runs ten.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot continue panics with its location"
)]

#[allow(dead_code, reason = "the soak needs a part of it")]
#[path = "../mesh/harness/mod.rs"]
mod harness;

mod clients;
mod edge;
mod failures;
mod leavers;
mod ledger;
mod load;
mod memory;
mod soak;
mod sockets;
mod store;
mod tally;
mod upstream;
mod wire;

use std::env;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use test_support::process::program_or_skip;

use crate::edge::Edge;
use crate::failures::{Failures, StopOnPanic};
use crate::ledger::Ledger;
use crate::load::Protocol;
use crate::soak::Soak;
use crate::store::Store;
use crate::tally::Tally;
use crate::upstream::Upstream;

/// A time that holds one round of all faults, twice.
const DEFAULT_SECONDS: u64 = 60;

/// What a client does until the soak is over.
type Client = fn(&Soak);

#[test]
fn under_full_load_and_all_faults_every_request_that_passes_has_a_live_session() {
    let Some(h2load) = program_or_skip("H2LOAD_BIN", "the soak") else { return };
    let seconds = env::var("SOAK_SECONDS").map_or(DEFAULT_SECONDS, |text| text.parse().expect("a number of seconds"));
    let mut store = Store::start();
    let (ledger, failures) = (Arc::new(Ledger::default()), Arc::new(Failures::new()));
    let upstream = Upstream::start(Arc::clone(&ledger), Arc::clone(&failures));
    let mut edge = Edge::start(upstream.address(), store.address());
    let soak = Soak {
        ledger,
        failures,
        tally: Tally::default(),
        envoy: edge.address(),
        rest_sessions: store.address(),
        h2load,
        duration: Duration::from_secs(seconds),
    };
    let clients: [(&str, Client); 8] = [
        ("h2load over HTTP/1", |soak| load::at_full_speed(soak, Protocol::Http1)),
        ("h2load over HTTP/2", |soak| load::at_full_speed(soak, Protocol::Http2)),
        ("a member", clients::members),
        ("another member", clients::members),
        ("strangers", clients::strangers),
        ("who leaves over HTTP/1", leavers::over_http_1),
        ("who leaves over HTTP/2", leavers::over_http_2),
        ("WebSockets", sockets::open_and_close),
    ];
    thread::scope(|scope| {
        for (name, client) in clients {
            let soak = &soak;
            let run = move || {
                let _stop = StopOnPanic(&soak.failures);
                client(soak);
            };
            thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, run).expect("a thread starts");
        }
        let _stop = StopOnPanic(&soak.failures);
        run_schedule(&soak, &mut store, &mut edge);
    });
    println!("{}", soak.tally);
    let (services, stores) = store.kills;
    println!("rest-sessions was killed {services} times, Redis {stores} times");
    edge.memory.print();
    edge.print_counters();
    soak.ledger
        .sessions()
        .iter()
        .filter_map(|session| session.check().err())
        .for_each(|late| soak.failures.report(&late));
    soak.failures.assert_none();
    edge.assert_no_stuck_stream();
    edge.assert_sound();
    edge.assert_complete();
    edge.memory.assert_flat();
    edge.assert_outcomes_add_up(&soak.tally, upstream.arrived());
    edge.assert_calls_add_up();
}

/// Faults and new configurations, second by second. In the end all is repaired.
fn run_schedule(soak: &Soak, store: &mut Store, edge: &mut Edge) {
    for second in 0.. {
        soak.failures.pace(Duration::from_secs(second));
        if soak.is_over() {
            break;
        }
        edge.sample(soak.failures.elapsed());
        match second % 30 {
            8 => store.kill_service(&soak.ledger),
            18 => store.kill_redis(&soak.ledger),
            10 | 20 => store.repair(&soak.ledger),
            _ => {}
        }
        if second % 5 == 4 {
            edge.reconfigure();
        }
    }
    store.repair(&soak.ledger);
}
