//! The sessions of a run, and what rest-sessions would say of them.

use rest_sessions_core::rest_sessions::request::CallRequest;
use rest_sessions_core::rest_sessions::response::{Body, CalloutResponse};

use crate::event::Answer;

/// When a run begins, in milliseconds since 1970.
pub const START_MS: u64 = 1_760_000_000_000;

/// Each has a session at first, but the last.
pub const TOKENS: usize = 5;

/// Sessions that end and never come back.
pub struct Store {
    pub tokens: Vec<String>,
    is_alive: Vec<bool>,
}

impl Store {
    pub fn new() -> Self {
        let made_at = |number: u64| test_support::token::created_at("aB3", START_MS - 60_000 - number);
        let tokens: Vec<_> = (0..TOKENS as u64).map(made_at).collect();
        Self { is_alive: (0..TOKENS).map(|number| number + 1 < TOKENS).collect(), tokens }
    }

    pub fn number_of(&self, token: &str) -> usize {
        self.tokens.iter().position(|known| known == token).expect("a call is about a token that a request carried")
    }

    pub fn user(number: usize) -> String {
        format!("user-{number}")
    }

    pub fn end(&mut self, number: usize) {
        self.is_alive[number] = false;
    }

    /// Does what a call asks, and answers it. The second value is the number of a session that the answer says is active.
    pub fn answer(&mut self, call: &CallRequest, answer: Answer) -> (CalloutResponse, Option<usize>) {
        let complete =
            |status, from_service, body| CalloutResponse::Complete { status, from_service, max_idle_s: None, body };
        let read = |text: &str| complete(200, true, Body::Read(text.as_bytes().to_vec()));
        let idle = match answer {
            Answer::True => 0,
            Answer::Idle => 3,
            Answer::Status(status) => return (complete(status % 600, true, Body::Read(vec![])), None),
            Answer::Malformed => return (read(r#"{"id":7}"#), None),
            Answer::TooLarge => return (complete(200, true, Body::TooLarge), None),
            Answer::Timeout => return (complete(504, false, Body::Read(vec![])), None),
            Answer::Reset => return (CalloutResponse::Reset, None),
        };
        let number = self.number_of(call.token());
        if call.method() == "DELETE" {
            let was_alive = std::mem::replace(&mut self.is_alive[number], false);
            return (read(&format!(r#"{{"kill":{}}}"#, u8::from(was_alive))), None);
        }
        if !self.is_alive[number] {
            return (read("{}"), None);
        }
        let user = Self::user(number);
        (read(&format!(r#"{{"id":"{user}","ttl":7200,"idle":{idle},"d":{{"a":1}}}}"#)), Some(number))
    }
}
