//! The metrics as the host knows them.

use proxy_wasm::types::MetricType;

use crate::host::{self, Refused};
use rest_sessions_core::telemetry::{CACHE_BYTES, CACHE_ENTRIES, CALL_DURATION, Counter, ENDS_EPOCH, IN_FLIGHT};

pub struct Metrics {
    counters: [u32; Counter::ALL.len()],
    in_flight: u32,
    cache_bytes: u32,
    cache_entries: u32,
    ends_epoch: u32,
    call_duration: u32,
}

impl Metrics {
    /// Defines every metric, so that each is there at zero before anything happens.
    pub fn define() -> Result<Self, Refused> {
        let mut counters = [0; Counter::ALL.len()];
        for (id, counter) in counters.iter_mut().zip(Counter::ALL) {
            *id = host::define_metric(MetricType::Counter, counter.name())?;
        }
        let gauge = |name| host::define_metric(MetricType::Gauge, name);
        Ok(Self {
            counters,
            in_flight: gauge(IN_FLIGHT)?,
            cache_bytes: gauge(CACHE_BYTES)?,
            cache_entries: gauge(CACHE_ENTRIES)?,
            ends_epoch: gauge(ENDS_EPOCH)?,
            call_duration: host::define_metric(MetricType::Histogram, CALL_DURATION)?,
        })
    }

    #[inline(always)]
    pub fn count(&self, counter: Counter) {
        if let Some(id) = self.counters.get(counter.index()) {
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

    /// This worker's cache grew or shrank by so much.
    pub fn cache_changed(&self, bytes_delta: i64, entries_delta: i64) {
        for (gauge, delta) in [(self.cache_bytes, bytes_delta), (self.cache_entries, entries_delta)] {
            if delta != 0 {
                shown(host::increment_metric(gauge, delta));
            }
        }
    }

    /// The number that every end of a session changes.
    pub fn ends_epoch(&self) -> Result<u64, Refused> {
        host::get_metric(self.ends_epoch)
    }

    /// Tells all workers that a session has ended.
    pub fn raise_ends_epoch(&self, by: u32) -> Result<(), Refused> {
        host::increment_metric(self.ends_epoch, by.into())
    }

    pub fn call_ended(&self, duration_ms: u64) {
        shown(host::increment_metric(self.in_flight, -1));
        shown(host::record_metric(self.call_duration, duration_ms));
    }
}

/// A metric that the host does not take is no reason to treat a request otherwise.
#[inline(always)]
fn shown(outcome: Result<(), Refused>) {
    if let Err(refused) = outcome {
        log::debug!("event=metric_refused status={refused:?}");
    }
}
