//! What is wrong with a configuration, and where.

use std::cell::RefCell;
use std::fmt;

/// One mistake in a configuration, with the JSON path to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub path: String,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// Where the mistakes are collected.
#[derive(Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub fn note(&self, path: &Path<'_>, message: impl Into<String>) {
        self.0.borrow_mut().push(Problem { path: path.to_string(), message: message.into() });
    }

    pub fn into_list(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// The way from the root of a configuration to one of its values, such as `rules[2].session`.
#[derive(Clone, Copy)]
pub enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    #[must_use]
    pub fn key(&'a self, key: &'a str) -> Self {
        Path::Key(self, key)
    }

    #[must_use]
    pub fn index(&'a self, index: usize) -> Self {
        Path::Index(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Path::Key(parent, key) if key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => match parent {
                Path::Root => f.write_str(key),
                _ => write!(f, "{parent}.{key}"),
            },
            Path::Key(parent, key) => write!(f, "{parent}[{key:?}]"),
        }
    }
}

/// A text in quotes, cut where it is too long to be read.
pub fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// A number to three decimals, which is enough to find it where it was written: all digits of any double would take the
/// module some ten kilobytes.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "see below")]
pub fn rounded(number: f64) -> String {
    // What is below has its place in 64 bits, and what has a fraction is far below.
    let size = number.abs();
    if size >= 1e19 {
        return "a number of 20 digits or more".to_owned();
    }
    let whole = size as u64;
    let thousandths = ((size - whole as f64) * 1_000.0 + 0.5) as u64;
    let decimals = format!("{:03}", thousandths.min(999));
    let decimals = decimals.trim_end_matches('0');
    format!("{}{whole}{}{decimals}", if number < 0.0 { "-" } else { "" }, if decimals.is_empty() { "" } else { "." })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_shown_as_it_may_have_been_written() {
        for (number, shown) in [
            (0.0, "0"),
            (-1.0, "-1"),
            (1.5, "1.5"),
            (-0.25, "-0.25"),
            (0.001, "0.001"),
            (0.1, "0.1"),
            (1.001, "1.001"),
            (12.3456, "12.346"),
            (1.99999, "1.999"),
            (0.000_1, "0"),
            (6144.0, "6144"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (4_503_599_627_370_495.5, "4503599627370495.5"),
            (9e18, "9000000000000000000"),
            (1e19, "a number of 20 digits or more"),
            (-1e300, "a number of 20 digits or more"),
        ] {
            assert_eq!(rounded(number), shown);
        }
    }
}
