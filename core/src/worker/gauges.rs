//! What a worker shows of itself in gauges, which all workers of an Envoy share: each adds what it holds, and takes it back.

use crate::action::Action;
use crate::cache::session_cache::Size;
use crate::telemetry::Gauge;

/// Pending bytes that are shown before the next tick.
const SHOWN_AT_ONCE: usize = 65_536;

/// The gauges as this worker has moved them.
#[derive(Default)]
pub struct Gauges {
    life: Life,
    shown: Levels,
}

/// What a worker holds.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Levels {
    /// The cache's size.
    pub cache: Size,
    /// See [`Gauge::PendingBytes`].
    pub pending_bytes: usize,
}

/// Envoy starts VMs that never get a request, some of which it drops without a notice: these add nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Life {
    #[default]
    BeforeFirstRequest,
    Serving,
    /// What streams do that outlive the configuration is not shown.
    Retired,
}

impl Gauges {
    /// The worker has a request.
    pub fn start(&mut self) {
        if self.life == Life::BeforeFirstRequest {
            self.life = Life::Serving;
        }
    }

    /// Shows what the worker holds now: before everything else, since other actions cause events that show it anew.
    ///
    /// Nearly every request that waits moves the pending bytes twice, so a small move is shown at the next tick alone.
    #[inline]
    pub fn show(&mut self, levels: Levels, is_tick: bool, actions: &mut Vec<Action>) {
        if self.life != Life::Serving || levels == self.shown {
            return;
        }
        let moved = levels.pending_bytes.abs_diff(self.shown.pending_bytes);
        if is_tick || levels.cache != self.shown.cache || moved >= SHOWN_AT_ONCE {
            self.show_change(levels, actions);
        }
    }

    #[inline(never)]
    fn show_change(&mut self, levels: Levels, actions: &mut Vec<Action>) {
        let before = std::mem::replace(&mut self.shown, levels);
        for (gauge, before, now) in [
            (Gauge::CacheBytes, before.cache.bytes, levels.cache.bytes),
            (Gauge::CacheEntries, before.cache.entries, levels.cache.entries),
            (Gauge::PendingBytes, before.pending_bytes, levels.pending_bytes),
        ] {
            if now != before {
                actions.insert(0, Action::Gauge(gauge, delta(before, now)));
            }
        }
    }

    /// The configuration goes, with so many calls in flight: takes everything back.
    pub fn retire(&mut self, in_flight: usize, actions: &mut Vec<Action>) {
        if in_flight > 0 {
            actions.push(Action::Gauge(Gauge::InFlight, delta(in_flight, 0)));
        }
        self.show(Levels::default(), true, actions);
        self.life = Life::Retired;
    }
}

/// The difference between two levels, as gauges take it.
fn delta(from: usize, to: usize) -> i64 {
    let signed = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    signed(to).saturating_sub(signed(from))
}
