//! Header names: their syntax, and the spellings that servers take for each other.

/// Whether the name is a token (RFC 9110, section 5.6.2), as the name of every header and method is.
#[must_use]
pub fn is_token(name: &str) -> bool {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token_byte)
}

/// A normalised header name: in lower case, with `-` for each byte that is not a letter or digit.
///
/// CGI (RFC 3875, section 4.1.18), WSGI, Rack and PHP turn `x-user`, `X_User` and some also `x.user` into `HTTP_X_USER`,
/// so a server behind the proxy may take any of these spellings for any other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alias(Box<[u8]>);

impl Alias {
    /// The normal form of a name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(name.bytes().map(canonical).collect())
    }

    /// The bytes of the normal form. Every spelling has as many.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this name is a spelling of the alias. A pseudo-header is a spelling of none.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        name.len() == self.0.len()
            && !name.starts_with(b":")
            && self.0.iter().zip(name).all(|(own, byte)| *own == canonical(*byte))
    }
}

/// A Bloom filter of header names: 64 bits, one hash, equal for all spellings of a name.
///
/// The hash takes the name's length, first and last byte. Its factors keep the names that are common in requests apart
/// from the reserved ones, so most lookups end here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NameFilter(u64);

impl NameFilter {
    /// The filter of one name. An empty name sets no bit.
    #[inline(always)]
    pub const fn of(name: &[u8]) -> Self {
        let (Some(first), Some(last)) = (name.first(), name.last()) else { return Self(0) };
        let (first, last) = (canonical(*first) as usize, canonical(*last) as usize);
        Self(1 << ((name.len().wrapping_mul(22) ^ first.wrapping_mul(19) ^ last.wrapping_mul(50)) & 63))
    }

    #[inline(always)]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the filters share a bit. If not, they have no name in common.
    #[inline(always)]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// The normal form of each byte.
#[expect(clippy::indexing_slicing, reason = "the compiler works it out")]
const CANONICAL: [u8; 256] = {
    let mut table = [b'-'; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        if byte.is_ascii_alphanumeric() {
            table[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

#[expect(clippy::indexing_slicing, reason = "every byte has its place in the table")]
#[inline(always)]
pub(super) const fn canonical(byte: u8) -> u8 {
    CANONICAL[byte as usize]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn header_names_are_tokens() {
        for name in ["a", "x-session-user", "X_Session.User", "9", "!#$%&'*+-.^_`|~"] {
            assert!(is_token(name), "{name}");
        }
        for name in
            ["", " ", "a b", "a:", ":path", "a\t", "a\r\nb", "a\0", "\u{e9}", "a,b", "a/b", "(a)", "\"a\"", "a="]
        {
            assert!(!is_token(name), "{name}");
        }
    }

    #[test]
    fn every_spelling_of_a_name_matches_its_alias() {
        let alias = Alias::of("X-Session-User");
        for name in [
            &b"x-session-user"[..],
            b"X-SESSION-USER",
            b"x_session_user",
            b"x_session.user",
            b"X.Session~User",
            b"x-session\xffuser",
        ] {
            assert!(alias.matches(name), "{}", name.escape_ascii());
        }
        for name in
            [&b""[..], b"xsessionuser", b"x--session-user", b"x-session-users", b"x-session-use", b"x-session-usar"]
        {
            assert!(!alias.matches(name), "{}", name.escape_ascii());
        }
        assert_eq!(Alias::of("x_session.user"), alias);
        assert_ne!(Alias::of("x-session-data"), alias);
    }

    #[test]
    fn pseudo_headers_match_no_alias() {
        assert!(Alias::of("-path").matches(b"_path"));
        assert!(!Alias::of("-path").matches(b":path"));
        assert!(!Alias::of(":path").matches(b":path"));
    }

    proptest! {
        #[test]
        fn names_match_exactly_if_their_aliases_are_equal(
            one in "[a-bA-B._-]{0,3}", other in "[a-bA-B._-]{0,3}"
        ) {
            prop_assert_eq!(Alias::of(&one).matches(other.as_bytes()), Alias::of(&one) == Alias::of(&other));
        }

        #[test]
        fn any_bytes_are_compared(name in any::<Vec<u8>>(), own in any::<String>()) {
            prop_assert!(!Alias::of(&own).matches(&name) || own.len() == name.len());
        }
    }
}
