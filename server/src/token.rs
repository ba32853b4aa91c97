//! Session tokens: 55 random characters, `Z`, and the creation time in base 36. They do not appear in `Debug` output.

use std::fmt;

use crate::params::InvalidParam;

/// Without `Z`, so that the `Z` before the creation time is the only one.
const LETTERS: &[u8; 61] = b"ABCDEFGHIJKLMNOPQRSTUVWXYabcdefghijklmnopqrstuvwxyz0123456789";
const RANDOM_LETTERS: usize = 55;
const LENGTH: usize = 64;
/// Numbers that the first letters of a token can spell.
pub const LEADING_NUMBERS: u16 = 1 << 14;
/// 62³ is 14 times [`LEADING_NUMBERS`], so that each number has many spellings.
const LEADING_LETTERS: usize = 3;

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

    /// A new token with this leading number, below [`LEADING_NUMBERS`], and otherwise random.
    pub fn generate_leading(now_millis: u64, leading: u16) -> Result<Self, getrandom::Error> {
        loop {
            let token = Self::generate(now_millis)?;
            let (_, rest) = token.0.split_at_checked(LEADING_LETTERS).unwrap_or_default();
            let mut byte = [0u8];
            getrandom::fill(&mut byte)?;
            let [factor] = byte.map(|byte| u32::from(byte % 16));
            let number = u32::from(leading).saturating_add(u32::from(LEADING_NUMBERS).saturating_mul(factor));
            if let Some(letters) = leading_letters(number) {
                return Ok(Self(format!("{letters}{rest}")));
            }
        }
    }

    /// The number that the first letters spell, modulo [`LEADING_NUMBERS`].
    pub fn leading_number(&self) -> u16 {
        let number = self.0.bytes().take(LEADING_LETTERS).fold(0u32, |number, byte| {
            let digit = LETTERS.iter().position(|letter| *letter == byte).unwrap_or(LETTERS.len());
            number.saturating_mul(62).saturating_add(u32::try_from(digit).unwrap_or(0))
        });
        u16::try_from(number % u32::from(LEADING_NUMBERS)).unwrap_or(0)
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

/// The letters that spell a number; `None` if they cannot, without a `Z`.
fn leading_letters(number: u32) -> Option<String> {
    let mut rest = usize::try_from(number).ok()?;
    let mut letters = Vec::with_capacity(LEADING_LETTERS);
    for _ in 0..LEADING_LETTERS {
        letters.push(char::from(*LETTERS.get(rest % 62)?));
        rest /= 62;
    }
    (rest == 0).then(|| letters.iter().rev().collect())
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
    fn a_token_can_lead_with_any_number() {
        for number in (0..LEADING_NUMBERS).step_by(7) {
            let token = Token::generate_leading(NOW, number).unwrap();
            assert_eq!(token.leading_number(), number);
            assert_eq!(token.as_str().find('Z'), Some(55));
            assert_eq!(token.as_str().len(), 64);
        }
        let spellings: std::collections::HashSet<String> =
            (0..200).map(|_| Token::generate_leading(NOW, 7).unwrap().as_str()[..3].to_owned()).collect();
        assert!(spellings.len() > 5, "{spellings:?}");
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
