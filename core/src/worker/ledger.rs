//! What each worker has added to the gauges, in a slot of the host's shared data: if its VM traps, another takes it back.

use crate::cache::shared_data::{SharedData, Slot, SlotVersion, Unavailable};
use crate::exchange::Environment;
use crate::telemetry::Gauge;

/// How often [`GaugeLedger::tick`] must be called, in milliseconds.
pub const PERIOD_MS: u32 = 1_000;

/// A worker that has not ticked for so long counts as gone.
const GONE_AFTER_MS: u64 = 10_000;

/// Workers and configurations beyond these have no slot. Nobody takes back what they have added.
const SLOTS: u16 = 512;

const GAUGES: usize = Gauge::ALL.len();

/// The gauges as one worker has moved them. The gauges are shared by all workers of an Envoy, and a VM that traps cannot
/// take back what it has added.
pub struct GaugeLedger {
    /// `None` before the first move, and while there is none free.
    slot: Option<u16>,
    record: Record,
}

/// The value of a slot. An empty slot is free.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Record {
    /// A random number.
    owner: u64,
    /// The owner's latest tick, in milliseconds since 1970.
    ticked_ms: u64,
    levels: [i64; GAUGES],
}

impl Record {
    fn parse(value: &[u8]) -> Option<Self> {
        let (numbers, []) = value.as_chunks() else { return None };
        let [owner, ticked_ms, levels @ ..] = <[_; GAUGES + 2]>::try_from(numbers).ok()?;
        Some(Self {
            owner: u64::from_le_bytes(owner),
            ticked_ms: u64::from_le_bytes(ticked_ms),
            levels: levels.map(i64::from_le_bytes),
        })
    }

    fn bytes(&self) -> Vec<u8> {
        let levels = self.levels.iter().map(|level| level.to_le_bytes());
        [self.owner.to_le_bytes(), self.ticked_ms.to_le_bytes()].into_iter().chain(levels).flatten().collect()
    }
}

impl GaugeLedger {
    /// `owner` is a random number.
    #[must_use]
    pub fn new(owner: u64) -> Self {
        Self { slot: None, record: Record { owner, ticked_ms: 0, levels: [0; GAUGES] } }
    }

    /// Moves a gauge. `move_gauge` adds to a gauge of the host.
    ///
    /// The slot never has more than the gauge, so that a trap in between cannot make the gauge negative.
    pub fn add(&mut self, env: &dyn Environment, gauge: Gauge, delta: i64, move_gauge: &dyn Fn(Gauge, i64)) {
        if let Some(level) = self.record.levels.get_mut(gauge as usize) {
            *level = level.saturating_add(delta);
        }
        if delta > 0 {
            move_gauge(gauge, delta);
        }
        // Without shared data, the gauges keep what a trap leaves.
        let _kept_out = self.write(env);
        if delta <= 0 {
            move_gauge(gauge, delta);
        }
    }

    /// Shows that this worker is there, and takes back what those that are gone have added.
    pub fn tick(&mut self, env: &dyn Environment, move_gauge: &dyn Fn(Gauge, i64)) {
        let Ok(now_ms) = env.now_ms() else { return };
        // The timer may fire more often, for other reasons.
        if now_ms.abs_diff(self.record.ticked_ms) < u64::from(PERIOD_MS / 2) {
            return;
        }
        // After a suspension of the whole process, all workers have been silent.
        let was_silent = now_ms.abs_diff(self.record.ticked_ms) > GONE_AFTER_MS / 2;
        self.record.ticked_ms = now_ms;
        let _kept_out = self.show(env, move_gauge);
        if !was_silent {
            let _kept_out = self.take_back(env.shared_data(), now_ms, move_gauge);
        }
    }

    fn show(&mut self, env: &dyn Environment, move_gauge: &dyn Fn(Gauge, i64)) -> Result<(), Unavailable> {
        let Some(number) = self.slot else { return Ok(()) };
        let (value, _) = env.shared_data().read(Slot::Gauges(number))?;
        if Record::parse(&value).is_none_or(|found| found.owner != self.record.owner) {
            // It was taken back although this worker is there.
            self.slot = None;
            move_all(&self.record.levels, |level| level, move_gauge);
        }
        self.write(env)
    }

    fn write(&mut self, env: &dyn Environment) -> Result<(), Unavailable> {
        let data = env.shared_data();
        if let Some(number) = self.slot {
            return data.write(Slot::Gauges(number), &self.record.bytes());
        }
        self.record.ticked_ms = env.now_ms().unwrap_or(self.record.ticked_ms);
        for number in 0..SLOTS {
            let (value, version) = data.read(Slot::Gauges(number))?;
            if value.is_empty() && data.compare_and_swap(Slot::Gauges(number), &self.record.bytes(), version)? {
                self.slot = Some(number);
                return Ok(());
            }
        }
        Ok(())
    }

    fn take_back(
        &self,
        data: &dyn SharedData,
        now_ms: u64,
        move_gauge: &dyn Fn(Gauge, i64),
    ) -> Result<(), Unavailable> {
        for number in 0..SLOTS {
            let (value, version) = data.read(Slot::Gauges(number))?;
            // Slots are taken in order.
            if version == SlotVersion::Unwritten {
                break;
            }
            let Some(record) = Record::parse(&value) else { continue };
            let is_gone = now_ms.saturating_sub(record.ticked_ms) > GONE_AFTER_MS;
            if is_gone && data.compare_and_swap(Slot::Gauges(number), &[], version)? {
                move_all(&record.levels, i64::saturating_neg, move_gauge);
            }
        }
        Ok(())
    }
}

fn move_all(levels: &[i64; GAUGES], by: impl Fn(i64) -> i64, move_gauge: &dyn Fn(Gauge, i64)) {
    for (gauge, level) in Gauge::ALL.into_iter().zip(levels).filter(|(_, level)| **level != 0) {
        move_gauge(gauge, by(*level));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::cache::shared_data::LocalData;
    use crate::exchange::Refused;

    #[derive(Default)]
    struct Host {
        now_ms: Cell<u64>,
        data: LocalData,
        gauges: RefCell<[i64; GAUGES]>,
    }

    impl Environment for Host {
        fn now_ms(&self) -> Result<u64, Refused> {
            Ok(self.now_ms.get())
        }

        fn client_address(&self) -> Option<Vec<u8>> {
            None
        }

        fn shared_data(&self) -> &dyn SharedData {
            &self.data
        }
    }

    impl Host {
        fn start() -> Self {
            let host = Self::default();
            host.now_ms.set(1_800_000_000_000);
            host
        }

        fn move_gauge(&self) -> impl Fn(Gauge, i64) {
            |gauge, delta| {
                let level = &mut self.gauges.borrow_mut()[gauge as usize];
                *level += delta;
                assert!(*level >= 0, "{gauge:?} is negative");
            }
        }

        fn add(&self, ledger: &mut GaugeLedger, gauge: Gauge, delta: i64) {
            ledger.add(self, gauge, delta, &self.move_gauge());
        }

        /// Lets time pass, in which these workers tick.
        fn pass(&self, seconds: u64, ledgers: &mut [&mut GaugeLedger]) {
            for _ in 0..seconds {
                self.now_ms.set(self.now_ms.get() + 1_000);
                for ledger in &mut *ledgers {
                    ledger.tick(self, &self.move_gauge());
                }
            }
        }

        fn level(&self, gauge: Gauge) -> i64 {
            self.gauges.borrow()[gauge as usize]
        }
    }

    #[test]
    fn what_a_worker_that_is_gone_has_added_is_taken_back_once() {
        let host = Host::start();
        let [mut one, mut two, mut gone] = [1, 2, 3].map(GaugeLedger::new);
        for ledger in [&mut one, &mut two, &mut gone] {
            host.add(ledger, Gauge::InFlight, 3);
            host.add(ledger, Gauge::CacheBytes, 1_000);
            host.add(ledger, Gauge::InFlight, -1);
        }
        host.pass(9, &mut [&mut one, &mut two]);
        assert_eq!((host.level(Gauge::InFlight), host.level(Gauge::CacheBytes)), (6, 3_000));
        host.pass(3, &mut [&mut one, &mut two]);
        assert_eq!((host.level(Gauge::InFlight), host.level(Gauge::CacheBytes)), (4, 2_000));
        host.pass(60, &mut [&mut one, &mut two]);
        assert_eq!((host.level(Gauge::InFlight), host.level(Gauge::CacheBytes)), (4, 2_000));
        // The slot is used again.
        let mut next = GaugeLedger::new(4);
        host.add(&mut next, Gauge::InFlight, 1);
        assert_eq!(next.slot, Some(2));
    }

    #[test]
    fn a_worker_that_adds_nothing_takes_back_too() {
        let host = Host::start();
        let [mut gone, mut idle] = [1, 2].map(GaugeLedger::new);
        host.add(&mut gone, Gauge::CacheEntries, 5);
        host.pass(12, &mut [&mut idle]);
        assert_eq!(host.level(Gauge::CacheEntries), 0);
        assert_eq!(idle.slot, None);
    }

    #[test]
    fn a_worker_that_was_taken_for_gone_adds_itself_again() {
        let host = Host::start();
        let [mut one, mut slow] = [1, 2].map(GaugeLedger::new);
        host.add(&mut slow, Gauge::InFlight, 2);
        host.add(&mut one, Gauge::InFlight, 1);
        host.pass(15, &mut [&mut one]);
        assert_eq!(host.level(Gauge::InFlight), 1);
        host.pass(2, &mut [&mut one, &mut slow]);
        assert_eq!(host.level(Gauge::InFlight), 3);
        host.add(&mut slow, Gauge::InFlight, -2);
        host.pass(60, &mut [&mut one, &mut slow]);
        assert_eq!(host.level(Gauge::InFlight), 1);
    }

    #[test]
    fn a_suspension_of_all_workers_takes_nothing_back() {
        let host = Host::start();
        let [mut one, mut two] = [1, 2].map(GaugeLedger::new);
        host.add(&mut one, Gauge::InFlight, 1);
        host.add(&mut two, Gauge::InFlight, 1);
        host.pass(3, &mut [&mut one, &mut two]);
        host.now_ms.set(host.now_ms.get() + 3_600_000);
        host.pass(30, &mut [&mut one, &mut two]);
        assert_eq!(host.level(Gauge::InFlight), 2);
    }

    #[test]
    fn a_foreign_value_of_a_slot_is_left_alone() {
        let host = Host::start();
        host.data.write(Slot::Gauges(0), b"of another version").unwrap();
        let mut one = GaugeLedger::new(1);
        host.add(&mut one, Gauge::InFlight, 1);
        host.pass(60, &mut [&mut one]);
        assert_eq!((one.slot, host.level(Gauge::InFlight)), (Some(1), 1));
        assert_eq!(host.data.read(Slot::Gauges(0)).unwrap().0, b"of another version");
    }

    #[test]
    fn the_slot_never_has_more_than_the_gauge() {
        let host = Host::start();
        let mut one = GaugeLedger::new(1);
        for (delta, when_moved) in [(5, 0), (-2, 3)] {
            let recorded = |_, _| {
                let value = host.data.read(Slot::Gauges(0)).unwrap().0;
                let level = Record::parse(&value).map_or(0, |record| record.levels[Gauge::InFlight as usize]);
                assert_eq!(level, when_moved);
            };
            one.add(&host, Gauge::InFlight, delta, &recorded);
        }
    }
}
