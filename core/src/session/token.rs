//! The token of rest-sessions: 64 letters and digits, of which the last nine encode its creation time.

use std::fmt;
use std::hash::BuildHasher;
use std::rc::Rc;

use crate::session::heap;

/// How far in the future a creation time may lie, in milliseconds. The clocks of servers differ.
const MAX_AHEAD_MS: u64 = 24 * 3_600_000;

/// The clock skew that is expected between servers, in milliseconds.
const EXPECTED_SKEW_MS: u64 = 60_000;

/// 55 random characters, the letter `Z`, the creation time in milliseconds in base 36.
const LENGTH: usize = 64;
const RANDOM: usize = 55;

/// A well-formed token. It is a secret: `Debug` hides it, and only [`Token::reveal`] returns its text.
///
/// Clones share the text by reference count.
#[derive(Clone, Eq, Hash)]
#[expect(clippy::derived_hash_with_manual_eq, reason = "what is equal is the same text")]
pub struct Token(Rc<str>);

impl Token {
    /// The heap that a token takes, in bytes.
    pub const HEAP_BYTES: usize = heap::of_rc(LENGTH);

    /// Parses a token. `None` if it is malformed, or if its creation time is more than 24 h in the future. `now_ms` is
    /// called at most once, and only for a well-formed token with a creation time.
    #[must_use]
    pub fn parse(bytes: &[u8], now_ms: &dyn Fn() -> u64) -> Option<Self> {
        if bytes.len() != LENGTH || !words(bytes).all(is_alphanumeric) {
            return None;
        }
        let ahead = created_ms(bytes).is_some_and(|created| created > now_ms().saturating_add(MAX_AHEAD_MS));
        // Letters and digits are UTF-8.
        (!ahead).then_some(Self(std::str::from_utf8(bytes).ok()?.into()))
    }

    /// The creation time, in milliseconds since 1970. `None` if the token has none in the form of rest-sessions.
    #[must_use]
    pub fn created_ms(&self) -> Option<u64> {
        created_ms(self.0.as_bytes())
    }

    /// The time since its creation, in milliseconds; 0 if its creation time is in the future. `None` if it has no creation
    /// time.
    #[must_use]
    pub fn age_ms(&self, now_ms: u64) -> Option<u64> {
        self.created_ms().map(|created_ms| now_ms.saturating_sub(created_ms))
    }

    /// How far in the future its creation time is, in milliseconds, if that is more than 60 s: then the clock of the server
    /// that created it differs from this one. `None` if not.
    #[must_use]
    pub fn ahead_ms(&self, now_ms: u64) -> Option<u64> {
        let ahead_ms = self.created_ms()?.saturating_sub(now_ms);
        (ahead_ms > EXPECTED_SKEW_MS).then_some(ahead_ms)
    }

    /// The token's text, for the path of a call to rest-sessions alone.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The token's stand-in in logs: a keyed hash, truncated to 32 bits. Each worker has a random key, so digests can be
    /// compared within the lines of one worker, and reveal nothing without its key.
    #[must_use]
    pub fn digest(&self, key: &impl BuildHasher) -> Digest {
        Digest(key.hash_one(self) >> 32)
    }
}

impl PartialEq for Token {
    /// Compares in constant time.
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        words(self.0.as_bytes()).zip(words(other.0.as_bytes())).fold(0, |differ, (own, word)| differ | (own ^ word))
            == 0
    }
}

/// The bytes of a token, eight at a time.
#[inline(always)]
fn words(token: &[u8]) -> impl Iterator<Item = u64> {
    token.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word))
}

const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Whether all eight bytes are letters or digits of ASCII.
#[inline(always)]
fn is_alphanumeric(word: u64) -> bool {
    const HIGHS: u64 = each(0x80);
    /// Sets the high bit of each byte in this range. Bytes below 0x80 do not carry into the next.
    #[inline(always)]
    fn within(word: u64, first: u8, last: u8) -> u64 {
        let at_least = |low: u8| word.wrapping_add(each(0x80_u8.wrapping_sub(low)));
        at_least(first) & !at_least(last.wrapping_add(1))
    }
    // 0x20 is the bit of a letter's case.
    let found = within(word | each(0x20), b'a', b'z') | within(word, b'0', b'9');
    word & HIGHS == 0 && found & HIGHS == HIGHS
}

#[inline(always)]
fn created_ms(token: &[u8]) -> Option<u64> {
    let (_, [b'Z', digits @ ..]) = token.split_at_checked(RANDOM)? else { return None };
    // Eight base-36 digits fit into 42 bits.
    let mut time = 0_u64;
    for digit in digits {
        let value = match digit {
            b'0'..=b'9' => digit.wrapping_sub(b'0'),
            b'a'..=b'z' => digit.wrapping_sub(b'a').wrapping_add(10),
            _ => return None,
        };
        time = time.wrapping_mul(36).wrapping_add(value.into());
    }
    Some(time)
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A token's stand-in in logs. See [`Token::digest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Tests of tokens, and the tokens that the tests of other modules use.
#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::hash::RandomState;

    /// The current time of the tests, in milliseconds since 1970.
    pub const NOW_MS: u64 = 1_760_000_000_000;

    /// A token that was made at this time.
    pub fn token_made_at(ms: u64) -> String {
        test_support::token::created_at("aB3", ms)
    }

    #[test]
    fn a_token_has_a_creation_time() {
        let text = token_made_at(NOW_MS - 5);
        let token = Token::parse(text.as_bytes(), &|| NOW_MS).unwrap();
        assert_eq!(token.created_ms(), Some(NOW_MS - 5));
        assert_eq!(token.reveal(), text);
    }

    #[test]
    fn a_token_created_more_than_24_hours_in_the_future_is_refused() {
        assert!(Token::parse(token_made_at(NOW_MS + 86_400_000).as_bytes(), &|| NOW_MS).is_some());
        assert!(Token::parse(token_made_at(NOW_MS + 86_400_001).as_bytes(), &|| NOW_MS).is_none());
        assert!(Token::parse(format!("{}Z{}", "a".repeat(55), "zzzzzzzz").as_bytes(), &|| NOW_MS).is_none());
    }

    #[test]
    fn the_age_of_a_token_from_the_future_is_0() {
        let age = |made_at| Token::parse(token_made_at(made_at).as_bytes(), &|| NOW_MS).unwrap().age_ms(NOW_MS);
        assert_eq!([NOW_MS - 1_500, NOW_MS, NOW_MS + 1, NOW_MS + 86_400_000].map(age), [1_500, 0, 0, 0].map(Some));
        assert_eq!(Token::parse(&[b'a'; 64], &|| NOW_MS).unwrap().age_ms(NOW_MS), None);
    }

    #[test]
    fn a_creation_time_more_than_a_minute_in_the_future_is_noticed() {
        let ahead = |made_at| Token::parse(token_made_at(made_at).as_bytes(), &|| NOW_MS).unwrap().ahead_ms(NOW_MS);
        assert_eq!([NOW_MS - 1, NOW_MS, NOW_MS + 60_000].map(ahead), [None; 3]);
        assert_eq!([NOW_MS + 60_001, NOW_MS + 86_400_000].map(ahead), [60_001, 86_400_000].map(Some));
        assert_eq!(Token::parse(&[b'a'; 64], &|| NOW_MS).unwrap().ahead_ms(NOW_MS), None);
    }

    #[test]
    fn a_token_in_another_form_has_no_creation_time() {
        let token = Token::parse("a".repeat(64).as_bytes(), &|| NOW_MS).unwrap();
        assert_eq!(token.created_ms(), None);
        let upper = format!("{}ZZZZZZZZZ", "a".repeat(55));
        assert_eq!(Token::parse(upper.as_bytes(), &|| NOW_MS).unwrap().created_ms(), None);
    }

    #[test]
    fn a_token_is_exactly_64_letters_and_digits() {
        for wrong in ["", "a", &"a".repeat(63), &"a".repeat(65), &format!("{}-", "a".repeat(63)), &"ä".repeat(32)] {
            assert!(Token::parse(wrong.as_bytes(), &|| NOW_MS).is_none(), "{wrong}");
        }
        let newline = format!("{}\n", "a".repeat(63));
        assert!(Token::parse(newline.as_bytes(), &|| NOW_MS).is_none());
    }

    #[test]
    fn tokens_that_differ_anywhere_are_different() {
        let token = |at: &[usize]| {
            let mut text = [b'a'; 64];
            at.iter().for_each(|at| text[*at] = b'b');
            Token::parse(&text, &|| NOW_MS).unwrap()
        };
        assert!(token(&[]) == token(&[]));
        for place in 0..64 {
            assert!(token(&[]) != token(&[place]), "{place}");
            // Words that differ in the same bits must not cancel each other out.
            assert!(token(&[]) != token(&[place, (place + 8) % 64]), "{place}");
        }
    }

    #[test]
    fn a_token_is_not_printed() {
        let token = Token::parse("a".repeat(64).as_bytes(), &|| NOW_MS).unwrap();
        assert_eq!(format!("{token:?}"), "Token(…)");
        let digest = token.digest(&RandomState::new()).to_string();
        assert_eq!(digest.len(), 8, "{digest}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_token_or_not_without_a_panic(bytes in any::<Vec<u8>>(), now in any::<u64>()) {
            let _ = Token::parse(&bytes, &|| now);
        }

        #[test]
        fn one_invalid_byte_is_found_at_any_position(
            token in "[a-zA-Z0-9]{64}", place in 0usize..64, byte in any::<u8>()
        ) {
            let mut bytes = token.into_bytes();
            bytes[place] = byte;
            let token = Token::parse(&bytes, &|| u64::MAX);
            prop_assert_eq!(token.is_some(), byte.is_ascii_alphanumeric());
        }

        #[test]
        fn tokens_are_equal_if_every_byte_is(one in "[ab]{64}", place in 0usize..64, byte in "[ab]") {
            let mut other = one.clone();
            other.replace_range(place..=place, &byte);
            let [first, second] = [&one, &other].map(|text| Token::parse(text.as_bytes(), &|| NOW_MS).unwrap());
            prop_assert_eq!(first == second, one == other);
        }

        #[test]
        fn tokens_are_those_that_rest_sessions_accepts(bytes in "[a-zA-Z0-9]{63,65}|.{64}") {
            let well_formed = bytes.len() == 64 && bytes.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let token = Token::parse(bytes.as_bytes(), &|| u64::MAX);
            prop_assert_eq!(token.is_some(), well_formed);
        }
    }
}
