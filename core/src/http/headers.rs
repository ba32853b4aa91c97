//! A header map in the host's serialised form, read in place as bytes.

mod known;

use std::slice;

use super::name::NameFilter;

pub use known::Known;

/// The headers or trailers of a request, a response or a callout's response.
///
/// It keeps the buffer that the host serialised (proxy-wasm ABI 0.2.1): the number of pairs, the two lengths of each
/// pair, then each name and value, both followed by a zero byte. All numbers are 32 bits, little-endian. Names and
/// values are neither copied nor assumed to be UTF-8.
///
/// One pass validates the buffer. It replaces each length by the offset at which the name or value ends, and records
/// where the [`Known`] headers are. The struct has 32 bytes in the module: the compiler moves that without a call to
/// `memcpy`.
#[derive(Clone, Default)]
pub struct Headers {
    buffer: Vec<u8>,
    filter: NameFilter,
    /// For each known name, the one-based index of its first pair; zero if there is none.
    known: [u8; Known::COUNT],
    /// A bit for each known name that has more than one pair.
    repeated: u8,
}

/// The index of a known header whose index does not fit into a byte: it is searched for.
const FAR: u8 = u8::MAX;

const WORD: usize = 4;

/// The size in bytes of a pair's entry in the buffer's table.
const ENTRY: usize = 2 * WORD;

type Entry = [u8; ENTRY];

/// The two numbers of an entry.
#[inline(always)]
fn numbers(entry: &Entry) -> Option<(usize, usize)> {
    let [a, b, c, d, e, f, g, h] = *entry;
    let (first, second) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    Some((usize::try_from(first).ok()?, usize::try_from(second).ok()?))
}

#[inline(always)]
fn entry(first: usize, second: usize) -> Option<Entry> {
    let ([a, b, c, d], [e, f, g, h]) = (word(first)?, word(second)?);
    Some([a, b, c, d, e, f, g, h])
}

#[inline(always)]
fn word(number: usize) -> Option<[u8; WORD]> {
    Some(u32::try_from(number).ok()?.to_le_bytes())
}

impl Headers {
    /// Validates a serialised map. `None` if a length exceeds the buffer. An empty buffer is an empty map.
    #[must_use]
    pub fn parse(mut buffer: Vec<u8>) -> Option<Self> {
        if buffer.is_empty() {
            return Some(Self::default());
        }
        let (mut filter, mut known, mut repeated) = (NameFilter::default(), [0_u8; Known::COUNT], 0_u8);
        let count = usize::try_from(u32::from_le_bytes(*buffer.first_chunk()?)).ok()?;
        let mut at = count.checked_mul(ENTRY)?.checked_add(WORD)?;
        let (table, mut rest) = buffer.split_at_mut_checked(at)?;
        for (place, pair) in table.get_mut(WORD..)?.as_chunks_mut().0.iter_mut().enumerate() {
            let (name_length, value_length) = numbers(pair)?;
            let (name, value) = rest.split_at_mut_checked(name_length)?;
            let after = value_length.checked_add(2)?;
            rest = value.get_mut(after..)?;
            // Both are within the buffer, so the sums do not overflow.
            let name_end = at.wrapping_add(name_length);
            at = name_end.wrapping_add(after);
            *pair = entry(name_end, at.wrapping_sub(1))?;
            let own = NameFilter::of(name);
            filter = filter.union(own);
            if let Some(name) = Known::of(name, own)
                && let Some(known) = known.get_mut(name as usize)
            {
                if *known == 0 {
                    *known = u8::try_from(place.wrapping_add(1)).unwrap_or(FAR);
                } else {
                    repeated |= 1 << name as u8;
                }
            }
        }
        Some(Self { buffer, filter, known, repeated })
    }

    /// The map of these pairs.
    pub fn from_pairs<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: &[(N, V)]) -> Self {
        let buffer = Self::serialize(pairs);
        // `parse` accepts what `serialize` writes.
        Self::parse(buffer).unwrap_or_default()
    }

    /// Serialises pairs as the host does.
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

    /// The offsets at which each pair's name and value end.
    fn table(&self) -> &[Entry] {
        let table = self.buffer.split_first_chunk().and_then(|(count, rest)| {
            let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
            rest.as_chunks().0.get(..count)
        });
        table.unwrap_or_default()
    }

    /// The heap that it takes, in bytes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// All pairs, in order. Envoy's names are in lower case.
    #[must_use]
    pub fn iter(&self) -> Pairs<'_> {
        let table = self.table();
        Pairs { table: table.iter(), buffer: &self.buffer, at: size_of_val(table).wrapping_add(WORD) }
    }

    /// All values of the header of this name (lower case).
    #[must_use]
    pub fn all<'a>(&'a self, name: &'a str) -> Values<'a> {
        let name = name.as_bytes();
        // The filter knows no empty name, so that is searched for.
        let absent = !name.is_empty() && !NameFilter::of(name).intersects(self.filter);
        Values { pairs: if absent { Pairs::default() } else { self.iter() }, name }
    }

    /// The first value of the header of this name (lower case); `None` if it is absent.
    #[must_use]
    pub fn first<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The value of the header of this name (lower case). `None`: it is absent, or has several values.
    #[must_use]
    pub fn single<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        let mut values = self.all(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    /// The union of the filters of all names.
    pub(super) fn filter(&self) -> NameFilter {
        self.filter
    }

    fn is_repeated(&self, known: Known) -> bool {
        self.repeated & 1 << known as u8 != 0
    }

    #[inline(always)]
    fn spot(&self, known: Known) -> Spot<'_> {
        match self.known.get(known as usize).copied().unwrap_or_default() {
            0 => Spot::Absent,
            FAR => Spot::Unknown,
            place => self.table().get(usize::from(place).wrapping_sub(1)).map_or(Spot::Absent, Spot::At),
        }
    }

    /// Whether there is such a header.
    #[must_use]
    #[inline(always)]
    pub fn contains(&self, known: Known) -> bool {
        !matches!(self.spot(known), Spot::Absent)
    }

    /// All values of this header.
    #[must_use]
    pub fn all_known(&self, known: Known) -> Values<'_> {
        let name = known.name();
        let pairs = match self.spot(known) {
            Spot::Absent => Pairs::default(),
            Spot::At(entry) if !self.is_repeated(known) => {
                let name_end = numbers(entry).map_or(0, |(name_end, _)| name_end);
                let at = name_end.wrapping_sub(name.len());
                Pairs { table: slice::from_ref(entry).iter(), buffer: &self.buffer, at }
            }
            Spot::At(_) | Spot::Unknown => self.iter(),
        };
        Values { pairs, name }
    }

    /// The first value of this header; `None` if it is absent.
    #[must_use]
    pub fn first_known(&self, known: Known) -> Option<&[u8]> {
        match self.spot(known) {
            Spot::Absent => None,
            Spot::At(entry) => {
                let (name_end, value_end) = numbers(entry)?;
                self.buffer.get(name_end.wrapping_add(1)..value_end)
            }
            Spot::Unknown => self.all_known(known).next(),
        }
    }

    /// The value of this header. `None`: it is absent, or has several values.
    #[must_use]
    pub fn single_known(&self, known: Known) -> Option<&[u8]> {
        if self.is_repeated(known) { None } else { self.first_known(known) }
    }
}

/// Where the first pair of a known name is.
enum Spot<'a> {
    Absent,
    /// In this entry.
    At(&'a Entry),
    /// Beyond the indexes that a byte can hold.
    Unknown,
}

/// See [`Headers::iter`].
#[derive(Default)]
pub struct Pairs<'a> {
    table: slice::Iter<'a, Entry>,
    buffer: &'a [u8],
    /// The offset of the next name. The buffer was validated, so it does not overflow.
    at: usize,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let (name_end, value_end) = numbers(self.table.next()?)?;
        let name = self.buffer.get(self.at..name_end)?;
        let value = self.buffer.get(name_end.wrapping_add(1)..value_end)?;
        self.at = value_end.wrapping_add(1);
        Some((name, value))
    }
}

/// The values of one name.
pub struct Values<'a> {
    pairs: Pairs<'a>,
    name: &'a [u8],
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let Self { pairs, name } = self;
        pairs.find(|(other, _)| other == name).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests;
