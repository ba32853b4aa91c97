//! A header map as the host hands it over: one buffer, read in place, every value bytes.

/// The header map of a request, a response or a callout's answer, or its trailers.
///
/// It keeps the buffer that the host serialised (proxy-wasm ABI 0.2.1): a count, then the two lengths of each pair,
/// then each name and value, both followed by a zero byte; all numbers are 32 bits, little-endian. No name or value is
/// copied, and none is assumed to be UTF-8. Where each stands is noted once, since a request's headers are looked
/// through many times.
#[derive(Clone, Default)]
pub struct Headers {
    buffer: Vec<u8>,
    pairs: Vec<Pair>,
}

/// Where a pair stands in the buffer, which holds it whole.
#[derive(Clone, Copy)]
struct Pair {
    name: usize,
    name_end: usize,
    value_end: usize,
}

const WORD: usize = 4;

/// The size in bytes of a pair's two lengths.
const LENGTHS: usize = 2 * WORD;

fn word(bytes: &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*bytes.first_chunk()?)).ok()
}

impl Headers {
    /// Takes a serialised map over. `None` if the buffer does not hold what its lengths promise.
    #[must_use]
    pub fn parse(buffer: Vec<u8>) -> Option<Self> {
        if buffer.is_empty() {
            return Some(Self::default());
        }
        let count = word(&buffer)?;
        let mut at = count.checked_mul(LENGTHS)?.checked_add(WORD)?;
        let lengths = buffer.get(WORD..at)?;
        let mut pairs = Vec::with_capacity(count);
        for lengths in lengths.chunks_exact(LENGTHS) {
            let (name, value) = lengths.split_at_checked(WORD)?;
            let name_end = at.checked_add(word(name)?)?;
            let value_end = name_end.checked_add(1)?.checked_add(word(value)?)?;
            pairs.push(Pair { name: at, name_end, value_end });
            at = value_end.checked_add(1)?;
        }
        (at <= buffer.len()).then_some(Self { buffer, pairs })
    }

    /// The map that a host would serialise from these pairs.
    pub fn from_pairs<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: &[(N, V)]) -> Self {
        let buffer = Self::serialize(pairs);
        // What was serialised here can be read here.
        Self::parse(buffer).unwrap_or_default()
    }

    /// These pairs as a host takes them.
    pub fn serialize<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: &[(N, V)]) -> Vec<u8> {
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
        let mut buffer = Vec::new();
        buffer.extend(length(pairs.len()));
        for (name, value) in pairs {
            buffer.extend(length(name.as_ref().len()));
            buffer.extend(length(value.as_ref().len()));
        }
        for (name, value) in pairs {
            for bytes in [name.as_ref(), value.as_ref()] {
                buffer.extend(bytes);
                buffer.push(0);
            }
        }
        buffer
    }

    /// Every pair, in the order of the request; names are in lower case, as Envoy hands them over.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs.iter().filter_map(|pair| Some((self.name(pair)?, self.value(pair)?)))
    }

    fn name(&self, pair: &Pair) -> Option<&[u8]> {
        self.buffer.get(pair.name..pair.name_end)
    }

    fn value(&self, pair: &Pair) -> Option<&[u8]> {
        self.buffer.get(pair.name_end.checked_add(1)?..pair.value_end)
    }

    /// Every value of the header of this name (lower case).
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |pair: &&Pair| self.name(pair) == Some(name.as_bytes());
        self.pairs.iter().filter(named).filter_map(|pair| self.value(pair))
    }

    /// The first value of the header of this name (lower case).
    #[must_use]
    pub fn first<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The value of the header of this name (lower case) if it stands there exactly once.
    #[must_use]
    pub fn single<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        let mut values = self.all(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(headers: &Headers) -> Vec<(Vec<u8>, Vec<u8>)> {
        headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
    }

    #[test]
    fn every_pair_is_read_in_order_with_bytes_that_are_not_utf_8() {
        let given = [(&b":path"[..], &b"/"[..]), (b"x", b"\xff\xfe"), (b"x", b"")];
        let headers = Headers::parse(Headers::serialize(&given)).unwrap();
        assert_eq!(pairs(&headers), given.map(|(n, v)| (n.to_vec(), v.to_vec())));
        assert_eq!(headers.first("x"), Some(&b"\xff\xfe"[..]));
        assert_eq!(headers.single("x"), None);
        assert_eq!(headers.single(":path"), Some(&b"/"[..]));
    }

    #[test]
    fn an_empty_buffer_is_an_empty_map() {
        assert_eq!(pairs(&Headers::parse(Vec::new()).unwrap()), []);
    }

    proptest! {
        #[test]
        fn any_buffer_is_either_refused_or_read_to_its_end(buffer in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(headers) = Headers::parse(buffer) {
                prop_assert_eq!(headers.iter().count(), headers.pairs.len());
            }
        }

        #[test]
        fn pairs_survive_the_way_through_the_host(
            given in proptest::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..8)
        ) {
            let headers = Headers::parse(Headers::serialize(&given)).unwrap();
            prop_assert_eq!(pairs(&headers), given);
        }
    }
}
