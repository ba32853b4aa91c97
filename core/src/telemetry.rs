//! Every metric, filter-state key and log line, named once.

use std::fmt;
use std::rc::Rc;

use crate::session::lookup::{BadAnswer, Failure, Outage};
use crate::session::token::Digest;

/// How a request ended for the filter; each request counts once among these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Allowed,
    /// Through an optional route without a session.
    Anonymous,
    Off,
    Preflight,
    DeniedNoSession,
    /// A requirement of the rule does not hold.
    DeniedForbidden,
    DeniedOrigin,
    DeniedAmbiguousPath,
    DeniedBadHost,
    DeniedUnknownHost,
    DeniedUnavailable,
    DeniedBusy,
    /// Sent to log in.
    Redirected,
    FailedOpen,
    SessionTooLarge,
    Logout,
    /// rest-sessions did not say that the session is gone.
    LogoutFailure,
    /// Passed under a rule in shadow, and would have passed otherwise.
    ShadowAllowed,
    /// Passed under a rule in shadow, and would not have passed otherwise.
    ShadowDenied,
    /// The client left before there was a decision.
    Abandoned,
}

/// Why rest-sessions could not be asked, or gave no answer that could be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Timeout,
    Connect,
    Status,
    Invalid,
    Dispatch,
    Breaker,
}

impl Cause {
    const COUNT: usize = Self::Breaker as usize + 1;

    /// `None` where no call was tried at all.
    #[must_use]
    pub fn of(failure: Failure) -> Option<Self> {
        Some(match failure {
            Failure::Busy => return None,
            Failure::Outage(Outage::Timeout) => Self::Timeout,
            Failure::Outage(Outage::Connect) => Self::Connect,
            Failure::Outage(Outage::Dispatch) => Self::Dispatch,
            Failure::Outage(Outage::Breaker) => Self::Breaker,
            Failure::Outage(Outage::Status(_)) | Failure::Bad(BadAnswer::Status(_)) => Self::Status,
            Failure::Bad(BadAnswer::TooLarge | BadAnswer::Shape(_)) => Self::Invalid,
        })
    }
}

/// A number that only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    Outcome(Outcome),
    /// Requests whose first source with a token held two different ones.
    Conflicts,
    Calls,
    CallFailures(Cause),
    /// Requests that waited for a call that another one had made.
    Coalesced,
    /// Requests that were answered from this worker's cache, with a session.
    CacheHits,
    /// Requests that were answered with what another worker had asked.
    CacheSharedHits,
    /// Requests that had to ask, or to wait for who asks.
    CacheMisses,
    /// Requests that were answered from the cache: there is no session.
    CacheNegativeHits,
    /// Requests that passed during an outage, with an answer past its time.
    CacheStale,
    /// Answers still of use that went for room.
    CacheEvictions,
    /// Sessions that were found to have ended.
    Ends,
    /// Requests that were let through, and closed since their session was gone.
    RecheckClosed,
    /// Changes of sessions that responses asked for, and rest-sessions has made.
    WriteBacks,
    /// Changes that it has not made, for all that is known.
    WriteBackFailures,
    /// Changes that were not asked for: by whom nobody may change that session, or in a form that is none.
    WriteBacksDropped,
}

/// Gives every counter its place and its name, from one list. A counter that is not in it does not compile.
macro_rules! counters {
    ($($place:ident: $counter:ident $(($of:path))? => $name:literal,)*) => {
        impl Counter {
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$counter $(($of))?),*];

            /// Its place in [`Self::ALL`], found without a search: something is counted for each request.
            #[must_use]
            pub fn index(self) -> usize {
                enum Place {
                    $($place),*
                }
                match self {
                    $(Self::$counter $(($of))? => Place::$place as usize,)*
                }
            }

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

/// A number that rises and falls, summed over all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
    /// Calls in flight.
    InFlight,
    /// Bytes of the caches, keys and bookkeeping included.
    CacheBytes,
    /// Entries of the caches.
    CacheEntries,
}

impl Gauge {
    pub const ALL: [Self; 3] = [Self::InFlight, Self::CacheBytes, Self::CacheEntries];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InFlight => "rest_sessions.in_flight",
            Self::CacheBytes => "rest_sessions.cache_bytes",
            Self::CacheEntries => "rest_sessions.cache_entries",
        }
    }
}

/// A number that every end of a session changes; workers compare it to know whether a session of theirs may have
/// ended. Its value means nothing.
pub const ENDS_EPOCH: &str = "rest_sessions.ends_epoch";

/// How long calls took, in milliseconds.
pub const CALL_DURATION: &str = "rest_sessions.call_duration_ms";

impl Outcome {
    /// The word for it in filter state and logs.
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

/// What access logs and other filters may read of a decision. Envoy shows each key with `wasm.` in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterState {
    /// `allow` or `deny`.
    Decision,
    Reason,
    Rule,
    User,
    Source,
}

impl FilterState {
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
pub enum Line {
    /// A local reply was sent, or would have been.
    Answered {
        outcome: Outcome,
        rule: Option<Rc<str>>,
        token: Option<Digest>,
    },
    /// An open stream is closed, since its session is gone.
    Closed {
        rule: Rc<str>,
        token: Digest,
    },
    /// A change request of an upstream was ignored.
    Dropped {
        why: &'static str,
    },
    UnknownCall {
        call: u32,
    },
    /// A call could not be made, or its response is of no use.
    CallFailed {
        failure: Failure,
        cluster: Rc<str>,
        /// How many lines of this cause were held back since the last.
        held_back: u64,
    },
    /// `status`: of the host call (proxy-wasm ABI 0.2.1, `proxy_result_t`).
    HostCallRefused {
        status: u32,
    },
}

impl Line {
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::Answered { .. } | Self::Closed { .. } | Self::Dropped { .. } | Self::UnknownCall { .. } => {
                Level::Debug
            }
            Self::CallFailed { .. } => Level::Warn,
            Self::HostCallRefused { .. } => Level::Error,
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { outcome, rule, token } => {
                write!(f, "event=answered reason={}", outcome.reason())?;
                rule.iter().try_for_each(|rule| write!(f, " rule={rule:?}"))?;
                token.iter().try_for_each(|token| write!(f, " token={token}"))
            }
            Self::Closed { rule, token } => write!(f, "event=closed rule={rule:?} token={token}"),
            Self::Dropped { why } => write!(f, "event=write_back_dropped reason={why}"),
            Self::UnknownCall { call } => write!(f, "event=unknown_call call={call}"),
            Self::CallFailed { failure, cluster, held_back } => {
                write!(f, "event=call_failed cluster={cluster:?}")?;
                match failure {
                    Failure::Outage(outage) => write!(f, " kind=outage cause=\"{outage}\"")?,
                    Failure::Bad(answer) => write!(f, " kind=bad_answer cause=\"{answer}\"")?,
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
    fn every_counter_is_found_at_its_place() {
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
        let line = |failure| Line::CallFailed { failure, cluster: "rs".into(), held_back: 2 }.to_string();
        assert_eq!(
            line(Failure::Outage(Outage::Connect)),
            "event=call_failed cluster=\"rs\" kind=outage cause=\"connection refused or reset\" held_back=2"
        );
        assert_eq!(
            line(Failure::Bad(BadAnswer::Status(404))),
            "event=call_failed cluster=\"rs\" kind=bad_answer cause=\"status 404\" held_back=2"
        );
    }
}
