//! Drives the filter's `Worker` with one request and simulated responses of rest-sessions.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use rest_sessions_core::action::Action;
use rest_sessions_core::cache::shared_data::LocalData;
use rest_sessions_core::config::Config;
use rest_sessions_core::exchange::Environment;
use rest_sessions_core::http::headers::Headers;
use rest_sessions_core::local::LocalEnvironment;
use rest_sessions_core::policy::requirements::Facts;
use rest_sessions_core::policy::rules::Rule;
use rest_sessions_core::rest_sessions::body;
use rest_sessions_core::rest_sessions::request::CallRequest;
use rest_sessions_core::session::lookup::Lookup;
use rest_sessions_core::session::token::Token;
use rest_sessions_core::worker::{Event, Seeds, Worker};

use super::assumed_session::{AssumedSession, AssumedSessions};
use super::outcome::{Outcome, RequirementResult};
use super::request::Request;

/// Drives a new worker with one request.
pub struct Driver<'a> {
    pub config: &'a Rc<Config>,
    pub request: &'a Request,
    pub headers: &'a Headers,
    pub client: IpAddr,
    pub now_ms: u64,
    /// The selected rule, if any.
    pub rule: Option<&'a Rule>,
}

/// The callouts that a request causes.
pub enum Callouts {
    None,
    /// Lookups, one for each token. A `kill` that follows them is left out.
    Lookups(Vec<Rc<CallRequest>>),
    /// Only `kill` calls: the request is a logout.
    Kills(Vec<Rc<CallRequest>>),
}

impl Driver<'_> {
    /// Runs the request with the responses that follow from `assumed`. Returns the callouts and the outcome.
    ///
    /// # Errors
    ///
    /// If the worker cannot be created.
    pub fn run(&self, assumed: AssumedSessions<'_>) -> Result<(Callouts, Outcome), String> {
        let client = SocketAddr::new(self.client, 0);
        let environment = LocalEnvironment::new(self.now_ms, Some(client), LocalData::default());
        let secret = RandomState::new();
        let seeds =
            Seeds { digest_key: RandomState::new(), random: [0, 1, 2, 3].map(|number| secret.hash_one(number)) };
        let mut worker = Worker::new(Rc::clone(self.config), seeds, &environment)
            .map_err(|_| "the filter's worker cannot be created: its shared data is not available".to_owned())?;
        let stream = worker.admit(1);
        let request_headers =
            Event::RequestHeaders { stream, headers: self.headers.clone(), end_of_stream: self.request.has_no_body() };

        let mut calls: Vec<Rc<CallRequest>> = Vec::new();
        // In the order of the request, since each is called for in its turn.
        let mut tokens: Vec<String> = Vec::new();
        let mut effects = Vec::new();
        let mut events = VecDeque::from([request_headers]);
        while let Some(event) = events.pop_front() {
            let mut actions = Vec::new();
            worker.handle(event, &environment, &mut actions);
            for action in actions {
                match action {
                    Action::Dispatch(call) => {
                        let id = u32::try_from(calls.len()).unwrap_or(u32::MAX);
                        let position = position_in(&mut tokens, call.request.token());
                        let response = assumed.of(position).response(&call.request);
                        calls.push(Rc::clone(&call.request));
                        events.push_back(Event::Dispatched { dispatched: call.accepted(id), callback: Some(stream) });
                        events.push_back(Event::CalloutResponse { call: id, response });
                    }
                    Action::Complete(completion) => events.push_back(Event::Complete(completion)),
                    other => effects.push(other),
                }
            }
        }

        let (lookups, kills): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| call.method() == "GET");
        let ended = !lookups.is_empty() && !kills.is_empty();
        let status = (!tokens.is_empty()).then(|| assumed.status(tokens.len()));
        let requirements =
            if lookups.is_empty() { Vec::new() } else { self.requirements(assumed, &tokens, &environment) };
        let expectations = worker.expectations(stream);
        let outcome = Outcome::of(self.config, self.headers, status, effects, expectations);
        let callouts = match (lookups.is_empty(), kills.is_empty()) {
            (true, true) => Callouts::None,
            (false, _) => Callouts::Lookups(lookups),
            (true, false) => Callouts::Kills(kills),
        };
        Ok((callouts, Outcome { requirements, ended, ..outcome }))
    }

    /// Evaluates each requirement of the rule on the session, if exactly one of the tokens has one.
    fn requirements(
        &self,
        assumed: AssumedSessions<'_>,
        tokens: &[String],
        environment: &LocalEnvironment,
    ) -> Vec<RequirementResult> {
        let now_ms = || self.now_ms;
        let client = || environment.client_address();
        let active = tokens.iter().enumerate().filter_map(|(position, token)| {
            let AssumedSession::Active(session) = assumed.of(position) else { return None };
            let Lookup::Active(session) = body::lookup(session.as_bytes()) else { return None };
            let token = Token::parse(token.as_bytes(), &now_ms)?;
            // Beyond a limit it counts as none, also in shadow mode, where it is not ended.
            (!self.config.limits.exceeded_by(&session, &token, self.now_ms)).then_some((session, token))
        });
        let active: Vec<_> = active.collect();
        let (Some(rule), [(session, token)], true) =
            (self.rule, active.as_slice(), assumed.status(tokens.len()) == "active")
        else {
            return Vec::new();
        };
        let facts = Facts { session, token, now_ms: &now_ms, client: &client };
        let results = rule.require.iter().map(|requirement| RequirementResult {
            requirement: requirement.to_string(),
            holds: requirement.holds(facts),
            found: requirement.found(facts),
        });
        results.collect()
    }
}

/// The position of a token among those that were called for, to which it is added.
fn position_in(tokens: &mut Vec<String>, token: &str) -> usize {
    tokens.iter().position(|other| other == token).unwrap_or_else(|| {
        tokens.push(token.to_owned());
        tokens.len().saturating_sub(1)
    })
}
