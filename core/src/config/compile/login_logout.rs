//! Compiles `login` and `logout`, and checks that the login page needs no session.

use super::super::problems::Path;
use super::super::raw;
use super::{Compiler, Defaults};
use crate::http::authority::{Host, HostPattern};
use crate::policy::login::Login;
use crate::policy::logout::Logout;
use crate::policy::matching::{PathPattern, Target};
use crate::policy::rules::{Rule, Rules, SessionMode};

impl Compiler<'_> {
    pub fn login(&self, raw: &raw::Login, at: &Path<'_>) -> Option<Login> {
        let expected = "the URL of the login page, such as \"/login?next={url}\"";
        raw.url.required(&at.key("url"), expected, self.problems).map(|url| url.0.clone())
    }

    pub fn logout(&self, raw: &raw::Logout, at: &Path<'_>) -> Logout {
        let path = raw.path.required(&at.key("path"), "the path that logs out, such as \"/logout\"", self.problems);
        let methods = self.at_least_one(&raw.methods, &at.key("methods"));
        Logout {
            path: path.map_or_else(|| PathPattern::Exact(String::new()), |path| path.0.0.clone()),
            methods: methods.into_iter().map(|method| method.0.0.clone()).collect(),
            redirect: raw.redirect.as_given().map(|redirect| redirect.0.0.clone()),
        }
    }

    /// Notes login pages that need a session themselves, or that have `{url}` without known hosts.
    pub fn check_login_pages(
        &self,
        rules: &Rules,
        defaults: &Defaults,
        known_hosts: &[HostPattern],
        hosts_are_listed: bool,
    ) {
        let root = Path::Root;
        let (list, fallback) = (root.key("rules"), root.key("default"));
        let mut seen: Vec<&Login> = Vec::new();
        let last = rules.iter().count().saturating_sub(1);
        for (index, rule) in rules.iter().enumerate() {
            let Some(login) = rule.login.as_ref().filter(|login| !seen.contains(login)) else { continue };
            seen.push(login);
            let in_list = list.index(index);
            let holder = match index {
                _ if defaults.login.as_ref() == Some(login) => &root,
                _ if index == last => &fallback,
                _ => &in_list,
            };
            let at = holder.key("login");
            if login.has_return_url() && known_hosts.is_empty() {
                let message = "{url} needs the hosts that people may be brought back to; \
                               name them in hosts, or in match.hosts of rules";
                self.note(&at, message);
            }
            if let Some(closed) = rule_requiring_session(login, rules, known_hosts, hosts_are_listed) {
                let message = format!(
                    "the login page needs a session itself, under the rule {:?}; \
                     give it a rule of its own with session off or optional",
                    closed.label
                );
                self.note(&at, message);
            }
        }
    }
}

/// Whether any request on this host is redirected to this login page. A rule for the whole host hides later ones.
fn leads_from(login: &Login, rules: &Rules, host: Option<&Host>) -> bool {
    let matches = rules.matches().map(Some).chain([None]);
    for (matches, rule) in matches.zip(rules.iter()) {
        let hosts = matches.and_then(|matches| matches.hosts.as_ref());
        let here =
            |hosts: &Vec<HostPattern>| host.is_some_and(|host| hosts.iter().any(|pattern| pattern.matches(host)));
        if hosts.is_none_or(here) {
            if rule.session == SessionMode::Required && rule.login.as_ref() == Some(login) {
                return true;
            }
            if matches.is_some_and(|matches| matches.methods.is_none() && matches.paths.is_none()) {
                return false;
            }
        }
    }
    false
}

/// The rule that requires a session for a login page, if that is certain.
fn rule_requiring_session<'a>(
    login: &Login,
    rules: &'a Rules,
    known_hosts: &[HostPattern],
    hosts_are_listed: bool,
) -> Option<&'a Rule> {
    let (own, path) = login.page()?;
    let rule_at = |host: Option<&Host>| {
        if own.is_none() && !leads_from(login, rules, host) {
            return None;
        }
        let rule = rules.select(Target { host, method: b"GET", path: Some(path.as_bytes()) });
        (rule.session == SessionMode::Required && !rule.shadow).then_some(&**rule)
    };
    match &own {
        // Only a host that is certainly served here: for another one, the filter's rules do not apply.
        Some(host) => known_hosts.iter().any(|pattern| pattern.matches(host)).then(|| rule_at(Some(host))).flatten(),
        None => {
            let exact = known_hosts.iter().filter_map(|pattern| match pattern {
                HostPattern::Exact(host) => Some(host),
                HostPattern::Under(_) => None,
            });
            let mut hosts = exact.map(Some).chain((!hosts_are_listed).then_some(None));
            hosts.find_map(rule_at)
        }
    }
}
