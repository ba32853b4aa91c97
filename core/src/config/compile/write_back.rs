//! Compiles `write_back`, and checks its headers and keys.

use super::super::problems::Path;
use super::super::raw;
use super::super::reader::Defaulted;
use super::super::values::{DataKey, HeaderName, Text};
use super::{Compiler, annotation, items};
use crate::http::name::Alias;
use crate::http::reserved::ReservedHeaders;
use crate::policy::annotation::Field as SessionField;
use crate::policy::rules::Rules;
use crate::policy::write_back::{Keys, WriteBack};

impl Compiler<'_> {
    pub fn write_back(&self, raw: &raw::WriteBack, rules: &Rules, at: &Path<'_>) -> WriteBack {
        let set_header = self.response_header(&raw.set_header, rules, &at.key("set_header"));
        let kill_header = self.response_header(&raw.kill_header, rules, &at.key("kill_header"));
        if Alias::of(&set_header) == Alias::of(&kill_header) {
            self.note(&at.key("kill_header"), "reads like set_header; expected another name");
        }
        WriteBack {
            names: ReservedHeaders::new([set_header.as_str(), kill_header.as_str()]),
            set_header,
            kill_header,
            keys: match raw.keys.as_given() {
                Some(keys) => Keys::Only(items(keys).into_iter().map(|Text(DataKey(key))| key.clone()).collect()),
                None => self.all_but_required(rules, &at.key("keys")),
            },
            on_failure: *raw.on_failure,
        }
    }

    fn response_header(&self, name: &Defaulted<Text<HeaderName>>, rules: &Rules, at: &Path<'_>) -> String {
        let (is_default, Text(HeaderName(name))) = (name.as_given().is_none(), &**name);
        let annotated = || rules.iter().flat_map(|rule| &rule.annotation.headers).map(|(name, _)| &**name);
        if is_default {
            // A key that uses a default name for something else is reported by its own check.
        } else if let Some(taken) = self.name_conflict(name) {
            self.note(at, taken);
        } else if name == "set-cookie" {
            self.note(at, "is how cookies are set; expected another name");
        } else if annotated().chain(annotation::NAMES).any(|annotated| Alias::of(annotated) == Alias::of(name)) {
            self.note(at, "tells upstreams of the session; expected another name");
        }
        name.clone()
    }

    /// All keys except those that any requirement reads.
    fn all_but_required(&self, rules: &Rules, at: &Path<'_>) -> Keys {
        let mut read = Vec::new();
        for field in rules.iter().flat_map(|rule| &rule.require).map(|requirement| &requirement.field) {
            match field {
                SessionField::DataKey(key) if !read.contains(key) => read.push(key.clone()),
                SessionField::Data => {
                    self.note(at, "is missing, and a require reads all data; expected the keys that upstreams may set");
                    break;
                }
                _ => {}
            }
        }
        Keys::AllBut(read)
    }
}
