//! The invariants that hold at the end of every test.

use test_support::outcomes::OUTCOMES;

use super::state::{Metric, with_host};

pub const PREFIX: &str = "rest_sessions.";

/// A run of this many characters of a token counts as a leak. A digest of a token shares no such run with it.
const LEAK_LENGTH: usize = 12;

/// Streams that are paused with nothing left to resume them. To be called before the host closes open streams.
pub fn paused_streams() -> Vec<String> {
    with_host(|host| {
        let stuck = host.streams.iter().filter(|stream| {
            stream.alive && (stream.request.paused || stream.response.paused) && !stream.may_stay_paused
        });
        stuck.map(|stream| format!("context {} is paused and nothing will resume it", stream.context)).collect()
    })
}

/// Memory that counts as held although no stream and no call is left. To be called before the roots are gone.
pub fn leaked_memory() -> Option<String> {
    with_host(|host| match host.metrics.get(&format!("{PREFIX}pending_bytes")) {
        Some(Metric::Gauge(bytes)) if *bytes != 0 && host.calls.is_empty() => {
            Some(format!("{bytes} bytes are counted as pending, and nothing is"))
        }
        _ => None,
    })
}

/// Violations of the ABI, miscounted requests and leaked tokens. To be called after every stream is gone.
pub fn violations(checks_filter_contract: bool) -> Vec<String> {
    with_host(|host| {
        let mut faults = std::mem::take(&mut host.violations);
        let value = |name: &str| match host.metrics.get(&format!("{PREFIX}{name}")) {
            Some(Metric::Counter(value)) => *value,
            _ => 0,
        };
        let outcomes: Vec<_> =
            OUTCOMES.iter().map(|name| (*name, value(name))).filter(|(_, count)| *count > 0).collect();
        let counted: u64 = outcomes.iter().map(|(_, count)| count).sum();
        if checks_filter_contract && counted != host.requests {
            faults.push(format!(
                "{} requests were counted {counted} times, once each was expected: {outcomes:?}",
                host.requests
            ));
        }
        let gauges = host.metrics.iter().filter_map(|(name, metric)| match metric {
            Metric::Gauge(value) if *value != 0 && !name.ends_with("ends_epoch") => Some((name, value)),
            _ => None,
        });
        if checks_filter_contract {
            faults.extend(gauges.map(|(name, value)| format!("the gauge {name} is {value} although all is gone")));
        }
        faults.extend(leaked_tokens(host));
        faults
    })
}

/// The places that show a token: log lines, metric names, shared data keys, filter state and local replies.
fn leaked_tokens(host: &super::state::Host) -> Vec<String> {
    let lines = host.log.iter().map(|(level, line)| (format!("a log line at {level:?}"), line.clone()));
    let metrics = host.metrics.keys().map(|name| ("the name of a metric".to_owned(), name.clone()));
    let shared =
        host.shared.keys().map(|key| ("a key of shared data".to_owned(), String::from_utf8_lossy(key).into_owned()));
    let state = host.streams.iter().flat_map(|stream| {
        stream
            .filter_state
            .iter()
            .map(|(name, value)| (format!("the filter state {name}"), String::from_utf8_lossy(value).into_owned()))
    });
    let replies = host.streams.iter().filter_map(|stream| stream.reply.as_ref()).map(|reply| {
        (
            "a local reply".to_owned(),
            format!("{} {}", String::from_utf8_lossy(&reply.body), String::from_utf8_lossy(&reply.details)),
        )
    });
    let places: Vec<_> = lines.chain(metrics).chain(shared).chain(state).chain(replies).collect();
    let shows = |text: &str, secret: &str| {
        (0..=secret.len() - LEAK_LENGTH)
            .any(|at| secret.get(at..at + LEAK_LENGTH).is_some_and(|chunk| text.contains(chunk)))
    };
    let found = places.iter().filter(|(_, text)| host.tokens.iter().any(|secret| shows(text, secret)));
    found.map(|(place, text)| format!("{place} shows a token: {text:?}")).collect()
}
