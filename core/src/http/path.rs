//! Paths, and every reading that a server behind the proxy may have of them.
//!
//! A rule for `/admin` protects nothing if the server takes another spelling for the same path. Servers normalise paths
//! in different ways: some decode twice, some take `\` for `/`, some drop path parameters. So a path that is not plain is
//! put through every such step in every order. The result is all readings, or the reason why the path is refused.

mod case;
mod closure;
mod step;
mod survey;

use std::fmt;

use super::percent::is_unreserved;
use super::scan::split_before;

pub use case::PathCase;
pub use closure::{FREE_BYTES, MAX_DECODINGS, MAX_LENGTH, MAX_PASSES, MAX_READINGS};

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
    /// It is longer than [`MAX_LENGTH`].
    TooLong,
    /// After [`MAX_DECODINGS`] decodings, it still has an encoded byte.
    TooManyDecodings,
    /// It has more than [`MAX_READINGS`] readings, or takes too much work to read.
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
            Self::TooLong => "a path of more than 8 KiB with characters that servers read differently",
            Self::TooManyDecodings => "a path that is percent-encoded more than three times",
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
/// If the path is too long, if a reading is one that only an attack needs, or if there are too many readings.
pub fn readings(path: &[u8], case: PathCase) -> Result<Vec<Vec<u8>>, Ambiguity> {
    closure::Closure::of(path, case)
}

/// The class of a byte of a path.
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

#[cfg(test)]
mod tests;
