//! The names of every metric and filter-state key, and the text of every log line.

mod log;

use crate::session::lookup::{BadResponse, Failure, Outage};

pub use log::{Level, LogLine, Throttle};

/// The filter's decision on a request. Each request counts exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Passed with a session.
    Allowed,
    /// Passed an optional route without a session.
    Anonymous,
    /// Passed under a rule with `session: off`.
    Off,
    /// Passed as a CORS preflight, or answered as one of the logout.
    Preflight,
    /// 401: there is no session.
    DeniedNoSession,
    /// 403: a requirement of the rule fails, or a browser prefetches the logout.
    DeniedForbidden,
    /// 403: the origin is not allowed.
    DeniedOrigin,
    /// 400: the path has several readings under different rules.
    DeniedAmbiguousPath,
    /// 400: the authority is malformed.
    DeniedBadHost,
    /// 400: the method is malformed, or the query names another one under another rule.
    DeniedBadMethod,
    /// 421: the host is not served.
    DeniedUnknownHost,
    /// 503: the lookup failed.
    DeniedUnavailable,
    /// 503: too many calls are in flight.
    DeniedBusy,
    /// 302 to the login page.
    Redirected,
    /// Passed during an outage: `failure_mode: allow`.
    FailedOpen,
    /// 500: the annotation exceeds `annotate.max_bytes`.
    SessionTooLarge,
    /// Logged out.
    Logout,
    /// 503: rest-sessions did not confirm that the session has ended.
    LogoutFailure,
    /// Passed under a shadow rule that would have let it pass.
    ShadowAllowed,
    /// Passed under a shadow rule that would have denied it.
    ShadowDenied,
    /// The client disconnected before the decision.
    Abandoned,
}

/// Why a call to rest-sessions failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No response in time.
    Timeout,
    /// The connection was refused or reset.
    Connect,
    /// An unexpected status.
    Status,
    /// A body that is malformed or too large.
    Invalid,
    /// Envoy refused the call.
    Dispatch,
    /// The filter's circuit breaker is open.
    Breaker,
}

impl Cause {
    const COUNT: usize = Self::Breaker as usize + 1;

    /// The cause of a failed lookup. `None` for [`Failure::Busy`], which makes no call.
    #[must_use]
    pub fn of(failure: Failure) -> Option<Self> {
        Some(match failure {
            Failure::Busy => return None,
            Failure::Outage(Outage::Timeout) => Self::Timeout,
            Failure::Outage(Outage::Connect) => Self::Connect,
            Failure::Outage(Outage::Dispatch) => Self::Dispatch,
            Failure::Outage(Outage::Breaker) => Self::Breaker,
            Failure::Outage(Outage::Status(_)) | Failure::Bad(BadResponse::Status(_)) => Self::Status,
            Failure::Bad(BadResponse::TooLarge | BadResponse::Shape(_)) => Self::Invalid,
        })
    }
}

/// A counter metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Requests by decision.
    Outcome(Outcome),
    /// Requests whose first token source with a token had more than one with an active session, or too many.
    Conflicts,
    /// Calls to rest-sessions.
    Calls,
    /// Calls that failed, or were not made because of an open breaker, by cause.
    CallFailures(Cause),
    /// Requests that joined a lookup in flight.
    Coalesced,
    /// Requests resolved from this worker's cache, with a session.
    CacheHits,
    /// Requests resolved from an entry that another worker shared.
    CacheSharedHits,
    /// Requests that made a lookup or joined one in flight.
    CacheMisses,
    /// Requests resolved from the cache: there is no session.
    CacheNegativeHits,
    /// Requests resolved during an outage from a stale entry (`cache.stale_if_error`).
    CacheStale,
    /// Entries evicted before they expired.
    CacheEvictions,
    /// Sessions found to have ended.
    Ends,
    /// Open streams closed because their session had ended.
    RecheckClosed,
    /// Session changes that responses requested and rest-sessions made.
    WriteBacks,
    /// Session changes that rest-sessions did not confirm.
    WriteBackFailures,
    /// Change requests ignored: not permitted, or malformed.
    WriteBacksDropped,
}

/// Gives every counter its index and name, from one list. A counter that is missing from it does not compile.
macro_rules! counters {
    ($($place:ident: $counter:ident $(($of:path))? => $name:literal,)*) => {
        impl Counter {
            /// All counters.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$counter $(($of))?),*];

            /// The index in [`Self::ALL`], without a search, since every request counts something.
            #[must_use]
            pub fn index(self) -> usize {
                enum Place {
                    $($place),*
                }
                match self {
                    $(Self::$counter $(($of))? => Place::$place as usize,)*
                }
            }

            /// The metric's name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$counter $(($of))? => $name,)*
                }
            }
        }
    };
}

counters! {
    Allowed: Outcome(Outcome::Allowed) => "rest_sessions.allowed_total",
    Anonymous: Outcome(Outcome::Anonymous) => "rest_sessions.anonymous_total",
    Off: Outcome(Outcome::Off) => "rest_sessions.off_total",
    Preflight: Outcome(Outcome::Preflight) => "rest_sessions.preflight_total",
    DeniedNoSession: Outcome(Outcome::DeniedNoSession) => "rest_sessions.denied_no_session_total",
    DeniedForbidden: Outcome(Outcome::DeniedForbidden) => "rest_sessions.denied_forbidden_total",
    DeniedOrigin: Outcome(Outcome::DeniedOrigin) => "rest_sessions.denied_origin_total",
    DeniedAmbiguousPath: Outcome(Outcome::DeniedAmbiguousPath) => "rest_sessions.denied_ambiguous_path_total",
    DeniedBadHost: Outcome(Outcome::DeniedBadHost) => "rest_sessions.denied_bad_host_total",
    DeniedBadMethod: Outcome(Outcome::DeniedBadMethod) => "rest_sessions.denied_bad_method_total",
    DeniedUnknownHost: Outcome(Outcome::DeniedUnknownHost) => "rest_sessions.denied_unknown_host_total",
    DeniedUnavailable: Outcome(Outcome::DeniedUnavailable) => "rest_sessions.denied_unavailable_total",
    DeniedBusy: Outcome(Outcome::DeniedBusy) => "rest_sessions.denied_busy_total",
    Redirected: Outcome(Outcome::Redirected) => "rest_sessions.redirected_total",
    FailedOpen: Outcome(Outcome::FailedOpen) => "rest_sessions.failed_open_total",
    SessionTooLarge: Outcome(Outcome::SessionTooLarge) => "rest_sessions.session_too_large_total",
    Logouts: Outcome(Outcome::Logout) => "rest_sessions.logouts_total",
    LogoutFailures: Outcome(Outcome::LogoutFailure) => "rest_sessions.logout_failures_total",
    ShadowAllowed: Outcome(Outcome::ShadowAllowed) => "rest_sessions.shadow_allowed_total",
    ShadowDenied: Outcome(Outcome::ShadowDenied) => "rest_sessions.shadow_denied_total",
    Abandoned: Outcome(Outcome::Abandoned) => "rest_sessions.abandoned_total",
    Conflicts: Conflicts => "rest_sessions.conflicts_total",
    Calls: Calls => "rest_sessions.calls_total",
    CallFailuresTimeout: CallFailures(Cause::Timeout) => "rest_sessions.call_failures_timeout_total",
    CallFailuresConnect: CallFailures(Cause::Connect) => "rest_sessions.call_failures_connect_total",
    CallFailuresStatus: CallFailures(Cause::Status) => "rest_sessions.call_failures_status_total",
    CallFailuresInvalid: CallFailures(Cause::Invalid) => "rest_sessions.call_failures_invalid_total",
    CallFailuresDispatch: CallFailures(Cause::Dispatch) => "rest_sessions.call_failures_dispatch_total",
    CallFailuresBreaker: CallFailures(Cause::Breaker) => "rest_sessions.call_failures_breaker_total",
    Coalesced: Coalesced => "rest_sessions.coalesced_total",
    CacheHits: CacheHits => "rest_sessions.cache_hits_total",
    CacheSharedHits: CacheSharedHits => "rest_sessions.cache_shared_hits_total",
    CacheMisses: CacheMisses => "rest_sessions.cache_misses_total",
    CacheNegativeHits: CacheNegativeHits => "rest_sessions.cache_negative_hits_total",
    CacheStale: CacheStale => "rest_sessions.cache_stale_total",
    CacheEvictions: CacheEvictions => "rest_sessions.cache_evictions_total",
    Ends: Ends => "rest_sessions.ends_total",
    RecheckClosed: RecheckClosed => "rest_sessions.recheck_closed_total",
    WriteBacks: WriteBacks => "rest_sessions.write_backs_total",
    WriteBackFailures: WriteBackFailures => "rest_sessions.write_back_failures_total",
    WriteBacksDropped: WriteBacksDropped => "rest_sessions.write_back_dropped_total",
}

/// A gauge metric, summed over all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
    /// Calls in flight.
    InFlight,
    /// The size of the caches in bytes, keys and bookkeeping included.
    CacheBytes,
    /// The entries of the caches.
    CacheEntries,
    /// What requests that wait, or whose response is to come, hold in memory, in bytes.
    PendingBytes,
}

impl Gauge {
    /// All gauges but the epoch, whose value has no meaning ([`ENDS_EPOCH`]).
    pub const ALL: [Self; 4] = [Self::InFlight, Self::CacheBytes, Self::CacheEntries, Self::PendingBytes];

    /// The metric's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InFlight => "rest_sessions.in_flight",
            Self::CacheBytes => "rest_sessions.cache_bytes",
            Self::CacheEntries => "rest_sessions.cache_entries",
            Self::PendingBytes => "rest_sessions.pending_bytes",
        }
    }
}

/// Gauge: changes with every invalidation. Workers compare it to learn whether one of their entries may be invalid. The
/// value itself has no meaning.
pub const ENDS_EPOCH: &str = "rest_sessions.ends_epoch";

/// Histogram: the duration of calls, in milliseconds.
pub const CALL_DURATION: &str = "rest_sessions.call_duration_ms";

impl Outcome {
    /// The decision's name in filter state and logs.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Allowed => "session",
            Self::Anonymous => "anonymous",
            Self::Off => "off",
            Self::Preflight => "preflight",
            Self::DeniedNoSession => "no_session",
            Self::DeniedForbidden => "forbidden",
            Self::DeniedOrigin => "bad_origin",
            Self::DeniedAmbiguousPath => "ambiguous_path",
            Self::DeniedBadHost => "bad_host",
            Self::DeniedBadMethod => "bad_method",
            Self::DeniedUnknownHost => "unknown_host",
            Self::DeniedUnavailable => "unavailable",
            Self::DeniedBusy => "busy",
            Self::Redirected => "redirected",
            Self::FailedOpen => "failed_open",
            Self::SessionTooLarge => "session_too_large",
            Self::Logout => "logout",
            Self::LogoutFailure => "logout_failed",
            Self::ShadowAllowed => "shadow_allowed",
            Self::ShadowDenied => "shadow_denied",
            Self::Abandoned => "abandoned",
        }
    }
}

/// The filter-state keys for access logs and other filters. Envoy adds the prefix `wasm.` to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterState {
    /// `allow` or `deny`.
    Decision,
    /// [`Outcome::reason`].
    Reason,
    /// The rule's label.
    Rule,
    /// The user's id, percent-encoded.
    User,
    /// The token's source, such as `cookie:session-cookie`.
    Source,
}

impl FilterState {
    /// The key, without `wasm.`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Decision => "rest_sessions.decision",
            Self::Reason => "rest_sessions.reason",
            Self::Rule => "rest_sessions.rule",
            Self::User => "rest_sessions.user",
            Self::Source => "rest_sessions.source",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_follow_one_form() {
        let mut names: Vec<_> = Counter::ALL.into_iter().map(Counter::name).collect();
        assert!(names.iter().all(|name| name.starts_with("rest_sessions.") && name.ends_with("_total")));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Counter::ALL.len());
    }

    #[test]
    fn the_index_of_every_counter_is_its_position_in_all() {
        for (place, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter.index(), place, "{counter:?}");
        }
    }
}
