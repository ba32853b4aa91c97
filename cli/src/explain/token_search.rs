//! The token sources of a rule, and why their values are not usable. Values themselves are never shown.

use rest_sessions_core::http::headers::{Headers, Known};
use rest_sessions_core::policy::rules::Rule;
use rest_sessions_core::policy::token_source::{RequestView, Source};
use rest_sessions_core::session::token::Token;
use serde::Serialize;

use crate::token::why_invalid;

/// A token source, and the values in it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct SearchedSource {
    pub source: String,
    /// Why each value is not used. Empty if the request has no value there.
    pub found: Vec<String>,
}

/// The token sources of a rule, in order.
#[must_use]
pub fn searched_sources(rule: &Rule, headers: &Headers, now_ms: u64) -> Vec<SearchedSource> {
    // As in a WebSocket upgrade: a token in a query is reported even where the filter does not read it.
    let target = headers.first_known(Known::Path).unwrap_or_default();
    let view = RequestView { headers, target, websocket: true };
    let searched = |source: &Source| {
        let mut found = Vec::new();
        source.each_value(view, &mut |value| found.push(describe(value, now_ms)));
        SearchedSource { source: source.to_string(), found }
    };
    rule.sources.iter().map(searched).collect()
}

fn describe(value: &[u8], now_ms: u64) -> String {
    if Token::parse(value, &|| now_ms).is_some() {
        return "a well-formed token that is not used: the source has more than four different ones, or it is a query \
                parameter, which is read for WebSocket upgrades only"
            .to_owned();
    }
    // The second line, the creation time, is left out.
    let reason = why_invalid(&String::from_utf8_lossy(value), now_ms);
    reason.lines().next().unwrap_or_default().to_owned()
}
