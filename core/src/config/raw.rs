//! The raw configuration: every key with its type, range, default and description, from which the JSON Schema is made
//! too. How keys depend on each other is checked in `compile`.

use super::declare::{object, words};
use super::duration::{HOUR, MINUTE, MONTH, Millis, YEAR};
use super::reader::{Field, Node, Read};
use super::scalars::{Bound, Scalar};
use super::values::{
    App, CallAuthority, Cluster, CookieDomain, CookieName, CookiePath, DataKey, Entries, ExactPath, HeaderName,
    Integer, Method, OrOff, PathPrefix, QueryName, Redirect, RuleName, Text, TokenPrefix,
};
use crate::http::authority::HostPattern;
use crate::http::origin::Origin;
use crate::http::path::PathCase;
use crate::http::set_cookie::SameSite;
use crate::policy::annotation;
use crate::policy::login;
use crate::policy::matching::PathPattern;
use crate::policy::rules::{CorsPreflight, FailureMode, OnForbidden, SessionMode};
use crate::policy::write_back::OnFailure;

/// A list whose items are read one by one.
pub type List<T> = Vec<Field<T>>;

object! {
    /// The configuration of the session filter.
    pub struct Plugin {
        /// The rest-sessions app whose sessions count.
        app: Text<App> [Required],
        /// The rest-sessions service, and how it is called.
        rest_sessions: RestSessions [Required],
        /// What requests may hold in a worker's memory while they wait for their session or their response, in bytes;
        /// beyond it 503.
        max_pending_bytes: Integer<1_048_576, 536_870_912> = 134217728,
        /// The hosts that are served; a request for another host gets 421. Absent: all.
        hosts: List<Text<HostPattern>> [Filled],
        /// Token sources in order of precedence: the first one with a token decides.
        token_from: List<TokenFrom> [Filled] = [{"cookie": "session-cookie"}],
        /// Whether upstreams see the token. `false` removes the token sources from the request, and nothing else.
        forward_token: bool = true,
        /// The first rule that matches applies.
        rules: List<Rule> = [],
        /// The rule that applies if no other rule matches.
        default: Fallback = {"session": "required"},
        /// Whether `/ADMIN` matches `/admin`, as it does on many servers.
        path_case: PathCase = "ignore",
        /// The request headers that pass the session to the upstream.
        annotate: Annotate [Nested] = {},
        /// During an outage of rest-sessions, `allow` passes any well-formed token under `required` rules.
        failure_mode: FailureMode = "deny",
        /// Which CORS preflights pass without a session: those from the rule's `origins`, or all.
        cors_preflight: CorsPreflight = "listed",
        /// Headers that are removed from every request, since they could override what a rule matched. Absent: those
        /// from which servers are known to read a method, path or host, where rules (or `hosts`) match on it.
        remove_headers: List<Text<HeaderName>>,
        /// Publish the decision as filter state, for access logs and other filters.
        filter_state: bool = false,
        /// Cache the results of lookups. Absent: no cache.
        cache: Cache,
        /// Limits of sessions; a session that exceeds one is ended.
        limits: Limits,
        /// The login page: navigations without a session are redirected there instead of denied.
        login: Login,
        /// The attributes with which the session's cookie is set and deleted.
        cookie: Cookie [Nested] = {},
        /// A route that ends the session, with a local reply. Absent: no such route.
        logout: Logout,
        /// Response headers by which upstreams change and end sessions. Absent: upstreams cannot.
        write_back: WriteBack,
        /// Shadow mode for all rules: requests pass unchanged, and decisions are only counted.
        shadow: bool = false,
    }
}

object! {
    /// The rest-sessions service, and how it is called.
    pub struct RestSessions {
        /// The name of Envoy's cluster; in Istio `outbound|3000||rest-sessions.default.svc.cluster.local`.
        cluster: Text<Cluster> [Required],
        /// The authority of calls. Absent: the part of `cluster` after the last `|`.
        authority: Text<CallAuthority>,
        /// The path before `/{app}/get/…`.
        path_prefix: Text<PathPrefix> = "",
        /// The timeout of a call, a lookup's retries included.
        timeout: Millis<1, MINUTE> = "500ms",
        /// Retries of a lookup after a refused or reset connection; a response is never retried.
        retries: Integer<0, 3> = 1,
        /// The maximum number of lookups and changes in flight, for each of Envoy's workers. Ends have a quarter as many
        /// beside them, and at least 8.
        max_in_flight: Integer<1, 100_000> = 256,
        /// The circuit breakers of each worker, three for each cluster, authority and path prefix: for lookups, changes
        /// and ends. After `failures` outages in a row, one makes no calls for `open_for`; then one call tries.
        breaker: OrOff<Breaker> = {},
    }
}

object! {
    /// A circuit breaker for calls to rest-sessions.
    pub struct Breaker {
        /// The number of outages in a row that opens it.
        failures: Integer<1, 1_000> = 5,
        /// How long it stays open before one call tries.
        open_for: Millis<100, MINUTE> = "1s",
    }
}

object! {
    /// A cache for the results of lookups.
    pub struct Cache {
        /// The maximum age of an entry with a session.
        ttl: Millis<100, HOUR> [Required],
        /// The maximum age of an entry without a session.
        negative_ttl: Millis<0, HOUR> = "1s",
        /// How long an expired entry is still used during an outage of rest-sessions.
        stale_if_error: Millis<0, MONTH> = "0s",
        /// The maximum size in bytes, for each of Envoy's workers.
        max_bytes: Integer<65_536, 536_870_912> = 8388608,
        /// Whether the workers of an Envoy share entries and invalidations. `false`: after the end of a session,
        /// another worker may use it until `ttl` is over.
        shared: bool = true,
    }
}

object! {
    /// Limits of sessions. A session that exceeds one is ended, and treated as absent.
    pub struct Limits {
        /// The maximum time since the last use; longer than `cache.ttl`.
        idle: Millis<1_000, YEAR>,
        /// The maximum time since the session was created.
        age: Millis<1_000, YEAR>,
    }
}

object! {
    /// The login page.
    pub struct Login {
        /// Its URL. `{url}`, allowed once in the path, query or fragment, is replaced by the percent-encoded URL of the
        /// request; this needs `hosts`, or rules that match hosts.
        url: Text<login::Login> [Required],
    }
}

object! {
    /// A route that ends the session.
    pub struct Logout {
        /// The path of the route.
        path: Text<ExactPath> [Required],
        /// The methods of the route.
        methods: List<Text<Method>> [Filled] = ["POST"],
        /// The target of the redirect (303) after logout. Absent: the reply is 204.
        redirect: Text<Redirect>,
    }
}

object! {
    /// Response headers by which upstreams change and end the session of a request.
    pub struct WriteBack {
        /// The header whose value is a JSON object of keys and new values; `null` removes a key. It is removed from the
        /// response.
        set_header: Text<HeaderName> = "x-session-set",
        /// The header that ends the session with the value `1`. It is removed from the response.
        kill_header: Text<HeaderName> = "x-session-kill",
        /// The keys that upstreams may set. Absent: all except those that any `require` reads.
        keys: List<Text<DataKey>>,
        /// What happens to a response whose change fails: it passes, or is replaced by 503.
        on_failure: OnFailure = "pass",
    }
}

object! {
    /// The attributes with which the session's cookie is set and deleted: a browser deletes a cookie only if name, path
    /// and domain are the same.
    pub struct Cookie {
        /// `Path` of the cookie.
        path: Text<CookiePath> = "/",
        /// Whether the cookie is `Secure`.
        secure: bool = true,
        /// Whether the cookie is `HttpOnly`: hidden from the scripts of pages.
        http_only: bool = true,
        /// `SameSite` of the cookie.
        same_site: SameSite = "Lax",
        /// Whether the cookie is `Partitioned`: set by a page that other sites embed. It needs `secure`.
        partitioned: bool = false,
        /// `Domain` of the cookie. Absent: the host alone.
        domain: Text<CookieDomain>,
    }
}

object! {
    /// A condition on a field of the session. An absent field fails every condition except `present: false`.
    #[expected("an object with field and one condition")]
    #[refined(super::object_schema::one_condition)]
    pub struct Requirement {
        /// A field of the session, except those that every lookup resets (`idle`, `r`, `w`).
        field: Text<annotation::Field> [Required],
        /// The field equals one of these; equality includes the JSON type, and numbers are compared by value.
        one_of: List<Scalar> [Filled],
        /// The field equals this.
        equals: Scalar,
        /// Whether the session has the field.
        present: bool,
        /// The field is a number of at most this.
        at_most: Bound,
        /// The field is a number of at least this.
        at_least: Bound,
        /// The field is a time, in seconds since 1970, at most this long ago.
        within: Millis<1_000, YEAR>,
        /// The field is the client's address (`field` is `ip`).
        is_client: bool,
    }
}

object! {
    /// A token source: one of `cookie`, `header`, `query`.
    #[expected("an object with one of cookie, header, query")]
    #[refined(super::object_schema::one_source)]
    pub struct TokenFrom {
        /// The cookie of this name (case-sensitive).
        cookie: Text<CookieName>,
        /// The header of this name.
        header: Text<HeaderName>,
        /// With `header`: the prefix of the token, such as `Bearer `; its case is ignored.
        prefix: Text<TokenPrefix>,
        /// The query parameter of this name, of WebSocket handshakes only, unless `any` is `true`.
        query: Text<QueryName>,
        /// With `query`: `true` reads it on all requests. Queries end up in logs and histories.
        any: bool = false,
    }
}

object! {
    /// The request headers that pass the session to the upstream.
    pub struct Annotate {
        /// Header names, each with the field of the session that is its value.
        headers: Entries<Text<annotation::Field>> = {"x-session-user": "id", "x-session-data": "d"},
        /// The maximum size of all values together, in bytes. A request with more gets 500; values are never cut.
        max_bytes: Integer<1, 1_048_576> = 6144,
    }
}

object! {
    /// A rule. Omitted keys are inherited from the top level, if it has them.
    #[refined(super::object_schema::require_is_for_required)]
    pub struct Rule {
        /// The rule's name in logs and filter state. Absent: `rules[N]`.
        name: Text<RuleName>,
        /// The requests that the rule applies to: each list that is given must match.
        matches as "match": Match = {},
        /// Whether a request needs a session, may have one, or is passed without a lookup.
        session: SessionMode [Required],
        /// The rest-sessions app, in place of the one at the top level.
        app: Text<App>,
        /// The rest-sessions service, in place of the whole object at the top level.
        rest_sessions: RestSessions,
        /// The token sources, in place of the list at the top level.
        token_from: List<TokenFrom> [Filled],
        /// The request headers for the upstream, in place of the whole object at the top level.
        annotate: Annotate,
        /// As at the top level.
        failure_mode: FailureMode,
        /// The origins that may send unsafe methods and open WebSockets, beside the request's own. Absent: not checked.
        origins: List<Text<Origin>>,
        /// The maximum age of a cache entry; `0s` makes a lookup for every request.
        max_staleness: Millis<0, MONTH>,
        /// Requirements on the session, combined with AND; if one fails, 403. Only with `session: required`.
        require: List<Requirement> [Filled],
        /// Whether a navigation whose session fails `require` gets 403, or a redirect to the login page.
        on_forbidden: OnForbidden = "deny",
        /// As at the top level, or `off`.
        login: OrOff<Login>,
        /// The attributes of the session's cookie, in place of the whole object at the top level.
        cookie: Cookie,
        /// The interval at which open streams, such as WebSockets, are rechecked; they are closed if they would no
        /// longer be allowed.
        recheck: Millis<1_000, MONTH>,
        /// Whether lookups count as a use of the session. `false` is for polling; the service has to know it.
        touch: bool = true,
        /// Whether responses may change the session, if `write_back` is given at the top level.
        write_back: bool = true,
        /// Shadow mode: requests pass unchanged, and decisions are only counted.
        shadow: bool = false,
    }
}

/// The rule that applies if no other rule matches: a [`Rule`] without `name` and `match`.
#[derive(Debug)]
pub struct Fallback(pub Rule);

impl Read for Fallback {
    fn read(node: Node<'_>) -> Option<Self> {
        Rule::read_with(node, Rule::KEYS.get(2..).unwrap_or_default()).map(Self)
    }
}

object! {
    /// The requests that a rule applies to: each list that is given must match.
    pub struct Match {
        /// Hosts: exact, or `*.example.com` for one or more labels; case, port and one trailing dot are ignored.
        hosts: List<Text<HostPattern>> [Filled],
        /// Methods in capitals; `GET` includes HEAD.
        methods: List<Text<Method>> [Filled],
        /// Paths: `/exact`, with or without one trailing slash, or `/prefix/*`, which includes `/prefix`.
        paths: List<Text<PathPattern>> [Filled],
    }
}

words!(SessionMode: "required" => Required, "optional" => Optional, "off" => Off);
words!(FailureMode: "deny" => Deny, "allow" => Allow);
words!(OnFailure: "pass" => Pass, "deny" => Deny);
words!(OnForbidden: "deny" => Deny, "login" => Login);
words!(CorsPreflight: "listed" => Listed, "pass" => Pass);
words!(PathCase: "ignore" => Ignore, "exact" => Exact);
words!(SameSite: "Strict" => Strict, "Lax" => Lax, "None" => None);
