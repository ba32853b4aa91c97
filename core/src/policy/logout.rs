//! Logging out: which request asks for it, and how it is answered.

use super::matching::{PathCase, PathPattern, method_matches};
use crate::http::set_cookie::Attributes;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logout {
    /// An exact path.
    pub path: PathPattern,
    pub methods: Vec<String>,
    /// Where the person goes then; absent: nowhere.
    pub redirect: Option<String>,
    /// What the session's cookies were set with.
    pub cookie: Attributes,
}

/// How many sessions one request may end. A person has one, or two where a cookie of another path lies beside it.
pub const MAX_SESSIONS: usize = 8;

impl Logout {
    /// Whether a request of this method asks for it, at one reading of its path.
    #[must_use]
    pub fn matches(&self, method: &[u8], path: &[u8], case: PathCase) -> bool {
        self.path.matches(path, case) && self.methods.iter().any(|listed| method_matches(listed, method))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_for_at_its_path_with_its_methods() {
        let logout = Logout {
            path: PathPattern::parse("/logout").unwrap(),
            methods: vec!["POST".to_owned(), "GET".to_owned()],
            redirect: None,
            cookie: Attributes::default(),
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
