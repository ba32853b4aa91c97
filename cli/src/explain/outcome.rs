//! What became of a request: the filter's effects and verdict, as they are told.

use rest_sessions_core::action::{Action, HeaderMap};
use rest_sessions_core::config::Config;
use rest_sessions_core::http::headers::Headers;
use rest_sessions_core::http::local_reply::LocalReply;
use rest_sessions_core::telemetry::{Counter, FilterState};
use rest_sessions_core::worker::Expectations;
use serde::Serialize;

/// How it ends.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// What rest-sessions knows of the session: `active`, `none`, `unavailable`; absent where nobody asks.
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub assumed: Option<&'static str>,
    /// `allow` or `deny`; in shadow, what would have been.
    pub decision: String,
    pub reason: String,
    /// The counter that the request raises.
    pub counter: String,
    /// The label of the rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Where the token was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its first source with a token holds two different ones.
    pub conflict: bool,
    pub requirements: Vec<RequirementShown>,
    /// The session is beyond a limit, and is ended.
    pub ended: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerShown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Upstream>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct RequirementShown {
    pub requirement: String,
    pub holds: bool,
    /// What the session holds; absent, where it lacks the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

/// The filter's own answer.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct AnswerShown {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// For gRPC clients; absent: as Envoy maps the status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_status: Option<u32>,
}

/// What the upstream gets. Values that the client sent are not repeated.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Upstream {
    /// The headers that the filter sets, in their order.
    pub headers: Vec<(String, String)>,
    /// The names of headers that the client sent, and that are taken out.
    pub removed: Vec<String>,
    /// The names of headers from which a token is taken out.
    pub shortened: Vec<String>,
    /// How often the session is asked for again while the request is open, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recheck_ms: Option<u64>,
    /// Whether its response may change the session.
    pub writes_back: bool,
}

impl Outcome {
    /// What the filter's actions come to.
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
        let mut goes_on = false;
        for action in actions {
            match action {
                Action::ChangeHeader(HeaderMap::RequestHeaders, change) => change.apply(&mut pairs),
                Action::ContinueRequest => goes_on = true,
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
        if goes_on {
            outcome.upstream = Some(Upstream::of(config, headers, &pairs, expectations));
        }
        outcome
    }
}

impl From<LocalReply> for AnswerShown {
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

impl Upstream {
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
        // Whatever a client sent under these names is gone.
        let set = after.iter().filter(|(name, _)| config.reserved.contains(name));
        upstream.headers = set.map(|(name, value)| (text(name), text(value))).collect();
        upstream
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
