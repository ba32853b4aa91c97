//! Where a token was looked for in vain, and what stands there instead; never the value itself.

use rest_sessions_core::http::headers::{Headers, Known};
use rest_sessions_core::policy::rules::Rule;
use rest_sessions_core::policy::token_source::{RequestView, Source};
use rest_sessions_core::session::token::Token;
use serde::Serialize;

use crate::token::flaw;

/// A place that may hold a token.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    pub source: String,
    /// What is wrong with each value that stands there; none, where nothing does.
    pub found: Vec<String>,
}

/// The places where a rule looks for a token.
#[must_use]
pub fn places(rule: &Rule, headers: &Headers, now_ms: u64) -> Vec<Place> {
    // As of a WebSocket: a token in a query that is not read is worth telling.
    let target = headers.first_known(Known::Path).unwrap_or_default();
    let view = RequestView { headers, target, websocket: true };
    let place = |source: &Source| {
        let mut found = Vec::new();
        source.each_value(view, &mut |value| found.push(judged(value, now_ms)));
        Place { source: source.to_string(), found }
    };
    rule.sources.iter().map(place).collect()
}

fn judged(value: &[u8], now_ms: u64) -> String {
    if Token::parse(value, &|| now_ms).is_some() {
        return "a well-formed token, which does not count: another one stands beside it, or it is in a query, which is \
                read of WebSocket upgrades alone"
            .to_owned();
    }
    // When it was made does not matter here.
    let flaw = flaw(&String::from_utf8_lossy(value), now_ms);
    flaw.lines().next().unwrap_or_default().to_owned()
}
