//! The logout route: which requests it matches, and what its local reply says.

use super::matching::{PathPattern, method_matches};
use crate::http::path::PathCase;

/// A route whose requests end their sessions and get a local reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logout {
    /// The path that logs out, as an exact pattern.
    pub path: PathPattern,
    /// The methods that log out, in capitals. `GET` includes HEAD.
    pub methods: Vec<String>,
    /// The `location` of the 303. `None`: the reply is 204.
    pub redirect: Option<String>,
}

/// The maximum number of sessions that one request ends. A browser has one, or two with cookies of different paths.
pub const MAX_SESSIONS: usize = 8;

impl Logout {
    /// Whether a request of this method matches, with one reading of its path.
    #[must_use]
    pub fn matches(&self, method: &[u8], path: &[u8], case: PathCase) -> bool {
        self.path.matches(path, case) && self.methods.iter().any(|listed| method_matches(listed, method))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_matches_its_path_and_methods() {
        let logout = Logout {
            path: PathPattern::parse("/logout").unwrap(),
            methods: vec!["POST".to_owned(), "GET".to_owned()],
            redirect: None,
        };
        for (method, path, asked) in [
            ("POST", "/logout", true),
            ("POST", "/logout/", true),
            ("POST", "/Logout", true),
            ("HEAD", "/logout", true),
            ("DELETE", "/logout", false),
            ("POST", "/logout/all", false),
            ("POST", "/", false),
        ] {
            let found = logout.matches(method.as_bytes(), path.as_bytes(), PathCase::Ignore);
            assert_eq!(found, asked, "{method} {path}");
        }
        assert!(!logout.matches(b"POST", b"/Logout", PathCase::Exact));
    }
}
