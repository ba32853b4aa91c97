//! The log: this program's own events on standard error, as text or as JSON.

use std::io::{IsTerminal, stderr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::options::LogFormat;

/// Starts the log. Libraries may log what they send and receive, which contains tokens, so their events are left out.
pub fn start(level: LevelFilter, format: LogFormat) {
    let lines = fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal()).with_target(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_ansi(false).boxed(),
    };
    let ours = Targets::new().with_target("rest_sessions", level);
    tracing_subscriber::registry().with(lines).with(ours).init();
}
