//! Paths, and every reading that a server behind the proxy may have of them.
//!
//! A rule for `/admin` protects nothing if the server takes another spelling for the same path. Servers normalise paths
//! in different ways: some decode twice, some take `\` for `/`, some drop path parameters. So a path that is not plain is
//! put through every such step in every order. The result is all readings, or the reason why the path is refused.

use std::fmt;

use super::percent::{is_unreserved, split_encoded};
use super::scan::split_before;

/// The maximum number of readings of a path. A path with more is refused.
pub const MAX_READINGS: usize = 32;

/// Why a path is refused. The name describes the path or one of its readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ambiguity {
    /// It does not start with `/`.
    NotAbsolute,
    /// It has an ASCII control character.
    ControlCharacter,
    /// It has a `%` without two hexadecimal digits, or `%uXXXX`.
    MalformedPercent,
    /// It has an overlong UTF-8 sequence (RFC 3629, section 10).
    OverlongUtf8,
    /// It has a segment `.` or `..`.
    DotSegment,
    /// It starts with `//`, which some servers read as a host.
    LeadingSlashes,
    /// It has more than [`MAX_READINGS`] readings.
    TooManyReadings,
}

impl fmt::Display for Ambiguity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotAbsolute => "a path that does not start with a slash",
            Self::ControlCharacter => "a control character in the path",
            Self::MalformedPercent => "a percent sign without two hexadecimal digits in the path",
            Self::OverlongUtf8 => "overlong UTF-8 in the path",
            Self::DotSegment => "a dot segment in the path",
            Self::LeadingSlashes => "a path that starts with two slashes",
            Self::TooManyReadings => "a path that can be read in too many ways",
        })
    }
}

/// The path of a request target, and the query after the first `?`. `None`: there is no `?` (RFC 3986, section 3.4).
#[must_use]
pub fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let (path, rest) = split_before(target, b'?');
    (path, rest.split_first().map(|(_, query)| query))
}

/// Whether the path has one reading: segments of characters that no server changes (RFC 3986, section 3.3, without `%`
/// and `;`), no dot segment, and no empty segment but the last.
#[must_use]
pub fn is_plain(path: &[u8]) -> bool {
    let [b'/', segments @ ..] = path else { return false };
    let mut segment = Segment::Empty;
    for byte in segments {
        segment = match (kind_of(*byte), segment) {
            // Only the last segment may be empty: the path ends with a slash.
            (Kind::Other, _) | (Kind::Slash, Segment::Empty | Segment::Dot | Segment::Dots) => return false,
            (Kind::Slash, Segment::Named) => Segment::Empty,
            (Kind::Dot, Segment::Empty) => Segment::Dot,
            (Kind::Dot, Segment::Dot) => Segment::Dots,
            (Kind::Plain, _) | (Kind::Dot, _) => Segment::Named,
        };
    }
    matches!(segment, Segment::Empty | Segment::Named)
}

/// The part of a segment that was read so far.
#[derive(Clone, Copy)]
enum Segment {
    Empty,
    Dot,
    Dots,
    /// Anything else.
    Named,
}

/// All readings of the path, the path itself first. A plain path has only that one.
///
/// # Errors
///
/// If a reading is one that only an attack needs, or if there are more than [`MAX_READINGS`].
pub fn readings(path: &[u8]) -> Result<Vec<Vec<u8>>, Ambiguity> {
    if !path.starts_with(b"/") {
        return Err(Ambiguity::NotAbsolute);
    }
    // This holds for the path as sent: `/100%25` is well-formed, and decodes to a path that ends with `%`.
    let malformed = |after: &[u8]| !matches!(after, [high, low, ..] if is_hex(high) && is_hex(low));
    if after_percent_signs(path).any(malformed) {
        return Err(Ambiguity::MalformedPercent);
    }
    explore(path, Step::apply)
}

/// The closure of the path under all steps, breadth first.
///
/// The work is bounded for any path: at most `MAX_READINGS` readings are kept, each goes through each step once, and no
/// step makes a path longer. That is at most `MAX_READINGS * Step::ALL.len()` passes over the length of the path. The
/// first reading that is refused, or that is one too many, ends the search.
fn explore(path: &[u8], mut apply: impl FnMut(Step, &[u8]) -> Option<Vec<u8>>) -> Result<Vec<Vec<u8>>, Ambiguity> {
    check(path)?;
    let mut readings = vec![path.to_vec()];
    for index in 0..MAX_READINGS {
        for step in Step::ALL {
            let Some(known) = readings.get(index) else { return Ok(readings) };
            let Some(reading) = apply(step, known) else { continue };
            if readings.contains(&reading) {
                continue;
            }
            check(&reading)?;
            if readings.len() >= MAX_READINGS {
                return Err(Ambiguity::TooManyReadings);
            }
            readings.push(reading);
        }
    }
    Ok(readings)
}

/// Checks one reading. Encoded bytes are checked in the reading that decodes them.
fn check(reading: &[u8]) -> Result<(), Ambiguity> {
    if reading.iter().any(u8::is_ascii_control) {
        return Err(Ambiguity::ControlCharacter);
    }
    // IIS and Jetty decode `%u002e`, which RFC 3986 does not have.
    let utf_16 = |after: &[u8]| matches!(after, [b'u' | b'U', a, b, c, d, ..] if is_hex(a) && is_hex(b) && is_hex(c) && is_hex(d));
    if after_percent_signs(reading).any(utf_16) {
        return Err(Ambiguity::MalformedPercent);
    }
    if is_overlong(reading) {
        return Err(Ambiguity::OverlongUtf8);
    }
    if reading.starts_with(b"//") {
        return Err(Ambiguity::LeadingSlashes);
    }
    if reading.split(|byte| *byte == b'/').any(is_dots) {
        return Err(Ambiguity::DotSegment);
    }
    Ok(())
}

/// Whether the bytes have the start of an overlong UTF-8 sequence.
///
/// A decoder that accepts such a sequence often ignores whether valid continuation bytes follow, so they are not looked
/// at. The last two patterns start sequences of five and six bytes, which older decoders accept.
fn is_overlong(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| matches!(byte, 0xc0 | 0xc1))
        || bytes
            .windows(2)
            .any(|pair| matches!(pair, [0xe0, ..=0x9f] | [0xf0, ..=0x8f] | [0xf8, ..=0x87] | [0xfc, ..=0x83]))
}

fn after_percent_signs(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'%').skip(1)
}

fn is_dots(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

fn is_hex(byte: &u8) -> bool {
    byte.is_ascii_hexdigit()
}

/// The class of a byte in a plain path.
#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Slash,
    Dot,
    Other,
}

/// A table, since it is faster than comparisons, and every byte of every path is classified.
#[expect(clippy::indexing_slicing, reason = "the compiler works it out")]
const KINDS: [Kind; 256] = {
    let mut table = [Kind::Other; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        table[byte as usize] = match byte {
            b'/' => Kind::Slash,
            b'.' => Kind::Dot,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@' => Kind::Plain,
            _ if is_unreserved(byte) => Kind::Plain,
            _ => Kind::Other,
        };
        byte += 1;
    }
    table
};

#[inline(always)]
fn kind_of(byte: u8) -> Kind {
    // The table has an entry for every byte.
    KINDS.get(usize::from(byte)).copied().unwrap_or(Kind::Other)
}

/// One normalisation that a server may apply to a path.
#[derive(Clone, Copy, Debug)]
enum Step {
    Decode,
    DecodeUnreserved,
    TurnBackslashes,
    MergeSlashes,
    DropParameters,
    CutQuery,
    CutFragment,
}

impl Step {
    const ALL: [Self; 7] = [
        Self::Decode,
        Self::DecodeUnreserved,
        Self::TurnBackslashes,
        Self::MergeSlashes,
        Self::DropParameters,
        Self::CutQuery,
        Self::CutFragment,
    ];

    /// The path after this step; `None` if it is unchanged.
    fn apply(self, path: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Decode => decode(path, |_| true),
            Self::DecodeUnreserved => decode(path, is_unreserved),
            Self::TurnBackslashes => path
                .contains(&b'\\')
                .then(|| path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect()),
            Self::MergeSlashes => path.windows(2).any(|pair| pair == b"//").then(|| {
                let mut merged = path.to_vec();
                merged.dedup_by(|next, byte| *next == b'/' && *byte == b'/');
                merged
            }),
            Self::DropParameters => path.contains(&b';').then(|| {
                let mut parameters = false;
                let mut kept = path.to_vec();
                kept.retain(|byte| {
                    parameters = *byte == b';' || (parameters && *byte != b'/');
                    !parameters
                });
                kept
            }),
            Self::CutQuery => cut(path, b'?'),
            Self::CutFragment => cut(path, b'#'),
        }
    }
}

/// Decodes once every encoded byte that `wanted` selects. A percent sign without two digits stays.
fn decode(path: &[u8], wanted: fn(u8) -> bool) -> Option<Vec<u8>> {
    if !path.contains(&b'%') {
        return None;
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, after_first)) = rest.split_first() {
        let (byte, after) = split_encoded(rest).filter(|(byte, _)| wanted(*byte)).unwrap_or((*first, after_first));
        decoded.push(byte);
        rest = after;
    }
    (decoded.len() < path.len()).then_some(decoded)
}

fn cut(path: &[u8], mark: u8) -> Option<Vec<u8>> {
    let kept = path.split(|byte| *byte == mark).next()?;
    (kept.len() < path.len()).then(|| kept.to_vec())
}

#[cfg(test)]
mod tests;
