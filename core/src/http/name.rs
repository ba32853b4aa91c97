//! Header names: which are valid, and which are taken for one another.

/// Whether the name is a token of RFC 9110, as every header's name must be.
#[must_use]
pub fn is_token(name: &str) -> bool {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token_byte)
}

/// A header name in the form in which all its spellings are equal: lower case, and `-` for all but letters and digits.
///
/// CGI and its heirs turn `x-user`, `X_User` and `x.user` alike into `HTTP_X_USER`, so a server behind the proxy may
/// take any of them for any other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alias(Box<[u8]>);

impl Alias {
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(name.bytes().map(canonical).collect())
    }

    /// The bytes of the form, as many as each of its spellings has.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the header of this name may be taken for the one that the alias stands for. A pseudo-header never is.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        name.len() == self.0.len()
            && !name.starts_with(b":")
            && self.0.iter().zip(name).all(|(own, byte)| *own == canonical(*byte))
    }
}

/// Which of 64 filter a name is of: all its spellings are of the same one, and few other names are.
///
/// It is told by the name's length, its first and its last byte; the factors are such that no name that is usual in
/// requests is of the kind of a header that nobody may send. A set of filter fits in a number, and tells of most names
/// that they are not in a map or list without a look at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NameFilter(u64);

impl NameFilter {
    /// The one kind of this name; none if it is empty.
    #[inline(always)]
    pub const fn of(name: &[u8]) -> Self {
        let (Some(first), Some(last)) = (name.first(), name.last()) else { return Self(0) };
        let (first, last) = (canonical(*first) as usize, canonical(*last) as usize);
        Self(1 << ((name.len().wrapping_mul(12) ^ first.wrapping_mul(26) ^ last) & 63))
    }

    #[inline(always)]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether some kind is in both.
    #[inline(always)]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What stands for each byte in an [`Alias`].
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
const fn canonical(byte: u8) -> u8 {
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
