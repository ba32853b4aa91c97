//! The ABI's encoding of header maps, and the memory that host and VM exchange.

use super::exports;

/// A header map: names and values as bytes, in the order of the message.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A header map of owned bytes; names in lower case, as Envoy delivers them.
pub fn pairs<N: AsRef<[u8]>, V: AsRef<[u8]>>(given: impl IntoIterator<Item = (N, V)>) -> Pairs {
    given.into_iter().map(|(name, value)| (name.as_ref().to_ascii_lowercase(), value.as_ref().to_vec())).collect()
}

/// The first value of a name.
pub fn first<'a>(map: &'a Pairs, name: &str) -> Option<&'a [u8]> {
    map.iter().find(|(n, _)| n == name.as_bytes()).map(|(_, value)| value.as_slice())
}

/// A header map as text, for messages.
pub fn display(map: &Pairs) -> String {
    let line = |(name, value): &(Vec<u8>, Vec<u8>)| {
        format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
    };
    map.iter().map(line).collect::<Vec<_>>().join(", ")
}

/// Encodes a map: the count, the lengths of every pair, then names and values, each followed by a zero byte.
pub fn serialize(map: &Pairs) -> Vec<u8> {
    let word = |number: usize| u32::try_from(number).expect("a header map fits 32 bits").to_le_bytes();
    let mut bytes = word(map.len()).to_vec();
    for (name, value) in map {
        bytes.extend(word(name.len()));
        bytes.extend(word(value.len()));
    }
    for (name, value) in map {
        for part in [name, value] {
            bytes.extend(part);
            bytes.push(0);
        }
    }
    bytes
}

/// Decodes a map that the VM wrote. `None` if a length exceeds the buffer.
pub fn deserialize(bytes: &[u8]) -> Option<Pairs> {
    if bytes.is_empty() {
        return Some(Pairs::new());
    }
    let word = |index: usize| {
        let at = index.checked_mul(4)?;
        bytes.get(at..at.checked_add(4)?).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]) as usize)
    };
    let count = word(0)?;
    let mut at = count.checked_mul(8)?.checked_add(4)?;
    let mut map = Pairs::new();
    for index in 0..count {
        let mut part = |length: usize| {
            let part = bytes.get(at..at.checked_add(length)?)?.to_vec();
            at += length + 1;
            Some(part)
        };
        let name = part(word(1 + 2 * index)?)?;
        map.push((name, part(word(2 + 2 * index)?)?));
    }
    Some(map)
}

/// The bytes that the VM points to.
///
/// # Safety
/// `data` must be null, or point at `size` readable bytes for as long as the result lives.
pub unsafe fn read_from_vm<'a>(data: *const u8, size: usize) -> &'a [u8] {
    if data.is_null() || size == 0 {
        return &[];
    }
    // SAFETY: the caller's promise, and neither null nor empty.
    unsafe { std::slice::from_raw_parts(data, size) }
}

/// Copies bytes into memory from the VM's own allocator. Without bytes the VM gets a null pointer, as from Envoy.
///
/// # Safety
/// `data` and `size` must be writable.
pub unsafe fn write_to_vm(bytes: &[u8], data: *mut *mut u8, size: *mut usize) {
    // SAFETY: the caller's promise; the allocator returns as many bytes as were requested.
    unsafe {
        let memory = if bytes.is_empty() {
            std::ptr::null_mut()
        } else {
            let memory = exports::proxy_on_memory_allocate(bytes.len());
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory, bytes.len());
            memory
        };
        *data = memory;
        *size = bytes.len();
    }
}
