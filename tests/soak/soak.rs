//! What all clients share: where to send requests, what may become of them, and when to stop.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use test_support::http1::Request;

use crate::failures::Failures;
use crate::harness::sessions::APP;
use crate::ledger::{Ledger, Session, TTL, micros, now};
use crate::tally::{Counts, Tally};
use crate::wire::{self, Answer};

pub struct Soak {
    pub ledger: Arc<Ledger>,
    pub failures: Arc<Failures>,
    pub tally: Tally,
    pub envoy: SocketAddr,
    pub rest_sessions: SocketAddr,
    pub h2load: PathBuf,
    pub duration: Duration,
}

/// What may become of requests.
#[derive(Clone, Copy)]
pub enum Expect<'s> {
    /// Passes while this session lives.
    Live(&'s Session),
    /// Two sessions: refused while both live.
    Conflict([&'s Session; 2]),
    /// Has no session.
    Stranger,
    /// Is refused without a lookup.
    Junk,
    /// Needs no session.
    Open,
    /// Logs out.
    Logout,
}

impl Soak {
    pub fn is_over(&self) -> bool {
        self.failures.is_stopping() || self.failures.elapsed() >= self.duration
    }

    /// Creates a session. `None` while its store is down.
    pub fn create(&self) -> Option<Arc<Session>> {
        let (number, born) = (self.ledger.next_number(), now());
        let target = format!("/{APP}/create/s{number}?ip=192.168.99.22&ttl=7200");
        match self.call("PUT", &target) {
            Ok(answer) if answer.status == 200 => {
                let created: Value = serde_json::from_str(&answer.body).expect("rest-sessions answers in JSON");
                let token = created["token"].as_str().expect("a created session has a token").to_owned();
                self.ledger.add(number, token, born)
            }
            other => {
                if self.ledger.is_calm(born, now()) {
                    let other = other.map(|answer| answer.status);
                    self.failures.report(&format!("rest-sessions did not create s{number}, but: {other:?}"));
                }
                // Not at full speed: the store is down.
                self.failures.pace(self.failures.elapsed() + Duration::from_millis(20));
                None
            }
        }
    }

    /// Ends a session behind Envoy's back.
    pub fn kill(&self, session: &Session) {
        session.begin_end();
        let began = now();
        match self.call("DELETE", &format!("/{APP}/kill/{}", session.token)) {
            Ok(answer) if answer.status == 200 => {
                session.ended("it was killed at rest-sessions", now() + micros(TTL));
            }
            other if self.ledger.is_calm(began, now()) => {
                let other = other.map(|answer| answer.status);
                self.failures.report(&format!("rest-sessions did not kill s{}, but: {other:?}", session.number));
            }
            // Whether it has ended is unknown.
            _ => {}
        }
    }

    /// Logs a session out at Envoy.
    pub fn log_out(&self, session: &Session) {
        session.begin_end();
        let request = Request::new("POST", "/logout").session(&session.token);
        if self.ask("logout", &request, Expect::Logout) == Some(204) {
            session.ended("its logout was answered", now());
        }
    }

    /// Sends a request to Envoy, checks its status, and returns it.
    pub fn ask(&self, kind: &str, request: &Request, expect: Expect) -> Option<u16> {
        let began = now();
        let outcome = wire::exchange(self.envoy, request).map(|answer| answer.status);
        self.judge(kind, request, expect, began, &outcome);
        outcome.ok()
    }

    /// Counts and checks the outcome of one request.
    pub fn judge(&self, kind: &str, request: &Request, expect: Expect, began: u64, outcome: &io::Result<u16>) {
        let counts = outcome.as_ref().ok().and_then(|status| Counts::one(*status));
        let Some(counts) = counts else {
            self.failures.report(&format!("{kind}: a request got {outcome:?}:\n{request}"));
            return;
        };
        self.tally.add(kind, counts);
        self.check(kind, request, expect, began, counts);
    }

    /// Checks the outcomes of requests that were all sent between `began` and now.
    pub fn check(&self, kind: &str, request: &Request, expect: Expect, began: u64, counts: Counts) {
        let calm = self.ledger.is_calm(began, now());
        let (may_pass, may_be_refused, may_fail) = match expect {
            Expect::Live(session) => (true, session.is_ending(), !calm),
            Expect::Conflict(sessions) => (sessions.iter().any(|session| session.is_ending()), true, !calm),
            Expect::Stranger => (false, true, !calm),
            Expect::Junk => (false, true, false),
            Expect::Open => (true, false, false),
            Expect::Logout => (true, false, !calm),
        };
        let Counts { passed, refused, failed, .. } = counts;
        for (may, count, what) in
            [(may_pass, passed, "passed"), (may_be_refused, refused, "got 401"), (may_fail, failed, "got 503")]
        {
            if !may && count > 0 {
                let sum = counts.sum();
                self.failures.report(&format!("{kind}: {count} of {sum} requests wrongly {what}:\n{request}"));
            }
        }
    }

    fn call(&self, method: &str, target: &str) -> io::Result<Answer> {
        let request = Request::new(method, target).host(&self.rest_sessions.to_string());
        wire::exchange(self.rest_sessions, &request)
    }
}

/// Identity headers that a client made up, some in spellings that servers read alike.
pub const FORGED_HEADERS: [(&str, &str); 5] = [
    ("X-Session-User", "forged"),
    ("x_session_user", "forged"),
    ("x-session-data", r#"{"forged":1}"#),
    ("x-session-set", r#"{"forged":1}"#),
    ("x-session-kill", "forged"),
];
