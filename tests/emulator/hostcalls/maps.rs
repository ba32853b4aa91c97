//! Header maps and buffers, which exist only in their phase.

use super::{BAD_ARGUMENT, NOT_FOUND, OK, PARSE_FAILURE, text};
use crate::emulator::abi::{self, Pairs, read_from_vm, write_to_vm};
use crate::emulator::state::with_host;

/// The ABI's number of the map with the headers of a call response.
const CALL_RESPONSE_HEADERS: u32 = 6;

/// A copy of the map of the effective context, if it exists now.
fn readable_map(map_type: u32) -> Option<Pairs> {
    with_host(|host| {
        if map_type == CALL_RESPONSE_HEADERS {
            return host.call_response.as_ref()?.headers.clone();
        }
        let stream = host.effective_stream()?;
        let state = &mut host.streams[stream];
        let logging = state.logging;
        let (visible, map) = state.map(map_type)?;
        (visible || logging).then(|| map.clone())
    })
}

/// Changes the map of the effective context. A change to an absent map is a violation, since the filter relies on it.
fn change_map(what: &str, map_type: u32, change: impl FnOnce(&mut Pairs)) -> u32 {
    with_host(|host| {
        if host.refuse_header_changes {
            host.record_refusal(format!("{what} on map {map_type}: the test refuses header changes"));
            return BAD_ARGUMENT;
        }
        let stream = host.effective_stream();
        match stream.and_then(|stream| host.streams[stream].map(map_type)) {
            Some((true, map)) => {
                change(map);
                OK
            }
            _ => {
                host.record_violation(format!("{what} on map {map_type}, which does not exist now"));
                BAD_ARGUMENT
            }
        }
    })
}

/// A name in the form of Envoy's maps: in lower case, and `:authority` for `host`.
pub fn canonical_name(bytes: &[u8]) -> Vec<u8> {
    match bytes.to_ascii_lowercase().as_slice() {
        b"host" => b":authority".to_vec(),
        lower => lower.to_vec(),
    }
}

/// Records a violation for a name or a value that must not be sent.
pub fn check_header(name: &[u8], value: &[u8]) {
    if value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        with_host(|host| host.record_violation(format!("the value set for {} holds a line break or NUL", text(name))));
    }
    if name.is_empty() || name.iter().any(|byte| *byte <= b' ' || *byte >= 0x7f) {
        with_host(|host| host.record_violation(format!("{:?} was set as the name of a header", text(name))));
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_header_map_pairs(map_type: u32, data: *mut *mut u8, size: *mut usize) -> u32 {
    let map = readable_map(map_type).unwrap_or_else(|| {
        // Envoy returns an empty map, which a filter could mistake for a message without headers.
        with_host(|host| match map_type {
            0..=3 => host.record_violation(format!("map {map_type} was read, which does not exist now")),
            _ => host.record_refusal(format!("map {map_type} was read, which does not exist now")),
        });
        Pairs::new()
    });
    let bytes = if map.is_empty() { Vec::new() } else { abi::serialize(&map) };
    // SAFETY: the ABI's promise.
    unsafe { write_to_vm(&bytes, data, size) };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_header_map_pairs(map_type: u32, data: *const u8, size: usize) -> u32 {
    // SAFETY: the ABI's promise.
    let Some(given) = abi::deserialize(unsafe { read_from_vm(data, size) }) else { return PARSE_FAILURE };
    for (name, value) in &given {
        check_header(name, value);
    }
    change_map("pairs were set", map_type, |map| {
        *map = given.iter().map(|(n, v)| (canonical_name(n), v.clone())).collect()
    })
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
    let name = canonical_name(unsafe { read_from_vm(name, name_size) });
    let Some(map) = readable_map(map_type) else {
        with_host(|host| {
            host.record_refusal(format!("{} of map {map_type} was read, which does not exist now", text(&name)))
        });
        return BAD_ARGUMENT;
    };
    match map.iter().find(|(n, _)| *n == name) {
        Some((_, value)) => {
            // SAFETY: as above.
            unsafe { write_to_vm(value, data, size) };
            OK
        }
        None => NOT_FOUND,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_remove_header_map_value(map_type: u32, name: *const u8, name_size: usize) -> u32 {
    // SAFETY: the ABI's promise.
    let name = canonical_name(unsafe { read_from_vm(name, name_size) });
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
    let (name, value) =
        unsafe { (canonical_name(read_from_vm(name, name_size)), read_from_vm(value, value_size).to_vec()) };
    check_header(&name, &value);
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
    let (name, value) =
        unsafe { (canonical_name(read_from_vm(name, name_size)), read_from_vm(value, value_size).to_vec()) };
    check_header(&name, &value);
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
    let buffer = with_host(|host| match buffer_type {
        0 => host.streams[host.effective_stream()?].request.chunk.clone(),
        1 => host.streams[host.effective_stream()?].response.chunk.clone(),
        4 => host.call_response.as_ref()?.body.clone(),
        6 => Some(Vec::new()),
        7 => host.configuration.clone(),
        _ => None,
    });
    let Some(buffer) = buffer else {
        with_host(|host| host.record_refusal(format!("buffer {buffer_type} was read, which does not exist now")));
        return NOT_FOUND;
    };
    let Some(end) = start.checked_add(length) else { return BAD_ARGUMENT };
    let Some(chunk) = buffer.get(start..end.min(buffer.len())) else { return BAD_ARGUMENT };
    // SAFETY: the ABI's promise.
    unsafe { write_to_vm(chunk, data, size) };
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
    let bytes = unsafe { read_from_vm(data, size) }.to_vec();
    with_host(|host| {
        let stream = host.effective_stream();
        let chunk = stream.and_then(|stream| match buffer_type {
            0 => host.streams[stream].request.chunk.as_mut(),
            1 => host.streams[stream].response.chunk.as_mut(),
            _ => None,
        });
        match chunk {
            Some(chunk) if start <= chunk.len() => {
                let end = start.saturating_add(length).min(chunk.len());
                chunk.splice(start..end, bytes);
                OK
            }
            _ => {
                host.record_violation(format!("buffer {buffer_type} was written, which does not exist now"));
                BAD_ARGUMENT
            }
        }
    })
}
