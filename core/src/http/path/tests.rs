//! Known path attacks, each with the server that it aims at, and the closure against a second, naive implementation.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn read(path: &str) -> Result<Vec<String>, Ambiguity> {
    let text = |reading| String::from_utf8(reading).expect("these paths are read as UTF-8");
    readings(path.as_bytes()).map(|all| all.into_iter().map(text).collect())
}

#[test]
fn plain_paths_have_one_reading() {
    for path in ["/", "/a", "/a/", "/a/b.c", "/a/.b", "/a/b.", "/...", "/a/.../b", "/-._~", "/!$&'()*+,=:@", "/A/z/09"]
    {
        assert!(is_plain(path.as_bytes()), "{path}");
        assert_eq!(read(path).as_deref(), Ok(&[path.to_owned()][..]));
    }
    for path in [
        "", "a", "*", "//", "//a", "/a//", "/a//b", "/.", "/..", "/./", "/../", "/a/.", "/a/..", "/a/./b", "/a/../b",
        "/%61", "/a;b", "/a\\b", "/a b", "/a?b", "/a#b", "/a|b", "/\u{e9}", "/\0", "/a\x7f", "/[a]",
    ] {
        assert!(!is_plain(path.as_bytes()), "{path}");
    }
}

#[test]
fn query_starts_at_the_first_question_mark() {
    for (target, path, query) in [
        ("/a", "/a", None),
        ("/a?", "/a", Some("")),
        ("/a?b=c?d", "/a", Some("b=c?d")),
        ("?", "", Some("")),
        ("", "", None),
    ] {
        assert_eq!(split_query(target.as_bytes()), (path.as_bytes(), query.map(str::as_bytes)));
    }
}

#[test]
fn known_path_attacks_are_refused() {
    use Ambiguity::*;
    for (server, path, found) in [
        ("Node's URL reads what follows as a host", "//x/admin", LeadingSlashes),
        ("Node's URL resolves encoded dots", "/api//%2e%2e/admin/x", DotSegment),
        ("WHATWG URLs take a backslash for a slash", "/\\x/admin", LeadingSlashes),
        ("nginx merges slashes after it has decoded them", "/%2fadmin", LeadingSlashes),
        ("double decoding behind a proxy that decodes once", "/%252fadmin", LeadingSlashes),
        ("Tomcat drops the parameter of an empty segment", "/;x/admin", LeadingSlashes),
        ("every server resolves dots", "/public/../admin", DotSegment),
        ("every server resolves a dot", "/./admin", DotSegment),
        ("every server resolves dots at the end", "/public/..", DotSegment),
        ("RFC 3986 decodes unreserved characters", "/public/%2e%2E/admin", DotSegment),
        ("RFC 3986 decodes one of two dots", "/public/.%2e/admin", DotSegment),
        ("Tomcat drops parameters, then resolves dots", "/public/..;/admin", DotSegment),
        ("Tomcat drops parameters with a value", "/public/..;jsessionid=1/admin", DotSegment),
        ("Tomcat decodes, then resolves dots", "/public/..;%2fpublic/admin", DotSegment),
        ("Tomcat behind one that decodes", "/public/..%3b/admin", DotSegment),
        ("Tomcat behind one that decodes twice", "/public/..%253b/admin", DotSegment),
        ("a parameter that hides the second dot", "/public/.;x./admin", DotSegment),
        ("Jetty decodes UTF-16 escapes", "/public/%u002e%u002e/admin", MalformedPercent),
        ("IIS decodes UTF-16 escapes in capitals", "/public/%U002E%U002E/admin", MalformedPercent),
        ("Jetty behind one that decodes", "/public/%25u002e%25u002e/admin", MalformedPercent),
        ("Jetty behind one that decodes an encoded u", "/public/%25%75002e/admin", MalformedPercent),
        ("decoders that guess at half an escape", "/%2/admin", MalformedPercent),
        ("decoders that guess at an escape cut off", "/admin%", MalformedPercent),
        ("decoders that put an escape together", "/%%32%65/admin", MalformedPercent),
        ("decoders that take other digits", "/%2g/admin", MalformedPercent),
        ("IIS and old Java decode overlong UTF-8", "/%c0%ae%c0%ae/admin", OverlongUtf8),
        ("decoders that do not check what continues", "/public/%c0%2e%c0%2e/admin", OverlongUtf8),
        ("overlong UTF-8 of two bytes, the other lead", "/public%c1%9cadmin", OverlongUtf8),
        ("overlong UTF-8 of three bytes", "/%e0%80%ae%e0%80%ae/admin", OverlongUtf8),
        ("overlong UTF-8 of four bytes", "/%f0%80%80%ae/admin", OverlongUtf8),
        ("overlong UTF-8 of five bytes", "/%f8%80%80%80%ae/admin", OverlongUtf8),
        ("overlong UTF-8 of six bytes", "/%fc%80%80%80%80%ae/admin", OverlongUtf8),
        ("overlong UTF-8 behind one that decodes", "/%25c0%25ae/admin", OverlongUtf8),
        ("IIS takes a backslash for a slash", "/public/..\\admin", DotSegment),
        ("IIS takes two backslashes for slashes", "/public\\..\\admin", DotSegment),
        ("IIS decodes, then takes backslashes", "/public%5c..%5cadmin", DotSegment),
        ("IIS behind one that decodes", "/public%255c..%255cadmin", DotSegment),
        ("two servers that decode", "/public/%252e%252e/admin", DotSegment),
        ("three servers that decode", "/public/%25252e%25252e/admin", DotSegment),
        ("an escape of escapes", "/public/%25%32%65%25%32%65/admin", DotSegment),
        ("decoding of a slash next to dots", "/public/..%2fadmin", DotSegment),
        ("C cuts at a null byte", "/admin%00.png", ControlCharacter),
        ("C behind one that decodes", "/admin%2500.png", ControlCharacter),
        ("a null byte as it is", "/admin\0.png", ControlCharacter),
        ("line breaks that split headers and logs", "/admin%0d%0ax:y", ControlCharacter),
        ("browsers drop tabs", "/ad%09min", ControlCharacter),
        ("DEL", "/admin%7f", ControlCharacter),
        ("a decoded question mark after dots", "/public/..%3fx", DotSegment),
        ("a decoded number sign after dots", "/public/..%23x", DotSegment),
        ("a number sign after dots", "/public/..#x", DotSegment),
        ("the asterisk form", "*", NotAbsolute),
        ("the absolute form", "http://x/admin", NotAbsolute),
        ("nothing", "", NotAbsolute),
        ("a relative path", "admin", NotAbsolute),
    ] {
        assert_eq!(read(path), Err(found), "{server}: {path}");
    }
}

#[test]
fn harmless_paths_have_every_reading_of_a_server() {
    let cases: [(&str, &[&str]); 13] = [
        ("/x%2fadmin", &["/x%2fadmin", "/x/admin"]),
        ("/api/a%2Fb", &["/api/a%2Fb", "/api/a/b"]),
        ("/%61dmin", &["/%61dmin", "/admin"]),
        ("/products/100%25", &["/products/100%25", "/products/100%"]),
        ("/100%25users", &["/100%25users", "/100%users"]),
        ("/%2561", &["/%2561", "/%61", "/a"]),
        ("/a//b", &["/a//b", "/a/b"]),
        ("/a;x/b", &["/a;x/b", "/a/b"]),
        ("/a\\b", &["/a\\b", "/a/b"]),
        ("/a%3Fb", &["/a%3Fb", "/a?b", "/a"]),
        ("/a?b#c", &["/a?b#c", "/a", "/a?b"]),
        ("/caf%C3%A9", &["/caf%C3%A9", "/caf\u{e9}"]),
        ("/a|b c", &["/a|b c"]),
    ];
    for (path, expected) in cases {
        assert_eq!(read(path), Ok(expected.iter().map(ToString::to_string).collect()), "{path}");
    }
}

#[test]
fn valid_utf_8_and_latin_1_are_not_taken_for_overlong() {
    for path in ["/\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}", "/%C3%A0", "/%E0%A4%B9", "/%F0%9F%92%A9", "/%e9t%e9"] {
        assert!(readings(path.as_bytes()).is_ok(), "{path}");
    }
}

#[test]
fn as_many_readings_as_allowed_pass_and_one_more_is_refused() {
    let nested = |depth: usize| format!("/%{}", "25".repeat(depth));
    assert_eq!(read(&nested(MAX_READINGS - 1)).map(|all| all.len()), Ok(MAX_READINGS));
    assert_eq!(read(&nested(MAX_READINGS)), Err(Ambiguity::TooManyReadings));
}

/// How the path is decided, and how many steps and how many bytes in them that took.
fn explored(path: &[u8]) -> (Result<usize, Ambiguity>, usize, usize) {
    let (mut steps, mut bytes) = (0, 0);
    let result = explore(path, |step, reading| {
        steps += 1;
        bytes += reading.len();
        step.apply(reading)
    });
    (result.map(|all| all.len()), steps, bytes)
}

#[test]
fn hostile_paths_cost_a_bounded_number_of_steps() {
    const LENGTH: usize = 60_000;
    let filled = |piece: &str| format!("/{}", piece.repeat(LENGTH / piece.len())).into_bytes();
    let nested = format!("/%{}", "25".repeat(LENGTH / 2)).into_bytes();
    let mixed = filled("a%255c%3bb;c%2523");
    for (path, result, steps) in [
        // Each level takes all the steps, and the first step of the last level finds the reading too many.
        (&nested, Err(Ambiguity::TooManyReadings), (MAX_READINGS - 1) * 7 + 1),
        (&filled("%25"), Ok(2), 2 * 7),
        (&filled("a;"), Ok(2), 2 * 7),
        (&filled("a;/"), Ok(2), 2 * 7),
        (&filled("a//;"), Ok(5), 5 * 7),
        (&mixed, Ok(14), 14 * 7),
    ] {
        let explored = explored(path);
        assert_eq!((explored.0, explored.1), (result, steps));
        assert!(explored.2 <= steps * path.len());
    }
}

/// The steps once more, on text and by other means, so that a mistake in one implementation shows in the other.
const NAIVE_STEPS: [fn(&str) -> String; 7] = [
    |path| naive_decode(path, |_| true),
    |path| naive_decode(path, |c| c.is_ascii_alphanumeric() || "-._~".contains(c)),
    |path| path.replace('\\', "/"),
    |path| {
        let mut path = path.to_owned();
        while path.contains("//") {
            path = path.replace("//", "/");
        }
        path
    },
    |path| path.split('/').map(|segment| segment.split(';').next().unwrap()).collect::<Vec<_>>().join("/"),
    |path| path.split('?').next().unwrap().to_owned(),
    |path| path.split('#').next().unwrap().to_owned(),
];

/// Every byte as the character of that number, so that text can hold any path.
fn as_text(path: &[u8]) -> String {
    path.iter().copied().map(char::from).collect()
}

fn naive_decode(path: &str, wanted: fn(char) -> bool) -> String {
    let chars: Vec<char> = path.chars().collect();
    let (mut at, mut decoded) = (0, String::new());
    while at < chars.len() {
        let digits: String = chars[at..].iter().skip(1).take(2).collect();
        let is_encoded = chars[at] == '%' && digits.len() == 2 && digits.chars().all(|c| c.is_ascii_hexdigit());
        let byte = is_encoded.then(|| char::from(u8::from_str_radix(&digits, 16).unwrap()));
        match byte.filter(|byte| wanted(*byte)) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(chars[at]);
                at += 1;
            }
        }
    }
    decoded
}

const OVERLONG_LEADS: [char; 6] = ['\u{c0}', '\u{c1}', '\u{e0}', '\u{f0}', '\u{f8}', '\u{fc}'];

fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| segment == "." || segment == "..")
}

/// The closure without any refusal; `None` once it is far beyond what is allowed.
fn naive_closure(path: &str) -> Option<BTreeSet<String>> {
    let mut found = BTreeSet::from([path.to_owned()]);
    let mut pending = vec![path.to_owned()];
    while let Some(reading) = pending.pop() {
        for step in NAIVE_STEPS {
            let next = step(&reading);
            if found.insert(next.clone()) {
                pending.push(next);
            }
        }
        if found.len() > 20 * MAX_READINGS {
            return None;
        }
    }
    Some(found)
}

/// Paths made of the pieces that matter, close together.
fn nasty_path() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "/", "/", "%2f", "%252F", "\\", "%5c", "%255C", ".", ".", "%2e", "%252E", ";", "%3b", "%253B", "?", "%3f", "#",
        "%23", "%25", "2", "5", "e", "f", "a", "admin", "%61", "%", "%u002e", "u002e", "%c3%a9", "%c0", "%ae", "%e0",
        "%00", "\x7f", " ",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| format!("/{}", pieces.concat()).into_bytes())
}

/// Paths of which most are accepted, and many have several readings.
fn likely_path() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "/a", "/b", "/", ".x", "%2f", "%252fc", "\\d", "%5c", "e;f", "g%3bh", "i?j", "k%3Fl", "m#n", "%25", "25",
        "%61", "%2561", "%c3%a9",
    ]);
    prop::collection::vec(piece, 0..7).prop_map(|pieces| format!("/x{}", pieces.concat()).into_bytes())
}

fn any_path() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![nasty_path(), likely_path(), any::<Vec<u8>>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn readings_are_the_whole_closure_and_nothing_else(path in any_path()) {
        if let Ok(all) = readings(&path) {
            prop_assert_eq!(&all[0], &path);
            prop_assert!(all.len() <= MAX_READINGS);
            let distinct: BTreeSet<String> = all.iter().map(|reading| as_text(reading)).collect();
            prop_assert_eq!(distinct.len(), all.len());
            prop_assert_eq!(Some(distinct), naive_closure(&as_text(&path)));
        }
    }

    #[test]
    fn a_refused_path_has_a_reading_of_the_kind_that_was_found(path in any_path()) {
        let text = as_text(&path);
        let closure = naive_closure(&text);
        let some = |bad: fn(&str) -> bool| closure.as_ref().is_none_or(|all| all.iter().any(|path| bad(path)));
        let explained = match readings(&path) {
            Ok(_) => true,
            Err(Ambiguity::NotAbsolute) => !text.starts_with('/'),
            Err(Ambiguity::ControlCharacter) => some(|path| path.contains(|c: char| c.is_ascii_control())),
            Err(Ambiguity::MalformedPercent) => {
                naive_decode(&text, |_| true).contains('%') || some(|path| path.contains("%u") || path.contains("%U"))
            }
            Err(Ambiguity::OverlongUtf8) => some(|path| path.contains(OVERLONG_LEADS)),
            Err(Ambiguity::DotSegment) => some(has_dot_segment),
            Err(Ambiguity::LeadingSlashes) => some(|path| path.starts_with("//")),
            Err(Ambiguity::TooManyReadings) => closure.is_none_or(|all| all.len() > MAX_READINGS),
        };
        prop_assert!(explained);
    }

    #[test]
    fn no_accepted_path_becomes_dangerous_by_any_normalisation(
        path in any_path(), steps in prop::collection::vec(prop::sample::select(NAIVE_STEPS.to_vec()), 0..=4)
    ) {
        if let Ok(all) = readings(&path) {
            let end = steps.iter().fold(as_text(&path), |path, step| step(&path));
            prop_assert!(!has_dot_segment(&end), "{end}");
            prop_assert!(!end.starts_with("//"), "{end}");
            prop_assert!(!end.contains(|c: char| c.is_ascii_control()), "{end}");
            prop_assert!(!end.contains(['\u{c0}', '\u{c1}']), "{end}");
            prop_assert!(all.iter().any(|reading| as_text(reading) == end), "{end}");
        }
    }

    #[test]
    fn plain_paths_have_themselves_as_their_only_reading(path in "/([a-z.~!:@,=]{0,3}/){0,3}[a-z.]{0,3}") {
        if is_plain(path.as_bytes()) {
            prop_assert_eq!(readings(path.as_bytes()), Ok(vec![path.into_bytes()]));
        }
    }

    #[test]
    fn a_path_of_any_bytes_is_plain_only_if_no_step_changes_it(path in any_path()) {
        if is_plain(&path) {
            prop_assert_eq!(naive_closure(&as_text(&path)).map(|all| all.len()), Some(1));
        }
    }

    #[test]
    fn plain_paths_are_found_as_by_looking_at_each_segment(
        path in prop_oneof!["/([a-z.~!:@,=;%]{0,3}/?){0,3}", any_path().prop_map(|path| as_text(&path))]
    ) {
        let segments: Vec<&str> = path.split('/').collect();
        let plain_char = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,=:@".contains(c);
        let plain = matches!(&*segments, ["", inner @ .., last] if inner.iter().all(|segment| !segment.is_empty())
            && inner.iter().chain([last]).all(|segment| *segment != "." && *segment != ".." && segment.chars().all(plain_char)));
        let bytes: Vec<u8> = path.chars().map(|c| u8::try_from(c).expect("bytes as text")).collect();
        prop_assert_eq!(is_plain(&bytes), plain);
    }

    #[test]
    fn a_target_is_its_path_and_its_query(target in any::<Vec<u8>>()) {
        let (path, query) = split_query(&target);
        prop_assert!(!path.contains(&b'?'));
        let whole = query.map_or(path.to_vec(), |query| [path, b"?", query].concat());
        prop_assert_eq!(whole, target);
    }
}
