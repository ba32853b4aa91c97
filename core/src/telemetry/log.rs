//! The log lines, and what keeps failed calls from flooding the log.

use std::fmt;
use std::rc::Rc;

use super::{Cause, Outcome};
use crate::session::lookup::Failure;
use crate::session::token::Digest;

/// How important a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A client can cause the line at will.
    Debug,
    /// Trouble with rest-sessions, or with its clock.
    Warn,
    /// The host has refused what it takes to judge a request.
    Error,
}

/// A log line: `key=value` pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogLine {
    /// The filter sent a local reply; under a shadow rule, it would have.
    LocalReply {
        /// The decision, shown by its [`Outcome::reason`].
        outcome: Outcome,
        /// The label of the rule that decided. `None`: no rule was selected.
        rule: Option<Rc<str>>,
        /// The digest of the request's token. `None`: the decision needed no token, or found none.
        token: Option<Digest>,
    },
    /// The filter closed an open stream, because its session had ended.
    StreamClosed {
        /// The label of the rule that closed the stream.
        rule: Rc<str>,
        /// The digest of the stream's token.
        token: Digest,
    },
    /// The filter ignored a response's request to change its session. See [`Counter::WriteBacksDropped`](super::Counter::WriteBacksDropped).
    ChangeIgnored {
        /// The reason, as a word for logs, such as `not_allowed`.
        why: &'static str,
    },
    /// A response came for a call that is not in flight.
    UnknownCall {
        /// The host's number of the call.
        call: u32,
    },
    /// A call could not be made, or its response is not usable.
    CallFailed {
        /// Why the call failed.
        failure: Failure,
        /// Envoy's name of the called cluster.
        cluster: Rc<str>,
        /// The number of suppressed lines of this cause since the last one.
        held_back: u64,
    },
    /// An active session has a token whose creation time is more than 60 s in the future.
    ClockAhead {
        /// Envoy's name of the cluster that returned the session.
        cluster: Rc<str>,
        /// How far in the future it is, in seconds.
        ahead_s: u64,
        /// The number of suppressed lines since the last one.
        held_back: u64,
    },
    /// The host refused a host call that a request or its response depends on.
    HostCallRefused {
        /// The status of the host call (proxy-wasm ABI 0.2.1, `proxy_result_t`).
        status: u32,
    },
}

impl LogLine {
    /// How important the line is. A line that a client can cause at will is a debug line.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::LocalReply { .. }
            | Self::StreamClosed { .. }
            | Self::ChangeIgnored { .. }
            | Self::UnknownCall { .. } => Level::Debug,
            Self::CallFailed { .. } | Self::ClockAhead { .. } => Level::Warn,
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
            Self::ClockAhead { cluster, ahead_s, held_back } => {
                write!(f, "event=clock_ahead cluster={cluster:?} seconds={ahead_s} held_back={held_back}")
            }
            Self::HostCallRefused { status } => write!(f, "event=host_call_refused status=Refused({status})"),
        }
    }
}

/// Keeps lines from flooding the log: of failed calls, one a second for each cause; of clocks, one a minute.
#[derive(Debug, Default)]
pub struct Throttle {
    causes: [Throttled; Cause::COUNT],
    clock: Throttled,
}

#[derive(Debug, Default)]
struct Throttled {
    next_ms: u64,
    held_back: u64,
}

impl Throttle {
    /// Admits a line of this cause, with the number of lines that were held back since the last; `None` if the line is
    /// held back.
    pub fn admit(&mut self, cause: Cause, now_ms: u64) -> Option<u64> {
        self.causes.get_mut(cause as usize)?.admit(now_ms, 1_000)
    }

    /// As [`Self::admit`], for [`LogLine::ClockAhead`].
    pub fn admit_clock(&mut self, now_ms: u64) -> Option<u64> {
        self.clock.admit(now_ms, 60_000)
    }
}

impl Throttled {
    fn admit(&mut self, now_ms: u64, pause_ms: u64) -> Option<u64> {
        if now_ms < self.next_ms {
            self.held_back = self.held_back.saturating_add(1);
            return None;
        }
        self.next_ms = now_ms.saturating_add(pause_ms);
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Counter;
    use super::*;
    use crate::session::lookup::{BadResponse, Outage};

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
    fn one_line_a_minute_is_admitted_for_a_clock() {
        let mut throttle = Throttle::default();
        assert_eq!(throttle.admit_clock(5_000), Some(0));
        assert_eq!(throttle.admit_clock(64_999), None);
        assert_eq!(throttle.admit_clock(65_000), Some(1));
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
