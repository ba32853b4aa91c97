//! The cost of paths that clients choose to be expensive, against that of a plain path of the same length.

use super::request_kinds::{count_path, vm_for_paths};
use super::{read, root};

/// How much more a path may cost than a plain one.
const MOST: u64 = 10;

/// Ends of paths. Each takes many readings, or many looks at each byte.
const ENDS: [&str; 12] = [
    "%41",
    "%252525252541",
    "%ff",
    ";x",
    "//b%2f\\c;d/%2ex?y",
    "//b\\c;d/e\u{17f}?x",
    "/x#b#/a/25;//2541252541\u{17f}2541\\2525/2541?",
    "/c;//\\\u{17f}?",
    "#?//b/c;%ff\\\u{17f}",
    "%3b%2f/b%5c%ff%23",
    "%253b%252f/b%255c%25ff%2523",
    "/a%20b//c;v=1/d",
];

/// Pieces of which whole paths are made.
const PIECES: [&str; 19] = [
    "25",
    "%25",
    "%41",
    "%2541",
    "%252541",
    "%2e/",
    "//",
    "a//;",
    "a;",
    "a;/",
    ";",
    "\\",
    "%5c",
    "%ff",
    "%25ff",
    "\u{17f}",
    "%c5%bf",
    "a%255c%3bb;c%2523",
    "%c3%a9%41/;\\//",
];

#[test]
fn no_path_costs_more_than_ten_times_a_plain_one_of_its_length() {
    let module = read(&root().join("dist/rest_sessions_filter.wasm"), "`make test` builds it");
    let (mut vm, mut context) = vm_for_paths(&module);
    let mut cost = |path: &str| count_path(&mut vm, &mut context, path.to_owned());
    let mut too_expensive = Vec::new();
    for length in [60, 150, 400, 1_000, 2_000, 4_000, 8_192, 8_193, 59_000] {
        let plain = cost(&format!("/off/{}", "a".repeat(length - "/off/".len())));
        let mut worst = (0, String::new());
        for path in hostile_paths(length) {
            worst = worst.max((cost(&path), path));
        }
        let (most, path) = worst;
        println!("{length} bytes: {most} instructions, a plain path {plain}: {}", shortened(&path));
        if most > MOST * plain {
            too_expensive.push((length, most, plain, shortened(&path)));
        }
    }
    assert!(too_expensive.is_empty(), "length, instructions, those of a plain path: {too_expensive:#?}");
}

/// Paths of at most this length.
fn hostile_paths(length: usize) -> impl Iterator<Item = String> {
    let stretched = move |start: &str, end: &str| {
        format!("{start}{}{end}", "a".repeat(length.saturating_sub(start.len() + end.len())))
    };
    let filled =
        move |start: &str, piece: &str| format!("{start}{}", piece.repeat((length - start.len()) / piece.len()));
    let late = ENDS.map(|end| stretched("/off/x", end));
    let early = ENDS.map(|end| stretched(&format!("/off/x{end}"), ""));
    let nested = PIECES.map(|piece| filled("/off/x%", piece));
    let repeated = PIECES.into_iter().chain(ENDS).map(move |piece| filled("/off/x", piece));
    late.into_iter().chain(early).chain(nested).chain(repeated).filter(move |path| path.len() <= length)
}

fn shortened(path: &str) -> String {
    let end: Vec<char> = path.chars().rev().take(40).collect();
    path.chars().take(20).chain("…".chars()).chain(end.into_iter().rev()).collect()
}
