//! Compiles `annotate`, and checks the names of its headers.

use std::rc::Rc;

use super::super::problems::Path;
use super::super::raw;
use super::super::reader::Defaulted;
use super::super::values::{Entries, HeaderName, ParseText, Text};
use super::{Compiler, WRITE_BACK_NAMES};
use crate::http::name::Alias;
use crate::policy::annotation::{Annotation, Field};

/// The default header names. They are reserved also if others are configured, since an upstream that still reads them
/// would trust them.
pub const NAMES: [&str; 2] = ["x-session-user", "x-session-data"];

/// Headers of the connection (RFC 9110, section 7.6.1), or of the request itself.
const NOT_FOR_ANNOTATION: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "cookie",
];

impl Compiler<'_> {
    pub fn annotation(&self, raw: &raw::Annotate, at: &Path<'_>) -> Annotation {
        Annotation {
            headers: self.annotated(&raw.headers, &at.key("headers")),
            max_bytes: usize::try_from(raw.max_bytes.0).unwrap_or(usize::MAX),
        }
    }

    /// Why a header of this name cannot carry the filter's own value, if so.
    pub fn name_conflict(&self, name: &str) -> Option<&'static str> {
        if NOT_FOR_ANNOTATION.contains(&name) || name.starts_with("content-") {
            Some("belongs to the connection or the request itself; expected another name")
        } else if self.token_headers.contains(&Alias::of(name)) {
            Some("is a header that a token is taken from; expected another name")
        } else {
            None
        }
    }

    fn annotated(&self, entries: &Defaulted<Entries<Text<Field>>>, at: &Path<'_>) -> Vec<(Rc<str>, Field)> {
        let mut seen: Vec<(Alias, String)> = Vec::new();
        let mut headers = Vec::new();
        for (written, field) in &entries.0 {
            let at = at.key(written);
            let Some(HeaderName(name)) = HeaderName::parse(written) else {
                self.note(&at, format!("found an invalid name, expected {}", HeaderName::EXPECTED));
                continue;
            };
            let alias = Alias::of(&name);
            if entries.as_given().is_none() {
                // A key that uses a default name for something else is reported by its own check.
            } else if let Some(taken) = self.name_conflict(&name) {
                self.note(&at, taken);
            } else if WRITE_BACK_NAMES.into_iter().any(|taken| Alias::of(taken) == alias) {
                self.note(&at, "is how upstreams change sessions; expected another name");
            } else if let Some((_, other)) = seen.iter().find(|(other, _)| *other == alias) {
                let message = format!("reads like {other} to servers that take `-` for `_`; expected one of them");
                self.note(&at, message);
            }
            headers.extend(field.as_given().map(|field| (Rc::from(name.as_str()), field.0.clone())));
            seen.push((alias, name));
        }
        headers
    }
}
