//! Shared secrets: their files, the header that bears one, and how two are compared.

use std::fmt;
use std::path::Path;

use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq;

use crate::reload::Files;

const MIN: usize = 16;
const MAX: usize = 256;

/// Padded with zeros, which no secret contains, so that a comparison takes the same time for every length. In words,
/// because a comparison in constant time is slow for each of its parts.
pub struct Secret([u64; MAX / 8]);

impl Secret {
    /// Accepts 16 to 256 visible ASCII characters.
    fn parse(text: &[u8]) -> Option<Self> {
        if text.len() < MIN || !text.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let mut padded = [0; MAX];
        padded.get_mut(..text.len())?.copy_from_slice(text);
        let mut words = [0; MAX / 8];
        for (word, bytes) in words.iter_mut().zip(padded.as_chunks().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        Some(Self(words))
    }

    /// Reads one or two secrets, one a line. Two are in use while one replaces the other.
    pub fn read(path: &Path, files: &mut Files) -> Result<Vec<Self>, String> {
        let content = files.read(path)?;
        let content = content.strip_suffix(b"\n").unwrap_or(&content);
        let lines: Vec<&[u8]> = content.split(|byte| *byte == b'\n').collect();
        if lines.len() > 2 {
            return Err(format!("{} has {} lines; expected one or two secrets", path.display(), lines.len()));
        }
        let numbered = lines.iter().zip(1..);
        numbered
            .map(|(line, number)| {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                Self::parse(line).ok_or_else(|| {
                    let (path, length) = (path.display(), line.len());
                    format!("{path} line {number} has {length} bytes; expected {MIN} to {MAX} visible ASCII characters")
                })
            })
            .collect()
    }

    /// The secret that a request bears: in one `authorization: Bearer SECRET`.
    pub fn of_request(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return None;
        };
        let (scheme, secret) = value.as_bytes().split_at_checked(b"Bearer ".len())?;
        if scheme.eq_ignore_ascii_case(b"Bearer ") { Self::parse(secret) } else { None }
    }

    pub fn equals(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<usize, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let secrets = Secret::read(file.path(), &mut Files::default());
        secrets.map(|secrets| secrets.len()).map_err(|error| error.replace(&file.path().display().to_string(), "FILE"))
    }

    #[test]
    fn a_file_has_one_or_two_secrets() {
        assert_eq!(read(b"0123456789abcdef"), Ok(1));
        assert_eq!(read(b"0123456789abcdef\n"), Ok(1));
        assert_eq!(read(b"0123456789abcdef\r\nfedcba9876543210\r\n"), Ok(2));
        assert_eq!(read(&[b'~'; 256]), Ok(1));
    }

    #[test]
    fn a_bad_line_is_named_and_not_quoted() {
        let expected = "expected 16 to 256 visible ASCII characters";
        for (content, error) in [
            (&b""[..], format!("FILE line 1 has 0 bytes; {expected}")),
            (b"\n", format!("FILE line 1 has 0 bytes; {expected}")),
            (b"0123456789abcde", format!("FILE line 1 has 15 bytes; {expected}")),
            (&[b'a'; 257], format!("FILE line 1 has 257 bytes; {expected}")),
            (b"0123456789abcdef\nsecret word is bad", format!("FILE line 2 has 18 bytes; {expected}")),
            (b"0123456789abcdef\n\n", format!("FILE line 2 has 0 bytes; {expected}")),
            (b"0123456789abcde\xff", format!("FILE line 1 has 16 bytes; {expected}")),
            (b"0123456789abcde\0", format!("FILE line 1 has 16 bytes; {expected}")),
            (b"a\nb\nc", "FILE has 3 lines; expected one or two secrets".to_owned()),
        ] {
            assert_eq!(read(content), Err(error));
        }
    }

    #[test]
    fn secrets_are_equal_in_every_byte_and_in_length() {
        let secret = |text: &str| Secret::parse(text.as_bytes()).unwrap();
        let known = secret("0123456789abcdef");
        assert!(known.equals(&secret("0123456789abcdef")));
        for other in ["0123456789abcdeF", "1123456789abcdef", "0123456789abcdef0", &"0".repeat(256)] {
            assert!(!known.equals(&secret(other)), "{other}");
        }
        assert_eq!(format!("{known:?}"), "Secret(..)");
    }

    /// With `PartialEq`, which stops at the first difference, two implementations would apply, and this would not compile.
    #[test]
    fn secrets_can_be_compared_in_constant_time_alone() {
        trait Comparison<Kind> {
            fn exists() -> bool {
                false
            }
        }
        struct InVariableTime;
        impl<T: ?Sized> Comparison<()> for T {}
        impl<T: ?Sized + PartialEq> Comparison<InVariableTime> for T {}
        assert!(!<Secret as Comparison<_>>::exists());
        assert!(!<[u64; MAX / 8] as Comparison<InVariableTime>>::exists(), "what it wraps could be");
    }

    #[test]
    fn a_difference_in_any_byte_is_found() {
        let known = [b'a'; MAX];
        for at in 0..MAX {
            let mut other = known;
            other[at] = b'b';
            assert!(!Secret::parse(&known).unwrap().equals(&Secret::parse(&other).unwrap()), "byte {at}");
        }
    }

    #[test]
    fn one_header_of_the_scheme_bearer_bears_a_secret() {
        let bears = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("authorization", value.parse().unwrap());
            }
            Secret::of_request(&headers).is_some()
        };
        assert!(bears(&["Bearer 0123456789abcdef"]));
        assert!(bears(&["bEARER 0123456789abcdef"]));
        for bad in [
            &[][..],
            &["0123456789abcdef"],
            &["Bearer"],
            &["Bearer 0123456789abcde"],
            &["Bearer  0123456789abcdef"],
            &["Bearer 0123456789abcdef, Bearer 0123456789abcdef"],
            &["Basic 0123456789abcdef"],
            &["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"],
        ] {
            assert!(!bears(bad), "{bad:?}");
        }
    }
}
