//! The normalisations that a server may apply to a path.

use super::case::split_folded;
use crate::http::percent::{is_unreserved, split_encoded};
use crate::http::scan::split_before;

/// One normalisation. None makes a path longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Every encoded byte is decoded once. A percent sign without two digits stays.
    Decode,
    /// Encoded unreserved characters are decoded once.
    DecodeUnreserved,
    /// `\` becomes `/`.
    TurnBackslashes,
    /// Consecutive slashes become one.
    MergeSlashes,
    /// `;` and what follows it in its segment is dropped.
    DropParameters,
    /// Bytes that are no UTF-8 are dropped. Servers that replace them instead need no step: what they put there is
    /// outside ASCII too, and matches the same patterns.
    DropInvalidUtf8,
    /// Characters outside ASCII become the ASCII letters that they are in the other case.
    FoldCase,
    /// The path ends before the first `;`, which starts the query.
    CutParameters,
    /// The path ends before the first `?`.
    CutQuery,
    /// The path ends before the first `#`.
    CutFragment,
    /// Bytes at the end that are spaces in Latin-1 are dropped. Python's `http.server` reads the request line as Latin-1
    /// and splits it at any space, U+0085 and U+00A0 included.
    TrimLatin1Spaces,
}

impl Step {
    /// All steps.
    pub const ALL: [Self; 11] = [
        Self::Decode,
        Self::DecodeUnreserved,
        Self::TurnBackslashes,
        Self::MergeSlashes,
        Self::DropParameters,
        Self::DropInvalidUtf8,
        Self::FoldCase,
        Self::CutParameters,
        Self::CutQuery,
        Self::CutFragment,
        Self::TrimLatin1Spaces,
    ];

    /// The path after this step.
    pub fn apply(self, path: &[u8]) -> Vec<u8> {
        match self {
            Self::Decode => decode(path, |_| true),
            Self::DecodeUnreserved => decode(path, is_unreserved),
            Self::TurnBackslashes => path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect(),
            Self::MergeSlashes => {
                let mut merged = path.to_vec();
                merged.dedup_by(|next, byte| *next == b'/' && *byte == b'/');
                merged
            }
            Self::DropParameters => drop_parameters(path),
            Self::DropInvalidUtf8 => {
                let mut valid = Vec::with_capacity(path.len());
                path.utf8_chunks().for_each(|chunk| valid.extend_from_slice(chunk.valid().as_bytes()));
                valid
            }
            Self::FoldCase => fold(path),
            Self::CutParameters => cut(path, b';'),
            Self::CutQuery => cut(path, b'?'),
            Self::CutFragment => cut(path, b'#'),
            Self::TrimLatin1Spaces => {
                let end = path.iter().rposition(|byte| !is_latin_1_space(*byte));
                path.iter().take(end.map_or(0, |last| last.saturating_add(1))).copied().collect()
            }
        }
    }
}

/// Whether a byte outside ASCII is a space in Latin-1.
pub fn is_latin_1_space(byte: u8) -> bool {
    matches!(byte, 0x85 | 0xa0)
}

fn decode(path: &[u8], wanted: fn(u8) -> bool) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    loop {
        let (before, encoded) = split_before(rest, b'%');
        decoded.extend_from_slice(before);
        let Some((first, after_first)) = encoded.split_first() else { return decoded };
        let (byte, after) = split_encoded(encoded).filter(|(byte, _)| wanted(*byte)).unwrap_or((*first, after_first));
        decoded.push(byte);
        rest = after;
    }
}

fn drop_parameters(path: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(path.len());
    let mut rest = path;
    loop {
        let (before, parameters) = split_before(rest, b';');
        kept.extend_from_slice(before);
        (_, rest) = split_before(parameters, b'/');
        if rest.is_empty() {
            return kept;
        }
    }
}

fn fold(path: &[u8]) -> Vec<u8> {
    let mut folded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, after)) = rest.split_first() {
        let (letters, after) = split_folded(rest).unwrap_or((std::slice::from_ref(byte), after));
        folded.extend_from_slice(letters);
        rest = after;
    }
    folded
}

fn cut(path: &[u8], mark: u8) -> Vec<u8> {
    split_before(path, mark).0.to_vec()
}
