//! Telling requests what they wait for, and looking again at those that are open for long, from the root's callbacks.

use crate::clock::Clock;
use crate::host;
use crate::progress::Progress;
use crate::waiting::{News, Told};
use crate::worker::Worker;
use rest_sessions_core::cache::desk::{Asked, Note, Wanted};
use rest_sessions_core::cache::flights::{Airborne, Waiter};
use rest_sessions_core::cache::trip::Who;
use rest_sessions_core::exchange::{Effect, Fate, Step, Surroundings, Verdict, Watch};
use rest_sessions_core::http::headers::Headers;
use rest_sessions_core::session::lookup::Lookup;

/// How many requests are settled in one callback. What the host does about each of them comes on top of the others on
/// its stack, which was seen to overflow at some 270.
const BATCH: usize = 16;

/// How many requests are looked at again in one tick, so that they do not take all calls from those that just come.
const RECHECKS: usize = 64;

impl Worker {
    /// Settles a batch of those who wait, and sets the alarm for the next one.
    pub fn settle_some(&self) {
        for _ in 0..BATCH {
            let Some((who, news)) = self.room.next() else { return };
            self.settle(who, news);
        }
        while !self.room.is_settled() {
            match host::enqueue(self.alarm) {
                Ok(()) => return,
                // Better a deep stack than a request that nobody settles.
                Err(refused) => {
                    log::warn!("event=alarm_refused status={refused:?}");
                    if let Some((who, news)) = self.room.next() {
                        self.settle(who, news);
                    }
                }
            }
        }
    }

    /// Tells a request what it waits for, if it still does.
    fn settle(&self, who: Who, news: News) {
        let Some(told) = self.room.take(who, news) else { return };
        if let Err(refused) = host::set_effective_context(who.stream) {
            // A request in shadow that the host is done with is counted all the same.
            if !matches!(told, Told::Shadow { .. }) {
                log::debug!("event=stream_gone status={refused:?}");
                told.abandoned().into_iter().for_each(|counter| self.metrics.count(counter));
                return;
            }
        }
        let clock = Clock::default();
        let now_ms = || clock.now_ms();
        let around = self.surroundings(&now_ms);
        match told {
            Told::Session { exchange, headers, lookup } => {
                self.proceed(who, exchange.session(around, &headers, &lookup), headers);
            }
            Told::Kills { exchange, headers } => self.proceed(who, exchange.conclude(around, &headers), headers),
            Told::Shadow { exchange, headers, gone, lookup } => {
                let effects = exchange.session(around, &headers, &lookup).effects.into_iter();
                // Nothing can be set for a request that the host is done with.
                let effects = effects.filter(|effect| !gone || matches!(effect, Effect::Count(_))).collect();
                let _ = self.carry_out(effects);
            }
            Told::Watch { watch, lookup } => self.look_at(who, &watch, around, &lookup),
            Told::Change { exchange, headers, outcome } => {
                if let Progress::Forward = self.write_back(exchange.conclude(around, &headers, outcome))
                    && let Err(refused) = host::resume_response()
                {
                    log::warn!("event=resume_refused status={refused:?}");
                }
            }
        }
        if let Err(refused) = host::set_effective_context(self.root_id) {
            log::warn!("event=root_gone status={refused:?}");
        }
    }

    /// A request that had to wait goes on.
    fn proceed(&self, who: Who, step: Step<Verdict>, headers: Headers) {
        let progress = match self.carry_out(step.effects) {
            Ok(()) => self.conclude(who, step.next, headers),
            Err(refused) => self.give_up(&refused),
        };
        if let Progress::Forward | Progress::Followed(_) = progress
            && let Err(refused) = host::resume_request()
        {
            log::warn!("event=resume_refused status={refused:?}");
        }
    }

    /// A request that has gone its way stays open, or is closed.
    fn look_at(&self, who: Who, watch: &Watch, around: Surroundings<'_>, lookup: &Lookup) {
        let Step { effects, next } = watch.session(around, lookup);
        let _ = self.carry_out(effects);
        match next {
            Fate::Stays(wait_ms) => self.room.stays(who.ticket, (around.now_ms)().saturating_add(wait_ms)),
            Fate::Ends => {
                if let Err(refused) = host::close_request() {
                    log::warn!("event=close_refused status={refused:?}");
                }
            }
        }
    }

    /// Asks again for the sessions of requests that are open for long.
    pub fn recheck(&self) {
        let Ok(now_ms) = host::now_ms() else { return };
        let note = |note: Note<'_>| self.note(note, now_ms);
        for (who, watch) in self.room.take_due(now_ms, RECHECKS) {
            let rule = watch.rule();
            let waiter = Waiter {
                who,
                oldest_ms: rule.max_staleness_ms.unwrap_or(u64::MAX).min(watch.every_ms()),
                deadline_ms: now_ms.saturating_add(rule.backend.service.timeout_ms),
                shadow: false,
            };
            let wanted = Wanted { rule, token: watch.token().clone() };
            let asked = self.desk.borrow_mut().ask(wanted, waiter, &Headers::default(), now_ms, &note);
            match asked {
                Asked::Answered(lookup) => self.room.put_off([(who, News::Session(lookup))]),
                Asked::Waiting => {}
                Asked::Call(flight) => self.send_from_root(Airborne::Flight(flight), now_ms),
            }
        }
        self.show_kept();
        self.settle_some();
    }
}
