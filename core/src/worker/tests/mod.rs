//! The rules of a worker, each driven by events and read from actions.
//!
//! A [`Site`] is a configuration. Each of its requests gets a worker of its own, so that no request depends on another.
//! Tests of several requests drive a [`Shell`].

mod arrival;
mod completions;
mod decision;
mod idle;
mod limits;
mod login;
mod logout;
mod mutations;
mod pending_bytes;
mod property;
mod recheck;
mod refused;
mod require;
mod response;
mod responses;
mod several_tokens;
mod shadow;
mod shell;
mod watch;
mod workers;

use std::rc::Rc;

use serde_json::{Value, json};

use self::responses::{Response, killed, none, session, session_with};
use self::shell::Shell;
use crate::action::{Action, HeaderMap, StreamRef};
use crate::config::Config;
use crate::http::change::HeaderChange;
use crate::http::local_reply::LocalReply;
use crate::session::token::tests::{NOW_MS, token_made_at};
use crate::telemetry::{Counter, FilterState, Outcome};

/// The default of `rest_sessions.max_in_flight`.
const MAX_IN_FLIGHT: u64 = 256;

/// The limit of kills in flight that follows from it.
const MAX_KILLS_IN_FLIGHT: u64 = 64;

struct Site {
    config: Rc<Config>,
}

/// A configuration with these keys.
fn site(changes: Value) -> Site {
    let base = json!({"app": "myapp", "rest_sessions": {"cluster": "rs"}, "filter_state": true});
    let config = with(base, changes);
    let config = Config::parse(config.to_string().as_bytes()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    Site { config: Rc::new(config) }
}

/// The object with further keys, or other values for its own.
fn with(mut object: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("{changes} is no object") };
    object.as_object_mut().unwrap().extend(changes);
    object
}

/// What a request leads to.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// It goes on, without the headers of these names, and with these added.
    Forward(Vec<String>, Vec<(String, String)>),
    /// A local reply with this status and error code.
    Reply(u16, String),
    /// A redirect with this status and location.
    Redirect(u16, String),
    AwaitsLookup,
    /// So many sessions are to be ended.
    AwaitsKills(usize),
}

/// A request, and the worker that handles it.
struct Handled {
    shell: Shell,
    stream: StreamRef,
}

impl Site {
    fn shell(&self) -> Shell {
        Shell::new(&self.config)
    }

    fn begin(&self, headers: &[(&str, &str)]) -> Handled {
        let mut shell = self.shell();
        let stream = shell.request(headers);
        Handled { shell, stream }
    }

    fn verdict(&self, headers: &[(&str, &str)]) -> Verdict {
        self.begin(headers).verdict()
    }

    fn path(&self, path: &str) -> Verdict {
        self.verdict(&[(":path", path)])
    }

    /// A request with a token and these headers, after its lookup.
    fn settle_with(&self, headers: &[(&str, &str)], response: &Response) -> Handled {
        let cookie = cookie(42_000);
        let headers = [&[("cookie", cookie.as_str()), (":path", "/somewhere")], headers].concat();
        let mut shell = self.shell();
        match response {
            Response::NotDispatched => shell.refuses_dispatches = true,
            Response::Busy => exhaust_calls_in_flight(&mut shell, "session-cookie", 0),
            _ => {}
        }
        let earlier = shell.outcomes();
        let stream = shell.request(&headers);
        let handled = Handled { shell, stream };
        if let Response::NotDispatched | Response::Busy = response {
            assert_eq!(handled.shell.outcomes().len(), earlier.len() + 1, "it is decided at once");
            return handled;
        }
        assert_eq!(handled.outcomes(), [], "it is not decided before the response");
        handled.after(response)
    }

    fn settle(&self, response: &Response) -> Handled {
        self.settle_with(&[], response)
    }
}

impl Handled {
    /// The response to its oldest call comes.
    fn after(mut self, response: &Response) -> Self {
        self.shell.respond_to(self.stream, response);
        self
    }

    fn verdict(&self) -> Verdict {
        if let Some(reply) = self.reply() {
            return replied(reply);
        }
        if !self.actions().any(|action| matches!(action, Action::ContinueRequest)) {
            let calls: Vec<_> = self.shell.calls.iter().filter(|call| call.stream == Some(self.stream)).collect();
            return match calls.first().expect("a request that does not go on waits for a call").request.method() {
                "GET" => Verdict::AwaitsLookup,
                _ => Verdict::AwaitsKills(calls.len()),
            };
        }
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for change in self.changes(HeaderMap::RequestHeaders) {
            match change {
                HeaderChange::Remove(name) => removed.push(text(name)),
                HeaderChange::Add(name, value) | HeaderChange::Replace(name, value) => {
                    added.push((text(name), text(value)));
                }
            }
        }
        Verdict::Forward(removed, added)
    }

    fn actions(&self) -> impl Iterator<Item = &Action> {
        self.shell.actions(self.stream)
    }

    fn changes(&self, map: HeaderMap) -> impl Iterator<Item = &HeaderChange> {
        self.actions().filter_map(move |action| match action {
            Action::ChangeHeader(other, change) if *other == map => Some(change),
            _ => None,
        })
    }

    fn reply(&self) -> Option<&LocalReply> {
        self.actions().find_map(|action| if let Action::Reply(reply) = action { Some(reply) } else { None })
    }

    fn counters(&self) -> Vec<Counter> {
        self.actions()
            .filter_map(|action| if let Action::Count(counter) = action { Some(*counter) } else { None })
            .collect()
    }

    fn outcomes(&self) -> Vec<Outcome> {
        let outcome = |counter| if let Counter::Outcome(outcome) = counter { Some(outcome) } else { None };
        self.counters().into_iter().filter_map(outcome).collect()
    }

    fn filter_state(&self, key: FilterState) -> Option<&str> {
        self.actions().find_map(|action| match action {
            Action::FilterState(other, value) if *other == key => Some(value.as_str()),
            _ => None,
        })
    }

    /// The values of a header of the local reply.
    fn reply_header(&self, name: &str) -> Vec<&str> {
        let headers = self.reply().into_iter().flat_map(|reply| &reply.headers);
        headers.filter(|(other, _)| *other == name).map(|(_, value)| value.as_str()).collect()
    }
}

fn replied(reply: &LocalReply) -> Verdict {
    if let Some((_, location)) = reply.headers.iter().find(|(name, _)| *name == "location") {
        return Verdict::Redirect(reply.status, location.clone());
    }
    if reply.body.is_empty() {
        return Verdict::Reply(reply.status, String::new());
    }
    let body: Value = serde_json::from_str(reply.body).unwrap();
    Verdict::Reply(reply.status, body["error"].as_str().unwrap().to_owned())
}

/// Makes calls for other tokens in this cookie, until `free` further ones are admitted.
fn exhaust_calls_in_flight(shell: &mut Shell, cookie: &str, free: u64) {
    let in_flight = u64::try_from(shell.calls.len()).unwrap();
    for number in in_flight..MAX_IN_FLIGHT - free {
        let token = token_made_at(NOW_MS - 1_000_000 - number);
        shell.request(&[("cookie", &format!("{cookie}={token}")), (":path", "/somewhere")]);
    }
    assert_eq!(u64::try_from(shell.calls.len()), Ok(MAX_IN_FLIGHT - free));
}

/// Begins logouts with other tokens in this cookie, until `free` further kills are admitted.
fn exhaust_kills_in_flight(shell: &mut Shell, cookie: &str, free: u64) {
    let before = shell.calls.len();
    for number in 0..MAX_KILLS_IN_FLIGHT - free {
        let cookie = format!("{cookie}={}", token_made_at(NOW_MS - 2_000_000 - number));
        shell.request(&[("cookie", &cookie), (":path", "/logout"), (":method", "POST")]);
    }
    assert_eq!(u64::try_from(shell.calls.len() - before), Ok(MAX_KILLS_IN_FLIGHT - free));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A cookie with a token that was made so long ago.
fn cookie(age_ms: u64) -> String {
    format!("session-cookie={}", token_made_at(NOW_MS - age_ms))
}

fn forward(added: &[(&str, &str)]) -> Verdict {
    let added = added.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Verdict::Forward(vec![], added.collect())
}

/// It goes on as it came.
fn unchanged() -> Verdict {
    forward(&[])
}

fn reply(status: u16, code: &str) -> Verdict {
    Verdict::Reply(status, code.to_owned())
}

/// 401, since there is no session.
fn denied() -> Verdict {
    reply(401, "session_required")
}

/// How browsers with Fetch Metadata request a page.
const NAVIGATION: [(&str, &str); 2] = [("sec-fetch-mode", "navigate"), ("accept", "text/html,*/*;q=0.8")];
