//! What the host has seen: metrics, log lines, refusals.

use super::invariants::PREFIX;
use super::state::{Level, Metric, with};
use super::vm::Vm;

impl Vm {
    /// A counter's value, by its name after the filter's prefix.
    pub fn counter(&self, name: &str) -> u64 {
        match self.metric(name) {
            Metric::Counter(value) => value,
            other => panic!("{name} is no counter: {other:?}"),
        }
    }

    pub fn gauge(&self, name: &str) -> u64 {
        match self.metric(name) {
            Metric::Gauge(value) => value,
            other => panic!("{name} is no gauge: {other:?}"),
        }
    }

    pub fn histogram(&self, name: &str) -> Vec<u64> {
        match self.metric(name) {
            Metric::Histogram(values) => values,
            other => panic!("{name} is no histogram: {other:?}"),
        }
    }

    fn metric(&self, name: &str) -> Metric {
        let full = format!("{}{name}", PREFIX);
        with(|host| host.metrics.get(&full).cloned()).unwrap_or_else(|| panic!("no metric {full} was defined"))
    }

    /// Every counter that is not zero, by its name after the filter's prefix.
    pub fn counters(&self) -> Vec<(String, u64)> {
        with(|host| {
            let counted = host.metrics.iter().filter_map(|(name, metric)| match metric {
                Metric::Counter(value) if *value > 0 => Some((name.trim_start_matches(PREFIX).to_owned(), *value)),
                _ => None,
            });
            counted.collect()
        })
    }

    pub fn metric_names(&self) -> Vec<String> {
        with(|host| host.metrics.keys().cloned().collect())
    }

    pub fn log(&self) -> Vec<(Level, String)> {
        with(|host| host.log.clone())
    }

    /// Log lines of one level.
    pub fn log_at(&self, level: Level) -> Vec<String> {
        self.log().into_iter().filter(|(l, _)| *l == level).map(|(_, line)| line).collect()
    }

    /// What the host refused: maps and buffers that were not there, calls that could not be sent, contexts gone.
    pub fn refusals(&self) -> Vec<String> {
        with(|host| host.refusals.clone())
    }

    /// What the filter did wrong so far; these do not fail the test any more.
    pub fn take_violations(&mut self) -> Vec<String> {
        with(|host| std::mem::take(&mut host.violations))
    }
}
