//! Reads what the filter reported: metrics, log lines, and host calls that were refused or wrong.

use super::invariants::PREFIX;
use super::state::{Level, Metric, with_host};
use super::vm::Vm;

impl Vm {
    /// A counter's value, by its name without the filter's prefix.
    pub fn counter(&self, name: &str) -> u64 {
        match self.metric(name) {
            Metric::Counter(value) => value,
            other => panic!("{name} was defined as another type than counter: {other:?}"),
        }
    }

    pub fn gauge(&self, name: &str) -> u64 {
        match self.metric(name) {
            Metric::Gauge(value) => value,
            other => panic!("{name} was defined as another type than gauge: {other:?}"),
        }
    }

    pub fn histogram(&self, name: &str) -> Vec<u64> {
        match self.metric(name) {
            Metric::Histogram(values) => values,
            other => panic!("{name} was defined as another type than histogram: {other:?}"),
        }
    }

    fn metric(&self, name: &str) -> Metric {
        let full = format!("{}{name}", PREFIX);
        with_host(|host| host.metrics.get(&full).cloned()).unwrap_or_else(|| panic!("the metric {full} is not defined"))
    }

    /// The counters above zero, by name without the filter's prefix.
    pub fn counters(&self) -> Vec<(String, u64)> {
        with_host(|host| {
            let counted = host.metrics.iter().filter_map(|(name, metric)| match metric {
                Metric::Counter(value) if *value > 0 => Some((name.trim_start_matches(PREFIX).to_owned(), *value)),
                _ => None,
            });
            counted.collect()
        })
    }

    pub fn metric_names(&self) -> Vec<String> {
        with_host(|host| host.metrics.keys().cloned().collect())
    }

    /// How often a metric was defined, also again under the same name.
    pub fn metric_definitions(&self) -> usize {
        with_host(|host| host.metric_names.len())
    }

    pub fn log(&self) -> Vec<(Level, String)> {
        with_host(|host| host.log.clone())
    }

    /// The log lines of one level.
    pub fn log_at(&self, level: Level) -> Vec<String> {
        self.log().into_iter().filter(|(l, _)| *l == level).map(|(_, line)| line).collect()
    }

    /// Host calls that the host refused: absent maps and buffers, calls that cannot be sent, contexts that are gone.
    pub fn refusals(&self) -> Vec<String> {
        with_host(|host| host.refusals.clone())
    }

    /// Takes the violations recorded so far; they no longer fail the test.
    pub fn take_violations(&mut self) -> Vec<String> {
        with_host(|host| std::mem::take(&mut host.violations))
    }
}
