//! Percent-encoding (RFC 3986, section 2.1): decoding bytes, and encoding header values and URL components.

use std::borrow::Cow;

/// Decodes `%XX` at the start of `bytes`: the byte, and the rest. `None` if `bytes` does not start with it.
pub(super) fn split_encoded(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let [b'%', high, low, rest @ ..] = bytes else { return None };
    Some(((digit(*high)? << 4) | digit(*low)?, rest))
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Encodes a header value: visible ASCII and inner spaces stay, all other bytes are percent-encoded.
///
/// `%` is encoded too, so that decoding restores the value. Leading and trailing spaces are encoded, since recipients
/// strip them (RFC 9110, section 5.5).
#[must_use]
pub fn encode_header(value: &str) -> Cow<'_, str> {
    if value.bytes().all(|byte| byte != b' ' && is_kept(byte)) {
        return Cow::Borrowed(value);
    }
    let inner = value.trim_matches(' ');
    if inner.len() == value.len() && inner.bytes().all(is_kept) {
        return Cow::Borrowed(value);
    }
    let mut encoded = String::with_capacity(value.len().saturating_mul(3));
    let leading = value.bytes().take_while(|byte| *byte == b' ').count();
    let inner_end = leading.saturating_add(inner.len());
    for (index, byte) in value.bytes().enumerate() {
        if is_kept(byte) && (leading..inner_end).contains(&index) {
            encoded.push(char::from(byte));
        } else {
            push_encoded(byte, &mut encoded);
        }
    }
    Cow::Owned(encoded)
}

/// Appends a URL component: all bytes but the unreserved characters are percent-encoded (RFC 3986, section 2.3), so it
/// is safe in every part of a URL.
pub fn push_component(bytes: &[u8], encoded: &mut String) {
    for byte in bytes {
        if is_unreserved(*byte) {
            encoded.push(char::from(*byte));
        } else {
            push_encoded(*byte, encoded);
        }
    }
}

/// Whether a byte is an unreserved character (RFC 3986, section 2.3).
pub const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn push_encoded(byte: u8, encoded: &mut String) {
    encoded.push('%');
    encoded.push(hex(byte >> 4));
    encoded.push(hex(byte & 0xf));
}

fn is_kept(byte: u8) -> bool {
    byte != b'%' && (byte == b' ' || byte.is_ascii_graphic())
}

fn hex(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap_or_default().to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_percent_sign_with_two_digits_is_decoded() {
        assert_eq!(split_encoded(b"%2fx"), Some((b'/', &b"x"[..])));
        assert_eq!(split_encoded(b"%fF"), Some((0xff, &b""[..])));
        for bytes in [&b""[..], b"%", b"%2", b"%2g", b"%g2", b"%+2", b"%%20", b"x%20", b"%\xff0"] {
            assert_eq!(split_encoded(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn visible_ascii_and_inner_spaces_stay_and_all_else_is_encoded() {
        for (value, encoded) in [
            ("", ""),
            ("user123", "user123"),
            ("Peter Smith", "Peter Smith"),
            ("{\"a\":[1,2]}", "{\"a\":[1,2]}"),
            ("100%", "100%25"),
            ("%41", "%2541"),
            (" a", "%20a"),
            ("a ", "a%20"),
            ("  a  b  ", "%20%20a  b%20%20"),
            (" ", "%20"),
            ("  ", "%20%20"),
            ("a\tb", "a%09b"),
            ("a\r\nx: y", "a%0D%0Ax: y"),
            ("\0", "%00"),
            ("\x7f", "%7F"),
            ("J\u{fc}rgen", "J%C3%BCrgen"),
            ("\u{1f600}", "%F0%9F%98%80"),
            (" \u{a0} ", "%20%C2%A0%20"),
        ] {
            assert_eq!(encode_header(value), encoded);
        }
    }

    #[test]
    fn value_that_needs_no_encoding_is_not_copied() {
        assert!(matches!(encode_header("Peter Smith"), Cow::Borrowed("Peter Smith")));
    }

    proptest! {
        #[test]
        fn any_value_is_safe_in_a_header_and_read_back_by_decoding(
            value in prop_oneof![any::<String>(), "[ %a\t\u{e9}]{0,8}"]
        ) {
            let encoded = encode_header(&value);
            prop_assert!(encoded.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
            prop_assert_eq!(encoded.trim(), &*encoded);
            let (mut decoded, mut rest) = (Vec::new(), encoded.as_bytes());
            while let Some((first, after_first)) = rest.split_first() {
                let (byte, after) = split_encoded(rest).unwrap_or((*first, after_first));
                decoded.push(byte);
                rest = after;
            }
            prop_assert_eq!(decoded, value.into_bytes());
        }
    }
}
