//! Changing sessions from responses: which headers say so, which keys they may name, and what a failure leads to.

use crate::http::reserved::ReservedHeaders;

/// What becomes of a response whose change could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It goes on to the client.
    Pass,
    /// It is replaced by a 503.
    Deny,
}

/// Which keys of a session's data upstreams may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    Only(Vec<String>),
    /// All but those that requirements read: an upstream must not decide what its own callers may do.
    AllBut(Vec<String>),
}

impl Keys {
    #[must_use]
    pub fn contain(&self, key: &str) -> bool {
        let names = |keys: &[String]| keys.iter().any(|name| name == key);
        match self {
            Self::Only(keys) => names(keys),
            Self::AllBut(keys) => !names(keys),
        }
    }
}

#[derive(Debug)]
pub struct WriteBack {
    /// In lower case.
    pub set_header: String,
    pub kill_header: String,
    /// Both, in all their spellings: no client sees them.
    pub names: ReservedHeaders,
    pub keys: Keys,
    pub on_failure: OnFailure,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_listed_or_all_but_listed_and_compared_as_they_are() {
        let list = || vec!["cart".to_owned(), "a.b".to_owned()];
        for (key, listed) in [("cart", true), ("a.b", true), ("Cart", false), ("a", false), ("", false)] {
            assert_eq!(Keys::Only(list()).contain(key), listed, "{key}");
            assert_eq!(Keys::AllBut(list()).contain(key), !listed, "{key}");
        }
    }
}
