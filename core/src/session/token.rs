//! The token of rest-sessions: 64 letters and digits, the last nine of which tell when it was made.

use std::fmt;
use std::hash::BuildHasher;
use std::rc::Rc;

use crate::session::session::{BLOCK_BYTES, RC_BYTES};

/// How far ahead of the clock a token's creation may lie: clocks differ a little.
const MAX_AHEAD_MS: u64 = 60_000;

/// 55 random characters, the letter `Z`, the creation time in milliseconds in base 36.
const LENGTH: usize = 64;
const RANDOM: usize = 55;

/// A well-formed token. It is a secret: there is no way to print it but to ask for its text, for the call.
///
/// Whoever has to remember it shares the text: a request hands its token on many times, and each copy of so many bytes
/// is a call out of the module.
#[derive(Clone, Eq, Hash)]
#[expect(clippy::derived_hash_with_manual_eq, reason = "what is equal is the same text")]
pub struct Token(Rc<str>);

impl Token {
    /// What a token that is kept takes on the heap.
    pub const HEAP_BYTES: usize = BLOCK_BYTES + RC_BYTES + LENGTH;

    /// Reads a token; `None` if it is none, or one that says that it was made in the future.
    #[must_use]
    pub fn parse(bytes: &[u8], now_ms: &dyn Fn() -> u64) -> Option<Self> {
        if bytes.len() != LENGTH || !words(bytes).all(is_alphanumeric) {
            return None;
        }
        let ahead = created_ms(bytes).is_some_and(|created| created > now_ms().saturating_add(MAX_AHEAD_MS));
        // Letters and digits are UTF-8.
        (!ahead).then_some(Self(std::str::from_utf8(bytes).ok()?.into()))
    }

    /// When the token was made, if it bears a time as rest-sessions writes it.
    #[must_use]
    pub fn created_ms(&self) -> Option<u64> {
        created_ms(self.0.as_bytes())
    }

    /// The token itself, for the path of a call and nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What stands for the token in logs: a keyed hash, cut to 32 bits. The key lives as long as its worker does, so
    /// a digest can be compared within a worker's lines and tells nothing without the key.
    #[must_use]
    pub fn digest(&self, key: &impl BuildHasher) -> Digest {
        Digest(key.hash_one(self) >> 32)
    }
}

impl PartialEq for Token {
    /// Looks at all of both, so that the time it takes does not tell how much of a guess was right.
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        words(self.0.as_bytes()).zip(words(other.0.as_bytes())).fold(0, |differ, (own, word)| differ | (own ^ word))
            == 0
    }
}

/// The bytes of a token, eight at once.
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
    /// The high bit of each byte that is of this range. Bytes below 0x80 carry nothing into the next one.
    #[inline(always)]
    fn within(word: u64, first: u8, last: u8) -> u64 {
        let at_least = |low: u8| word.wrapping_add(each(0x80_u8.wrapping_sub(low)));
        at_least(first) & !at_least(last.wrapping_add(1))
    }
    // A letter's case is one bit.
    let found = within(word | each(0x20), b'a', b'z') | within(word, b'0', b'9');
    word & HIGHS == 0 && found & HIGHS == HIGHS
}

#[inline(always)]
fn created_ms(token: &[u8]) -> Option<u64> {
    let (_, [b'Z', digits @ ..]) = token.split_at_checked(RANDOM)? else { return None };
    // Eight digits stay far below what 64 bits hold.
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

/// See [`Token::digest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::hash::RandomState;

    pub const NOW_MS: u64 = 1_760_000_000_000;

    /// A token that was made at this time.
    pub fn token_made_at(ms: u64) -> String {
        test_support::token::created_at("aB3", ms)
    }

    #[test]
    fn a_token_tells_when_it_was_made() {
        let text = token_made_at(NOW_MS - 5);
        let token = Token::parse(text.as_bytes(), &|| NOW_MS).unwrap();
        assert_eq!(token.created_ms(), Some(NOW_MS - 5));
        assert_eq!(token.reveal(), text);
    }

    #[test]
    fn a_token_from_more_than_a_minute_ahead_is_none() {
        assert!(Token::parse(token_made_at(NOW_MS + 60_000).as_bytes(), &|| NOW_MS).is_some());
        assert!(Token::parse(token_made_at(NOW_MS + 60_001).as_bytes(), &|| NOW_MS).is_none());
        assert!(Token::parse(format!("{}Z{}", "a".repeat(55), "zzzzzzzz").as_bytes(), &|| NOW_MS).is_none());
    }

    #[test]
    fn a_token_of_another_kind_is_a_token_without_a_time() {
        let token = Token::parse("a".repeat(64).as_bytes(), &|| NOW_MS).unwrap();
        assert_eq!(token.created_ms(), None);
        let upper = format!("{}ZZZZZZZZZ", "a".repeat(55));
        assert_eq!(Token::parse(upper.as_bytes(), &|| NOW_MS).unwrap().created_ms(), None);
    }

    #[test]
    fn anything_else_than_64_letters_and_digits_is_no_token() {
        for wrong in ["", "a", &"a".repeat(63), &"a".repeat(65), &format!("{}-", "a".repeat(63)), &"ä".repeat(32)] {
            assert!(Token::parse(wrong.as_bytes(), &|| NOW_MS).is_none(), "{wrong}");
        }
        let newline = format!("{}\n", "a".repeat(63));
        assert!(Token::parse(newline.as_bytes(), &|| NOW_MS).is_none());
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
        fn one_byte_that_is_neither_letter_nor_digit_is_found_wherever_it_is(
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
        fn what_is_accepted_is_what_rest_sessions_would_accept(bytes in "[a-zA-Z0-9]{63,65}|.{64}") {
            let well_formed = bytes.len() == 64 && bytes.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let token = Token::parse(bytes.as_bytes(), &|| u64::MAX);
            prop_assert_eq!(token.is_some(), well_formed);
        }
    }
}
