//! A header map as the host hands it over: one buffer, read in place, every value bytes.

use std::slice;

use super::name::Kinds;

/// The header map of a request, a response or a callout's answer, or its trailers.
///
/// It keeps the buffer that the host serialised (proxy-wasm ABI 0.2.1): a count, then the two lengths of each pair,
/// then each name and value, both followed by a zero byte; all numbers are 32 bits, little-endian. No name or value is
/// copied, none is assumed to be UTF-8, and nothing is allocated for them. Where the headers stand that every request
/// is asked for is noted on the one pass that checks the buffer.
#[derive(Clone, Default)]
pub struct Headers {
    buffer: Vec<u8>,
    /// How many pairs the buffer holds, all of them whole.
    count: usize,
    kinds: Kinds,
    known: [Spot; Known::COUNT],
}

/// A header that nearly every request is asked for, and that is found without a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Method,
    Path,
    Authority,
    Scheme,
    Protocol,
    Upgrade,
    Origin,
    Cookie,
}

impl Known {
    const COUNT: usize = 8;

    const KINDS: Kinds = Kinds::of(b":path")
        .and(Kinds::of(b"origin"))
        .and(Kinds::of(b"cookie"))
        .and(Kinds::of(b":method"))
        .and(Kinds::of(b":scheme"))
        .and(Kinds::of(b"upgrade"))
        .and(Kinds::of(b":protocol"))
        .and(Kinds::of(b":authority"));

    #[inline(always)]
    fn of(name: &[u8], kind: Kinds) -> Option<Self> {
        if !kind.meets(Self::KINDS) {
            return None;
        }
        Some(match name {
            b":path" => Self::Path,
            b"origin" => Self::Origin,
            b"cookie" => Self::Cookie,
            b":method" => Self::Method,
            b":scheme" => Self::Scheme,
            b"upgrade" => Self::Upgrade,
            b":protocol" => Self::Protocol,
            b":authority" => Self::Authority,
            _ => return None,
        })
    }

    fn name(self) -> &'static [u8] {
        match self {
            Self::Path => b":path",
            Self::Origin => b"origin",
            Self::Cookie => b"cookie",
            Self::Method => b":method",
            Self::Scheme => b":scheme",
            Self::Upgrade => b"upgrade",
            Self::Protocol => b":protocol",
            Self::Authority => b":authority",
        }
    }
}

/// Where the pairs of a known name are.
#[derive(Clone, Copy, Default)]
struct Spot {
    /// Where the first one's value starts; 0, where the count stands, if there is none.
    value: usize,
    value_end: usize,
    /// The place of the pair after it.
    next: usize,
    /// Whether there are more.
    repeated: bool,
}

const WORD: usize = 4;

/// The size in bytes of a pair's two lengths.
const LENGTHS: usize = 2 * WORD;

/// The lengths of a name and its value, as the host wrote them.
#[inline(always)]
fn lengths(bytes: &[u8; LENGTHS]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = *bytes;
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

impl Headers {
    /// Takes a serialised map over. `None` if the buffer does not hold what its lengths promise.
    #[must_use]
    pub fn parse(buffer: Vec<u8>) -> Option<Self> {
        if buffer.is_empty() {
            return Some(Self::default());
        }
        let (count, rest) = buffer.split_first_chunk()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let table = rest.get(..count.checked_mul(LENGTHS)?)?;
        let mut known = [Spot::default(); Known::COUNT];
        let mut kinds = Kinds::default();
        let mut at = table.len().checked_add(WORD)?;
        for (place, pair) in table.as_chunks().0.iter().enumerate() {
            let (name, value) = lengths(pair);
            let name_end = at.checked_add(usize::try_from(name).ok()?)?;
            let value_start = name_end.checked_add(1)?;
            let value_end = value_start.checked_add(usize::try_from(value).ok()?)?;
            let name = buffer.get(at..name_end)?;
            let kind = Kinds::of(name);
            kinds = kinds.and(kind);
            if let Some(known) = Known::of(name, kind).and_then(|name| known.get_mut(name as usize)) {
                if known.value == 0 {
                    *known = Spot { value: value_start, value_end, next: place.wrapping_add(1), repeated: false };
                } else {
                    known.repeated = true;
                }
            }
            at = value_end.checked_add(1)?;
        }
        (at <= buffer.len()).then_some(Self { buffer, count, kinds, known })
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

    /// The pairs from the one at this place on, whose name starts at `at`.
    fn pairs_from(&self, place: usize, at: usize) -> Pairs<'_> {
        let table = self.buffer.get(WORD..).and_then(|rest| rest.as_chunks().0.get(place..self.count));
        Pairs { lengths: table.unwrap_or_default().iter(), buffer: &self.buffer, at }
    }

    /// Every pair, in the order of the request; names are in lower case, as Envoy hands them over.
    #[must_use]
    pub fn iter(&self) -> Pairs<'_> {
        self.pairs_from(0, self.count.wrapping_mul(LENGTHS).wrapping_add(WORD))
    }

    /// Every value of the header of this name (lower case).
    #[must_use]
    pub fn all<'a>(&'a self, name: &'a str) -> Values<'a> {
        let name = name.as_bytes();
        // What cannot be there is not searched for; an empty name is of no kind.
        let absent = !name.is_empty() && !Kinds::of(name).meets(self.kinds);
        let more = if absent { Pairs::default() } else { self.iter() };
        Values { first: None, more, name }
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

    /// The kinds of all names.
    pub(super) fn kinds(&self) -> Kinds {
        self.kinds
    }

    #[inline(always)]
    fn spot(&self, known: Known) -> Spot {
        self.known.get(known as usize).copied().unwrap_or_default()
    }

    /// Every value of this header.
    #[must_use]
    pub fn all_known(&self, known: Known) -> Values<'_> {
        let spot = self.spot(known);
        let next = if spot.repeated { spot.next } else { self.count };
        let more = self.pairs_from(next, spot.value_end.wrapping_add(1));
        Values { first: self.value_at(spot), more, name: known.name() }
    }

    /// The first value of this header.
    #[must_use]
    pub fn first_known(&self, known: Known) -> Option<&[u8]> {
        self.value_at(self.spot(known))
    }

    /// The value of this header if it stands there exactly once.
    #[must_use]
    pub fn single_known(&self, known: Known) -> Option<&[u8]> {
        let spot = self.spot(known);
        if spot.repeated { None } else { self.value_at(spot) }
    }

    #[inline(always)]
    fn value_at(&self, spot: Spot) -> Option<&[u8]> {
        if spot.value == 0 { None } else { self.buffer.get(spot.value..spot.value_end) }
    }
}

/// See [`Headers::iter`].
#[derive(Default)]
pub struct Pairs<'a> {
    lengths: slice::Iter<'a, [u8; LENGTHS]>,
    buffer: &'a [u8],
    /// Where the next name starts. The buffer was checked as a whole, so this does not overflow.
    at: usize,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = lengths(self.lengths.next()?);
        let name_end = self.at.wrapping_add(usize::try_from(name).ok()?);
        let value_start = name_end.wrapping_add(1);
        let value_end = value_start.wrapping_add(usize::try_from(value).ok()?);
        let pair = (self.buffer.get(self.at..name_end)?, self.buffer.get(value_start..value_end)?);
        self.at = value_end.wrapping_add(1);
        Some(pair)
    }
}

/// The values of one name.
pub struct Values<'a> {
    /// The first one, where it is known already.
    first: Option<&'a [u8]>,
    more: Pairs<'a>,
    name: &'a [u8],
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let first = self.first.take();
        if first.is_some() {
            return first;
        }
        let Self { more, name, .. } = self;
        more.find(|(other, _)| other == name).map(|(_, value)| value)
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

    /// The names that are noted, and some that come near them.
    const NAMES: [&str; 14] = [
        ":method",
        ":path",
        ":authority",
        ":scheme",
        ":protocol",
        "upgrade",
        "origin",
        "cookie",
        "",
        "cookie2",
        ":status",
        "Cookie",
        "accept",
        "user-agent",
    ];

    const KNOWN: [Known; Known::COUNT] = [
        Known::Method,
        Known::Path,
        Known::Authority,
        Known::Scheme,
        Known::Protocol,
        Known::Upgrade,
        Known::Origin,
        Known::Cookie,
    ];

    #[test]
    fn each_known_header_is_noted_under_its_own_name() {
        for (place, known) in KNOWN.into_iter().enumerate() {
            assert_eq!(known as usize, place);
            assert_eq!(Known::of(known.name(), Kinds::of(known.name())), Some(known));
        }
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
        fn what_was_noted_is_what_a_search_finds(
            given in proptest::collection::vec((prop::sample::select(NAMES.to_vec()), "[ab]{0,2}"), 0..12)
        ) {
            let headers = Headers::from_pairs(&given);
            for known in KNOWN {
                let name = std::str::from_utf8(known.name()).unwrap();
                let values: Vec<_> =
                    given.iter().filter(|(other, _)| *other == name).map(|(_, value)| value.as_bytes()).collect();
                prop_assert_eq!(headers.all_known(known).collect::<Vec<_>>(), &*values);
                prop_assert_eq!(headers.first_known(known), values.first().copied());
                prop_assert_eq!(headers.single_known(known), if let [value] = *values { Some(value) } else { None });
                prop_assert_eq!(headers.all(name).collect::<Vec<_>>(), &*values);
                prop_assert_eq!(headers.first(name), headers.first_known(known));
                prop_assert_eq!(headers.single(name), headers.single_known(known));
            }
        }

        #[test]
        fn what_is_searched_for_is_found_wherever_it_is(
            given in proptest::collection::vec(("[ab-]{0,2}", "[ab]{0,2}"), 0..6), name in "[ab-]{0,2}"
        ) {
            let headers = Headers::from_pairs(&given);
            let values: Vec<_> =
                given.iter().filter(|(other, _)| *other == name).map(|(_, value)| value.as_bytes()).collect();
            prop_assert_eq!(headers.all(&name).collect::<Vec<_>>(), values);
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
