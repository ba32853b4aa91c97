//! What each kind of request costs in the module that ships, free of noise: instructions and host calls, counted under
//! wasmi and compared with `counts.json`, so that a change of either shows in review.
//!
//! `UPDATE_COUNTS=1 cargo test --test counts` writes the file anew, from the module in `dist`.

mod host;
mod kinds;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use host::Cost;
use kinds::Life;
use serde::{Deserialize, Serialize};

const ABOUT: &str = "What each kind of request costs in dist/rest_sessions_filter.wasm under wasmi (tests/counts): \
                     instructions as wasmi counts fuel, and calls of the host. Written by \
                     `make build && UPDATE_COUNTS=1 cargo test --test counts`.";

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Counts {
    about: String,
    kinds: BTreeMap<String, Life>,
}

fn read(path: &Path, who_makes_it: &str) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}; {who_makes_it}", path.display()))
}

/// One line for each figure that is not the one expected.
fn differences(expected: &BTreeMap<String, Life>, found: &BTreeMap<String, Life>) -> String {
    let figures = |counts: &BTreeMap<String, Life>| -> BTreeMap<[String; 3], u64> {
        let of_cost = |Cost { instructions, host_calls }: &Cost| {
            let calls = host_calls.iter().map(|(name, count)| (name.clone(), *count));
            calls.chain([("instructions".to_owned(), *instructions)]).collect::<Vec<_>>()
        };
        let of_life = |(kind, life): (&String, &Life)| {
            let parts =
                life.iter().flat_map(|(part, cost)| of_cost(cost).into_iter().map(|figure| (part.clone(), figure)));
            parts.map(|(part, (name, count))| ([kind.clone(), part, name], count)).collect::<Vec<_>>()
        };
        counts.iter().flat_map(of_life).collect()
    };
    let (expected, found) = (figures(expected), figures(found));
    let mut table = String::new();
    for key in expected.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
        let count = |counts: &BTreeMap<[String; 3], u64>| counts.get(key).copied().unwrap_or(0);
        let (before, now) = (count(&expected), count(&found));
        if before != now {
            let [kind, part, name] = key;
            #[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
            let change = (now as f64 - before as f64) * 100.0 / before.max(1) as f64;
            writeln!(table, "{kind:46} {part:10} {name:36} {before:>9} {now:>9} {change:>+8.2} %")
                .expect("text can be written");
        }
    }
    table
}

#[test]
fn each_kind_of_request_costs_what_it_is_known_to_cost() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let module = read(&root.join("dist/rest_sessions_filter.wasm"), "`make test` builds it");
    let found = Counts { about: ABOUT.to_owned(), kinds: kinds::count(&module) };
    let path = root.join("tests/counts/counts.json");
    if std::env::var_os("UPDATE_COUNTS").is_some() {
        let text = serde_json::to_string_pretty(&found).expect("counts can be written as JSON");
        fs::write(&path, text + "\n").expect("the file of counts can be written");
    }
    let expected: Counts = serde_json::from_slice(&read(&path, "UPDATE_COUNTS=1 writes it"))
        .unwrap_or_else(|error| panic!("{}: {error}; UPDATE_COUNTS=1 writes it anew", path.display()));
    let table = differences(&expected.kinds, &found.kinds);
    assert!(
        table.is_empty(),
        "requests cost something else than tests/counts/counts.json says (before, now):\n{table}\
         If that is meant, `UPDATE_COUNTS=1 cargo test --test counts` writes the file anew."
    );
}

#[test]
fn a_second_count_gives_the_same() {
    let module =
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/rest_sessions_filter.wasm"), "`make test` builds it");
    let (once, again) = (kinds::count(&module), kinds::count(&module));
    assert!(once == again, "the host or the module is not deterministic:\n{}", differences(&once, &again));
}
