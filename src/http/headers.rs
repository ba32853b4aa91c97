//! A header map as the host hands it over: one buffer, read in place, every value bytes.

/// The header map of a request, a response or a callout's answer, or its trailers.
///
/// It keeps the buffer that the host serialised (proxy-wasm ABI 0.2.1): a count, then the two lengths of each pair,
/// then each name and value, both followed by a zero byte; all numbers are 32 bits, little-endian. Nothing is copied,
/// and nothing is assumed to be UTF-8.
#[derive(Clone, Default)]
pub struct Headers {
    buffer: Vec<u8>,
    count: usize,
}

const WORD: usize = 4;

fn word(buffer: &[u8], at: usize) -> Option<usize> {
    let bytes = buffer.get(at..at.checked_add(WORD)?)?;
    usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
}

impl Headers {
    /// Takes a serialised map over. `None` if the buffer does not hold what its lengths promise.
    #[must_use]
    pub fn parse(buffer: Vec<u8>) -> Option<Self> {
        if buffer.is_empty() {
            return Some(Self::default());
        }
        let count = word(&buffer, 0)?;
        let mut end = count.checked_mul(2 * WORD)?.checked_add(WORD)?;
        for index in 0..count.checked_mul(2)? {
            let length = word(&buffer, index.checked_mul(WORD)?.checked_add(WORD)?)?;
            end = end.checked_add(length)?.checked_add(1)?;
        }
        (end <= buffer.len()).then_some(Self { buffer, count })
    }

    /// The map that a host would serialise from these pairs.
    pub fn from_pairs<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: &[(N, V)]) -> Self {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut buffer = Vec::new();
        buffer.extend(u32::try_from(pairs.len()).unwrap_or(u32::MAX).to_le_bytes());
        for (name, value) in pairs {
            buffer.extend(length(name.as_ref()));
            buffer.extend(length(value.as_ref()));
        }
        for (name, value) in pairs {
            for bytes in [name.as_ref(), value.as_ref()] {
                buffer.extend(bytes);
                buffer.push(0);
            }
        }
        Self { buffer, count: pairs.len() }
    }

    /// The map as a host takes it.
    #[must_use]
    pub fn serialized(&self) -> &[u8] {
        &self.buffer
    }

    /// Every pair, in the order of the request; names are in lower case, as Envoy hands them over.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        let lengths_end = self.count.saturating_mul(2 * WORD).saturating_add(WORD);
        Iter { buffer: &self.buffer, remaining: self.count, lengths_at: WORD, data_at: lengths_end }
    }

    /// Every value of the header of this name (lower case).
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(n, _)| *n == name.as_bytes()).map(|(_, value)| value)
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

/// The pairs of a [`Headers`], read in place.
pub struct Iter<'a> {
    buffer: &'a [u8],
    remaining: usize,
    lengths_at: usize,
    data_at: usize,
}

impl<'a> Iter<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.data_at.checked_add(length)?;
        let bytes = self.buffer.get(self.data_at..end)?;
        self.data_at = end.checked_add(1)?;
        Some(bytes)
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.remaining = self.remaining.checked_sub(1)?;
        let name_length = word(self.buffer, self.lengths_at)?;
        let value_length = word(self.buffer, self.lengths_at.checked_add(WORD)?)?;
        self.lengths_at = self.lengths_at.checked_add(2 * WORD)?;
        Some((self.take(name_length)?, self.take(value_length)?))
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
        let headers = Headers::parse(Headers::from_pairs(&given).buffer).unwrap();
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
                prop_assert_eq!(headers.iter().count(), headers.count);
            }
        }

        #[test]
        fn pairs_survive_the_way_through_the_host(
            given in proptest::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..8)
        ) {
            let headers = Headers::parse(Headers::from_pairs(&given).buffer).unwrap();
            prop_assert_eq!(pairs(&headers), given);
        }
    }
}
