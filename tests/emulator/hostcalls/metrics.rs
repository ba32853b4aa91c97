//! Metrics, by name: all definitions of a name share one value.

use super::{BAD_ARGUMENT, NOT_FOUND, OK, text};
use crate::emulator::abi::read_from_vm;
use crate::emulator::state::{Metric, with_host};

fn metric_of(id: u32) -> Option<String> {
    with_host(|host| host.metric_names.iter().find(|(known, _)| *known == id).map(|(_, name)| name.clone()))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_define_metric(metric_type: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32 {
    // SAFETY: the ABI's promise.
    let name = text(unsafe { read_from_vm(name, name_size) });
    let fresh = match metric_type {
        0 => Metric::Counter(0),
        1 => Metric::Gauge(0),
        2 => Metric::Histogram(Vec::new()),
        _ => return BAD_ARGUMENT,
    };
    with_host(|host| {
        // The low bits of an id encode the type, as in Envoy.
        let number = u32::try_from(host.metric_names.len()).expect("few metrics are defined") * 4 + metric_type;
        host.metric_names.push((number, name.clone()));
        let known = host.metrics.entry(name.clone()).or_insert_with(|| fresh.clone());
        if std::mem::discriminant(known) != std::mem::discriminant(&fresh) {
            host.record_violation(format!("the metric {name} was defined with two types"));
        }
        // SAFETY: as above.
        unsafe { *id = number };
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_increment_metric(id: u32, offset: i64) -> u32 {
    let Some(name) = metric_of(id) else { return NOT_FOUND };
    with_host(|host| match host.metrics.get_mut(&name) {
        Some(Metric::Counter(value)) if offset > 0 => {
            *value += offset.unsigned_abs();
            OK
        }
        Some(Metric::Gauge(value)) => match value.checked_add_signed(offset) {
            Some(sum) => {
                *value = sum;
                OK
            }
            None => {
                host.record_violation(format!("the gauge {name} was taken below zero"));
                OK
            }
        },
        _ => {
            host.record_violation(format!("the metric {name} was incremented by {offset}"));
            BAD_ARGUMENT
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_record_metric(id: u32, given: u64) -> u32 {
    let Some(name) = metric_of(id) else { return NOT_FOUND };
    with_host(|host| match host.metrics.get_mut(&name) {
        Some(Metric::Counter(value)) => *value += given,
        Some(Metric::Gauge(value)) => *value = given,
        Some(Metric::Histogram(values)) => values.push(given),
        None => {}
    });
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_metric(id: u32, value: *mut u64) -> u32 {
    let Some(name) = metric_of(id) else { return NOT_FOUND };
    match with_host(|host| host.metrics.get(&name).cloned()) {
        Some(Metric::Counter(known) | Metric::Gauge(known)) => {
            // SAFETY: the ABI's promise.
            unsafe { *value = known };
            OK
        }
        _ => BAD_ARGUMENT,
    }
}
