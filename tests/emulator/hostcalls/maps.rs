//! Header maps and buffers: there in their phase, and only then.

use super::{BAD_ARGUMENT, NOT_FOUND, OK, PARSE_FAILURE, text};
use crate::emulator::abi::{self, Pairs, borrowed, hand_over};
use crate::emulator::state::with;

/// The ABI's number for the headers of a call's answer.
const ANSWER_HEADERS: u32 = 6;

/// Reads the map of a type for the target, if the host has it now.
fn readable_map(map_type: u32) -> Option<Pairs> {
    with(|host| {
        if map_type == ANSWER_HEADERS {
            return host.answer.as_ref()?.headers.clone();
        }
        let stream = host.target_stream()?;
        let state = &mut host.streams[stream];
        let logging = state.logging;
        let (visible, map) = state.map(map_type)?;
        (visible || logging).then(|| map.clone())
    })
}

/// Changes the map of a type for the target; a change that reaches nothing is a violation, since the filter believes
/// that it was made.
fn change_map(what: &str, map_type: u32, change: impl FnOnce(&mut Pairs)) -> u32 {
    with(|host| {
        if host.refuse_changes {
            host.refusal(format!("{what} on map {map_type}, as the test wants it"));
            return BAD_ARGUMENT;
        }
        let stream = host.target_stream();
        match stream.and_then(|stream| host.streams[stream].map(map_type)) {
            Some((true, map)) => {
                change(map);
                OK
            }
            _ => {
                host.violation(format!("{what} on map {map_type}, which is not there now"));
                BAD_ARGUMENT
            }
        }
    })
}

/// A name as Envoy's maps know it: lower case, and `host` is `:authority`.
pub fn key(bytes: &[u8]) -> Vec<u8> {
    match bytes.to_ascii_lowercase().as_slice() {
        b"host" => b":authority".to_vec(),
        lower => lower.to_vec(),
    }
}

pub fn check_pair(name: &[u8], value: &[u8]) {
    if value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        with(|host| host.violation(format!("the value set for {} holds a line break or NUL", text(name))));
    }
    if name.is_empty() || name.iter().any(|byte| *byte <= b' ' || *byte >= 0x7f) {
        with(|host| host.violation(format!("{:?} was set as the name of a header", text(name))));
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_header_map_pairs(map_type: u32, data: *mut *mut u8, size: *mut usize) -> u32 {
    let map = readable_map(map_type).unwrap_or_else(|| {
        // Envoy answers with an empty map, which a filter could take for a message without headers.
        with(|host| match map_type {
            0..=3 => host.violation(format!("map {map_type} was read, which is not there now")),
            _ => host.refusal(format!("map {map_type} was read, which is not there now")),
        });
        Pairs::new()
    });
    let bytes = if map.is_empty() { Vec::new() } else { abi::serialize(&map) };
    // SAFETY: the ABI's promise.
    unsafe { hand_over(&bytes, data, size) };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_header_map_pairs(map_type: u32, data: *const u8, size: usize) -> u32 {
    // SAFETY: the ABI's promise.
    let Some(given) = abi::deserialize(unsafe { borrowed(data, size) }) else { return PARSE_FAILURE };
    for (name, value) in &given {
        check_pair(name, value);
    }
    change_map("pairs were set", map_type, |map| *map = given.iter().map(|(n, v)| (key(n), v.clone())).collect())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_header_map_value(
    map_type: u32,
    name: *const u8,
    name_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> u32 {
    // SAFETY: the ABI's promise.
    let name = key(unsafe { borrowed(name, name_size) });
    let Some(map) = readable_map(map_type) else {
        with(|host| host.refusal(format!("{} of map {map_type} was read, which is not there now", text(&name))));
        return BAD_ARGUMENT;
    };
    match map.iter().find(|(n, _)| *n == name) {
        Some((_, value)) => {
            // SAFETY: as above.
            unsafe { hand_over(value, data, size) };
            OK
        }
        None => NOT_FOUND,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_remove_header_map_value(map_type: u32, name: *const u8, name_size: usize) -> u32 {
    // SAFETY: the ABI's promise.
    let name = key(unsafe { borrowed(name, name_size) });
    change_map("a removal", map_type, |map| map.retain(|(n, _)| *n != name))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_replace_header_map_value(
    map_type: u32,
    name: *const u8,
    name_size: usize,
    value: *const u8,
    value_size: usize,
) -> u32 {
    // SAFETY: the ABI's promise.
    let (name, value) = unsafe { (key(borrowed(name, name_size)), borrowed(value, value_size).to_vec()) };
    check_pair(&name, &value);
    change_map("a replacement", map_type, |map| {
        let place = map.iter().position(|(n, _)| *n == name).unwrap_or(map.len());
        map.retain(|(n, _)| *n != name);
        map.insert(place.min(map.len()), (name, value));
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_add_header_map_value(
    map_type: u32,
    name: *const u8,
    name_size: usize,
    value: *const u8,
    value_size: usize,
) -> u32 {
    // SAFETY: the ABI's promise.
    let (name, value) = unsafe { (key(borrowed(name, name_size)), borrowed(value, value_size).to_vec()) };
    check_pair(&name, &value);
    change_map("an addition", map_type, |map| map.push((name, value)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_buffer_bytes(
    buffer_type: u32,
    start: usize,
    length: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> u32 {
    let buffer = with(|host| match buffer_type {
        0 => host.streams[host.target_stream()?].request.piece.clone(),
        1 => host.streams[host.target_stream()?].response.piece.clone(),
        4 => host.answer.as_ref()?.body.clone(),
        6 => Some(Vec::new()),
        7 => host.configuration.clone(),
        _ => None,
    });
    let Some(buffer) = buffer else {
        with(|host| host.refusal(format!("buffer {buffer_type} was read, which is not there now")));
        return NOT_FOUND;
    };
    let Some(end) = start.checked_add(length) else { return BAD_ARGUMENT };
    let Some(piece) = buffer.get(start..end.min(buffer.len())) else { return BAD_ARGUMENT };
    // SAFETY: the ABI's promise.
    unsafe { hand_over(piece, data, size) };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_buffer_bytes(
    buffer_type: u32,
    start: usize,
    length: usize,
    data: *const u8,
    size: usize,
) -> u32 {
    // SAFETY: the ABI's promise.
    let bytes = unsafe { borrowed(data, size) }.to_vec();
    with(|host| {
        let stream = host.target_stream();
        let piece = stream.and_then(|stream| match buffer_type {
            0 => host.streams[stream].request.piece.as_mut(),
            1 => host.streams[stream].response.piece.as_mut(),
            _ => None,
        });
        match piece {
            Some(piece) if start <= piece.len() => {
                let end = start.saturating_add(length).min(piece.len());
                piece.splice(start..end, bytes);
                OK
            }
            _ => {
                host.violation(format!("buffer {buffer_type} was written, which is not there now"));
                BAD_ARGUMENT
            }
        }
    })
}
