//! A header map as the host hands it over: one buffer, read in place, every value bytes.

mod known;

use std::slice;

use super::name::NameFilter;

pub use known::Known;

/// The header map of a request, a response or a callout's answer, or its trailers.
///
/// It keeps the buffer that the host serialised (proxy-wasm ABI 0.2.1): a count, then the two lengths of each pair,
/// then each name and value, both followed by a zero byte; all numbers are 32 bits, little-endian. No name or value is
/// copied, none is assumed to be UTF-8, and nothing is allocated for them. On the one pass that checks the buffer, each
/// length gives way to where its name or value ends, and it is noted where those headers stand that every request is
/// asked for. All of it has 32 bytes in the module, few enough to be handed on without a call to copy them.
#[derive(Clone, Default)]
pub struct Headers {
    buffer: Vec<u8>,
    filter: NameFilter,
    /// Of each known name, the place of its first pair, counted from one; zero if there is none.
    known: [u8; Known::COUNT],
    /// The known names of which there is more than one pair, a bit each.
    repeated: u8,
}

/// What stands for the place of a header that is further back than a byte can say: it is searched for.
const FAR: u8 = u8::MAX;

const WORD: usize = 4;

/// The size in bytes of what the buffer's table has for each pair.
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
    /// Takes a serialised map over. `None` if the buffer does not hold what its lengths promise.
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
            // What is in memory has an end that can be told.
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

    /// Where each pair's name and value end.
    fn table(&self) -> &[Entry] {
        let table = self.buffer.split_first_chunk().and_then(|(count, rest)| {
            let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
            rest.as_chunks().0.get(..count)
        });
        table.unwrap_or_default()
    }

    /// Every pair, in the order of the request; names are in lower case, as Envoy hands them over.
    #[must_use]
    pub fn iter(&self) -> Pairs<'_> {
        let table = self.table();
        Pairs { table: table.iter(), buffer: &self.buffer, at: size_of_val(table).wrapping_add(WORD) }
    }

    /// Every value of the header of this name (lower case).
    #[must_use]
    pub fn all<'a>(&'a self, name: &'a str) -> Values<'a> {
        let name = name.as_bytes();
        // What cannot be there is not searched for; an empty name is of no kind.
        let absent = !name.is_empty() && !NameFilter::of(name).intersects(self.filter);
        Values { pairs: if absent { Pairs::default() } else { self.iter() }, name }
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

    /// The filter of all names.
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

    /// Whether this header stands there at all.
    #[must_use]
    #[inline(always)]
    pub fn contains(&self, known: Known) -> bool {
        !matches!(self.spot(known), Spot::Absent)
    }

    /// Every value of this header.
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

    /// The first value of this header.
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

    /// The value of this header if it stands there exactly once.
    #[must_use]
    pub fn single_known(&self, known: Known) -> Option<&[u8]> {
        if self.is_repeated(known) { None } else { self.first_known(known) }
    }
}

/// What is known of the first pair of a name.
enum Spot<'a> {
    Absent,
    /// Its entry.
    At(&'a Entry),
    /// It is too far back.
    Unknown,
}

/// See [`Headers::iter`].
#[derive(Default)]
pub struct Pairs<'a> {
    table: slice::Iter<'a, Entry>,
    buffer: &'a [u8],
    /// Where the next name starts. The buffer was checked as a whole, so this does not overflow.
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
