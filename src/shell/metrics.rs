//! The metrics as the host knows them.

use proxy_wasm::types::MetricType;

use super::host::{self, Refused};
use crate::telemetry::{CALL_DURATION, Counter, IN_FLIGHT};

pub struct Metrics {
    counters: [u32; Counter::ALL.len()],
    in_flight: u32,
    call_duration: u32,
}

impl Metrics {
    /// Defines every metric, so that each is there at zero before anything happens.
    pub fn define() -> Result<Self, Refused> {
        let mut counters = [0; Counter::ALL.len()];
        for (id, counter) in counters.iter_mut().zip(Counter::ALL) {
            *id = host::define_metric(MetricType::Counter, counter.name())?;
        }
        Ok(Self {
            counters,
            in_flight: host::define_metric(MetricType::Gauge, IN_FLIGHT)?,
            call_duration: host::define_metric(MetricType::Histogram, CALL_DURATION)?,
        })
    }

    pub fn count(&self, counter: Counter) {
        let place = Counter::ALL.into_iter().position(|other| other == counter);
        if let Some(id) = place.and_then(|place| self.counters.get(place)) {
            shown(host::increment_metric(*id, 1));
        }
    }

    pub fn call_began(&self) {
        shown(host::increment_metric(self.in_flight, 1));
    }

    /// The host gave calls up: they are under way no more, and took no time that could be told.
    pub fn calls_abandoned(&self, count: usize) {
        shown(host::increment_metric(self.in_flight, i64::try_from(count).unwrap_or(i64::MAX).saturating_neg()));
    }

    pub fn call_ended(&self, duration_ms: u64) {
        shown(host::increment_metric(self.in_flight, -1));
        shown(host::record_metric(self.call_duration, duration_ms));
    }
}

/// A metric that the host does not take is no reason to treat a request otherwise.
fn shown(outcome: Result<(), Refused>) {
    if let Err(refused) = outcome {
        log::debug!("event=metric_refused status={refused:?}");
    }
}
