//! Percent-encoding: taking single bytes out of it, and putting text into header values.

/// The byte that a percent sign with two hexadecimal digits at the start of `bytes` stands for, and what follows it.
pub(super) fn split_encoded(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let [b'%', high, low, rest @ ..] = bytes else { return None };
    Some(((digit(*high)? << 4) | digit(*low)?, rest))
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
