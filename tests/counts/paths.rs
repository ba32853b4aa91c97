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
    let mut worst = (0.0, String::new());
    for length in [60, 150, 400, 1_000, 2_000, 4_000, 8_192, 8_193, 59_000] {
        let plain = count_path(&mut vm, &mut context, format!("/off/{}", "a".repeat(length - 5)));
        let long = |start: &str, end: &str| {
            format!("{start}{}{end}", "a".repeat(length.saturating_sub(start.len() + end.len())))
        };
        let filled = |piece: &str| format!("/off/x%{}", piece.repeat((length - 7) / piece.len()));
        let plain_start = |piece: &str| format!("/off/x{}", piece.repeat((length - 6) / piece.len()));
        let paths = ENDS.map(|end| long("/off/x", end)).into_iter();
        let paths = paths.chain(ENDS.map(|end| long(&format!("/off/x{end}"), "")));
        let paths = paths.chain(PIECES.map(filled)).chain(PIECES.map(plain_start)).chain(ENDS.map(plain_start));
        for path in paths.filter(|path| path.len() <= length) {
            let cost = count_path(&mut vm, &mut context, path.clone());
            let shown: String = path
                .chars()
                .take(40)
                .chain("…".chars())
                .chain(path.chars().skip(path.chars().count().saturating_sub(30)))
                .collect();
            #[expect(clippy::cast_precision_loss, reason = "a ratio")]
            let ratio = cost as f64 / plain as f64;
            if ratio > worst.0 {
                worst = (ratio, format!("{length}: {shown}"));
            }
            if ratio > 5.0 {
                println!("{ratio:.1} {length} {cost} {plain} {shown}");
            }
        }
    }
    panic!("{worst:?}");
}
