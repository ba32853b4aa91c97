//! The text of `d` in memory.
//!
//! A long text is kept in blocks of one size. As one piece, texts of thousands of different lengths leave holes in the
//! heap that no other text fits: the process takes twice what it holds, and more after each round of changes. A hole
//! that a block leaves fits every other block.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::entry::{arc_block, block};

/// The bytes of a block at most. Together with the 8 bytes of the allocator, a multiple of 16.
const BLOCK: usize = 1000;

/// The text of a JSON object. Clones share it.
#[derive(Clone)]
pub enum Text {
    /// A text of at most [`BLOCK`] bytes.
    Short(Arc<RawValue>),
    Long(Arc<[Box<str>]>),
}

impl Text {
    pub fn new(text: Box<RawValue>) -> Self {
        let mut rest = text.get();
        if rest.len() <= BLOCK {
            return Self::Short(text.into());
        }
        let mut blocks = Vec::with_capacity(rest.len() / BLOCK + 1);
        while let Some((block, after)) = rest.split_at_checked(rest.floor_char_boundary(BLOCK)) {
            if block.is_empty() {
                break;
            }
            blocks.push(block.into());
            rest = after;
        }
        Self::Long(blocks.into())
    }

    /// The text in one piece.
    pub fn to_raw(&self) -> Result<Box<RawValue>, serde_json::Error> {
        match self {
            Self::Short(text) => Ok((**text).to_owned()),
            Self::Long(blocks) => RawValue::from_string(blocks.concat()),
        }
    }

    /// Whether both are one text, and not only equal.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Short(a), Self::Short(b)) => Arc::ptr_eq(a, b),
            (Self::Long(a), Self::Long(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// The bytes that it takes.
    pub fn size(&self) -> usize {
        match self {
            Self::Short(text) => arc_block(text.get().len()),
            Self::Long(blocks) => {
                let list = arc_block(size_of_val(&**blocks));
                blocks.iter().fold(list, |size, text| size.saturating_add(block(text.len())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_comes_back_as_it_was() {
        for length in [0, 1, BLOCK - 9, BLOCK - 8, BLOCK - 7, 2 * BLOCK, 100_000] {
            for letter in ["x", "ü", "😀"] {
                let text = format!(r#"{{"a":"{}"}}"#, letter.repeat(length));
                let kept = Text::new(RawValue::from_string(text.clone()).unwrap());
                assert_eq!(kept.to_raw().unwrap().get(), text);
                assert_eq!(matches!(kept, Text::Short(_)), text.len() <= BLOCK);
                assert!(kept.size() > text.len() && kept.size() < text.len() + text.len() / 20 + 100, "{length}");
            }
        }
    }

    #[test]
    fn an_equal_text_is_another_text() {
        for length in [1, 2 * BLOCK] {
            let new = || Text::new(RawValue::from_string(format!(r#"{{"a":"{}"}}"#, "x".repeat(length))).unwrap());
            let text = new();
            assert!(text.is(&text.clone()) && !text.is(&new()));
        }
    }
}
