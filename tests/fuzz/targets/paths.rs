//! Paths: every reading that a simple server has of a path is among the readings, or the path is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rest_sessions_core::http::path::{MAX_READINGS, PathCase, is_plain, readings};

fuzz_target!(|path: &[u8]| {
    let Ok(all) = readings(path, PathCase::Ignore) else {
        assert!(!is_plain(path), "a plain path is refused");
        return;
    };
    assert_eq!(all[0], path);
    assert!(all.len() <= MAX_READINGS);
    assert!(!is_plain(path) || all.len() == 1);
    let once = decoded(path);
    let twice = decoded(&once);
    for reading in [
        once.clone(),
        twice,
        with_slashes(path),
        with_slashes(&once),
        merged(&once),
        without_parameters(path),
        without_parameters(&once),
        decoded(&without_parameters(path)),
        merged(&without_parameters(&with_slashes(&once))),
    ] {
        assert!(all.contains(&reading), "{} is missing", reading.escape_ascii());
    }
    for reading in all {
        assert!(!reading.split(|byte| *byte == b'/').any(|segment| segment == b"." || segment == b".."));
        assert!(!reading.iter().any(u8::is_ascii_control));
    }
});

/// As a decoder that leaves alone what is no encoded byte.
fn decoded(path: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (mut decoded, mut at) = (Vec::new(), 0);
    while let Some(byte) = path.get(at) {
        match (byte, digit(path.get(at + 1)), digit(path.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded
}

fn with_slashes(path: &[u8]) -> Vec<u8> {
    path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect()
}

fn merged(path: &[u8]) -> Vec<u8> {
    let mut path = path.to_vec();
    path.dedup_by(|a, b| *a == b'/' && *b == b'/');
    path
}

fn without_parameters(path: &[u8]) -> Vec<u8> {
    let segments = path.split(|byte| *byte == b'/');
    let names: Vec<&[u8]> =
        segments.map(|segment| segment.split(|byte| *byte == b';').next().unwrap_or_default()).collect();
    names.join(&b'/')
}
