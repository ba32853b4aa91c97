//! Header names and values that borrow their text by reference count where they can.

use std::fmt;
use std::ops::{Deref, Range};
use std::rc::Rc;

/// The bytes of a header's name or value. Cheap to clone unless `Owned`. Equality is by content.
#[derive(Clone)]
pub enum Bytes {
    /// A constant.
    Static(&'static str),
    /// A byte range of a shared text.
    Shared(Rc<str>, Range<usize>),
    /// Bytes of its own.
    Owned(Vec<u8>),
}

impl Bytes {
    /// Shares `whole` if `part` is a slice of it, and copies `part` otherwise.
    #[must_use]
    pub fn part(whole: &Rc<str>, part: &str) -> Self {
        // The addresses say whether `part` is a slice of `whole`, and at which offset.
        let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr());
        let range = start.and_then(|start| Some(start..start.checked_add(part.len())?));
        match range.filter(|range| range.end <= whole.len()) {
            Some(range) => Self::Shared(Rc::clone(whole), range),
            None => Self::Owned(part.as_bytes().to_vec()),
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Static(text) => text.as_bytes(),
            Self::Shared(text, range) => text.as_bytes().get(range.clone()).unwrap_or_default(),
            Self::Owned(bytes) => bytes,
        }
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

impl From<&'static str> for Bytes {
    fn from(text: &'static str) -> Self {
        Self::Static(text)
    }
}

impl From<&Rc<str>> for Bytes {
    fn from(text: &Rc<str>) -> Self {
        Self::Shared(Rc::clone(text), 0..text.len())
    }
}

impl From<String> for Bytes {
    fn from(text: String) -> Self {
        Self::Owned(text.into_bytes())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Owned(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_equal_by_content() {
        let text: Rc<str> = Rc::from("name");
        let all = [
            Bytes::from("name"),
            Bytes::from(&text),
            Bytes::from("name".to_owned()),
            Bytes::from(b"name".to_vec()),
            Bytes::part(&text, &text),
        ];
        for bytes in &all {
            assert_eq!(bytes, &all[0]);
            assert_ne!(bytes, &Bytes::from("other"));
            assert_eq!(format!("{bytes:?}"), "\"name\"");
        }
    }

    #[test]
    fn a_part_of_a_text_is_shared_and_anything_else_is_copied() {
        let text: Rc<str> = Rc::from("zero one two");
        for range in [0..0, 0..4, 5..8, 9..12, 12..12, 0..12] {
            let part = Bytes::part(&text, &text[range.clone()]);
            assert_eq!(&*part, text[range.clone()].as_bytes());
            assert!(matches!(part, Bytes::Shared(..)), "{range:?}");
        }
        for other in ["one", "zero one two and more"] {
            let copy = Bytes::part(&text, other);
            assert_eq!(&*copy, other.as_bytes());
            assert!(matches!(copy, Bytes::Owned(_)), "{other}");
        }
        assert_eq!(&*Bytes::part(&text, ""), b"");
    }
}
