//! The headers that only the filter may set: whoever else did, forged them.

use super::headers::Headers;
use super::name::Alias;

/// The names that are taken out of every request, in all their spellings.
#[derive(Debug, Default)]
pub struct Managed(Vec<Alias>);

impl Managed {
    #[must_use]
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut aliases = Vec::new();
        for alias in names.into_iter().map(Alias::of) {
            if !aliases.contains(&alias) {
                aliases.push(alias);
            }
        }
        Self(aliases)
    }

    /// Whether this is one of the names, however it is spelled.
    #[must_use]
    pub fn contains(&self, name: &[u8]) -> bool {
        self.0.iter().any(|alias| alias.matches(name))
    }

    /// The names in this map that have to go, each spelling once.
    #[must_use]
    pub fn forged<'a>(&self, headers: &'a Headers) -> Vec<&'a [u8]> {
        let mut names: Vec<&[u8]> = Vec::new();
        for (name, _) in headers.iter() {
            if self.contains(name) && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_found_once() {
        let managed = Managed::new(["x-session-user", "X-Session_User", "x-kill"]);
        let headers = Headers::from_pairs(&[
            (":path", "/"),
            ("x-session-user", "a"),
            ("x_session.user", "b"),
            ("x-session-user", "c"),
            ("x-session-users", "d"),
            ("X-Session-User", "e"),
            ("x-session--user", "f"),
        ]);
        let forged = managed.forged(&headers);
        assert_eq!(forged, [&b"x-session-user"[..], b"x_session.user", b"X-Session-User"]);
    }
}
