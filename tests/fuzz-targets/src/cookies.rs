//! Cookies, authorization headers and query parameters: cookies are read as a simple reader reads them. Once a request's
//! sources are removed, no token is found in them, and everything else is left as it was.

use rest_sessions_core::http::cookie;
use rest_sessions_core::http::headers::Headers;
use rest_sessions_core::policy::token_source::{RequestView, Source, all, removals};

use crate::NOW_MS;

const TOKEN: [u8; 64] = [b'a'; 64];
const NAME: &str = "s";

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// The first line is a query, the others are header values. `!` stands for a token, so that a fuzzer need not find 64
/// letters.
///
/// # Panics
///
/// If something does not hold.
pub fn check(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| -> Vec<u8> {
        line.iter().flat_map(|byte| if *byte == b'!' { TOKEN.to_vec() } else { vec![*byte] }).collect()
    });
    let target = [b"/p?", &*lines.next().unwrap_or_default()].concat();
    let mut pairs: Pairs = vec![(b":path".to_vec(), target)];
    for (number, line) in lines.enumerate() {
        let name: &[u8] = if number % 4 == 3 { b"authorization" } else { b"cookie" };
        pairs.push((name.to_vec(), line));
    }
    for (name, line) in &pairs {
        if name == b"cookie" {
            let values: Vec<_> = cookies(line).filter(|(name, _)| *name == NAME.as_bytes()).collect();
            let read: Vec<_> = cookie::values(line, NAME).map(|value| (NAME.as_bytes(), value)).collect();
            assert_eq!(read, values, "{}", line.escape_ascii());
        }
    }
    assert_removed(pairs);
}

fn assert_removed(mut pairs: Pairs) {
    let sources = [
        Source::Cookie(NAME.to_owned()),
        Source::Header { name: "authorization".to_owned(), prefix: Some("Bearer ".to_owned()) },
        Source::Query { name: NAME.to_owned(), any: true },
    ];
    let before = pairs.clone();
    let changes = with_view(&pairs, |view| removals(&sources, view));
    for change in changes {
        change.apply(&mut pairs);
    }
    with_view(&pairs, |view| {
        assert!(all(&sources, view, &|| NOW_MS, 8).is_empty(), "a token is left");
        assert!(removals(&sources, view).is_empty(), "a second removal finds more");
    });
    assert_eq!(other_cookies(&pairs), other_cookies(&before));
    assert_eq!(other_parameters(&pairs), other_parameters(&before));
    let mut left = other_credentials(&pairs);
    assert!(other_credentials(&before).all(|line| left.any(|other| other == line)), "other credentials are removed");
}

fn with_view<T>(pairs: &Pairs, use_view: impl FnOnce(RequestView<'_>) -> T) -> T {
    let headers = Headers::from_pairs(pairs);
    let target = headers.first(":path").expect("a path stays a path");
    use_view(RequestView { headers: &headers, target, websocket: false })
}

fn values<'a>(pairs: &'a Pairs, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    pairs.iter().filter(move |(other, _)| other == name.as_bytes()).map(|(_, value)| &**value)
}

/// The parts of all cookie headers but those of the token.
fn other_cookies(pairs: &Pairs) -> Vec<&[u8]> {
    let parts = values(pairs, "cookie").flat_map(|line| line.split(|byte| *byte == b';')).map(trimmed);
    parts.filter(|part| !part.is_empty() && pair(part).is_none_or(|(name, _)| name != NAME.as_bytes())).collect()
}

/// The parameters without an encoded byte that are not the token's.
fn other_parameters(pairs: &Pairs) -> Vec<&[u8]> {
    let targets = values(pairs, ":path").filter_map(|target| target.splitn(2, |byte| *byte == b'?').nth(1));
    let parameters = targets.flat_map(|query| query.split(|byte| *byte == b'&'));
    parameters
        .filter(|parameter| !parameter.is_empty() && !parameter.contains(&b'%'))
        .filter(|parameter| parameter.split(|byte| *byte == b'=').next() != Some(NAME.as_bytes()))
        .collect()
}

/// The authorization headers that are not of the token's scheme.
fn other_credentials(pairs: &Pairs) -> impl Iterator<Item = &[u8]> {
    values(pairs, "authorization")
        .filter(|line| !line.is_empty() && !line.to_ascii_lowercase().windows(6).any(|part| part == b"bearer"))
}

fn cookies(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.split(|byte| *byte == b';').filter_map(pair)
}

fn pair(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = part.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (trimmed(&part[..equals]), trimmed(&part[equals + 1..]));
    let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    Some((name, unquoted.unwrap_or(value)))
}

/// Without the spaces and tabs around it.
fn trimmed(part: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let Some(start) = part.iter().position(|byte| !is_blank(byte)) else { return b"" };
    let end = part.iter().rposition(|byte| !is_blank(byte)).unwrap_or(start);
    &part[start..=end]
}
