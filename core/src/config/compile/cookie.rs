//! Compiles `cookie`, and checks that browsers take the session's cookies with these attributes.

use std::rc::Rc;

use super::super::problems::Path;
use super::super::raw;
use super::Compiler;
use crate::http::set_cookie::Attributes;
use crate::policy::rules::Rules;

impl Compiler<'_> {
    pub fn cookie(&self, raw: &raw::Cookie) -> Rc<Attributes> {
        Rc::new(Attributes {
            path: raw.path.0.0.clone(),
            domain: raw.domain.as_given().map(|domain| domain.0.0.clone()),
            secure: *raw.secure,
            http_only: *raw.http_only,
            same_site: *raw.same_site,
            partitioned: *raw.partitioned,
        })
    }

    /// Notes session cookies that browsers would neither set nor delete.
    pub fn check_cookies(&self, raw: &raw::Plugin, rules: &Rules) {
        let root = Path::Root;
        let (list, fallback) = (root.key("rules"), root.key("default"));
        let given = raw.rules.iter().map(|rule| rule.as_given()).chain([Some(&raw.default.0)]);
        let mut seen: Vec<(String, &str)> = Vec::new();
        for (index, (rule, raw_rule)) in rules.iter().zip(given).enumerate() {
            let in_list = list.index(index);
            let holder = match raw_rule {
                Some(rule) if rule.cookie.is_absent() => &root,
                _ if index == raw.rules.len() => &fallback,
                _ => &in_list,
            };
            let at = holder.key("cookie");
            for name in rule.cookie_names() {
                let place = (at.to_string(), name);
                if let Some(rejection) = rule.cookie.rejection(name).filter(|_| !seen.contains(&place)) {
                    self.note(&at, format!("{name} would not be taken: {rejection}"));
                    seen.push(place);
                }
            }
        }
    }
}
