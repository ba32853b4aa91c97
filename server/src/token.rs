//! Session tokens: 55 random characters, `Z`, and the creation time in base 36. They do not appear in `Debug` output.

use std::fmt;

use crate::params::InvalidParam;

/// Without `Z`, so that the `Z` before the creation time is the only one.
const LETTERS: &[u8; 61] = b"ABCDEFGHIJKLMNOPQRSTUVWXYabcdefghijklmnopqrstuvwxyz0123456789";
const RANDOM_LETTERS: usize = 55;
const LENGTH: usize = 64;

/// A token gives access to its session. So the type has no `Display`, and its `Debug` omits the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(String);

impl Token {
    /// A new token from the randomness of the operating system. `now_millis` is in milliseconds since 1970.
    pub fn generate(now_millis: u64) -> Result<Self, getrandom::Error> {
        let mut text = String::with_capacity(LENGTH);
        let mut bytes = [0u8; 72];
        while text.len() < RANDOM_LETTERS {
            getrandom::fill(&mut bytes)?;
            text.extend(bytes.iter().filter_map(|byte| letter(*byte)).take(RANDOM_LETTERS - text.len()));
        }
        text.push('Z');
        text.push_str(&base36(now_millis));
        Ok(Self(text))
    }

    /// Accepts 64 ASCII letters and digits.
    pub fn parse(text: &str) -> Result<Self, InvalidParam> {
        if text.len() == LENGTH && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidParam::Format("token"))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Rejection sampling: a plain remainder would make the first letters more likely.
fn letter(byte: u8) -> Option<char> {
    const USABLE: usize = 256 - 256 % LETTERS.len();
    let byte = usize::from(byte);
    if byte < USABLE { LETTERS.get(byte % LETTERS.len()).map(|b| char::from(*b)) } else { None }
}

fn base36(mut n: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(u32::try_from(n % 36).ok().and_then(|d| char::from_digit(d, 36)).unwrap_or('0'));
        n /= 36;
        if n == 0 {
            return digits.iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    #[test]
    fn a_token_is_55_random_letters_a_z_and_the_time_in_base_36() {
        let token = Token::generate(NOW).unwrap();
        let (random, time) = token.as_str().split_at(55);
        assert!(random.bytes().all(|b| LETTERS.contains(&b)));
        assert_eq!(u64::from_str_radix(time.strip_prefix('Z').unwrap(), 36).unwrap(), NOW);
        assert_eq!(time, time.replace(|c: char| c.is_ascii_uppercase() && c != 'Z', ""));
        assert!(Token::parse(token.as_str()).is_ok());
    }

    #[test]
    fn every_letter_is_equally_likely() {
        let mut seen = std::collections::HashMap::new();
        for byte in 0..=255u8 {
            if let Some(letter) = letter(byte) {
                *seen.entry(letter).or_insert(0) += 1;
            }
        }
        assert_eq!(seen.len(), LETTERS.len());
        assert!(seen.values().all(|count| *count == 4), "{seen:?}");
    }

    #[test]
    fn two_tokens_of_one_millisecond_differ() {
        assert_ne!(Token::generate(NOW).unwrap(), Token::generate(NOW).unwrap());
    }

    #[test]
    fn anything_but_64_letters_and_digits_is_rejected() {
        let good = "a".repeat(64);
        assert!(Token::parse(&good).is_ok());
        for bad in ["", "a", &"a".repeat(63), &"a".repeat(65), &format!("{}-", "a".repeat(63)), &"é".repeat(32)] {
            assert_eq!(Token::parse(bad), Err(InvalidParam::Format("token")), "{bad}");
        }
    }

    #[test]
    fn debug_output_does_not_show_the_token() {
        let token = Token::generate(NOW).unwrap();
        assert_eq!(format!("{token:?}"), "Token(..)");
    }
}
