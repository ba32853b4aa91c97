//! Every metric, filter-state key and log line, named once.

use std::fmt;
use std::rc::Rc;

use crate::session::lookup::{BadResponse, Failure, Outage};
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
            Failure::Outage(Outage::Status(_)) | Failure::Bad(BadResponse::Status(_)) => Self::Status,
            Failure::Bad(BadResponse::TooLarge | BadResponse::Shape(_)) => Self::Invalid,
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

/// Calls that are under way, in all workers together.
pub const IN_FLIGHT: &str = "rest_sessions.in_flight";

/// What the caches of all workers take, keys and bookkeeping included.
pub const CACHE_BYTES: &str = "rest_sessions.cache_bytes";

/// Answers in the caches of all workers.
pub const CACHE_ENTRIES: &str = "rest_sessions.cache_entries";

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

/// A line for the log, at debug: a client can cause it at will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogLine {
    /// The filter has answered a request itself, or would have.
    LocalReply {
        outcome: Outcome,
        rule: Option<Rc<str>>,
        token: Option<Digest>,
    },
    /// A request that was let through is closed, since its session is gone.
    StreamClosed {
        rule: Rc<str>,
        token: Digest,
    },
    /// A response asked for a change of its session that was not made.
    ChangeIgnored {
        why: &'static str,
    },
    UnknownCall {
        call: u32,
    },
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
        }
    }
}

/// A line about trouble with rest-sessions, at warn.
#[derive(Debug, PartialEq, Eq)]
pub struct CallFailed<'a> {
    failure: Failure,
    cluster: &'a str,
    /// How many lines of this cause were held back since the last.
    held_back: u64,
}

impl fmt::Display for CallFailed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event=call_failed cluster={:?}", self.cluster)?;
        match self.failure {
            Failure::Outage(outage) => write!(f, " kind=outage cause=\"{outage}\"")?,
            Failure::Bad(answer) => write!(f, " kind=bad_answer cause=\"{answer}\"")?,
            Failure::Busy => {}
        }
        write!(f, " held_back={}", self.held_back)
    }
}

/// Keeps trouble from flooding the log: one line a second for each cause.
#[derive(Debug, Default)]
pub struct Throttle([Throttled; Cause::COUNT]);

#[derive(Debug, Default)]
struct Throttled {
    next_ms: u64,
    held_back: u64,
}

impl Throttle {
    /// The line for a failed call, if it may be written now.
    pub fn call_failed<'a>(&mut self, failure: Failure, cluster: &'a str, now_ms: u64) -> Option<CallFailed<'a>> {
        let of_cause = self.0.get_mut(Cause::of(failure)? as usize)?;
        if now_ms < of_cause.next_ms {
            of_cause.held_back = of_cause.held_back.saturating_add(1);
            return None;
        }
        of_cause.next_ms = now_ms.saturating_add(1_000);
        Some(CallFailed { failure, cluster, held_back: std::mem::take(&mut of_cause.held_back) })
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
    fn trouble_is_told_once_a_second_for_each_cause() {
        let mut throttle = Throttle::default();
        let (refused, late) = (Failure::Outage(Outage::Connect), Failure::Outage(Outage::Timeout));
        let line = |throttle: &mut Throttle, failure, now| {
            throttle.call_failed(failure, "rs", now).map(|line| line.to_string())
        };
        let first = "event=call_failed cluster=\"rs\" kind=outage cause=\"connection refused or reset\" held_back=0";
        assert_eq!(line(&mut throttle, refused, 5_000).as_deref(), Some(first));
        assert_eq!(line(&mut throttle, refused, 5_001), None);
        assert_eq!(line(&mut throttle, refused, 5_999), None);
        assert!(line(&mut throttle, late, 5_500).is_some());
        let next = "event=call_failed cluster=\"rs\" kind=outage cause=\"connection refused or reset\" held_back=2";
        assert_eq!(line(&mut throttle, refused, 6_000).as_deref(), Some(next));
        assert_eq!(line(&mut throttle, Failure::Busy, 9_000), None);
    }
}
