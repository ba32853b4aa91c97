//! How long an answer may be used: never longer than the session itself lives, and short enough that active use reaches
//! the store in time.

use super::settings::Settings;
use crate::session::session::Session;

/// The times, in milliseconds since 1970, after which an answer that there is a session may not be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    pub fresh_until_ms: u64,
    /// While rest-sessions is away; never before the other.
    pub stale_until_ms: u64,
}

impl Lifetime {
    /// The times of a session that was asked for then. All count from the question, which came before the answer: a
    /// session that ends while the answer is on its way is not kept longer than one that ended before.
    #[must_use]
    pub fn of(session: &Session, asked_ms: u64, settings: &Settings) -> Self {
        let own_ms = session.ttl_ms();
        // rest-sessions moves the end of a session whenever it is asked for it, and never where an answer from here
        // serves. With half of its time left for the next question, a session that is in use does not run out.
        let bound_ms = if session.slides() { own_ms.checked_div(2).unwrap_or(0) } else { own_ms };
        let end_ms = asked_ms.saturating_add(own_ms);
        let fresh_until_ms = asked_ms.saturating_add(settings.ttl_ms.min(bound_ms));
        let stale_until_ms = fresh_until_ms.saturating_add(settings.stale_if_error_ms).min(end_ms);
        Self { fresh_until_ms, stale_until_ms }
    }

    /// The earlier ones of both.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self {
            fresh_until_ms: self.fresh_until_ms.min(other.fresh_until_ms),
            stale_until_ms: self.stale_until_ms.min(other.stale_until_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest_sessions::body;
    use crate::session::lookup::Lookup;
    use proptest::prelude::*;

    fn settings(ttl_ms: u64, stale_if_error_ms: u64) -> Settings {
        Settings { ttl_ms, negative_ttl_ms: 1_000, stale_if_error_ms, max_bytes: 65_536, shared: true }
    }

    fn lifetime(session: &str, ttl_ms: u64, stale_if_error_ms: u64) -> (u64, u64) {
        let Lookup::Active(session) = body::lookup(session.as_bytes()) else { panic!("{session}") };
        let life = Lifetime::of(&session, 1_000_000, &settings(ttl_ms, stale_if_error_ms));
        (life.fresh_until_ms - 1_000_000, life.stale_until_ms - 1_000_000)
    }

    #[test]
    fn a_session_is_kept_for_the_ttl_of_the_cache_at_most() {
        assert_eq!(lifetime(r#"{"id":"u","ttl":7200}"#, 5_000, 0), (5_000, 5_000));
    }

    #[test]
    fn one_that_slides_is_kept_for_half_of_its_own_time_at_most() {
        assert_eq!(lifetime(r#"{"id":"u","ttl":6}"#, 5_000, 0), (3_000, 3_000));
    }

    #[test]
    fn one_that_does_not_slide_is_kept_until_its_end_at_most() {
        assert_eq!(lifetime(r#"{"id":"u","ttl":3,"no_resave":true}"#, 5_000, 60_000), (3_000, 3_000));
    }

    #[test]
    fn an_answer_may_serve_longer_in_an_outage_but_not_past_the_sessions_end() {
        assert_eq!(lifetime(r#"{"id":"u","ttl":7200}"#, 5_000, 30_000), (5_000, 35_000));
        assert_eq!(lifetime(r#"{"id":"u","ttl":20}"#, 5_000, 30_000), (5_000, 20_000));
    }

    #[test]
    fn a_session_without_time_left_is_not_kept() {
        for ttl in ["0", "-5", "0.0001"] {
            assert_eq!(lifetime(&format!(r#"{{"id":"u","ttl":{ttl}}}"#), 5_000, 30_000), (0, 0), "{ttl}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_outlives_its_session(ttl in 0u64..100_000, cache in 100u64..3_600_000, stale in 0u64..100_000_000,
                                          slides in any::<bool>()) {
            let session = format!(r#"{{"id":"u","ttl":{ttl},"no_resave":{}}}"#, !slides);
            let (fresh, late) = lifetime(&session, cache, stale);
            prop_assert!(fresh <= cache && fresh <= late && late <= ttl * 1_000);
        }
    }
}
