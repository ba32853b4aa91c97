//! A session token. It gives access to the session, so `Debug` output omits it.

use std::fmt;

#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Accepts 64 ASCII letters and digits, as every token of rest-sessions has.
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        well_formed.then(|| Self(text.to_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_but_64_letters_and_digits_is_rejected() {
        assert!(Token::parse(&"aZ".repeat(32)).is_some());
        for bad in ["", &"a".repeat(63), &"a".repeat(65), &"é".repeat(32), &format!("{};", "a".repeat(63))] {
            assert_eq!(Token::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn debug_output_does_not_show_it() {
        assert_eq!(format!("{:?}", Token::parse(&"a".repeat(64))), "Some(Token(..))");
    }
}
