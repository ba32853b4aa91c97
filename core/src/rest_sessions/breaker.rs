//! A circuit breaker: after a number of outages in a row, no calls are made for a time; then one call probes.

/// When a circuit opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many outages in a row open it.
    pub failures: u32,
    /// How long it stays open, in milliseconds.
    pub open_for_ms: u64,
}

/// Permits one call. Its outcome must be reported, or the call cancelled: while a probe is out, no other call is permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// The circuit is closed.
    Normal,
    /// The one call that probes whether the target is back.
    Probe,
}

/// The circuit of one target in one worker.
#[derive(Debug, Default)]
pub struct Breaker(State);

#[derive(Debug)]
enum State {
    /// Calls are permitted. `failures`: how many outages in a row came last.
    Closed { failures: u32 },
    /// No call is permitted.
    Open { since_ms: u64, until_ms: u64 },
    /// A probe is out, no other call is permitted.
    Probing,
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl State {
    fn opened(settings: &Settings, now_ms: u64) -> Self {
        Self::Open { since_ms: now_ms, until_ms: now_ms.saturating_add(settings.open_for_ms) }
    }
}

impl Breaker {
    /// Permits a call at `now_ms`, in milliseconds since 1970. `None`: the circuit is open, or a probe is out.
    pub fn permit(&mut self, now_ms: u64) -> Option<Permit> {
        match self.0 {
            State::Closed { .. } => Some(Permit::Normal),
            // If the clock was set back, the time that the circuit was open is unknown. A probe costs little.
            State::Open { since_ms, until_ms } if !(since_ms..until_ms).contains(&now_ms) => {
                self.0 = State::Probing;
                Some(Permit::Probe)
            }
            State::Open { .. } | State::Probing => None,
        }
    }

    /// The outcome of a permitted call.
    pub fn report(&mut self, permit: Permit, outage: bool, settings: &Settings, now_ms: u64) {
        self.0 = match (&self.0, permit) {
            (State::Closed { failures }, Permit::Normal) if outage => match failures.saturating_add(1) {
                enough if enough >= settings.failures => State::opened(settings, now_ms),
                failures => State::Closed { failures },
            },
            (State::Probing, Permit::Probe) if outage => State::opened(settings, now_ms),
            (State::Closed { .. }, Permit::Normal) | (State::Probing, Permit::Probe) => State::default(),
            // The call began before the circuit opened, so its outcome is older than the circuit's state.
            (State::Open { .. } | State::Probing, Permit::Normal) => return,
            // No probe is out: the outcome of this one was reported.
            (State::Closed { .. } | State::Open { .. }, Permit::Probe) => return,
        };
    }

    /// A permitted call is not made after all. The next call probes in place of a cancelled probe.
    pub fn cancel(&mut self, permit: Permit) {
        if let (State::Probing, Permit::Probe) = (&self.0, permit) {
            self.0 = State::Open { since_ms: 0, until_ms: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SETTINGS: Settings = Settings { failures: 3, open_for_ms: 1_000 };

    /// Makes a call with this outcome at once.
    fn call(breaker: &mut Breaker, outage: bool, now_ms: u64) -> Option<Permit> {
        let permit = breaker.permit(now_ms)?;
        breaker.report(permit, outage, &SETTINGS, now_ms);
        Some(permit)
    }

    fn opened_at(now_ms: u64) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..SETTINGS.failures {
            assert_eq!(call(&mut breaker, true, now_ms), Some(Permit::Normal));
        }
        breaker
    }

    #[test]
    fn the_configured_number_of_outages_in_a_row_opens_the_circuit() {
        let mut breaker = opened_at(5_000);
        assert_eq!(breaker.permit(5_000), None);
        assert_eq!(breaker.permit(5_999), None);
    }

    #[test]
    fn a_call_without_an_outage_resets_the_count() {
        let mut breaker = Breaker::default();
        for outage in [true, true, false, true, true, false, true, true] {
            assert_eq!(call(&mut breaker, outage, 0), Some(Permit::Normal));
        }
        assert_eq!(call(&mut breaker, true, 0), Some(Permit::Normal));
        assert_eq!(breaker.permit(0), None);
    }

    #[test]
    fn exactly_one_call_probes_after_the_circuit_was_open() {
        let mut breaker = opened_at(5_000);
        assert_eq!(breaker.permit(6_000), Some(Permit::Probe));
        assert_eq!(breaker.permit(6_000), None);
        assert_eq!(breaker.permit(60_000), None);
    }

    #[test]
    fn a_successful_probe_closes_the_circuit_and_resets_the_count() {
        let mut breaker = opened_at(0);
        assert_eq!(call(&mut breaker, false, 1_000), Some(Permit::Probe));
        for _ in 0..SETTINGS.failures {
            assert_eq!(call(&mut breaker, true, 1_000), Some(Permit::Normal));
        }
        assert_eq!(breaker.permit(1_000), None);
    }

    #[test]
    fn a_failed_probe_opens_the_circuit_for_the_same_time_again() {
        let mut breaker = opened_at(0);
        let probe = breaker.permit(1_000).unwrap();
        breaker.report(probe, true, &SETTINGS, 1_400);
        assert_eq!(breaker.permit(2_399), None);
        assert_eq!(breaker.permit(2_400), Some(Permit::Probe));
    }

    #[test]
    fn calls_from_before_the_circuit_opened_do_not_change_it() {
        for outage in [true, false] {
            let mut breaker = opened_at(0);
            breaker.report(Permit::Normal, outage, &SETTINGS, 500);
            assert_eq!(breaker.permit(999), None);
            assert_eq!(breaker.permit(1_000), Some(Permit::Probe));
            breaker.report(Permit::Normal, outage, &SETTINGS, 1_001);
            assert_eq!(breaker.permit(1_001), None, "the probe is still out");
            breaker.report(Permit::Probe, false, &SETTINGS, 1_002);
            assert_eq!(breaker.permit(1_002), Some(Permit::Normal));
        }
    }

    #[test]
    fn one_outage_opens_the_circuit_if_so_configured() {
        let mut breaker = Breaker::default();
        let permit = breaker.permit(0).unwrap();
        breaker.report(permit, true, &Settings { failures: 1, ..SETTINGS }, 0);
        assert_eq!(breaker.permit(0), None);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_keep_the_circuit_open() {
        let mut breaker = opened_at(3_600_000);
        assert_eq!(breaker.permit(100), Some(Permit::Probe));
    }

    #[test]
    fn after_a_cancelled_probe_the_next_call_probes() {
        let mut breaker = opened_at(0);
        let probe = breaker.permit(1_000).unwrap();
        breaker.cancel(probe);
        assert_eq!(breaker.permit(1_001), Some(Permit::Probe));
        breaker.cancel(Permit::Normal);
        assert_eq!(breaker.permit(1_002), None, "a probe is out");
    }

    #[derive(Clone, Debug)]
    enum Event {
        Ask,
        /// One of the calls in flight ends.
        Report(usize, bool),
        Pass(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => Just(Event::Ask),
            4 => (any::<usize>(), prop::bool::weighted(0.7)).prop_map(|(which, outage)| Event::Report(which, outage)),
            2 => (0..1_500u64).prop_map(Event::Pass),
        ]
    }

    /// The same by history: the outcomes since the circuit last closed, and when it opened.
    #[derive(Default)]
    struct Model {
        counted: Vec<bool>,
        opened_ms: Option<u64>,
        probe_is_out: bool,
    }

    impl Model {
        fn permit(&mut self, now_ms: u64) -> Option<Permit> {
            let Some(opened_ms) = self.opened_ms else { return Some(Permit::Normal) };
            let tries = !self.probe_is_out && now_ms - opened_ms >= SETTINGS.open_for_ms;
            self.probe_is_out |= tries;
            tries.then_some(Permit::Probe)
        }

        fn report(&mut self, permit: Permit, outage: bool, now_ms: u64) {
            if permit == Permit::Probe {
                *self = Self { opened_ms: outage.then_some(now_ms), ..Self::default() };
            } else if self.opened_ms.is_none() {
                self.counted.push(outage);
                let in_a_row = self.counted.iter().rev().take_while(|outage| **outage).count();
                self.opened_ms = (in_a_row == SETTINGS.failures as usize).then_some(now_ms);
            }
        }
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_model_by_history_for_any_sequence_of_events(events in prop::collection::vec(event(), 0..200)) {
            let (mut breaker, mut model, mut now_ms) = (Breaker::default(), Model::default(), 0);
            let mut in_flight = Vec::new();
            for event in events {
                match event {
                    Event::Pass(ms) => now_ms += ms,
                    Event::Ask => {
                        let permit = breaker.permit(now_ms);
                        prop_assert_eq!(permit, model.permit(now_ms));
                        in_flight.extend(permit);
                        let probes = in_flight.iter().filter(|permit| **permit == Permit::Probe).count();
                        prop_assert!(probes <= 1);
                    }
                    Event::Report(which, outage) if !in_flight.is_empty() => {
                        let permit = in_flight.swap_remove(which % in_flight.len());
                        breaker.report(permit, outage, &SETTINGS, now_ms);
                        model.report(permit, outage, now_ms);
                    }
                    Event::Report(..) => {}
                }
            }
        }
    }
}
