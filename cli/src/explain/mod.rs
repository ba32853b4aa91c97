//! `session-filter explain`: what the filter does with a request, and why.

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

pub use assumed_session::Assumed;
pub use driver::{Course, Needs};
pub use outcome::{AnswerShown, Outcome, RequirementShown, Upstream};
pub use request::{PLACEHOLDER, Request};
pub use selection::{PassedOver, Reading, RuleShown, Selection};
pub use token_search::Place;

/// What is asked.
pub struct Question {
    pub request: Request,
    pub client: IpAddr,
    pub now_ms: u64,
    /// What rest-sessions is taken to know; absent: that is told for every case.
    pub assumed: Option<Assumed>,
}

/// What is told.
#[derive(Debug, Serialize)]
pub struct Explanation {
    pub method: String,
    pub host: String,
    /// Without the query, which may hold a token.
    pub path: String,
    #[serde(flatten)]
    pub selection: Selection,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleShown>,
    /// Where a token was looked for, if there was none that counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub looked_in: Vec<Place>,
    /// What rest-sessions is asked, without the token.
    pub calls: Vec<CallShown>,
    /// What a live session leads to, where that depends on the session and none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_session: Option<WithSession>,
    /// One for each thing that rest-sessions may know.
    pub outcomes: Vec<Outcome>,
    /// What whoever asks may have meant otherwise.
    pub hints: Vec<String>,
    #[serde(skip)]
    pub is_grpc: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct CallShown {
    pub method: String,
    pub path: String,
    pub cluster: String,
    pub authority: String,
}

/// What depends on the session.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct WithSession {
    pub require: Vec<String>,
    /// The headers that the upstream would get, and the fields that they hold.
    pub headers: Vec<(String, String)>,
}

/// Explains what a configuration does with a request.
///
/// # Errors
///
/// If the filter's own code cannot be driven to an end.
pub fn explain(mut config: Config, question: &Question) -> Result<Explanation, String> {
    // It is by filter state that the filter tells its reasons; nothing else depends on whether somebody reads it.
    config.filter_state = true;
    let Question { request, client, now_ms, assumed } = question;
    let headers = request.headers();
    let config = Rc::new(config);
    let (selection, selected) = selection::select(&config, &headers);
    let rule = selected.map(|rule| &**rule);
    let course = Course { config: &config, request, headers: &headers, client: *client, now_ms: *now_ms, rule };
    let cases = match assumed {
        Some(assumed) => vec![assumed.clone()],
        None => vec![Assumed::None, Assumed::Unavailable],
    };
    let mut calls = Vec::new();
    let mut outcomes = Vec::new();
    let mut with_session = None;
    for case in &cases {
        let (needs, outcome) = course.run(case)?;
        let is_decided = matches!(needs, Needs::Nothing);
        if outcomes.is_empty() {
            calls = match &needs {
                Needs::Nothing => Vec::new(),
                Needs::Session(call) => vec![CallShown::of(call)],
                Needs::Kills(calls) => calls.iter().map(|call| CallShown::of(call)).collect(),
            };
            if matches!(needs, Needs::Session(_)) && assumed.is_none() {
                with_session = selected.map(|rule| WithSession::of(rule));
            }
        }
        outcomes.push(outcome);
        if is_decided {
            break;
        }
    }
    // Of a request whose host or path leaves its rule in doubt, the filter names none.
    let is_known = outcomes.first().is_some_and(|outcome| outcome.rule.is_some());
    let mut explanation = Explanation {
        method: request.method.clone(),
        host: request.authority.clone(),
        path: request.target.split('?').next().unwrap_or_default().to_owned(),
        rule: selected.filter(|_| is_known).map(|rule| RuleShown::of(rule, &config)),
        selection,
        looked_in: Vec::new(),
        calls,
        with_session,
        outcomes,
        hints: Vec::new(),
        is_grpc: request.is_grpc(),
    };
    if !is_known {
        explanation.selection.passed_over.clear();
    }
    if let Some(rule) = selected.filter(|_| is_known && explanation.lacks_token()) {
        explanation.looked_in = token_search::places(rule, &headers, *now_ms);
    }
    explanation.hints = hints(&explanation, question);
    Ok(explanation)
}

fn hints(explanation: &Explanation, question: &Question) -> Vec<String> {
    let mut hints = Vec::new();
    if explanation.lacks_token() && question.assumed.is_some() {
        hints.push(format!(
            "the request bears no token, so nobody asks for a session; {PLACEHOLDER} stands for one, as in \
             --header 'cookie: session-cookie={PLACEHOLDER}'"
        ));
    } else if explanation.asks_nobody() && question.assumed.is_some() {
        hints.push("nobody asks for a session here, so --session changes nothing".to_owned());
    }
    if question.request.authority.is_empty() {
        hints.push("the request names no host; a URL or --header 'host: …' does".to_owned());
    }
    hints
}

impl Explanation {
    fn asks_nobody(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.assumed.is_none())
    }

    /// Whether a token was looked for in vain.
    fn lacks_token(&self) -> bool {
        let in_vain = |outcome: &Outcome| matches!(outcome.reason.as_str(), "no_session" | "anonymous" | "redirected");
        self.asks_nobody() && self.outcomes.iter().all(in_vain)
    }
}

impl CallShown {
    fn of(call: &CallRequest) -> Self {
        let path = call.header(":path").strip_suffix(call.token()).unwrap_or_default();
        Self {
            method: call.method().to_owned(),
            path: format!("{path}…"),
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
