//! Compiles the raw configuration: inheritance by rules, and checks of how keys depend on each other.
//!
//! A configuration with a problem is not used. So an invalid value, which has been noted by the reader, is treated as
//! absent here, and the search for further problems goes on.

mod annotation;
mod cookie;
mod login_logout;
mod matches;
mod require;
pub mod reserved;
mod rule;
mod services;
mod tokens;
mod write_back;

use std::rc::Rc;

use super::compiled::Config;
use super::problems::{Path, Problems};
use super::raw::{self, List};
use super::reader::Field;
use super::values::{Integer, OrOff, Text};
use crate::cache;
use crate::http::authority::HostPattern;
use crate::http::name::Alias;
use crate::http::set_cookie::Attributes;
use crate::policy::annotation::Annotation;
use crate::policy::limits::Limits;
use crate::policy::login::Login;
use crate::policy::rules::FailureMode;
use crate::policy::token_source::Source;
use crate::rest_sessions::backend::Service;
use services::Backends;

/// The default response headers for session changes. They are reserved in requests too, since an upstream could echo
/// a request's headers.
const WRITE_BACK_NAMES: [&str; 2] = ["x-session-set", "x-session-kill"];

/// Of the 1 GiB that V8 gives a VM, what the cache and waiting requests may take: 768 MiB.
const MAX_VM_BYTES: usize = 805_306_368;

struct Compiler<'a> {
    problems: &'a Problems,
    backends: Backends,
    /// The headers that are a token source of any rule.
    token_headers: Vec<Alias>,
}

/// What rules inherit from the top level.
struct Defaults {
    app: Rc<str>,
    service: Service,
    sources: Vec<Source>,
    annotation: Annotation,
    failure_mode: FailureMode,
    login: Option<Login>,
    cookie: Rc<Attributes>,
    writes_back: bool,
    shadow: bool,
}

/// Compiles a raw configuration. The result is valid if no problem was noted.
pub fn compile(raw: &raw::Plugin, problems: &Problems) -> Config {
    let root = Path::Root;
    let mut compiler = Compiler { problems, backends: Backends::default(), token_headers: tokens::headers(raw) };

    let app = raw.app.required(&root.key("app"), "the rest-sessions app", problems);
    let service_at = root.key("rest_sessions");
    let service = raw.rest_sessions.required(&service_at, "an object with at least cluster", problems);
    let defaults = Defaults {
        app: app.map_or("", |app| &app.0.0).into(),
        service: service.map(|service| compiler.service(service, &service_at)).unwrap_or_default(),
        sources: compiler.sources(&raw.token_from, &root.key("token_from")),
        annotation: compiler.annotation(&raw.annotate, &root.key("annotate")),
        failure_mode: *raw.failure_mode,
        login: raw.login.as_given().and_then(|login| compiler.login(login, &root.key("login"))),
        cookie: compiler.cookie(&raw.cookie),
        writes_back: raw.write_back.as_given().is_some(),
        shadow: *raw.shadow,
    };
    let (rules, rules_are_valid) = compiler.rules(raw, &defaults);
    let logout = raw.logout.as_given().map(|logout| compiler.logout(logout, &root.key("logout")));
    let hosts: Option<Vec<HostPattern>> =
        raw.hosts.as_given().map(|list| bare(compiler.at_least_one(list, &root.key("hosts"))));
    let known_hosts = match &hosts {
        Some(hosts) => hosts.clone(),
        None => rules.matches().filter_map(|matches| matches.hosts.as_ref()).flatten().cloned().collect(),
    };
    if rules_are_valid && is_valid(&raw.hosts) {
        compiler.check_login_pages(&rules, &defaults, &known_hosts, hosts.is_some());
    }
    compiler.check_cookies(raw, &rules);
    let write_back = raw.write_back.as_given();
    let write_back = write_back.map(|given| compiler.write_back(given, &rules, &root.key("write_back")));
    let cache = raw.cache.as_given().map(|cache| compiler.cache(cache, &root.key("cache")));
    let limits = raw.limits.as_given().map_or(Limits::default(), |limits| Limits {
        idle_ms: limits.idle.copied().map(|idle| idle.0),
        age_ms: limits.age.copied().map(|age| age.0),
    });
    if let (Some(cache), Some(idle_ms)) = (&cache, limits.idle_ms)
        && idle_ms <= cache.ttl_ms
    {
        let message = "is no more than cache.ttl, so sessions in use would end; expected a longer one";
        problems.note(&root.key("limits").key("idle"), message);
    }
    Config {
        reserved: reserved::headers(
            &rules,
            hosts.is_some() || rules.uses_hosts(),
            &defaults.annotation,
            write_back.as_ref(),
            &raw.remove_headers,
        ),
        // A value that moves the path matters where rules name paths.
        checks_forwarded: rules.uses_paths() && raw.remove_headers.as_given().is_none(),
        hosts,
        rules,
        forward_token: *raw.forward_token,
        cors_preflight: *raw.cors_preflight,
        filter_state: *raw.filter_state,
        max_pending_bytes: compiler.max_pending_bytes(&raw.max_pending_bytes, cache.as_ref(), &root),
        cache,
        limits,
        logout,
        write_back,
        known_hosts,
    }
}

impl Compiler<'_> {
    fn note(&self, at: &Path<'_>, message: impl Into<String>) {
        self.problems.note(at, message);
    }

    /// The valid items of a list that may not be empty.
    fn at_least_one<'a, T>(&self, list: &'a [Field<T>], at: &Path<'_>) -> Vec<&'a T> {
        if list.is_empty() {
            self.note(at, "found an empty list, expected at least one entry, or the key left out");
        }
        items(list)
    }

    /// Both limits together leave memory for what neither counts, such as the headers of requests that do not wait.
    fn max_pending_bytes(
        &self,
        raw: &Integer<1_048_576, 536_870_912>,
        cache: Option<&cache::Settings>,
        root: &Path<'_>,
    ) -> usize {
        let max_pending_bytes = usize::try_from(raw.0).unwrap_or(usize::MAX);
        let sum = cache.map_or(0, |cache| cache.max_bytes).saturating_add(max_pending_bytes);
        if sum > MAX_VM_BYTES {
            let message = format!(
                "is {max_pending_bytes}, with cache.max_bytes {sum} together; expected at most {MAX_VM_BYTES} together, \
                 since a VM of Envoy has 1 GiB"
            );
            self.note(&root.key("max_pending_bytes"), message);
        }
        max_pending_bytes
    }

    fn cache(&self, raw: &raw::Cache, at: &Path<'_>) -> cache::Settings {
        let ttl = raw.ttl.required(&at.key("ttl"), "how long a session is kept, such as \"5s\"", self.problems);
        cache::Settings {
            ttl_ms: ttl.map_or(0, |ttl| ttl.0),
            negative_ttl_ms: raw.negative_ttl.0,
            stale_if_error_ms: raw.stale_if_error.0,
            max_bytes: usize::try_from(raw.max_bytes.0).unwrap_or(usize::MAX),
            shared: *raw.shared,
        }
    }
}

/// The valid items of a list.
fn items<T>(list: &[Field<T>]) -> Vec<&T> {
    list.iter().filter_map(Field::as_given).collect()
}

/// Whether a list and all its items are valid.
fn is_valid<T>(list: &Field<List<T>>) -> bool {
    match list {
        Field::Absent => true,
        Field::Invalid => false,
        Field::Given(items) => items.iter().all(|item| item.as_given().is_some()),
    }
}

/// The parsed values of strings.
fn bare<T: Clone>(texts: Vec<&Text<T>>) -> Vec<T> {
    texts.into_iter().map(|text| text.0.clone()).collect()
}
