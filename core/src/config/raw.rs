//! The configuration as it is written, key by key. What the keys mean together is decided in `compile`.

use super::reader::{Field, Node, Read, object, words};
use super::scalars::{Bound, Scalar};
use super::values::{
    App, CallAuthority, Cluster, CookieDomain, CookieName, CookiePath, DataKey, Entries, ExactPath, HOUR, HeaderName,
    Integer, MINUTE, MONTH, Method, Millis, OrOff, PathPrefix, QueryName, Redirect, RuleName, Text, TokenPrefix, YEAR,
};
use crate::http::authority::HostPattern;
use crate::http::origin::Origin;
use crate::http::set_cookie::SameSite;
use crate::policy::annotation;
use crate::policy::login;
use crate::policy::matching::{PathCase, PathPattern};
use crate::policy::rules::{CorsPreflight, FailureMode, OnForbidden, SessionMode};
use crate::policy::write_back::OnFailure;

/// A list whose items are judged one by one.
pub type List<T> = Vec<Field<T>>;

object! {
    /// The configuration of the session filter.
    pub struct Plugin {
        /// The app whose sessions count.
        app: Text<App> [Required],
        /// Where rest-sessions is, and how it is asked.
        rest_sessions: RestSessions [Required],
        /// The hosts that are served; others are answered 421. Absent: all.
        hosts: List<Text<HostPattern>> [Filled],
        /// Where tokens are: the first place that holds one decides.
        token_from: List<TokenFrom> [Filled] = [{"cookie": "session-cookie"}],
        /// `false` takes the token's sources out of the request, and nothing else.
        forward_token: bool = true,
        /// The first rule that matches decides.
        rules: List<Rule> = [],
        /// What holds where no rule matches.
        default: Fallback = {"session": "required"},
        /// Whether `/ADMIN` is `/admin`, as it is for many servers.
        path_case: PathCase = "ignore",
        /// What the upstream is told of the session.
        annotate: Annotate [Nested] = {},
        /// While rest-sessions is away, `allow` lets any well-formed token through to `required` routes.
        failure_mode: FailureMode = "deny",
        /// Which CORS preflights need no session: those of the rule's `origins`, or all.
        cors_preflight: CorsPreflight = "listed",
        /// Headers that are taken out of every request, since they would change what a rule decided. Absent:
        /// `x-http-method-override`, `x-http-method`, `x-method-override` where rules name methods, `x-original-url`,
        /// `x-rewrite-url` where rules name paths.
        remove_headers: List<Text<HeaderName>>,
        /// Publish the decision for access logs and other filters.
        filter_state: bool = false,
        /// Keep answers of rest-sessions. Absent: none is kept.
        cache: Cache,
        /// Sessions beyond a limit are ended.
        limits: Limits,
        /// A person's way to a page is sent there to log in, instead of a refusal.
        login: Login,
        /// A route that ends the session, answered by the filter. Absent: there is none.
        logout: Logout,
        /// Headers of responses by which upstreams change and end sessions. Absent: none does.
        write_back: WriteBack,
        /// For all rules: nothing happens to a request, and what would have been is counted.
        shadow: bool = false,
    }
}

object! {
    /// Where rest-sessions is, and how it is asked.
    pub struct RestSessions {
        /// Envoy's name of the cluster; in Istio `outbound|3000||rest-sessions.default.svc.cluster.local`.
        cluster: Text<Cluster> [Required],
        /// The host header of the lookup. Absent: what follows the last `|` of `cluster`.
        authority: Text<CallAuthority>,
        /// What stands before `/{app}/get/…`.
        path_prefix: Text<PathPrefix> = "",
        /// For one lookup, retries included.
        timeout: Millis<1, MINUTE> = "500ms",
        /// After a refused or reset connection, not after an answer.
        retries: Integer<0, 3> = 1,
        /// Lookups at once, for each of Envoy's workers.
        max_in_flight: Integer<1, 100_000> = 256,
        /// After so many lookups in a row that found rest-sessions away, a worker makes none for so long; then one tries.
        breaker: OrOff<Breaker> = {},
    }
}

object! {
    /// When rest-sessions is left alone for a while.
    pub struct Breaker {
        /// How many outages in a row.
        failures: Integer<1, 1_000> = 5,
        /// For how long nobody asks.
        open_for: Millis<100, MINUTE> = "1s",
    }
}

object! {
    /// What is kept of the answers of rest-sessions.
    pub struct Cache {
        /// How long a session's answer is kept at most.
        ttl: Millis<100, HOUR> [Required],
        /// How long it is kept that there is no session.
        negative_ttl: Millis<0, HOUR> = "1s",
        /// How long past its time an answer may serve while rest-sessions is away.
        stale_if_error: Millis<0, MONTH> = "0s",
        /// Room for answers, for each of Envoy's workers.
        max_bytes: Integer<65_536, 536_870_912> = 8388608,
        /// Whether the workers of one Envoy share answers, and learn of each other's ends of sessions.
        shared: bool = true,
    }
}

object! {
    /// A session beyond any of these is ended, and counts as none.
    pub struct Limits {
        /// For how long a session may lie unused; longer than `cache.ttl`.
        idle: Millis<1_000, YEAR>,
        /// How long ago a session may have been made.
        age: Millis<1_000, YEAR>,
    }
}

object! {
    /// Where people log in.
    pub struct Login {
        /// `{url}` stands for the URL that was asked for, percent-encoded; it needs hosts, in `hosts` or named by rules.
        url: Text<login::Login> [Required],
    }
}

object! {
    /// A route that ends the session.
    pub struct Logout {
        /// The path that logs out.
        path: Text<ExactPath> [Required],
        /// The methods that log out.
        methods: List<Text<Method>> [Filled] = ["POST"],
        /// Where a person goes then, by 303. Absent: the answer is 204.
        redirect: Text<Redirect>,
        /// What the session's cookies were set with.
        cookie: CookieAttributes [Nested] = {},
    }
}

object! {
    /// How upstreams change and end the sessions of the requests that they answer.
    pub struct WriteBack {
        /// The header whose value is a JSON object of keys and new values, `null` for none; no client sees it.
        set_header: Text<HeaderName> = "x-session-set",
        /// The header that ends the session with the value `1`; no client sees it.
        kill_header: Text<HeaderName> = "x-session-kill",
        /// The keys that may be set. Absent: all but those that any `require` reads.
        keys: List<Text<DataKey>>,
        /// What becomes of a response whose change rest-sessions does not make: it goes on, or is replaced by 503.
        on_failure: OnFailure = "pass",
    }
}

object! {
    /// What the session's cookies were set with: a browser deletes a cookie only if these are the same.
    pub struct CookieAttributes {
        /// `Path` of the cookie.
        path: Text<CookiePath> = "/",
        /// Whether the cookie is `Secure`.
        secure: bool = true,
        /// `SameSite` of the cookie.
        same_site: SameSite = "Lax",
        /// `Domain` of the cookie. Absent: the host alone.
        domain: Text<CookieDomain>,
    }
}

object! {
    /// A condition on a field of the session. A field that the session lacks fails it, but for `present: false`.
    #[expected("an object with field and one condition")]
    #[refined(super::object_schema::one_condition)]
    pub struct Requirement {
        /// A field of the session, but none that every lookup resets (`idle`, `r`, `w`).
        field: Text<annotation::Field> [Required],
        /// It is one of these; equality is by JSON type, numbers by value.
        one_of: List<Scalar> [Filled],
        /// It is this.
        equals: Scalar,
        /// Whether the session has it.
        present: bool,
        /// It is a number of no more than this.
        at_most: Bound,
        /// It is a number of no less than this.
        at_least: Bound,
        /// It is a time, in seconds since 1970, that is at most so long ago.
        within: Millis<1_000, YEAR>,
        /// It is the address of whoever sends the request (`field` is `ip`).
        is_client: bool,
    }
}

object! {
    /// A place in a request that may hold a token: one of `cookie`, `header`, `query`.
    #[expected("an object with one of cookie, header, query")]
    #[refined(super::object_schema::one_source)]
    pub struct TokenFrom {
        /// A cookie of this name; case matters.
        cookie: Text<CookieName>,
        /// A header of this name.
        header: Text<HeaderName>,
        /// With `header`: what stands before the token, such as `Bearer `; its case is ignored.
        prefix: Text<TokenPrefix>,
        /// A query parameter of this name, of WebSocket upgrades only.
        query: Text<QueryName>,
        /// With `query`: `true` reads it on every request. Queries end up in logs and histories.
        any: bool = false,
    }
}

object! {
    /// What the upstream is told of the session.
    pub struct Annotate {
        /// The field of the session that each header holds.
        headers: Entries<Text<annotation::Field>> = {"x-session-user": "id", "x-session-data": "d"},
        /// Bytes of all values together; a session with more is refused, never cut.
        max_bytes: Integer<1, 1_048_576> = 6144,
    }
}

object! {
    /// What holds for the requests that it matches.
    #[refined(super::object_schema::require_is_for_required)]
    pub struct Rule {
        /// For logs and filter state. Absent: `rules[N]`.
        name: Text<RuleName>,
        /// Which requests it is for: each list that is given must match.
        matches as "match": Match = {},
        /// Whether a request needs a session, may have one, or is not asked.
        session: SessionMode [Required],
        /// The app whose sessions count here.
        app: Text<App>,
        /// Where rest-sessions is for these requests, in place of the one at the top as a whole.
        rest_sessions: RestSessions,
        /// Where tokens are in these requests, in place of the list at the top.
        token_from: List<TokenFrom> [Filled],
        /// What the upstream is told, in place of what stands at the top as a whole.
        annotate: Annotate,
        /// As at the top.
        failure_mode: FailureMode,
        /// The origins whose pages may write and open WebSockets, beside the request's own. Absent: not checked.
        origins: List<Text<Origin>>,
        /// No answer from the cache that is older; `0s` asks every time.
        max_staleness: Millis<0, MONTH>,
        /// What must hold for a session, all of it, else 403. Only with `session: required`.
        require: List<Requirement> [Filled],
        /// Whether a person whose session does not meet `require` is refused, or sent to log in again.
        on_forbidden: OnForbidden = "deny",
        /// As at the top, or `off`.
        login: OrOff<Login>,
        /// Requests that stay open for longer, such as WebSockets, are closed once their session is gone.
        recheck: Millis<1_000, MONTH>,
        /// Whether these upstreams may change sessions.
        write_back: bool = true,
        /// Nothing happens to a request, and what would have been is counted.
        shadow: bool = false,
    }
}

/// The rule where none of the list matches: it has no name and matches everything.
#[derive(Debug)]
pub struct Fallback(pub Rule);

impl Read for Fallback {
    fn read(node: Node<'_>) -> Option<Self> {
        Rule::read_with(node, Rule::KEYS.get(2..).unwrap_or_default()).map(Self)
    }
}

object! {
    /// Which requests a rule is for: each list that is given must match.
    pub struct Match {
        /// Exact, or `*.example.com` for one or more labels; case, port and one trailing dot are ignored.
        hosts: List<Text<HostPattern>> [Filled],
        /// In capitals; `GET` includes HEAD.
        methods: List<Text<Method>> [Filled],
        /// `/exact`, with or without one trailing slash, or `/prefix/*`, which includes `/prefix`.
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
