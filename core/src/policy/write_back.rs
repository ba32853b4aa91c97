//! The settings for session changes by responses: header names, permitted keys, and the reaction to a failure.

use crate::http::reserved::ReservedHeaders;

/// What happens to a response whose change failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The response passes to the client (`pass`).
    Pass,
    /// The client gets a 503 in its place (`deny`).
    Deny,
}

/// The keys of a session's data that upstreams may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Only these keys (`write_back.keys`).
    Only(Vec<String>),
    /// All keys but these, which requirements read: an upstream must not change its own clients' permissions.
    AllBut(Vec<String>),
}

impl Keys {
    /// Whether upstreams may set the key.
    #[must_use]
    pub fn contain(&self, key: &str) -> bool {
        let names = |keys: &[String]| keys.iter().any(|name| name == key);
        match self {
            Self::Only(keys) => names(keys),
            Self::AllBut(keys) => !names(keys),
        }
    }
}

/// The settings for session changes by responses.
#[derive(Debug)]
pub struct WriteBack {
    /// The name of the header that sets keys, in lower case.
    pub set_header: String,
    /// The name of the header that ends the session, in lower case.
    pub kill_header: String,
    /// Both names: they are removed from every response, in all spellings.
    pub names: ReservedHeaders,
    /// The keys that may be set.
    pub keys: Keys,
    /// What the client gets if a change fails that the response asked for.
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
