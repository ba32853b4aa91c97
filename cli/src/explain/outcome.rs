//! The result of one run: the decision, and the effects on the request. Field names are the JSON keys of `--json`.

use rest_sessions_core::action::{Action, HeaderMap};
use rest_sessions_core::config::Config;
use rest_sessions_core::http::headers::Headers;
use rest_sessions_core::http::local_reply::LocalReply;
use rest_sessions_core::telemetry::{Counter, FilterState};
use rest_sessions_core::worker::Expectations;
use serde::Serialize;

/// The filter's decision and its effects.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// The assumed state of the session: `active`, `none` or `unavailable`; of several, `unavailable` if one is, else
    /// `active` if one is. Absent if the request causes no callout.
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub assumed: Option<&'static str>,
    /// `allow` or `deny`. In shadow mode, the decision that would have been enforced.
    pub decision: String,
    pub reason: String,
    /// The outcome counter that the request increments.
    pub counter: String,
    /// The label of the rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The source of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether the first source with a token has more than one with an active session, or more than four.
    pub conflict: bool,
    pub requirements: Vec<RequirementResult>,
    /// Whether the session exceeds a limit, and is ended.
    pub ended: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<ReplySummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<UpstreamSummary>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct RequirementResult {
    pub requirement: String,
    pub holds: bool,
    /// The session's value of the field. Absent if the session lacks the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

/// A local reply.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ReplySummary {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The `grpc-status` for gRPC clients. Absent: Envoy maps the HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_status: Option<u32>,
}

/// The changes to the request for the upstream. Values sent by the client are left out: they may be secret.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct UpstreamSummary {
    /// The headers that the filter sets, in order.
    pub headers: Vec<(String, String)>,
    /// The names of client headers that are removed.
    pub removed: Vec<String>,
    /// The names of client headers from which a token is removed.
    pub shortened: Vec<String>,
    /// The interval between rechecks of the session while the request is open, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recheck_ms: Option<u64>,
    /// Whether the upstream's response may change the session.
    pub writes_back: bool,
}

impl Outcome {
    /// Collects the worker's actions.
    #[must_use]
    pub fn of(
        config: &Config,
        headers: &Headers,
        assumed: Option<&'static str>,
        actions: Vec<Action>,
        expectations: Expectations,
    ) -> Self {
        let mut outcome = Self { assumed, ..Self::default() };
        let mut pairs: Vec<_> = headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        let mut continues = false;
        for action in actions {
            match action {
                Action::ChangeHeader(HeaderMap::RequestHeaders, change) => change.apply(&mut pairs),
                Action::ContinueRequest => continues = true,
                Action::Reply(reply) => outcome.answer = Some(reply.into()),
                Action::Count(counter @ Counter::Outcome(_)) => counter.name().clone_into(&mut outcome.counter),
                Action::Count(Counter::Conflicts) => outcome.conflict = true,
                Action::FilterState(FilterState::Decision, value) => outcome.decision = value,
                Action::FilterState(FilterState::Reason, value) => outcome.reason = value,
                Action::FilterState(FilterState::Rule, value) => outcome.rule = Some(value),
                Action::FilterState(FilterState::Source, value) => outcome.source = Some(value),
                Action::FilterState(FilterState::User, value) => outcome.user = Some(value),
                _ => {}
            }
        }
        if continues {
            outcome.upstream = Some(UpstreamSummary::of(config, headers, &pairs, expectations));
        }
        outcome
    }
}

impl From<LocalReply> for ReplySummary {
    fn from(reply: LocalReply) -> Self {
        let headers = reply.headers.into_iter().map(|(name, value)| (name.to_owned(), value));
        Self {
            status: reply.status,
            headers: headers.collect(),
            body: reply.body.to_owned(),
            grpc_status: reply.grpc_status,
        }
    }
}

type Pair = (Vec<u8>, Vec<u8>);

impl UpstreamSummary {
    fn of(config: &Config, before: &Headers, after: &[Pair], expectations: Expectations) -> Self {
        let mut upstream = Self {
            recheck_ms: expectations.recheck_every_ms,
            writes_back: expectations.may_change_session,
            ..Self::default()
        };
        let mut names: Vec<&[u8]> = before.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let had = before.iter().filter(|(other, _)| *other == name).map(|(_, value)| value);
            let mut has = after.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_slice()).peekable();
            if has.peek().is_none() {
                upstream.removed.push(text(name));
            } else if !config.reserved.contains(name) && !has.eq(had) {
                upstream.shortened.push(text(name));
            }
        }
        // Reserved headers sent by the client are removed, so these are the filter's.
        let set = after.iter().filter(|(name, _)| config.reserved.contains(name));
        upstream.headers = set.map(|(name, value)| (text(name), text(value))).collect();
        upstream
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
