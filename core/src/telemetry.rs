//! The names of every metric and filter-state key, and the text of every log line.

use std::fmt;
use std::rc::Rc;

use crate::session::lookup::{BadResponse, Failure, Outage};
use crate::session::token::Digest;

/// The filter's decision on a request. Each request counts exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Passed with a session.
    Allowed,
    /// Passed an optional route without a session.
    Anonymous,
    /// Passed under a rule with `session: off`.
    Off,
    /// Passed as a CORS preflight.
    Preflight,
    /// 401: there is no session.
    DeniedNoSession,
    /// 403: a requirement of the rule fails.
    DeniedForbidden,
    /// 403: the origin is not allowed.
    DeniedOrigin,
    /// 400: the path has several readings under different rules.
    DeniedAmbiguousPath,
    /// 400: the authority is malformed.
    DeniedBadHost,
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
    /// Requests whose first token source with a token had two different ones.
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
}

impl Gauge {
    /// All gauges but the epoch, whose value has no meaning ([`ENDS_EPOCH`]).
    pub const ALL: [Self; 3] = [Self::InFlight, Self::CacheBytes, Self::CacheEntries];

    /// The metric's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InFlight => "rest_sessions.in_flight",
            Self::CacheBytes => "rest_sessions.cache_bytes",
            Self::CacheEntries => "rest_sessions.cache_entries",
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

/// How important a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A client can cause the line at will.
    Debug,
    /// Trouble with rest-sessions.
    Warn,
    /// The host has refused what it takes to judge a request.
    Error,
}

/// A log line: `key=value` pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogLine {
    /// The filter sent a local reply; under a shadow rule, it would have.
    LocalReply { outcome: Outcome, rule: Option<Rc<str>>, token: Option<Digest> },
    /// The filter closed an open stream, because its session had ended.
    StreamClosed { rule: Rc<str>, token: Digest },
    /// The filter ignored a response's request to change its session. See [`Counter::WriteBacksDropped`].
    ChangeIgnored { why: &'static str },
    /// A response came for a call that is not in flight.
    UnknownCall { call: u32 },
    /// A call could not be made, or its response is of no use.
    CallFailed {
        failure: Failure,
        cluster: Rc<str>,
        /// The number of suppressed lines of this cause since the last one.
        held_back: u64,
    },
    /// `status`: of the host call (proxy-wasm ABI 0.2.1, `proxy_result_t`).
    HostCallRefused { status: u32 },
}

impl LogLine {
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::LocalReply { .. }
            | Self::StreamClosed { .. }
            | Self::ChangeIgnored { .. }
            | Self::UnknownCall { .. } => Level::Debug,
            Self::CallFailed { .. } => Level::Warn,
            Self::HostCallRefused { .. } => Level::Error,
        }
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalReply { outcome, rule, token } => {
                write!(f, "event=answered reason={}", outcome.reason())?;
                rule.iter().try_for_each(|rule| write!(f, " rule={rule:?}"))?;
                token.iter().try_for_each(|token| write!(f, " token={token}"))
            }
            Self::StreamClosed { rule, token } => write!(f, "event=closed rule={rule:?} token={token}"),
            Self::ChangeIgnored { why } => write!(f, "event=write_back_dropped reason={why}"),
            Self::UnknownCall { call } => write!(f, "event=unknown_call call={call}"),
            Self::CallFailed { failure, cluster, held_back } => {
                write!(f, "event=call_failed cluster={cluster:?}")?;
                match failure {
                    Failure::Outage(outage) => write!(f, " kind=outage cause=\"{outage}\"")?,
                    Failure::Bad(response) => write!(f, " kind=bad_answer cause=\"{response}\"")?,
                    Failure::Busy => {}
                }
                write!(f, " held_back={held_back}")
            }
            Self::HostCallRefused { status } => write!(f, "event=host_call_refused status=Refused({status})"),
        }
    }
}

/// Keeps failed calls from flooding the log: one line a second for each cause.
#[derive(Debug, Default)]
pub struct Throttle([Throttled; Cause::COUNT]);

#[derive(Debug, Default)]
struct Throttled {
    next_ms: u64,
    held_back: u64,
}

impl Throttle {
    /// Admits a line of this cause, with the number of lines that were held back since the last; `None` if the line is
    /// held back.
    pub fn admit(&mut self, cause: Cause, now_ms: u64) -> Option<u64> {
        let of_cause = self.0.get_mut(cause as usize)?;
        if now_ms < of_cause.next_ms {
            of_cause.held_back = of_cause.held_back.saturating_add(1);
            return None;
        }
        of_cause.next_ms = now_ms.saturating_add(1_000);
        Some(std::mem::take(&mut of_cause.held_back))
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

    #[test]
    fn every_cause_has_a_throttle_of_its_own() {
        let causes = Counter::ALL.into_iter().filter_map(|counter| match counter {
            Counter::CallFailures(cause) => Some(cause as usize),
            _ => None,
        });
        assert_eq!(causes.collect::<Vec<_>>(), (0..Cause::COUNT).collect::<Vec<_>>());
    }

    #[test]
    fn one_line_a_second_is_admitted_for_each_cause() {
        let mut throttle = Throttle::default();
        assert_eq!(throttle.admit(Cause::Connect, 5_000), Some(0));
        assert_eq!(throttle.admit(Cause::Connect, 5_001), None);
        assert_eq!(throttle.admit(Cause::Connect, 5_999), None);
        assert_eq!(throttle.admit(Cause::Timeout, 5_500), Some(0));
        assert_eq!(throttle.admit(Cause::Connect, 6_000), Some(2));
    }

    #[test]
    fn a_failed_call_is_one_line_with_its_cause() {
        let line = |failure| LogLine::CallFailed { failure, cluster: "rs".into(), held_back: 2 }.to_string();
        assert_eq!(
            line(Failure::Outage(Outage::Connect)),
            "event=call_failed cluster=\"rs\" kind=outage cause=\"connection refused or reset\" held_back=2"
        );
        assert_eq!(
            line(Failure::Bad(BadResponse::Status(404))),
            "event=call_failed cluster=\"rs\" kind=bad_answer cause=\"status 404\" held_back=2"
        );
    }
}
