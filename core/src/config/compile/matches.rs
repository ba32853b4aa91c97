//! Compiles `match`, and finds rules that no request can reach.

use super::super::problems::Path;
use super::super::raw;
use super::super::reader::Defaulted;
use super::{Compiler, bare, is_valid};
use crate::http::path::PathCase;
use crate::policy::matching::Match;

impl Compiler<'_> {
    pub fn matches(&self, raw: &raw::Match, at: &Path<'_>) -> Match {
        let methods = raw.methods.as_given().map(|list| self.at_least_one(list, &at.key("methods")));
        Match {
            hosts: raw.hosts.as_given().map(|list| bare(self.at_least_one(list, &at.key("hosts")))),
            methods: methods.map(|methods| methods.into_iter().map(|method| method.0.0.clone()).collect()),
            paths: raw.paths.as_given().map(|list| bare(self.at_least_one(list, &at.key("paths")))),
        }
    }

    /// Notes a rule that no request can reach, since an earlier one matches all its requests.
    pub fn check_reachable(&self, earlier: &[ListedRule<'_>], rule: &ListedRule<'_>, case: PathCase, at: &Path<'_>) {
        if let Some(other) = earlier.iter().find(|other| other.matches.includes(&rule.matches, case)) {
            let (this, other_at, other) =
                (rule.shown(), Path::Root.key("rules").index(other.index).to_string(), other.shown());
            self.note(
                at,
                format!("the rule{this} is hidden: {other_at}{other} matches every request that it matches; put it earlier, or leave it out"),
            );
        }
    }
}

/// A rule of the list.
pub struct ListedRule<'a> {
    pub index: usize,
    pub name: Option<&'a str>,
    pub matches: Match,
}

impl ListedRule<'_> {
    fn shown(&self) -> String {
        self.name.map_or_else(String::new, |name| format!(" ({name:?})"))
    }
}

/// Whether all lists of a `match` are valid.
pub fn are_valid(raw: &Defaulted<raw::Match>) -> bool {
    raw.is_valid() && is_valid(&raw.hosts) && is_valid(&raw.methods) && is_valid(&raw.paths)
}
