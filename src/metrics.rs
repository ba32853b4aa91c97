//! The filter's metrics, by the numbers that the host gives them.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::types::MetricType;
use rest_sessions_core::exchange::Refused;
use rest_sessions_core::telemetry::{CALL_DURATION, Counter, ENDS_EPOCH, Gauge};

use crate::host;

pub struct Metrics {
    counters: [u32; Counter::ALL.len()],
    gauges: [u32; Gauge::ALL.len()],
    ends_epoch: u32,
    call_duration: u32,
}

thread_local! {
    static OF_THIS_VM: RefCell<Option<Rc<Metrics>>> = const { RefCell::new(None) };
}

impl Metrics {
    /// The metrics of this VM. Envoy keeps every definition for as long as the VM lives, also a second one of the same
    /// metric, so a VM defines them once and not for each configuration.
    pub fn of_this_vm() -> Result<Rc<Self>, Refused> {
        OF_THIS_VM.with_borrow_mut(|known| match known {
            Some(metrics) => Ok(Rc::clone(metrics)),
            None => Ok(Rc::clone(known.insert(Rc::new(Self::define()?)))),
        })
    }

    /// At the start of a VM: it has no metrics. In native tests, VMs follow each other in one thread.
    pub fn forget() {
        OF_THIS_VM.set(None);
    }

    /// Defines every metric, so that each is present at zero.
    fn define() -> Result<Self, Refused> {
        let mut counters = [0; Counter::ALL.len()];
        for (id, counter) in counters.iter_mut().zip(Counter::ALL) {
            *id = host::define_metric(MetricType::Counter, counter.name())?;
        }
        let mut gauges = [0; Gauge::ALL.len()];
        for (id, gauge) in gauges.iter_mut().zip(Gauge::ALL) {
            *id = host::define_metric(MetricType::Gauge, gauge.name())?;
        }
        Ok(Self {
            counters,
            gauges,
            ends_epoch: host::define_metric(MetricType::Gauge, ENDS_EPOCH)?,
            call_duration: host::define_metric(MetricType::Histogram, CALL_DURATION)?,
        })
    }

    pub fn count(&self, counter: Counter) {
        if let Some(id) = self.counters.get(counter.index()) {
            ignore_refusal(host::increment_metric(*id, 1));
        }
    }

    pub fn add(&self, gauge: Gauge, delta: i64) {
        if let Some(id) = self.gauges.get(gauge as usize) {
            ignore_refusal(host::increment_metric(*id, delta));
        }
    }

    pub fn record_call(&self, duration_ms: u64) {
        ignore_refusal(host::record_metric(self.call_duration, duration_ms));
    }

    /// The number that every invalidation raises.
    pub fn ends_epoch(&self) -> Result<u64, Refused> {
        host::get_metric(self.ends_epoch)
    }

    pub fn raise_ends_epoch(&self, by: u32) -> Result<(), Refused> {
        host::increment_metric(self.ends_epoch, by.into())
    }
}

/// A metric that the host refuses does not change how a request is treated.
#[inline(always)]
fn ignore_refusal(outcome: Result<(), Refused>) {
    #[cold]
    #[inline(never)]
    fn report(refused: Refused) {
        log::debug!("event=metric_refused status={refused:?}");
    }
    if let Err(refused) = outcome {
        report(refused);
    }
}
