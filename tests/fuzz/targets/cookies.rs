//! Cookie and authorization headers: once a request's sources are removed, no token is found in them, and what is left is
//! what a server reads there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rest_sessions_core::http::cookie;
use rest_sessions_core::http::headers::Headers;
use rest_sessions_core::policy::token_source::{RequestView, Source, all, removals};

const TOKEN: [u8; 64] = [b'a'; 64];

fuzz_target!(|bytes: &[u8]| {
    // `!` stands for a token, so that the fuzzer need not find 64 letters. Lines are header values.
    let lines: Vec<Vec<u8>> = bytes
        .split(|byte| *byte == b'\n')
        .map(|line| line.iter().flat_map(|byte| if *byte == b'!' { TOKEN.to_vec() } else { vec![*byte] }).collect())
        .collect();
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = vec![(b":path".to_vec(), b"/".to_vec())];
    for (number, line) in lines.iter().enumerate() {
        let name: &[u8] = if number % 4 == 3 { b"authorization" } else { b"cookie" };
        pairs.push((name.to_vec(), line.clone()));
    }
    let sources = [
        Source::Cookie("s".to_owned()),
        Source::Header { name: "authorization".to_owned(), prefix: Some("Bearer ".to_owned()) },
    ];
    let headers = Headers::from_pairs(&pairs);
    let view = RequestView { headers: &headers, target: b"/", websocket: false };
    let now = || 1_760_000_000_000;
    for change in removals(&sources, view) {
        change.apply(&mut pairs);
    }
    let left = Headers::from_pairs(&pairs);
    let view = RequestView { headers: &left, target: b"/", websocket: false };
    assert!(all(&sources, view, &now, 8).is_empty(), "a token is left");
    assert!(removals(&sources, view).is_empty(), "a second removal finds more");
    // Other cookies stay as they were.
    let others = |headers: &Headers| -> Vec<Vec<u8>> {
        headers
            .all("cookie")
            .flat_map(|line| cookie::values(line, "t").map(<[u8]>::to_vec).collect::<Vec<_>>())
            .collect()
    };
    assert_eq!(others(&left), others(&headers));
});
