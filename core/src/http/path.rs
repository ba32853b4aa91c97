//! Paths, and all the ways in which servers behind the proxy might read them.
//!
//! A rule that protects `/admin` is worth nothing if the server takes another spelling for the same path. What servers
//! do to a path differs: some decode it twice, some take `\` for `/`, some drop parameters. So a path that is not
//! plain is followed through every such step in every order, and whoever asks gets all the readings, or learns that
//! the path is one that no honest client sends.

use std::fmt;

use super::percent::{is_unreserved, split_encoded};
use super::scan::split_before;

/// How many readings a path may have before it is refused.
pub const MAX_READINGS: usize = 32;

/// Why a path is refused whatever the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ambiguity {
    NotAbsolute,
    ControlCharacter,
    MalformedPercent,
    OverlongUtf8,
    DotSegment,
    LeadingSlashes,
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

/// The path of a request target, and the query after its first `?`.
#[must_use]
pub fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let (path, rest) = split_before(target, b'?');
    (path, rest.split_first().map(|(_, query)| query))
}

/// Whether every server reads the path in the same way.
#[must_use]
pub fn is_plain(path: &[u8]) -> bool {
    let [b'/', segments @ ..] = path else { return false };
    let mut segment = Segment::Empty;
    for byte in segments {
        segment = match (kind_of(*byte), segment) {
            // A slash at the end leaves an empty last segment, which is the one that may be empty.
            (Kind::Other, _) | (Kind::Slash, Segment::Empty | Segment::Dot | Segment::Dots) => return false,
            (Kind::Slash, Segment::Named) => Segment::Empty,
            (Kind::Dot, Segment::Empty) => Segment::Dot,
            (Kind::Dot, Segment::Dot) => Segment::Dots,
            (Kind::Plain, _) | (Kind::Dot, _) => Segment::Named,
        };
    }
    matches!(segment, Segment::Empty | Segment::Named)
}

/// What of a segment was read so far.
#[derive(Clone, Copy)]
enum Segment {
    Empty,
    Dot,
    Dots,
    /// More than dots.
    Named,
}

/// Every way in which a server might read the path, the path itself first; a plain path has that one reading.
///
/// # Errors
///
/// If any of the readings is one that no honest client means, or if there are more than [`MAX_READINGS`].
pub fn readings(path: &[u8]) -> Result<Vec<Vec<u8>>, Ambiguity> {
    if !path.starts_with(b"/") {
        return Err(Ambiguity::NotAbsolute);
    }
    // Only in the path as sent: `/100%25` is well-formed, though a percent sign alone remains once it is decoded.
    let malformed = |after: &[u8]| !matches!(after, [high, low, ..] if is_hex(high) && is_hex(low));
    if after_percent_signs(path).any(malformed) {
        return Err(Ambiguity::MalformedPercent);
    }
    explore(path, Step::apply)
}

/// The closure of the path under all steps, breadth first.
///
/// The work is bounded however hostile the path: no more than `MAX_READINGS` readings are kept, each is put through
/// each step once, and no step makes a path longer. That is `MAX_READINGS * Step::ALL.len()` passes over at most the
/// length of the path, and the first reading too many, or the first to be refused, ends it.
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

/// Refuses what no reading of a path may hold. What is encoded comes to light in the reading that decodes it.
fn check(reading: &[u8]) -> Result<(), Ambiguity> {
    if reading.iter().any(u8::is_ascii_control) {
        return Err(Ambiguity::ControlCharacter);
    }
    // IIS and Jetty know `%u002e`; RFC 3986 does not.
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

/// Whether the bytes hold the start of a longer UTF-8 sequence than its character needs.
///
/// A decoder that takes such a sequence often does not look at the bytes that continue it either, so these count
/// whatever they are. The last two patterns are of sequences of five and six bytes, which older decoders know.
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

/// What a byte is to a path that has one reading.
#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Slash,
    Dot,
    Other,
}

/// Every path is looked through byte by byte, and a table is quicker than the questions that it answers.
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
    // Every byte has its place in the table.
    KINDS.get(usize::from(byte)).copied().unwrap_or(Kind::Other)
}

/// One thing that a server may do to a path before it looks at it.
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

    /// What the path becomes; `None` if the step leaves it as it is.
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

/// Decodes, once, every encoded byte that `wanted` names. A percent sign without two digits stays.
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
