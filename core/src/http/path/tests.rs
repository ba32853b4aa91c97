//! Known path attacks, each with the server that it aims at, and the closure against a second, naive implementation.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn read(path: &str) -> Result<Vec<String>, Ambiguity> {
    let text = |reading| String::from_utf8(reading).expect("these paths are read as UTF-8");
    readings(path.as_bytes(), PathCase::Ignore).map(|all| all.into_iter().map(text).collect())
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
        ("four servers that decode", "/%2525252e", TooManyDecodings),
        ("C behind two that decode", "/admin%252500.png", ControlCharacter),
        ("Bottle drops bytes that are no UTF-8, then finds dots", "/public/.%ff./admin", DotSegment),
        ("Bottle drops bytes that are no UTF-8 between slashes", "/%ff/admin", LeadingSlashes),
        ("a dropped byte that hid an escape, after three decodings", "/%25254%2525ff1", TooManyDecodings),
        ("Fastify 4 starts the query at a semicolon after dots", "/public/..;x", DotSegment),
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
fn the_reason_to_refuse_a_path_says_what_is_in_it() {
    for (path, reason) in [
        ("a", "a path that does not start with a slash"),
        ("/a\tb", "a control character in the path"),
        ("/100%", "a percent sign without two hexadecimal digits in the path"),
        ("/%c0%af", "overlong UTF-8 in the path"),
        ("/a/%2e%2e/b", "a dot segment in the path"),
        ("//a", "a path that starts with two slashes"),
        (
            &format!("/{}", "%20".repeat(3_000)),
            "a path of more than 8 KiB with characters that servers read differently",
        ),
        ("/%25252541", "a path that is percent-encoded more than three times"),
        ("/x#?//b/c;%ff\\\u{17f}%c5", "a path that can be read in too many ways"),
    ] {
        assert_eq!(read(path).map_err(|ambiguity| ambiguity.to_string()), Err(reason.to_owned()), "{path}");
    }
}

#[test]
fn harmless_paths_have_every_reading_of_a_server() {
    let cases: [(&str, &[&str]); 20] = [
        ("/x%2fadmin", &["/x%2fadmin", "/x/admin"]),
        ("/api/a%2Fb", &["/api/a%2Fb", "/api/a/b"]),
        ("/%61dmin", &["/%61dmin", "/admin"]),
        ("/%61%2fb", &["/%61%2fb", "/a/b", "/a%2fb"]),
        ("/products/100%25", &["/products/100%25", "/products/100%"]),
        ("/100%25users", &["/100%25users", "/100%users"]),
        ("/%2561", &["/%2561", "/%61", "/a"]),
        ("/%252561", &["/%252561", "/%2561", "/%61", "/a"]),
        ("/a//b", &["/a//b", "/a/b"]),
        ("/a;x", &["/a;x", "/a"]),
        ("/a;x/b", &["/a;x/b", "/a/b", "/a"]),
        ("/a\\b", &["/a\\b", "/a/b"]),
        ("/a%3Fb", &["/a%3Fb", "/a?b", "/a"]),
        ("/a?b#c", &["/a?b#c", "/a", "/a?b"]),
        ("/caf%C3%A9", &["/caf%C3%A9", "/caf\u{e9}"]),
        ("/a|b c", &["/a|b c"]),
        ("/\u{212a}ey\u{17f}", &["/\u{212a}ey\u{17f}", "/keys"]),
        ("/\u{130}\u{131}\u{df}\u{1e9e}", &["/\u{130}\u{131}\u{df}\u{1e9e}", "/iissss"]),
        ("/\u{fb00}\u{fb01}\u{fb02}", &["/\u{fb00}\u{fb01}\u{fb02}", "/fffifl"]),
        ("/\u{fb03}\u{fb04}\u{fb05}\u{fb06}", &["/\u{fb03}\u{fb04}\u{fb05}\u{fb06}", "/ffifflstst"]),
    ];
    for (path, expected) in cases {
        assert_eq!(read(path), Ok(expected.iter().map(ToString::to_string).collect()), "{path}");
    }
}

#[test]
fn bytes_that_are_no_utf_8_may_be_dropped() {
    for (path, reading) in [
        ("/ad%ffmin", "/admin"),
        ("/admin%e9", "/admin"),
        ("/admin%c3", "/admin"),
        ("/ad%f0%9f%92min", "/admin"),
        ("/ad%ed%a0%80min", "/admin"),
        ("/caf%c3%a9%ff", "/caf\u{e9}"),
        ("/ad%25ffmin", "/admin"),
    ] {
        let all = readings(path.as_bytes(), PathCase::Exact).unwrap();
        assert!(all.contains(&reading.as_bytes().to_vec()), "{path}");
    }
}

#[test]
fn spaces_of_latin_1_at_the_end_of_the_path_as_sent_may_be_dropped() {
    for path in [&b"/admin\xa0"[..], b"/admin\x85\xa0", b"/admin\xc2\xa0", b"/admin\xef\xbc\x85", b"/%61dmin\xc2\x85"] {
        let all = readings(path, PathCase::Exact).unwrap();
        assert!(all.contains(&b"/admin".to_vec()), "{}", path.escape_ascii());
    }
    // Encoded, they are no spaces of the request line.
    assert_eq!(read("/admin%c2%a0").map(|all| all.len()), Ok(2));
    assert_eq!(read("/admin\u{e9}").map(|all| all.len()), Ok(1));
}

#[test]
fn letters_are_folded_where_case_is_ignored_alone() {
    for path in ["/%E2%84%AAeys", "/key%C5%BF", "/adm%C4%B0n", "/adm%c4%b1n"] {
        let count = |case| readings(path.as_bytes(), case).map(|all| all.len());
        assert_eq!((count(PathCase::Exact), count(PathCase::Ignore)), (Ok(2), Ok(3)), "{path}");
    }
}

#[test]
fn exactly_the_characters_with_ascii_letters_in_another_case_are_folded() {
    for character in ('\u{80}'..=char::MAX).filter(|character| *character != '\u{130}') {
        let text = character.to_string();
        let (lower, upper) = (text.to_lowercase(), text.to_uppercase());
        let cases = [lower.to_uppercase(), lower, upper];
        let other = cases.iter().find(|text| text.is_ascii()).map(|text| text.to_ascii_lowercase().into_bytes());
        assert_eq!(case::split_folded(text.as_bytes()).map(|(letters, _)| letters.to_vec()), other, "{character:?}");
    }
    // Its full mapping is i and a combining dot, its simple one i alone.
    assert_eq!(case::split_folded("\u{130}".as_bytes()), Some((&b"i"[..], &b""[..])));
}

#[test]
fn valid_utf_8_and_latin_1_are_not_taken_for_overlong() {
    for path in ["/\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}", "/%C3%A0", "/%E0%A4%B9", "/%F0%9F%92%A9", "/%e9t%e9"] {
        assert!(readings(path.as_bytes(), PathCase::Ignore).is_ok(), "{path}");
    }
}

#[test]
fn three_decodings_pass_and_a_fourth_is_refused() {
    let encoded = |times: usize| format!("/%{}41", "25".repeat(times - 1));
    assert_eq!(read(&encoded(3)).map(|all| all.len()), Ok(4));
    assert_eq!(read(&encoded(4)), Err(Ambiguity::TooManyDecodings));
    // It is refused before.
    assert_eq!(read(&encoded(2_000)), Err(Ambiguity::TooManyReadings));
}

#[test]
fn a_path_that_is_not_plain_has_8_kib_at_most() {
    let path = |length: usize| format!("/%41{}", "a".repeat(length - 4));
    assert_eq!(read(&path(MAX_LENGTH)).map(|all| all.len()), Ok(2));
    assert_eq!(read(&path(MAX_LENGTH + 1)), Err(Ambiguity::TooLong));
}

/// The steps once more, on text and by other means, so that a mistake in one implementation shows in the other.
const NAIVE_STEPS: [fn(&str) -> String; 10] = [
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
    |path| path.split(';').next().unwrap().to_owned(),
    naive_drop_invalid_utf_8,
    naive_fold,
];

/// Keeps each slice of one to four bytes that is one character.
fn naive_drop_invalid_utf_8(path: &str) -> String {
    let bytes: Vec<u8> = path.chars().map(|c| u8::try_from(c).expect("bytes as text")).collect();
    let (mut at, mut kept) = (0, Vec::new());
    while at < bytes.len() {
        let character = (1..=4)
            .filter_map(|length| bytes.get(at..at + length))
            .find(|slice| std::str::from_utf8(slice).is_ok_and(|text| text.chars().count() == 1));
        kept.extend_from_slice(character.unwrap_or_default());
        at += character.map_or(1, <[u8]>::len);
    }
    as_text(&kept)
}

fn naive_fold(path: &str) -> String {
    let folds = [
        ("\u{130}", "i"),
        ("\u{131}", "i"),
        ("\u{17f}", "s"),
        ("\u{212a}", "k"),
        ("\u{df}", "ss"),
        ("\u{1e9e}", "ss"),
        ("\u{fb00}", "ff"),
        ("\u{fb01}", "fi"),
        ("\u{fb02}", "fl"),
        ("\u{fb03}", "ffi"),
        ("\u{fb04}", "ffl"),
        ("\u{fb05}", "st"),
        ("\u{fb06}", "st"),
    ];
    folds.iter().fold(path.to_owned(), |path, (from, to)| path.replace(&as_text(from.as_bytes()), to))
}

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
    // Only the path as sent loses spaces of Latin-1 at its end.
    let mut pending = vec![path.to_owned(), path.trim_end_matches(['\u{85}', '\u{a0}']).to_owned()];
    let mut found: BTreeSet<String> = pending.iter().cloned().collect();
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

/// The most decodings that change the path in any order of steps, up to one more than is allowed.
fn naive_decodings(path: &str) -> usize {
    let mut found = BTreeSet::from([(path.to_owned(), 0)]);
    let mut pending = vec![(path.to_owned(), 0)];
    while let Some((reading, decodings)) = pending.pop() {
        for (index, step) in NAIVE_STEPS.iter().enumerate() {
            let next = step(&reading);
            let decodings = decodings + usize::from(index == 0 && next != reading);
            if decodings > usize::from(MAX_DECODINGS) {
                return decodings;
            }
            if found.insert((next.clone(), decodings)) {
                pending.push((next, decodings));
            }
        }
    }
    found.into_iter().map(|(_, decodings)| decodings).max().unwrap_or_default()
}

/// Paths made of the pieces that matter, close together.
fn nasty_path() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "/",
        "/",
        "%2f",
        "%252F",
        "\\",
        "%5c",
        "%255C",
        ".",
        ".",
        "%2e",
        "%252E",
        ";",
        "%3b",
        "%253B",
        "?",
        "%3f",
        "#",
        "%23",
        "%25",
        "2",
        "5",
        "e",
        "f",
        "a",
        "admin",
        "%61",
        "%",
        "%u002e",
        "u002e",
        "%c3%a9",
        "%c0",
        "%ae",
        "%e0",
        "%00",
        "\x7f",
        " ",
        "%ff",
        "\u{a0}",
        "%e2%84%aa",
        "%c5%bf",
        "%25ff",
        "%c4%b0",
        "%ef%ac%86",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| format!("/{}", pieces.concat()).into_bytes())
}

/// Paths of which most are accepted, and many have several readings.
fn likely_path() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "/a",
        "/b",
        "/",
        ".x",
        "%2f",
        "%252fc",
        "\\d",
        "%5c",
        "e;f",
        "g%3bh",
        "i?j",
        "k%3Fl",
        "m#n",
        "%25",
        "25",
        "%61",
        "%2561",
        "%c3%a9",
        "%ff",
        "%e2%84%aa",
        "%c5",
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
        if let Ok(all) = readings(&path, PathCase::Ignore) {
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
        let explained = match readings(&path, PathCase::Ignore) {
            Ok(_) => true,
            Err(Ambiguity::NotAbsolute) => !text.starts_with('/'),
            Err(Ambiguity::ControlCharacter) => some(|path| path.contains(|c: char| c.is_ascii_control())),
            Err(Ambiguity::MalformedPercent) => {
                naive_decode(&text, |_| true).contains('%') || some(|path| path.contains("%u") || path.contains("%U"))
            }
            Err(Ambiguity::OverlongUtf8) => some(|path| path.contains(OVERLONG_LEADS)),
            Err(Ambiguity::DotSegment) => some(has_dot_segment),
            Err(Ambiguity::LeadingSlashes) => some(|path| path.starts_with("//")),
            Err(Ambiguity::TooLong) => path.len() > MAX_LENGTH,
            Err(Ambiguity::TooManyDecodings) => naive_decodings(&text) > usize::from(MAX_DECODINGS),
            // Or they take too much work, which these short paths do not with few readings.
            Err(Ambiguity::TooManyReadings) => closure.is_none_or(|all| all.len() > MAX_READINGS / 4),
        };
        prop_assert!(explained);
    }

    #[test]
    fn no_accepted_path_becomes_dangerous_by_any_normalisation(
        path in any_path(), steps in prop::collection::vec(prop::sample::select(NAIVE_STEPS.to_vec()), 0..=4)
    ) {
        if let Ok(all) = readings(&path, PathCase::Ignore) {
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
            prop_assert_eq!(readings(path.as_bytes(), PathCase::Ignore), Ok(vec![path.into_bytes()]));
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
