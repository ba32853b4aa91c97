//! The configuration as it is written, key by key. What the keys mean together is decided in `compile`.

use super::reader::{Field, Node, Read, object, words};
use super::scalars::{Bound, Scalar};
use super::values::{
    App, CallAuthority, Cluster, CookieDomain, CookieName, CookiePath, Entries, ExactPath, HOUR, HeaderName, Integer,
    MINUTE, MONTH, Method, Millis, OrOff, PathPrefix, QueryName, Redirect, RuleName, Text, TokenPrefix, YEAR,
};
use crate::http::authority::HostPattern;
use crate::http::origin::Origin;
use crate::http::set_cookie::SameSite;
use crate::policy::login;
use crate::policy::matching::{PathCase, PathPattern};
use crate::policy::rules::{CorsPreflight, FailureMode, OnForbidden, SessionMode};
use crate::session::annotate;

/// A list whose items are judged one by one.
pub type List<T> = Field<Vec<Field<T>>>;

object! {
    pub struct Plugin {
        app: Field<Text<App>>,
        rest_sessions: Field<RestSessions>,
        hosts: List<Text<HostPattern>>,
        token_from: List<TokenFrom>,
        forward_token: Field<bool>,
        rules: List<Rule>,
        default: Field<Fallback>,
        path_case: Field<PathCase>,
        annotate: Field<Annotate>,
        failure_mode: Field<FailureMode>,
        cors_preflight: Field<CorsPreflight>,
        remove_headers: List<Text<HeaderName>>,
        filter_state: Field<bool>,
        cache: Field<Cache>,
        limits: Field<Limits>,
        login: Field<Login>,
        logout: Field<Logout>,
        shadow: Field<bool>,
    }
}

object! {
    pub struct RestSessions {
        cluster: Field<Text<Cluster>>,
        authority: Field<Text<CallAuthority>>,
        path_prefix: Field<Text<PathPrefix>>,
        timeout: Field<Millis<1, MINUTE>>,
        retries: Field<Integer<0, 3>>,
        max_in_flight: Field<Integer<1, 100_000>>,
        breaker: Field<OrOff<Breaker>>,
    }
}

object! {
    pub struct Breaker {
        failures: Field<Integer<1, 1_000>>,
        open_for: Field<Millis<100, MINUTE>>,
    }
}

object! {
    pub struct Cache {
        ttl: Field<Millis<100, HOUR>>,
        negative_ttl: Field<Millis<0, HOUR>>,
        stale_if_error: Field<Millis<0, MONTH>>,
        max_bytes: Field<Integer<65_536, 536_870_912>>,
        shared: Field<bool>,
    }
}

object! {
    pub struct Limits {
        idle: Field<Millis<1_000, YEAR>>,
        age: Field<Millis<1_000, YEAR>>,
    }
}

object! {
    pub struct Login {
        url: Field<Text<login::Login>>,
    }
}

object! {
    pub struct Logout {
        path: Field<Text<ExactPath>>,
        methods: List<Text<Method>>,
        redirect: Field<Text<Redirect>>,
        cookie: Field<CookieAttributes>,
    }
}

object! {
    pub struct CookieAttributes {
        path: Field<Text<CookiePath>>,
        secure: Field<bool>,
        same_site: Field<SameSite>,
        domain: Field<Text<CookieDomain>>,
    }
}

object! {
    #[expected("an object with field and one condition")]
    pub struct Requirement {
        field: Field<Text<annotate::Field>>,
        one_of: List<Scalar>,
        equals: Field<Scalar>,
        present: Field<bool>,
        at_most: Field<Bound>,
        at_least: Field<Bound>,
        within: Field<Millis<1_000, YEAR>>,
        is_client: Field<bool>,
    }
}

object! {
    #[expected("an object with one of cookie, header, query")]
    pub struct TokenFrom {
        cookie: Field<Text<CookieName>>,
        header: Field<Text<HeaderName>>,
        prefix: Field<Text<TokenPrefix>>,
        query: Field<Text<QueryName>>,
        any: Field<bool>,
    }
}

object! {
    pub struct Annotate {
        headers: Field<Entries<Text<annotate::Field>>>,
        max_bytes: Field<Integer<1, 1_048_576>>,
    }
}

object! {
    pub struct Rule {
        name: Field<Text<RuleName>>,
        matches as "match": Field<Match>,
        session: Field<SessionMode>,
        app: Field<Text<App>>,
        rest_sessions: Field<RestSessions>,
        token_from: List<TokenFrom>,
        annotate: Field<Annotate>,
        failure_mode: Field<FailureMode>,
        origins: List<Text<Origin>>,
        max_staleness: Field<Millis<0, MONTH>>,
        require: List<Requirement>,
        on_forbidden: Field<OnForbidden>,
        login: Field<OrOff<Login>>,
        recheck: Field<Millis<1_000, MONTH>>,
        shadow: Field<bool>,
    }
}

/// The rule where none of the list matches: it has no name and matches everything.
#[derive(Debug, Default)]
pub struct Fallback(pub Rule);

impl Read for Fallback {
    fn read(node: Node<'_>) -> Option<Self> {
        Rule::read_with(node, Rule::KEYS.get(2..).unwrap_or_default()).map(Self)
    }
}

object! {
    pub struct Match {
        hosts: List<Text<HostPattern>>,
        methods: List<Text<Method>>,
        paths: List<Text<PathPattern>>,
    }
}

words!(SessionMode: "required" => Required, "optional" => Optional, "off" => Off);
words!(FailureMode: "deny" => Deny, "allow" => Allow);
words!(OnForbidden: "deny" => Deny, "login" => Login);
words!(CorsPreflight: "listed" => Listed, "pass" => Pass);
words!(PathCase: "ignore" => Ignore, "exact" => Exact);
words!(SameSite: "Strict" => Strict, "Lax" => Lax, "None" => None);
