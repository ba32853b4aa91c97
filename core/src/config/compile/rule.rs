//! Compiles rules: keys that a rule omits are inherited from the top level.

use std::rc::Rc;

use super::super::problems::Path;
use super::super::raw;
use super::super::reader::Field;
use super::matches::{ListedRule, are_valid};
use super::{Compiler, Defaults, OrOff, bare, items};
use crate::policy::rules::{FailureMode, OnForbidden, Rule, Rules, SessionMode};

impl Compiler<'_> {
    /// All rules, and whether all matches are valid.
    pub fn rules(&mut self, raw: &raw::Plugin, defaults: &Defaults) -> (Rules, bool) {
        let rules_at = Path::Root.key("rules");
        let case = *raw.path_case;
        let case_is_valid = raw.path_case.is_valid();
        let mut all_valid = case_is_valid;
        let mut known: Vec<ListedRule<'_>> = Vec::new();
        let mut rules = Vec::new();
        for (index, raw) in raw.rules.iter().enumerate() {
            let at = rules_at.index(index);
            let Field::Given(raw) = raw else {
                all_valid = false;
                continue;
            };
            let name = raw.name.as_given().map(|name| name.0.0.as_str());
            let matches = self.matches(&raw.matches, &at.key("match"));
            let valid = are_valid(&raw.matches);
            all_valid = all_valid && valid;
            if valid && case_is_valid {
                let this = ListedRule { index, name, matches: matches.clone() };
                self.check_reachable(&known, &this, case, &at);
                known.push(this);
            }
            let label = name.map_or_else(|| at.to_string().into(), Rc::from);
            rules.push((matches, Rc::new(self.rule(raw, defaults, &at, label))));
        }
        let fallback = self.rule(&raw.default.0, defaults, &Path::Root.key("default"), "default".into());
        (Rules::new(rules, Rc::new(fallback), case), all_valid)
    }

    fn rule(&mut self, raw: &raw::Rule, defaults: &Defaults, at: &Path<'_>, label: Rc<str>) -> Rule {
        let session = raw.session.required(&at.key("session"), "one of required, optional, off", self.problems);
        let app = raw.app.as_given().map_or_else(|| Rc::clone(&defaults.app), |app| app.0.0.as_str().into());
        let service = match raw.rest_sessions.as_given() {
            Some(service) => self.service(service, &at.key("rest_sessions")),
            None => defaults.service.clone(),
        };
        let rule = Rule {
            label,
            session: session.copied().unwrap_or(SessionMode::Required),
            backend: self.backends.backend(service, &app),
            sources: match raw.token_from.as_given() {
                Some(list) => self.sources(list, &at.key("token_from")),
                None => defaults.sources.clone(),
            },
            annotation: match raw.annotate.as_given() {
                Some(annotate) => self.annotation(annotate, &at.key("annotate")),
                None => defaults.annotation.clone(),
            },
            failure_mode: raw.failure_mode.copied().unwrap_or(defaults.failure_mode),
            max_staleness_ms: raw.max_staleness.copied().map(|duration| duration.0),
            origins: raw.origins.as_given().map(|list| bare(items(list))),
            require: self.requirements(&raw.require, &at.key("require")),
            on_forbidden: *raw.on_forbidden,
            login: match raw.login.as_given() {
                Some(OrOff::On(login)) => self.login(login, &at.key("login")),
                Some(OrOff::Off) => None,
                None => defaults.login.clone(),
            },
            cookie: match raw.cookie.as_given() {
                Some(cookie) => self.cookie(cookie),
                None => Rc::clone(&defaults.cookie),
            },
            recheck_ms: raw.recheck.copied().map(|duration| duration.0),
            touches: *raw.touch,
            writes_back: defaults.writes_back && *raw.write_back,
            shadow: *raw.shadow || defaults.shadow,
        };
        self.check_rule(&rule, at);
        rule
    }

    /// Notes keys of a rule that contradict each other.
    fn check_rule(&self, rule: &Rule, at: &Path<'_>) {
        if !rule.require.is_empty() {
            let at = at.key("require");
            if rule.session != SessionMode::Required {
                self.note(&at, "is only for session: required; expected that, or no require");
            } else if rule.failure_mode == FailureMode::Allow {
                let message = "has no effect with failure_mode: allow, which passes any token; \
                               expected failure_mode: deny";
                self.note(&at, message);
            }
        }
        if rule.on_forbidden == OnForbidden::Login && rule.login.is_none() {
            self.note(
                &at.key("on_forbidden"),
                "sends people to log in, but there is no login; expected login.url, here or at the top",
            );
        }
    }
}
