//! A request's way through the filter: the filter's own code is driven here as its shell drives it, with an answer of
//! rest-sessions that is made up.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};

use rest_sessions_core::cache::board::OwnBoard;
use rest_sessions_core::cache::desk::{Asked, Desk, Note, Wanted};
use rest_sessions_core::cache::flights::{Airborne, Waiter};
use rest_sessions_core::cache::trip::Who;
use rest_sessions_core::config::Config;
use rest_sessions_core::exchange::{self, AwaitKills, AwaitSession, Effect, Start, Step, Surroundings, Verdict};
use rest_sessions_core::http::headers::Headers;
use rest_sessions_core::policy::requirements::Facts;
use rest_sessions_core::policy::rules::Rule;
use rest_sessions_core::rest_sessions::request::{self, Call};
use rest_sessions_core::session::lookup::Lookup;

use super::outcome::{Outcome, RequirementShown};
use super::request::Request;
use super::session::Assumed;

/// All that a request's way depends on.
pub struct Course<'a> {
    pub config: &'a Config,
    pub request: &'a Request,
    pub headers: &'a Headers,
    pub client: IpAddr,
    pub now_ms: u64,
}

/// What has to be known for a request to go on.
pub enum Needs {
    Nothing,
    Session(Call),
    Kills(Vec<Call>),
}

const WHO: Who = Who { stream: 1, ticket: 1 };

impl Course<'_> {
    /// What the request leads to, if rest-sessions answers like this, and what it is asked.
    ///
    /// # Errors
    ///
    /// If the filter does what a shell could not carry out either.
    pub fn run(&self, assumed: &Assumed) -> Result<(Needs, Outcome), String> {
        let digest_key = RandomState::new();
        let client = || Some(SocketAddr::new(self.client, 0).to_string().into_bytes());
        let now_ms = || self.now_ms;
        let around = Surroundings { config: self.config, now_ms: &now_ms, client: &client, digest_key: &digest_key };
        let Step { effects, next } = exchange::request_headers(around, self.headers, self.request.has_no_body());
        match next {
            Start::Decided(verdict) => Ok((Needs::Nothing, self.outcome(None, effects, verdict))),
            Start::Ask(exchange) => self.ask(around, exchange, effects, assumed),
            Start::End(exchange) => Ok(self.end(around, exchange, effects, assumed)),
        }
    }

    fn outcome(&self, assumed: Option<&Assumed>, effects: Vec<Effect>, verdict: Verdict) -> Outcome {
        Outcome::of(self.config, self.headers, assumed.map(Assumed::word), effects, verdict)
    }

    fn ask(
        &self,
        around: Surroundings<'_>,
        exchange: AwaitSession,
        mut effects: Vec<Effect>,
        assumed: &Assumed,
    ) -> Result<(Needs, Outcome), String> {
        let rule = exchange.rule();
        let (lookup, ended) = self.look_up(rule, &exchange, assumed)?;
        let call = request::lookup(&rule.backend.service, &rule.backend.namespace.app, exchange.token(), self.headers);
        let requirements = match &lookup {
            Lookup::Active(session) => {
                let facts = Facts { session, token: exchange.token(), now_ms: around.now_ms, client: around.client };
                let shown = rule.require.iter().map(|requirement| RequirementShown {
                    requirement: requirement.to_string(),
                    holds: requirement.holds(facts),
                    found: requirement.found(facts),
                });
                shown.collect()
            }
            Lookup::None | Lookup::Failed(_) => Vec::new(),
        };
        let Step { effects: more, next } = exchange.session(around, self.headers, &lookup);
        effects.extend(more);
        let outcome = self.outcome(Some(assumed), effects, next);
        Ok((Needs::Session(call), Outcome { requirements, ended, ..outcome }))
    }

    /// What the filter makes of the answer, and whether it ends the session, since it is beyond a limit.
    fn look_up(&self, rule: &Rule, exchange: &AwaitSession, assumed: &Assumed) -> Result<(Lookup, bool), String> {
        let secret = RandomState::new();
        let random = [0, 1, 2, 3].map(|number| secret.hash_one(number));
        let unexpected = || "the filter asked for a session in a way that is not known here".to_owned();
        let mut desk = Desk::new(self.config.cache.as_ref(), self.config.limits, OwnBoard::default(), random)
            .map_err(|_| unexpected())?;
        let waiter = Waiter {
            who: WHO,
            oldest_ms: rule.max_staleness_ms.unwrap_or(u64::MAX),
            deadline_ms: self.now_ms.saturating_add(rule.backend.service.timeout_ms),
            shadow: rule.shadow,
        };
        let note = |_: Note<'_>| {};
        let wanted = Wanted { rule, token: exchange.token().clone() };
        let Asked::Call(flight) = desk.ask(wanted, waiter, self.headers, self.now_ms, &note) else {
            return Err(unexpected());
        };
        desk.departed(1, Airborne::Flight(flight));
        let Some(Airborne::Flight(flight)) = desk.landed(1) else { return Err(unexpected()) };
        let mut settled = desk.answered(*flight, &assumed.answer(), self.now_ms, &note);
        let (_, lookup) = settled.told.pop().ok_or_else(unexpected)?;
        Ok((lookup, settled.end.is_some()))
    }

    fn end(
        &self,
        around: Surroundings<'_>,
        mut exchange: AwaitKills,
        mut effects: Vec<Effect>,
        assumed: &Assumed,
    ) -> (Needs, Outcome) {
        let rule = exchange.rule();
        let kill = |token| request::kill(&rule.backend.service, &rule.backend.namespace.app, token, self.headers);
        let calls: Vec<Call> = exchange.tokens().iter().map(kill).collect();
        for _ in &calls {
            exchange.killed(assumed.killed());
        }
        let Step { effects: more, next } = exchange.conclude(around, self.headers);
        effects.extend(more);
        let assumed = (!calls.is_empty()).then_some(assumed);
        let needs = if calls.is_empty() { Needs::Nothing } else { Needs::Kills(calls) };
        (needs, self.outcome(assumed, effects, next))
    }
}
