//! From the keys as written to a configuration that holds together: defaults, and what keys mean to each other.

use std::rc::Rc;

use super::Config;
use super::reader::{Field, Path, Problems, quoted};
use super::values::{CallAuthority, Entries, HeaderName, Integer, Method, Millis, OrOff, PathPrefix, Text, Written};
use super::wire::{self, List};
use crate::cache::settings;
use crate::http::managed::Managed;
use crate::http::name::Alias;
use crate::policy::matching::{Match, PathCase};
use crate::policy::rules::{CorsPreflight, FailureMode, Rule, Rules, SessionMode};
use crate::session::annotate::{self, Annotation};
use crate::session::breaker;
use crate::session::calls::{Service, ServiceId, TargetId};
use crate::session::realm::{Realm, RealmId};
use crate::session::source::Source;

/// The headers that tell an upstream who it serves; taken out also where other names are in use, since an upstream
/// that reads them would believe them.
const ANNOTATION_NAMES: [&str; 2] = ["x-session-user", "x-session-data"];

/// The response headers by which upstreams change sessions; a request that bears them could be echoed.
const WRITE_BACK_NAMES: [&str; 2] = ["x-session-set", "x-session-kill"];

/// Headers by which a client may ask an upstream for another method, or path, than the one that the rule was found by.
const METHOD_OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];
const PATH_OVERRIDES: [&str; 2] = ["x-original-url", "x-rewrite-url"];

/// Headers that belong to one connection (RFC 9110, section 7.6.1), or to the request itself.
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

/// Compiles a configuration; `None` if there was a mistake, which has then been noted.
pub fn compile(wire: wire::Plugin, problems: &Problems) -> Option<Config> {
    let root = Path::Root;
    let mut compiler =
        Compiler { problems, services: Vec::new(), realms: Vec::new(), token_headers: token_headers(&wire) };

    let app = wire.app.required(&root.key("app"), "the rest-sessions app", problems).map(|app| app.0.0.into());
    let service_at = root.key("rest_sessions");
    let service = wire.rest_sessions.required(&service_at, "an object with at least cluster", problems);
    let defaults = Defaults {
        app,
        service: service.and_then(|service| compiler.service(service, &service_at)),
        sources: compiler
            .sources(wire.token_from, &root.key("token_from"))
            .or_default(vec![Source::Cookie("session-cookie".to_owned())]),
        annotation: compiler.annotation(wire.annotate, &root.key("annotate")).or_default(default_annotation()),
        failure_mode: wire.failure_mode.or_default(FailureMode::Deny),
    };
    let hosts = compiler.at_least_one(wire.hosts, &root.key("hosts")).or_absent();
    let removed = items(wire.remove_headers).or_absent();
    let cache = cache(wire.cache, &root.key("cache"), problems);
    let path_case = wire.path_case.or_default(PathCase::Ignore);

    let rules_at = root.key("rules");
    let mut matches = Vec::new();
    let mut rules = Vec::new();
    for (index, rule) in wire.rules.or_default(Vec::new())?.into_iter().enumerate() {
        let at = rules_at.index(index);
        let Some(mut rule) = rule.given() else { continue };
        let name = std::mem::take(&mut rule.name).given().map(|name| name.0.0);
        let compiled = compiler.matches(std::mem::take(&mut rule.matches), &at.key("match"));
        if let (Some(compiled), Some(case)) = (&compiled, path_case) {
            report_if_hidden(&matches, compiled, case, &at, name.as_deref(), problems);
            matches.push((at.to_string(), name.clone(), compiled.clone()));
        }
        rules.push(compiled.zip(compiler.rule(rule, &defaults, &at, name.unwrap_or_else(|| at.to_string()))));
    }
    let required = wire::Rule { session: Field::Given(SessionMode::Required), ..wire::Rule::default() };
    let fallback = wire.default.or_default(wire::Fallback(required))?;
    let fallback = compiler.rule(fallback.0, &defaults, &root.key("default"), "default".to_owned());

    let rules = Rules::new(rules.into_iter().collect::<Option<_>>()?, fallback?, path_case?);
    Some(Config {
        hosts: hosts?.map(bare_texts),
        managed: managed(&rules, &defaults.annotation?, removed?),
        rules,
        forward_token: wire.forward_token.or_default(true)?,
        cors_preflight: wire.cors_preflight.or_default(CorsPreflight::Listed)?,
        filter_state: wire.filter_state.or_default(false)?,
        cache: cache.or_absent()?,
    })
}

/// What holds for a rule that does not say otherwise. Each is `None` after a mistake.
struct Defaults {
    app: Option<Rc<str>>,
    service: Option<Service>,
    sources: Option<Vec<Source>>,
    annotation: Option<Annotation>,
    failure_mode: Option<FailureMode>,
}

fn default_annotation() -> Annotation {
    let headers = ANNOTATION_NAMES.map(Rc::from).into_iter().zip([annotate::Field::Id, annotate::Field::Data]);
    Annotation { headers: headers.collect(), max_bytes: 6144 }
}

fn breaker(wire: wire::Breaker) -> Option<breaker::Settings> {
    Some(breaker::Settings {
        failures: u32::try_from(wire.failures.or_default(Integer(5))?.0).ok()?,
        open_for_ms: wire.open_for.or_default(Millis(1_000))?.0,
    })
}

fn cache(wire: Field<wire::Cache>, at: &Path<'_>, problems: &Problems) -> Field<settings::Settings> {
    let settings = |wire: wire::Cache| {
        let ttl = wire.ttl.required(&at.key("ttl"), "how long a session is kept, such as \"5s\"", problems);
        Some(settings::Settings {
            ttl_ms: ttl?.0,
            negative_ttl_ms: wire.negative_ttl.or_default(Millis(1_000))?.0,
            stale_if_error_ms: wire.stale_if_error.or_default(Millis(0))?.0,
            max_bytes: usize::try_from(wire.max_bytes.or_default(Integer(8_388_608))?.0).ok()?,
            shared: wire.shared.or_default(true)?,
        })
    };
    match wire {
        Field::Absent => Field::Absent,
        Field::Mistaken => Field::Mistaken,
        Field::Given(wire) => settings(wire).map_or(Field::Mistaken, Field::Given),
    }
}

/// The headers that any rule takes a token from.
fn token_headers(wire: &wire::Plugin) -> Vec<Alias> {
    let rules = wire.rules.as_given().into_iter().flatten().filter_map(Field::as_given);
    let lists = rules.map(|rule| &rule.token_from).chain(wire.default.as_given().map(|rule| &rule.0.token_from));
    let sources = lists.chain([&wire.token_from]).filter_map(Field::as_given).flatten().filter_map(Field::as_given);
    sources.filter_map(|source| source.header.as_given()).map(|name| Alias::of(&name.0.0)).collect()
}

/// A list without its mistakes, if it has none.
fn items<T>(list: List<T>) -> Field<Vec<T>> {
    match list {
        Field::Absent => Field::Absent,
        Field::Mistaken => Field::Mistaken,
        Field::Given(list) => {
            list.into_iter().map(Field::given).collect::<Option<_>>().map_or(Field::Mistaken, Field::Given)
        }
    }
}

struct Compiler<'a> {
    problems: &'a Problems,
    /// The services so far, each once: calls are counted for each.
    services: Vec<Rc<Service>>,
    realms: Vec<Rc<Realm>>,
    token_headers: Vec<Alias>,
}

impl Compiler<'_> {
    fn mistake<T>(&self, at: &Path<'_>, message: impl Into<String>) -> Field<T> {
        self.problems.note(at, message);
        Field::Mistaken
    }

    /// A list that would say nothing if it were empty.
    fn at_least_one<T>(&self, list: List<T>, at: &Path<'_>) -> Field<Vec<T>> {
        match list {
            Field::Given(list) if list.is_empty() => {
                self.mistake(at, "found an empty list, expected at least one entry, or the key left out")
            }
            list => items(list),
        }
    }

    fn service(&self, wire: wire::RestSessions, at: &Path<'_>) -> Option<Service> {
        let cluster = wire.cluster.required(&at.key("cluster"), "the name of Envoy's cluster", self.problems);
        let cluster = cluster.map(|cluster| cluster.0.0);
        let authority = match (wire.authority, &cluster) {
            (Field::Absent, Some(cluster)) => self.authority_of(cluster, at),
            (authority, _) => authority.given().map(|authority| authority.0.0),
        };
        let max_in_flight = wire.max_in_flight.or_default(Integer(256))?.0;
        Some(Service {
            path_prefix: wire.path_prefix.or_default(Text(PathPrefix(String::new())))?.0.0,
            timeout_ms: wire.timeout.or_default(Millis(500))?.0,
            retries: wire.retries.or_default(Integer(1))?.0,
            max_in_flight: usize::try_from(max_in_flight).ok()?,
            breaker: match wire.breaker.or_default(OrOff::On(wire::Breaker::default()))? {
                OrOff::On(wire) => Some(breaker(wire)?),
                OrOff::Off => None,
            },
            authority: authority?,
            cluster: cluster?.into(),
        })
    }

    /// The host in a cluster's name, as Istio writes it: `outbound|3000||rest-sessions.default.svc.cluster.local`.
    fn authority_of(&self, cluster: &str, at: &Path<'_>) -> Option<String> {
        let last = cluster.rsplit('|').next().unwrap_or_default();
        if CallAuthority::parse(last).is_none() {
            let message = format!("is missing; {} is no host, so it cannot be taken from cluster", quoted(last));
            self.problems.note(&at.key("authority"), message);
            return None;
        }
        Some(last.to_owned())
    }

    fn sources(&self, list: List<wire::TokenFrom>, at: &Path<'_>) -> Field<Vec<Source>> {
        let list = match self.at_least_one(list, at) {
            Field::Given(list) => list,
            Field::Absent => return Field::Absent,
            Field::Mistaken => return Field::Mistaken,
        };
        let mut sources: Vec<Source> = Vec::new();
        let mut mistaken = false;
        for (index, source) in list.into_iter().enumerate() {
            let at = at.index(index);
            match self.source(source, &at) {
                Some(source) if sources.contains(&source) => {
                    self.problems.note(&at, format!("{source} is listed twice; expected once"));
                }
                Some(source) => sources.push(source),
                None => mistaken = true,
            }
        }
        if mistaken { Field::Mistaken } else { Field::Given(sources) }
    }

    fn source(&self, wire: wire::TokenFrom, at: &Path<'_>) -> Option<Source> {
        let wire::TokenFrom { cookie, header, prefix, query, any } = wire;
        let kinds = [cookie.is_absent(), header.is_absent(), query.is_absent()];
        if kinds.iter().filter(|absent| !**absent).count() != 1 {
            self.problems.note(at, "expected exactly one of cookie, header, query");
            return None;
        }
        if !prefix.is_absent() && header.is_absent() {
            self.problems.note(&at.key("prefix"), "belongs to header alone");
        }
        if !any.is_absent() && query.is_absent() {
            self.problems.note(&at.key("any"), "belongs to query alone");
        }
        if let Some(name) = cookie.given() {
            return Some(Source::Cookie(name.0.0));
        }
        if let Some(name) = query.given() {
            return Some(Source::Query { name: name.0.0, any: any.or_default(false)? });
        }
        let name = header.given()?.0.0;
        let taken = ANNOTATION_NAMES.iter().chain(&WRITE_BACK_NAMES).map(|name| Alias::of(name));
        if name == "cookie" || taken.into_iter().any(|taken| taken.matches(name.as_bytes())) {
            let message = format!("{name} can hold no token: it is taken out of every request, or holds cookies");
            self.problems.note(&at.key("header"), message);
        }
        let prefix = match prefix {
            Field::Absent => None,
            prefix => Some(prefix.given()?.0.0),
        };
        Some(Source::Header { name, prefix })
    }

    fn annotation(&self, wire: Field<wire::Annotate>, at: &Path<'_>) -> Field<Annotation> {
        let wire = match wire {
            Field::Given(wire) => wire,
            Field::Absent => return Field::Absent,
            Field::Mistaken => return Field::Mistaken,
        };
        let defaults = default_annotation();
        let headers = match wire.headers {
            Field::Absent => Some(defaults.headers),
            headers => headers.given().and_then(|entries| self.annotated(entries, &at.key("headers"))),
        };
        let max_bytes =
            wire.max_bytes.given().and_then(|max| usize::try_from(max.0).ok()).unwrap_or(defaults.max_bytes);
        headers.map_or(Field::Mistaken, |headers| Field::Given(Annotation { headers, max_bytes }))
    }

    fn annotated(
        &self,
        entries: Entries<Text<annotate::Field>>,
        at: &Path<'_>,
    ) -> Option<Vec<(Rc<str>, annotate::Field)>> {
        let mut seen: Vec<(Alias, String)> = Vec::new();
        let mut headers = Vec::new();
        let count = entries.0.len();
        for (written, field) in entries.0 {
            let at = at.key(&written);
            let Some(HeaderName(name)) = HeaderName::parse(&written) else {
                self.problems.note(&at, format!("found a name that is none, expected {}", HeaderName::EXPECTED));
                continue;
            };
            let alias = Alias::of(&name);
            if NOT_FOR_ANNOTATION.contains(&name.as_str()) || name.starts_with("content-") {
                self.problems.note(&at, "belongs to the connection or the request itself; expected another name");
            } else if WRITE_BACK_NAMES.into_iter().any(|taken| Alias::of(taken) == alias) {
                self.problems.note(&at, "is how upstreams change sessions; expected another name");
            } else if self.token_headers.contains(&alias) {
                self.problems.note(&at, "is a header that a token is taken from; expected another name");
            } else if let Some((_, other)) = seen.iter().find(|(other, _)| *other == alias) {
                self.problems
                    .note(&at, format!("reads like {other} to servers that take `-` for `_`; expected one of them"));
            }
            seen.push((alias, name.clone()));
            headers.extend(field.given().map(|field| (Rc::from(name), field.0)));
        }
        (headers.len() == count).then_some(headers)
    }

    fn matches(&self, wire: Field<wire::Match>, at: &Path<'_>) -> Option<Match> {
        let wire = wire.or_default(wire::Match::default())?;
        let hosts = self.at_least_one(wire.hosts, &at.key("hosts")).or_absent();
        let methods = self.at_least_one(wire.methods, &at.key("methods")).or_absent();
        let paths = self.at_least_one(wire.paths, &at.key("paths")).or_absent();
        let bare = |methods: Vec<Text<Method>>| methods.into_iter().map(|method| method.0.0).collect();
        Some(Match { hosts: hosts?.map(bare_texts), methods: methods?.map(bare), paths: paths?.map(bare_texts) })
    }

    fn rule(&mut self, wire: wire::Rule, defaults: &Defaults, at: &Path<'_>, label: String) -> Option<Rc<Rule>> {
        let session = wire.session.required(&at.key("session"), "one of required, optional, off", self.problems);
        let app = match wire.app {
            Field::Absent => defaults.app.clone(),
            app => app.given().map(|app| app.0.0.into()),
        };
        let service = match wire.rest_sessions {
            Field::Absent => defaults.service.clone(),
            service => service.given().and_then(|service| self.service(service, &at.key("rest_sessions"))),
        };
        let sources = match self.sources(wire.token_from, &at.key("token_from")) {
            Field::Absent => defaults.sources.clone(),
            sources => sources.given(),
        };
        let annotation = match self.annotation(wire.annotate, &at.key("annotate")) {
            Field::Absent => defaults.annotation.clone(),
            annotation => annotation.given(),
        };
        let failure_mode = match wire.failure_mode {
            Field::Absent => defaults.failure_mode,
            mode => mode.given(),
        };
        let origins = items(wire.origins).or_absent();
        let (service_id, target_id, service) = self.shared(service?);
        let realm = self.realm(target_id, &service, app?);
        Some(Rc::new(Rule {
            label: label.into(),
            session: session?,
            realm,
            service,
            service_id,
            sources: sources?,
            annotation: annotation?,
            failure_mode: failure_mode?,
            max_staleness_ms: wire.max_staleness.or_absent()?.map(|duration| duration.0),
            origins: origins?.map(bare_texts),
        }))
    }

    /// The realm of an app at a service, as the one that is known already, if it is.
    fn realm(&mut self, target_id: TargetId, service: &Service, app: Rc<str>) -> Rc<Realm> {
        if let Some(known) = self.realms.iter().find(|realm| realm.is(target_id, &app)) {
            return Rc::clone(known);
        }
        let realm = Rc::new(Realm::new(RealmId(self.realms.len()), target_id, service, app));
        self.realms.push(Rc::clone(&realm));
        realm
    }

    /// The service as the one that is known already, if it is, and its numbers.
    fn shared(&mut self, service: Service) -> (ServiceId, TargetId, Rc<Service>) {
        let place = |known: &[Rc<Service>], same: &dyn Fn(&Service) -> bool| known.iter().position(|other| same(other));
        let index = place(&self.services, &|other| *other == service).unwrap_or_else(|| {
            self.services.push(Rc::new(service.clone()));
            self.services.len().saturating_sub(1)
        });
        let target = place(&self.services, &|other| other.same_target(&service)).unwrap_or(index);
        (ServiceId(index), TargetId(target), self.services.get(index).map_or_else(|| Rc::new(service), Rc::clone))
    }
}

fn bare_texts<T>(texts: Vec<Text<T>>) -> Vec<T> {
    texts.into_iter().map(|text| text.0).collect()
}

/// A rule that is never reached is a mistake, and a dangerous one if it was to forbid something.
fn report_if_hidden(
    earlier: &[(String, Option<String>, Match)],
    rule: &Match,
    case: PathCase,
    at: &Path<'_>,
    name: Option<&str>,
    problems: &Problems,
) {
    let shown = |name: Option<&str>| name.map_or_else(String::new, |name| format!(" ({name:?})"));
    if let Some((other_at, other_name, _)) = earlier.iter().find(|(_, _, other)| other.includes(rule, case)) {
        let (this, other) = (shown(name), shown(other_name.as_deref()));
        problems.note(
            at,
            format!("the rule{this} is hidden: {other_at}{other} matches every request that it matches; put it earlier, or leave it out"),
        );
    }
}

fn managed(rules: &Rules, annotation: &Annotation, removed: Option<Vec<Text<HeaderName>>>) -> Managed {
    let all = rules.iter().map(|rule| &rule.annotation).chain([annotation]);
    let annotated = all.flat_map(|annotation| annotation.headers.iter().map(|(name, _)| &**name));
    let removed: Vec<String> = removed.map_or_else(
        || {
            let methods = METHOD_OVERRIDES.into_iter().filter(|_| rules.name_methods());
            let paths = PATH_OVERRIDES.into_iter().filter(|_| rules.name_paths());
            methods.chain(paths).map(ToOwned::to_owned).collect()
        },
        |names| names.into_iter().map(|name| name.0.0).collect(),
    );
    let fixed = ANNOTATION_NAMES.into_iter().chain(WRITE_BACK_NAMES);
    Managed::new(fixed.chain(annotated).chain(removed.iter().map(String::as_str)))
}
