//! How long a cached session may be used: never longer than the session lives, and short enough that a session in active
//! use is looked up in time to slide.

use super::Settings;
use crate::session::session::Session;

/// Until when a cached session may be used, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// While rest-sessions is available; at most `cache.ttl` after the call that brought the session.
    pub fresh_until_ms: u64,
    /// During an outage; never before `fresh_until_ms`.
    pub stale_until_ms: u64,
}

impl Lifetime {
    /// The lifetime of a session that was looked up at `requested_ms`. It counts from the request and not from the
    /// response, so a session that ends while the response is under way is not used longer than one that ended before.
    #[must_use]
    pub fn of(session: &Session, requested_ms: u64, settings: &Settings) -> Self {
        let own_ms = session.ttl_ms();
        // Only lookups slide a session, cache hits do not. With half of its own lifetime left for the next lookup, a
        // session in use does not expire.
        let bound_ms = if session.slides() { own_ms.checked_div(2).unwrap_or(0) } else { own_ms };
        let end_ms = requested_ms.saturating_add(own_ms);
        let fresh_until_ms = requested_ms.saturating_add(settings.ttl_ms.min(bound_ms));
        let stale_until_ms = fresh_until_ms.saturating_add(settings.stale_if_error_ms).min(end_ms);
        Self { fresh_until_ms, stale_until_ms }
    }

    /// The earlier of both ends, each by itself.
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
    fn a_session_is_cached_for_at_most_the_ttl_of_the_cache() {
        assert_eq!(lifetime(r#"{"id":"u","ttl":7200}"#, 5_000, 0), (5_000, 5_000));
    }

    #[test]
    fn a_sliding_session_is_cached_for_at_most_half_of_its_own_ttl() {
        assert_eq!(lifetime(r#"{"id":"u","ttl":6}"#, 5_000, 0), (3_000, 3_000));
    }

    #[test]
    fn a_session_that_does_not_slide_is_cached_until_its_end_at_most() {
        assert_eq!(lifetime(r#"{"id":"u","ttl":3,"no_resave":true}"#, 5_000, 60_000), (3_000, 3_000));
    }

    #[test]
    fn stale_use_in_an_outage_ends_with_the_session() {
        assert_eq!(lifetime(r#"{"id":"u","ttl":7200}"#, 5_000, 30_000), (5_000, 35_000));
        assert_eq!(lifetime(r#"{"id":"u","ttl":20}"#, 5_000, 30_000), (5_000, 20_000));
    }

    #[test]
    fn a_session_without_time_left_is_not_cached() {
        for ttl in ["0", "-5", "0.0001"] {
            assert_eq!(lifetime(&format!(r#"{{"id":"u","ttl":{ttl}}}"#), 5_000, 30_000), (0, 0), "{ttl}");
        }
    }

    proptest! {
        #[test]
        fn no_cached_session_outlives_the_session(ttl in 0u64..100_000, cache in 100u64..3_600_000, stale in 0u64..100_000_000,
                                          slides in any::<bool>()) {
            let session = format!(r#"{{"id":"u","ttl":{ttl},"no_resave":{}}}"#, !slides);
            let (fresh, late) = lifetime(&session, cache, stale);
            prop_assert!(fresh <= cache && fresh <= late && late <= ttl * 1_000);
        }
    }
}
