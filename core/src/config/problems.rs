//! Problems of a configuration, with their JSON paths.

use std::cell::RefCell;
use std::fmt;

/// One problem of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The JSON path to the value, such as `rules[2].session`; empty for the whole configuration.
    pub path: String,
    /// What is wrong, and what was expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// The problems that were noted so far.
#[derive(Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Notes a problem.
    pub fn note(&self, path: &Path<'_>, message: impl Into<String>) {
        self.0.borrow_mut().push(Problem { path: path.to_string(), message: message.into() });
    }

    /// All problems, in the order in which they were noted.
    pub fn into_list(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// The JSON path to a value of the configuration, such as `rules[2].session`.
#[derive(Clone, Copy)]
pub enum Path<'a> {
    /// The whole configuration.
    Root,
    /// A key of an object.
    Key(&'a Path<'a>, &'a str),
    /// An item of a list.
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    /// The path to a key of this object.
    #[must_use]
    pub fn key(&'a self, key: &'a str) -> Self {
        Path::Key(self, key)
    }

    /// The path to an item of this list.
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

/// A text in quotes, truncated to 80 characters.
pub fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// A number with at most three decimals. Formatting all digits of a double would add ten kilobytes to the module.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the size is checked first"
)]
pub fn rounded(number: f64) -> String {
    // Smaller numbers fit into 64 bits, and those with a fraction are below 2^52.
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
    fn a_number_is_shown_with_at_most_three_decimals() {
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
