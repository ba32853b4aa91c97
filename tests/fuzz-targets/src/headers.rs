//! A serialised header map: it is read as a simple reader reads it, and writing it again gives the same map, whichever
//! way it is searched.

use rest_sessions_core::http::headers::{Headers, Known};

type Pair = (Vec<u8>, Vec<u8>);

const KNOWN: [(&str, Known); 8] = [
    (":method", Known::Method),
    (":path", Known::Path),
    (":authority", Known::Authority),
    (":scheme", Known::Scheme),
    (":protocol", Known::Protocol),
    ("upgrade", Known::Upgrade),
    ("origin", Known::Origin),
    ("cookie", Known::Cookie),
];

/// # Panics
///
/// If something does not hold.
pub fn check(bytes: &[u8]) {
    let expected = read(bytes);
    let headers = Headers::parse(bytes.to_vec());
    let (Some(headers), Some(expected)) = (&headers, &expected) else {
        return assert_eq!(headers.is_some(), expected.is_some(), "one of the readers refuses the map");
    };
    assert_holds(headers, expected);
    assert_holds(&Headers::from_pairs(expected), expected);
}

fn assert_holds(headers: &Headers, pairs: &[Pair]) {
    let all: Vec<_> = headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    assert_eq!(all, pairs);
    for (name, known) in KNOWN {
        let values: Vec<&[u8]> =
            pairs.iter().filter(|(other, _)| other == name.as_bytes()).map(|(_, value)| &**value).collect();
        let single = if let [value] = values[..] { Some(value) } else { None };
        assert_eq!(headers.all(name).collect::<Vec<_>>(), values);
        assert_eq!(headers.first(name), values.first().copied());
        assert_eq!(headers.single(name), single);
        assert_eq!(headers.all_known(known).collect::<Vec<_>>(), values);
        assert_eq!(headers.first_known(known), values.first().copied());
        assert_eq!(headers.single_known(known), single);
        assert_eq!(headers.contains(known), !values.is_empty());
    }
}

/// The format of proxy-wasm: the number of pairs, the lengths of each name and value, then each of them with a zero byte.
fn read(bytes: &[u8]) -> Option<Vec<Pair>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let number = |at: usize| {
        let bytes = bytes.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let count = number(0)?;
    let mut at = count.checked_mul(8)?.checked_add(4)?;
    let mut pairs = Vec::new();
    for pair in 0..count {
        let mut part = |length: usize| {
            let part = bytes.get(at..at.checked_add(length)?)?.to_vec();
            at += length + 1;
            (at <= bytes.len()).then_some(part)
        };
        pairs.push((part(number(4 + 8 * pair)?)?, part(number(8 + 8 * pair)?)?));
    }
    // An empty map is not only its number: the table must be there too.
    (at <= bytes.len()).then_some(pairs)
}
