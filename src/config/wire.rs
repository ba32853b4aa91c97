//! The configuration as it is written, key by key. What the keys mean together is decided in `compile`.

use serde::Deserialize;

use super::reader::Field;
use super::values::{
    App, CallAuthority, Cluster, CookieName, Entries, HOUR, HeaderName, Integer, MINUTE, MONTH, Method, Millis, OrOff,
    PathPrefix, QueryName, RuleName, Text, TokenPrefix,
};
use crate::http::authority::HostPattern;
use crate::http::origin::Origin;
use crate::policy::matching::{PathCase, PathPattern};
use crate::policy::rules::{CorsPreflight, FailureMode, SessionMode};
use crate::session::annotate;

/// A list whose items are judged one by one.
pub type List<T> = Field<Vec<Field<T>>>;

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object")]
pub struct Plugin {
    pub app: Field<Text<App>>,
    pub rest_sessions: Field<RestSessions>,
    pub hosts: List<Text<HostPattern>>,
    pub token_from: List<TokenFrom>,
    pub forward_token: Field<bool>,
    pub rules: List<Rule>,
    pub default: Field<Fallback>,
    pub path_case: Field<PathCase>,
    pub annotate: Field<Annotate>,
    pub failure_mode: Field<FailureMode>,
    pub cors_preflight: Field<CorsPreflight>,
    pub remove_headers: List<Text<HeaderName>>,
    pub filter_state: Field<bool>,
    pub cache: Field<Cache>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object")]
pub struct RestSessions {
    pub cluster: Field<Text<Cluster>>,
    pub authority: Field<Text<CallAuthority>>,
    pub path_prefix: Field<Text<PathPrefix>>,
    pub timeout: Field<Millis<1, MINUTE>>,
    pub retries: Field<Integer<0, 3>>,
    pub max_in_flight: Field<Integer<1, 100_000>>,
    pub breaker: Field<OrOff<Breaker>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object")]
pub struct Breaker {
    pub failures: Field<Integer<1, 1_000>>,
    pub open_for: Field<Millis<100, MINUTE>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object")]
pub struct Cache {
    pub ttl: Field<Millis<100, HOUR>>,
    pub negative_ttl: Field<Millis<0, HOUR>>,
    pub stale_if_error: Field<Millis<0, MONTH>>,
    pub max_bytes: Field<Integer<65_536, 536_870_912>>,
    pub shared: Field<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object with one of cookie, header, query")]
pub struct TokenFrom {
    pub cookie: Field<Text<CookieName>>,
    pub header: Field<Text<HeaderName>>,
    pub prefix: Field<Text<TokenPrefix>>,
    pub query: Field<Text<QueryName>>,
    pub any: Field<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object")]
pub struct Annotate {
    pub headers: Field<Entries<Text<annotate::Field>>>,
    pub max_bytes: Field<Integer<1, 1_048_576>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object")]
pub struct Rule {
    pub name: Field<Text<RuleName>>,
    #[serde(rename = "match")]
    pub matches: Field<Match>,
    pub session: Field<SessionMode>,
    pub app: Field<Text<App>>,
    pub rest_sessions: Field<RestSessions>,
    pub token_from: List<TokenFrom>,
    pub annotate: Field<Annotate>,
    pub failure_mode: Field<FailureMode>,
    pub origins: List<Text<Origin>>,
    pub max_staleness: Field<Millis<0, MONTH>>,
}

/// The rule where none of the list matches: it has no name and matches everything.
#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object")]
pub struct Fallback {
    pub session: Field<SessionMode>,
    pub app: Field<Text<App>>,
    pub rest_sessions: Field<RestSessions>,
    pub token_from: List<TokenFrom>,
    pub annotate: Field<Annotate>,
    pub failure_mode: Field<FailureMode>,
    pub origins: List<Text<Origin>>,
    pub max_staleness: Field<Millis<0, MONTH>>,
}

impl From<Fallback> for Rule {
    fn from(rule: Fallback) -> Self {
        Self {
            name: Field::Absent,
            matches: Field::Absent,
            session: rule.session,
            app: rule.app,
            rest_sessions: rule.rest_sessions,
            token_from: rule.token_from,
            annotate: rule.annotate,
            failure_mode: rule.failure_mode,
            origins: rule.origins,
            max_staleness: rule.max_staleness,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object")]
pub struct Match {
    pub hosts: List<Text<HostPattern>>,
    pub methods: List<Text<Method>>,
    pub paths: List<Text<PathPattern>>,
}
