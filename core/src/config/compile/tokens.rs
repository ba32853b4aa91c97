//! Compiles `token_from`, the token sources.

use super::super::problems::Path;
use super::super::raw;
use super::super::reader::Field;
use super::{Compiler, WRITE_BACK_NAMES, annotation, items};
use crate::http::name::Alias;
use crate::policy::token_source::Source;

/// The headers that are a token source of any rule.
pub fn headers(raw: &raw::Plugin) -> Vec<Alias> {
    let rules = items(&raw.rules).into_iter().chain([&raw.default.0]);
    let lists = rules.filter_map(|rule| rule.token_from.as_given()).chain([&*raw.token_from]);
    let sources = lists.flat_map(|list| items(list));
    sources.filter_map(|source| source.header.as_given()).map(|name| Alias::of(&name.0.0)).collect()
}

impl Compiler<'_> {
    pub fn sources(&self, list: &[Field<raw::TokenFrom>], at: &Path<'_>) -> Vec<Source> {
        self.at_least_one(list, at);
        let mut sources: Vec<Source> = Vec::new();
        for (index, source) in list.iter().enumerate() {
            let at = at.index(index);
            match source.as_given().and_then(|source| self.source(source, &at)) {
                Some(source) if sources.contains(&source) => {
                    self.note(&at, format!("{source} is listed twice; expected once"));
                }
                source => sources.extend(source),
            }
        }
        sources
    }

    fn source(&self, raw: &raw::TokenFrom, at: &Path<'_>) -> Option<Source> {
        let kinds = [raw.cookie.is_absent(), raw.header.is_absent(), raw.query.is_absent()];
        if kinds.iter().filter(|absent| !**absent).count() != 1 {
            self.note(at, "expected exactly one of cookie, header, query");
            return None;
        }
        if !raw.prefix.is_absent() && raw.header.is_absent() {
            self.note(&at.key("prefix"), "belongs to header alone");
        }
        if !raw.any.is_absent() && raw.query.is_absent() {
            self.note(&at.key("any"), "belongs to query alone");
        }
        if let Field::Given(name) = &raw.cookie {
            return Some(Source::Cookie(name.0.0.clone()));
        }
        if let Field::Given(name) = &raw.query {
            return Some(Source::Query { name: name.0.0.clone(), any: *raw.any });
        }
        let name = &raw.header.as_given()?.0.0;
        let taken = annotation::NAMES.iter().chain(&WRITE_BACK_NAMES).map(|name| Alias::of(name));
        if name == "cookie" || taken.into_iter().any(|taken| taken.matches(name.as_bytes())) {
            let message = format!("{name} can hold no token: it is taken out of every request, or holds cookies");
            self.note(&at.key("header"), message);
        }
        let prefix = raw.prefix.as_given().map(|prefix| prefix.0.0.clone());
        Some(Source::Header { name: name.clone(), prefix })
    }
}
