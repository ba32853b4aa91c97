//! When each session began and ended, so that every request that passes can be checked against it.
//!
//! All times are those of the system's clock, in microseconds since 1970, as Envoy, its filter and the test read it on one
//! machine. Envoy tells the upstream when a request started. The filter decides later than that, so a request that starts
//! after a session's last possible moment may not pass, however slow the machine is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `cache.ttl`: for so long a worker may use a session that has ended behind Envoy's back. It counts from the start of a
/// lookup, which is before the end. A burst of h2load goes on for longer after the end of its session.
pub const TTL: Duration = Duration::from_millis(300);

/// Microseconds since 1970.
pub fn now() -> u64 {
    micros(SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970"))
}

pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).expect("microseconds since 1970 fit")
}

/// A session that rest-sessions has created. Its number is its user: `s17`.
pub struct Session {
    pub number: usize,
    pub token: String,
    /// Before it was created.
    born: u64,
    /// A request that starts later may not pass.
    refused_from: AtomicU64,
    /// Set before the session may end.
    ending: AtomicBool,
    /// How it ended, for messages.
    end: Mutex<&'static str>,
    /// The start of the last request that passed.
    last_passed: AtomicU64,
    passed: AtomicU64,
    /// The number that was last written to it, and when that was confirmed.
    written: Mutex<(u64, u64)>,
}

impl Session {
    /// How many requests have passed with it.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Whether it may have ended.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// To be called before an attempt to end it.
    pub fn begin_end(&self) {
        self.ending.store(true, Ordering::SeqCst);
    }

    /// Notes that it has ended: no request that starts after `from` may pass.
    pub fn ended(&self, how: &'static str, from: u64) {
        if self.refused_from.fetch_min(from, Ordering::SeqCst) > from {
            *self.end.lock().unwrap() = how;
        }
    }

    /// Notes that a number was written and is seen by every request that starts from now on.
    pub fn wrote(&self, number: u64) {
        *self.written.lock().unwrap() = (number, now());
    }

    /// Notes a request that started at `start`, passed with this session, and carried this number of its data.
    pub fn pass(&self, start: u64, number: u64) -> Result<(), String> {
        self.passed.fetch_add(1, Ordering::Relaxed);
        self.last_passed.fetch_max(start, Ordering::SeqCst);
        let (written, confirmed) = *self.written.lock().unwrap();
        if start > confirmed && number < written {
            let after = start - confirmed;
            return Err(format!("carries n={number} although n={written} was confirmed {after} µs before it started"));
        }
        if start < self.born {
            return Err(format!("started {} µs before its session existed", self.born - start));
        }
        self.check()
    }

    /// Whether every request that passed so far started while the session lived.
    pub fn check(&self) -> Result<(), String> {
        let (last, refused) = (self.last_passed.load(Ordering::SeqCst), self.refused_from.load(Ordering::SeqCst));
        if last <= refused {
            return Ok(());
        }
        let (late, how) = (last - refused, *self.end.lock().unwrap());
        Err(format!("passed with session s{} although it started {late} µs after its end ({how})", self.number))
    }
}

#[derive(Default)]
pub struct Ledger {
    numbers: AtomicUsize,
    sessions: RwLock<HashMap<usize, Arc<Session>>>,
    /// From when until when the store may have lost a session that is created; the last may not be over.
    losses: Mutex<Vec<(u64, u64)>>,
    /// From when until when a call to rest-sessions may fail.
    outages: Mutex<Vec<(u64, u64)>>,
}

impl Ledger {
    pub fn next_number(&self) -> usize {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds a session that was asked for at `born` and is created now. `None` if the store may have lost it since.
    pub fn add(&self, number: usize, token: String, born: u64) -> Option<Arc<Session>> {
        let losses = self.losses.lock().unwrap();
        if overlap(&losses, born, now()) {
            return None;
        }
        let session = Arc::new(Session {
            number,
            token,
            born,
            refused_from: AtomicU64::new(u64::MAX),
            ending: AtomicBool::new(false),
            end: Mutex::new("it lives"),
            last_passed: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            written: Mutex::new((0, u64::MAX)),
        });
        self.sessions.write().unwrap().insert(number, Arc::clone(&session));
        Some(session)
    }

    pub fn session(&self, number: usize) -> Option<Arc<Session>> {
        self.sessions.read().unwrap().get(&number).cloned()
    }

    pub fn sessions(&self) -> Vec<Arc<Session>> {
        self.sessions.read().unwrap().values().cloned().collect()
    }

    /// To be called before the store is ended.
    pub fn begin_loss(&self) {
        let mut losses = self.losses.lock().unwrap();
        losses.push((now(), u64::MAX));
        self.sessions().iter().for_each(|session| session.begin_end());
    }

    /// The store has ended, and all sessions with it.
    pub fn lose_all(&self) {
        let from = now() + micros(TTL);
        self.sessions().iter().for_each(|session| session.ended("its Redis was killed", from));
    }

    /// An empty store has taken its place.
    pub fn end_loss(&self) {
        let mut losses = self.losses.lock().unwrap();
        losses.last_mut().expect("a loss has begun").1 = now();
    }

    pub fn begin_outage(&self) {
        self.outages.lock().unwrap().push((now(), u64::MAX));
    }

    /// Calls no longer fail after `until`.
    pub fn end_outage(&self, until: u64) {
        self.outages.lock().unwrap().last_mut().expect("an outage has begun").1 = until;
    }

    /// Whether no call fails that is made from `from` to `to`.
    pub fn is_calm(&self, from: u64, to: u64) -> bool {
        !overlap(&self.outages.lock().unwrap(), from, to)
    }
}

fn overlap(spans: &[(u64, u64)], from: u64, to: u64) -> bool {
    spans.iter().any(|span| span.0 <= to && from <= span.1)
}
