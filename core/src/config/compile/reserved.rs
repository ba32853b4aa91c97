//! The headers that are removed from every request: the filter's own, and those that override what rules matched.

use super::{WRITE_BACK_NAMES, annotation, items};
use crate::config::raw::List;
use crate::config::reader::Field;
use crate::config::values::{HeaderName, Text};
use crate::http::method;
use crate::http::reserved::ReservedHeaders;
use crate::policy::annotation::Annotation;
use crate::policy::rules::Rules;
use crate::policy::write_back::WriteBack;

/// Headers from which servers read another path or host than those that rules matched. docs/security.md names for each
/// the servers that read it. Those for methods are in [`method`].
pub const PATH_OVERRIDES: [&str; 14] = [
    "x-original-url",
    "x-rewrite-url",
    "script-name",
    "path-info",
    "daphne-root-path",
    "x-script-name",
    "x-forwarded-prefix",
    "x-forwarded-path",
    "x-forwarded-uri",
    "x-original-uri",
    "x-waws-unencoded-url",
    "x-vhm-root",
    "x-accel-mapping",
    "x-sendfile-type",
];
pub const HOST_OVERRIDES: [&str; 6] =
    ["x-forwarded-host", "x-host", "x-original-host", "forwarded", "x-forwarded-server", "x-http-host-override"];

/// The headers that are removed from every request. `names_hosts` is whether rules or `hosts` name hosts.
pub fn headers(
    rules: &Rules,
    names_hosts: bool,
    annotation: &Annotation,
    write_back: Option<&WriteBack>,
    removed: &Field<List<Text<HeaderName>>>,
) -> ReservedHeaders {
    let all = rules.iter().map(|rule| &rule.annotation).chain([annotation]);
    let annotated = all.flat_map(|annotation| annotation.headers.iter().map(|(name, _)| &**name));
    let removed: Vec<&str> = match removed.as_given() {
        Some(names) => items(names).into_iter().map(|name| name.0.0.as_str()).collect(),
        None => [
            (rules.uses_methods(), &method::OVERRIDE_HEADERS[..]),
            (rules.uses_paths(), &PATH_OVERRIDES[..]),
            (names_hosts, &HOST_OVERRIDES[..]),
        ]
        .into_iter()
        .filter(|(named, _)| *named)
        .flat_map(|(_, names)| names.iter().copied())
        .collect(),
    };
    let fixed = annotation::NAMES.into_iter().chain(WRITE_BACK_NAMES);
    let named = write_back.into_iter().flat_map(|named| [named.set_header.as_str(), named.kill_header.as_str()]);
    ReservedHeaders::new(fixed.chain(named).chain(annotated).chain(removed))
}
