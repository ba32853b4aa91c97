//! The case of paths: which letters are equal where case is ignored.

/// Whether the case of paths matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathCase {
    /// `/ADMIN` matches `/admin`.
    Ignore,
    /// `/ADMIN` does not match `/admin`.
    Exact,
}

impl PathCase {
    /// The normal form of a path's byte.
    #[must_use]
    #[inline(always)]
    pub fn fold(self, byte: u8) -> u8 {
        match self {
            Self::Ignore => byte.to_ascii_lowercase(),
            Self::Exact => byte,
        }
    }

    /// Whether paths, or parts of them, are equal. Letters outside ASCII that some servers fold into ASCII are replaced
    /// in the readings of a path.
    #[must_use]
    pub fn same(self, a: &[u8], b: &[u8]) -> bool {
        match self {
            Self::Ignore => a.eq_ignore_ascii_case(b),
            Self::Exact => a == b,
        }
    }
}

/// The ASCII letters that the character at the start of `bytes` becomes in a change of case, and what follows it.
///
/// These are all characters outside ASCII with this property (Unicode's CaseFolding.txt, SpecialCasing.txt and
/// UnicodeData.txt): four letters by simple mappings, the ligatures and sharp s by full ones. No server applies all
/// mappings: `(?i)` of Python takes the four letters, Go's `ToLower` maps U+0130, Java's `equalsIgnoreCase` U+0131.
/// Patterns are ASCII, so a path in which more characters are mapped matches all patterns that it matches with fewer.
/// One reading with all of them is therefore enough.
pub(super) fn split_folded(bytes: &[u8]) -> Option<(&'static [u8], &[u8])> {
    let (folded, rest): (&[u8], _) = match bytes {
        // U+0130 and U+0131, i with and without a dot in the other case.
        [0xc4, 0xb0 | 0xb1, rest @ ..] => (b"i", rest),
        // U+017F, long s.
        [0xc5, 0xbf, rest @ ..] => (b"s", rest),
        // U+212A, the Kelvin sign.
        [0xe2, 0x84, 0xaa, rest @ ..] => (b"k", rest),
        // U+00DF and U+1E9E, sharp s.
        [0xc3, 0x9f, rest @ ..] | [0xe1, 0xba, 0x9e, rest @ ..] => (b"ss", rest),
        // U+FB00 to U+FB06, ligatures.
        [0xef, 0xac, 0x80, rest @ ..] => (b"ff", rest),
        [0xef, 0xac, 0x81, rest @ ..] => (b"fi", rest),
        [0xef, 0xac, 0x82, rest @ ..] => (b"fl", rest),
        [0xef, 0xac, 0x83, rest @ ..] => (b"ffi", rest),
        [0xef, 0xac, 0x84, rest @ ..] => (b"ffl", rest),
        [0xef, 0xac, 0x85 | 0x86, rest @ ..] => (b"st", rest),
        _ => return None,
    };
    Some((folded, rest))
}
