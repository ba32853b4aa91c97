//! The cost of each kind of request in the shipped module: instructions and host calls, counted exactly under wasmi and
//! compared with `counts.json`, so that a change of either is visible in review.
//!
//! `UPDATE_COUNTS=1 cargo test --test counts` writes the file again, from the module in `dist`.

mod host;
mod paths;
mod request_kinds;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use host::Cost;
use request_kinds::PhaseCosts;
use serde::{Deserialize, Serialize};

const ABOUT: &str = "What each kind of request costs in dist/rest_sessions_filter.wasm under wasmi (tests/counts): \
                     instructions as wasmi counts fuel, and calls of the host. Written by \
                     `make build && UPDATE_COUNTS=1 cargo test --test counts`.";

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Counts {
    about: String,
    kinds: BTreeMap<String, PhaseCosts>,
}

fn read(path: &Path, how_to_create: &str) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}; {how_to_create}", path.display()))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A line for each figure that differs.
fn differences(expected: &BTreeMap<String, PhaseCosts>, found: &BTreeMap<String, PhaseCosts>) -> String {
    let figures = |counts: &BTreeMap<String, PhaseCosts>| -> BTreeMap<[String; 3], u64> {
        let of_cost = |Cost { instructions, host_calls }: &Cost| {
            let calls = host_calls.iter().map(|(name, count)| (name.clone(), *count));
            calls.chain([("instructions".to_owned(), *instructions)]).collect::<Vec<_>>()
        };
        let of_kind = |(kind, costs): (&String, &PhaseCosts)| {
            let phases =
                costs.iter().flat_map(|(phase, cost)| of_cost(cost).into_iter().map(|figure| (phase.clone(), figure)));
            phases.map(|(phase, (name, count))| ([kind.clone(), phase, name], count)).collect::<Vec<_>>()
        };
        counts.iter().flat_map(of_kind).collect()
    };
    let (expected, found) = (figures(expected), figures(found));
    let mut table = String::new();
    for key in expected.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
        let count = |counts: &BTreeMap<[String; 3], u64>| counts.get(key).copied().unwrap_or(0);
        let (before, now) = (count(&expected), count(&found));
        if before != now {
            let [kind, phase, name] = key;
            #[expect(clippy::cast_precision_loss, reason = "a percentage for display")]
            let change = (now as f64 - before as f64) * 100.0 / before.max(1) as f64;
            writeln!(table, "{kind:46} {phase:10} {name:36} {before:>9} {now:>9} {change:>+8.2} %")
                .expect("text can be written");
        }
    }
    table
}

#[test]
fn each_kind_of_request_has_the_recorded_costs() {
    let root = root();
    let module = read(&root.join("dist/rest_sessions_filter.wasm"), "`make test` builds it");
    let found = Counts { about: ABOUT.to_owned(), kinds: request_kinds::count(&module) };
    let path = root.join("tests/counts/counts.json");
    if std::env::var_os("UPDATE_COUNTS").is_some() {
        let text = serde_json::to_string_pretty(&found).expect("counts can be written as JSON");
        fs::write(&path, text + "\n").expect("the file of counts can be written");
    }
    let expected: Counts = serde_json::from_slice(&read(&path, "UPDATE_COUNTS=1 writes it"))
        .unwrap_or_else(|error| panic!("{}: {error}; UPDATE_COUNTS=1 writes it again", path.display()));
    let table = differences(&expected.kinds, &found.kinds);
    assert!(
        table.is_empty(),
        "costs differ from tests/counts/counts.json (recorded, now):\n{table}\
         If that is intended, `UPDATE_COUNTS=1 cargo test --test counts` writes the file again."
    );
}

#[test]
fn counting_twice_gives_the_same_costs() {
    let module =
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/rest_sessions_filter.wasm"), "`make test` builds it");
    let (once, again) = (request_kinds::count(&module), request_kinds::count(&module));
    assert!(once == again, "the host or the module is not deterministic:\n{}", differences(&once, &again));
}

#[test]
fn how_much_of_a_cached_token_is_guessed_right_does_not_show_in_the_cost() {
    let module =
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/rest_sessions_filter.wasm"), "`make test` builds it");
    let places = [0, 1, 7, 15, 16, 31, 32, 47, 54];
    let costs = request_kinds::count_until_call(&module, &places.map(request_kinds::token_that_differs_at));
    assert!(costs.iter().all(|cost| *cost == costs[0]), "first difference at {places:?}: {costs:?} instructions");
}
