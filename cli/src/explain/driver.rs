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

use super::assumed_session::AssumedSession;
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
    /// A lookup of the session. A `kill` that follows it is left out.
    Lookup(Rc<CallRequest>),
    /// Only `kill` calls: the request is a logout.
    Kills(Vec<Rc<CallRequest>>),
}

impl Driver<'_> {
    /// Runs the request with the responses that follow from `assumed`. Returns the callouts and the outcome.
    ///
    /// # Errors
    ///
    /// If the worker cannot be created.
    pub fn run(&self, assumed: &AssumedSession) -> Result<(Callouts, Outcome), String> {
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
        let mut effects = Vec::new();
        let mut events = VecDeque::from([request_headers]);
        while let Some(event) = events.pop_front() {
            let mut actions = Vec::new();
            worker.handle(event, &environment, &mut actions);
            for action in actions {
                match action {
                    Action::Dispatch(call) => {
                        let id = u32::try_from(calls.len()).unwrap_or(u32::MAX);
                        let response = assumed.response(&call.request);
                        calls.push(Rc::clone(&call.request));
                        events.push_back(Event::Dispatched { dispatched: call.accepted(id), callback: Some(stream) });
                        events.push_back(Event::CalloutResponse { call: id, response });
                    }
                    Action::Complete(completion) => events.push_back(Event::Complete(completion)),
                    other => effects.push(other),
                }
            }
        }

        let is_lookup = calls.first().is_some_and(|call| call.method() == "GET");
        let ended = is_lookup && calls.len() > 1;
        let requirements = match calls.first() {
            Some(call) if is_lookup && !ended => self.requirements(assumed, call, &environment),
            _ => Vec::new(),
        };
        let status = (!calls.is_empty()).then(|| assumed.status());
        let expectations = worker.expectations(stream);
        let outcome = Outcome::of(self.config, self.headers, status, effects, expectations);
        let callouts = match calls.first() {
            None => Callouts::None,
            Some(call) if is_lookup => Callouts::Lookup(Rc::clone(call)),
            Some(_) => Callouts::Kills(calls),
        };
        Ok((callouts, Outcome { requirements, ended, ..outcome }))
    }

    /// Evaluates each requirement of the rule on the session.
    fn requirements(
        &self,
        assumed: &AssumedSession,
        call: &CallRequest,
        environment: &LocalEnvironment,
    ) -> Vec<RequirementResult> {
        let now_ms = || self.now_ms;
        let client = || environment.client_address();
        let (Some(rule), AssumedSession::Active(session)) = (self.rule, assumed) else { return Vec::new() };
        let Lookup::Active(session) = body::lookup(session.as_bytes()) else { return Vec::new() };
        let Some(token) = Token::parse(call.token().as_bytes(), &now_ms) else { return Vec::new() };
        // Beyond a limit it counts as none, also in shadow mode, where it is not ended.
        if self.config.limits.exceeded_by(&session, &token, self.now_ms) {
            return Vec::new();
        }
        let facts = Facts { session: &session, token: &token, now_ms: &now_ms, client: &client };
        let results = rule.require.iter().map(|requirement| RequirementResult {
            requirement: requirement.to_string(),
            holds: requirement.holds(facts),
            found: requirement.found(facts),
        });
        results.collect()
    }
}
