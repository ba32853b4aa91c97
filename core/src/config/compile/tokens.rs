//! From `token_from` as it is written to the places where a token may stand.

use super::super::problems::Path;
use super::super::raw::{self, List};
use super::super::reader::Field;
use super::{Compiler, WRITE_BACK_NAMES, annotation, items};
use crate::http::name::Alias;
use crate::policy::token_source::Source;

/// The headers that any rule takes a token from.
pub fn headers(raw: &raw::Plugin) -> Vec<Alias> {
    let rules = items(&raw.rules).unwrap_or_default().into_iter();
    let lists = rules.chain(raw.default.as_given().map(|fallback| &fallback.0)).map(|rule| &rule.token_from);
    let sources = lists.chain([&raw.token_from]).filter_map(items).flatten();
    sources.filter_map(|source| source.header.as_given()).map(|name| Alias::of(&name.0.0)).collect()
}

impl Compiler<'_> {
    pub fn sources(&self, list: &List<raw::TokenFrom>, at: &Path<'_>) -> Option<Vec<Source>> {
        self.at_least_one(list, at)?;
        let mut sources: Vec<Source> = Vec::new();
        for (index, source) in list.as_given()?.iter().enumerate() {
            let at = at.index(index);
            match source.as_given().and_then(|source| self.source(source, &at)) {
                Some(source) if sources.contains(&source) => {
                    self.note(&at, format!("{source} is listed twice; expected once"));
                }
                source => sources.extend(source),
            }
        }
        Some(sources)
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
            return Some(Source::Query { name: name.0.0.clone(), any: raw.any.copied().unwrap_or(false) });
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
