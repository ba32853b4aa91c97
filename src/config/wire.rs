//! The configuration as it is written, key by key. What the keys mean together is decided in `compile`.

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

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
#[derive(Debug, Default)]
pub struct Fallback(pub Rule);

impl<'de> Deserialize<'de> for Fallback {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Rule::deserialize(OfFallback(deserializer)).map(Self)
    }
}

/// Knows the keys of [`Rule`] but the first two, `name` and `match`. A struct of its own would take up as much of the
/// module as `Rule` does.
struct OfFallback<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for OfFallback<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields.get(2..).unwrap_or_default(), visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object")]
pub struct Match {
    pub hosts: List<Text<HostPattern>>,
    pub methods: List<Text<Method>>,
    pub paths: List<Text<PathPattern>>,
}
