//! `session-filter explain`: the filter's decision on one request, and the reasons.

mod assumed_session;
mod driver;
mod outcome;
mod request;
mod selection;
mod text;
mod token_search;

use std::net::IpAddr;
use std::rc::Rc;

use rest_sessions_core::config::Config;
use rest_sessions_core::policy::rules::Rule;
use rest_sessions_core::rest_sessions::request::CallRequest;
use serde::Serialize;

pub use assumed_session::{AssumedSession, AssumedSessions};
pub use driver::{Callouts, Driver};
pub use outcome::{Outcome, ReplySummary, RequirementResult, UpstreamSummary};
pub use request::{Request, TOKEN_PLACEHOLDER};
pub use selection::{OtherMethod, Reading, RuleSummary, Selection, SkippedRule};
pub use token_search::SearchedSource;

/// The request to explain, and the conditions under which Envoy receives it.
pub struct Scenario {
    pub request: Request,
    pub client: IpAddr,
    pub now_ms: u64,
    /// What rest-sessions stores for the tokens of the request, in their order. Empty: a missing session and an outage are
    /// both explained.
    pub assumed: Vec<AssumedSession>,
}

/// The explanation of one request. Field names are the JSON keys of `--json`.
#[derive(Debug, Serialize)]
pub struct Explanation {
    pub method: String,
    pub host: String,
    /// Without the query, which may contain a token.
    pub path: String,
    #[serde(flatten)]
    pub selection: Selection,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleSummary>,
    /// The token sources of the rule, if none of them yielded a token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub looked_in: Vec<SearchedSource>,
    /// The callouts to rest-sessions, without the token.
    pub calls: Vec<CallSummary>,
    /// What applies to an active session, if the request causes a lookup and no session was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_session: Option<WithSession>,
    /// One for each assumed state of rest-sessions.
    pub outcomes: Vec<Outcome>,
    /// Likely mistakes in the arguments.
    pub hints: Vec<String>,
    #[serde(skip)]
    pub is_grpc: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct CallSummary {
    pub method: String,
    pub path: String,
    pub cluster: String,
    pub authority: String,
}

/// What applies to an active session.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct WithSession {
    pub require: Vec<String>,
    /// The identity headers for the upstream, each with the session field that it carries.
    pub headers: Vec<(String, String)>,
}

/// Explains what a configuration does with a request.
///
/// # Errors
///
/// If the worker cannot be created.
pub fn explain(mut config: Config, scenario: &Scenario) -> Result<Explanation, String> {
    // The worker reports its reasons as filter state. The decision does not depend on this key.
    config.filter_state = true;
    let Scenario { request, client, now_ms, assumed } = scenario;
    let headers = request.headers();
    let config = Rc::new(config);
    let (selection, selected) = selection::select(&config, &headers);
    let rule = selected.map(|rule| &**rule);
    let driver = Driver { config: &config, request, headers: &headers, client: *client, now_ms: *now_ms, rule };
    let cases = match assumed.as_slice() {
        [] => vec![[AssumedSession::None].as_slice(), &[AssumedSession::Unavailable]],
        assumed => vec![assumed],
    };
    let mut calls = Vec::new();
    let mut outcomes = Vec::new();
    let mut with_session = None;
    for case in cases {
        let (callouts, outcome) = driver.run(AssumedSessions(case))?;
        let is_independent = matches!(callouts, Callouts::None);
        if outcomes.is_empty() {
            calls = match &callouts {
                Callouts::None => Vec::new(),
                Callouts::Lookups(calls) | Callouts::Kills(calls) => {
                    calls.iter().map(|call| CallSummary::of(call)).collect()
                }
            };
            if matches!(callouts, Callouts::Lookups(_)) && assumed.is_empty() {
                with_session = selected.map(|rule| WithSession::of(rule));
            }
        }
        outcomes.push(outcome);
        if is_independent {
            break;
        }
    }
    // For an unknown host, a refused method or an ambiguous path, the filter reports no rule.
    let has_rule = outcomes.first().is_some_and(|outcome| outcome.rule.is_some());
    let mut explanation = Explanation {
        method: request.method.clone(),
        host: request.authority.clone(),
        path: request.target.split('?').next().unwrap_or_default().to_owned(),
        rule: selected.filter(|_| has_rule).map(|rule| RuleSummary::of(rule, &config)),
        selection,
        looked_in: Vec::new(),
        calls,
        with_session,
        outcomes,
        hints: Vec::new(),
        is_grpc: request.is_grpc(),
    };
    if !has_rule {
        explanation.selection.passed_over.clear();
    }
    if let Some(rule) = selected.filter(|_| has_rule && explanation.lacks_token()) {
        explanation.looked_in = token_search::searched_sources(rule, &headers, *now_ms);
    }
    explanation.hints = hints(&explanation, scenario);
    Ok(explanation)
}

fn hints(explanation: &Explanation, scenario: &Scenario) -> Vec<String> {
    let mut hints = Vec::new();
    if explanation.lacks_token() && !scenario.assumed.is_empty() {
        hints.push(format!(
            "the request has no token, so no session is looked up; {TOKEN_PLACEHOLDER} stands for one, as in \
             --header 'cookie: session-cookie={TOKEN_PLACEHOLDER}'"
        ));
    } else if explanation.has_no_callout() && !scenario.assumed.is_empty() {
        hints.push("no session is looked up, so --session has no effect".to_owned());
    }
    if scenario.request.authority.is_empty() {
        hints.push("the request has no host; pass a full URL or --header 'host: …'".to_owned());
    }
    hints
}

impl Explanation {
    fn has_no_callout(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.assumed.is_none())
    }

    /// Whether the rule takes a session, and no source yielded a token.
    fn lacks_token(&self) -> bool {
        let without_token =
            |outcome: &Outcome| matches!(outcome.reason.as_str(), "no_session" | "anonymous" | "redirected");
        self.has_no_callout() && self.outcomes.iter().all(without_token)
    }
}

impl CallSummary {
    fn of(call: &CallRequest) -> Self {
        // The token is a secret.
        let (path, query) = call.header(":path").split_once(call.token()).unwrap_or_default();
        Self {
            method: call.method().to_owned(),
            path: format!("{path}…{query}"),
            cluster: call.cluster.to_string(),
            authority: call.header(":authority").to_owned(),
        }
    }
}

impl WithSession {
    fn of(rule: &Rule) -> Self {
        let headers = rule.annotation.headers.iter().map(|(name, field)| (name.to_string(), field.to_string()));
        Self { require: rule.require.iter().map(ToString::to_string).collect(), headers: headers.collect() }
    }
}
