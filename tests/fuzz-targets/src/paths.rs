//! Paths: the readings are closed under the steps of simple servers, within a bound of bytes, or the path is refused.

use rest_sessions_core::http::path::{FREE_BYTES, MAX_PASSES, MAX_READINGS, PathCase, is_plain, readings};

/// # Panics
///
/// If something does not hold.
pub fn check(path: &[u8]) {
    let exact = readings(path, PathCase::Exact);
    let Ok(all) = readings(path, PathCase::Ignore) else {
        return assert!(!is_plain(path), "a plain path is refused");
    };
    // Without case there are more steps, and so more readings.
    let exact = exact.expect("with case, a path is refused that is not refused without");
    assert!(exact.iter().all(|reading| all.contains(reading)), "without case, a reading is missing");
    for all in [&all, &exact] {
        assert_eq!(all[0], path);
        assert!(all.len() <= MAX_READINGS);
        assert!(!is_plain(path) || all.len() == 1);
        let bytes: usize = all.iter().map(Vec::len).sum();
        assert!(bytes <= path.len() * MAX_PASSES + FREE_BYTES, "{bytes} bytes are kept");
        for reading in all {
            assert_is_closed(reading, all);
            assert!(!reading.split(|byte| *byte == b'/').any(|segment| segment == b"." || segment == b".."));
            assert!(!reading.iter().any(u8::is_ascii_control));
            assert!(reading.starts_with(b"/") && !reading.starts_with(b"//"));
        }
    }
}

fn assert_is_closed(reading: &[u8], all: &[Vec<u8>]) {
    for step in [decoded, with_slashes, merged, without_parameters] {
        let next = step(reading);
        assert!(all.contains(&next), "{} is missing", next.escape_ascii());
    }
}

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
