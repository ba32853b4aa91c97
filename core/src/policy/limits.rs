//! Maximum age and idle time of sessions, enforced beside those of rest-sessions.

use crate::session::session::Session;
use crate::session::token::Token;

/// Limits in milliseconds; `None` is no limit. A session that exceeds one is ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The maximum time since the last use before the current lookup (`limits.idle`).
    pub idle_ms: Option<u64>,
    /// The maximum time since the token was created (`limits.age`). Until a creation time in the future has come, the age
    /// is 0: the session ends later than it should, by as much as the clock of its server is ahead, and not later.
    pub age_ms: Option<u64>,
}

impl Limits {
    /// `idle` in the whole seconds of `max_idle`, rounded down. rest-sessions counts idle time in whole seconds, so a
    /// session is idle for longer than this if and only if it is idle for longer than the limit.
    #[must_use]
    pub fn max_idle_s(self) -> Option<u64> {
        self.idle_ms.and_then(|idle_ms| idle_ms.checked_div(1_000)).map(|seconds| seconds.max(1))
    }

    /// Whether a session was idle for too long. A session without an idle time was.
    #[must_use]
    pub fn idle_exceeded(self, session: &Session) -> bool {
        self.idle_ms.is_some_and(|limit| session.idle_ms().is_none_or(|found| found > limit))
    }

    /// Whether a token is too old at `now_ms`. A token without a creation time is.
    #[must_use]
    pub fn age_exceeded(self, token: &Token, now_ms: u64) -> bool {
        self.age_ms.is_some_and(|limit| token.age_ms(now_ms).is_none_or(|found| found > limit))
    }

    /// Whether a session exceeds a limit at `now_ms`. A session without the value that a limit applies to exceeds it.
    #[must_use]
    pub fn exceeded_by(self, session: &Session, token: &Token, now_ms: u64) -> bool {
        self.idle_exceeded(session) || self.age_exceeded(token, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::session::session::Parts;
    use crate::session::token::tests::{NOW_MS, token_made_at};

    fn token(age_ms: u64) -> Token {
        Token::parse(token_made_at(NOW_MS - age_ms).as_bytes(), &|| NOW_MS).unwrap()
    }

    fn session(idle: Option<&str>) -> Rc<Session> {
        Parts { id: "a".into(), ttl: "7200", idle, ..Parts::default() }.into()
    }

    #[test]
    fn limits_are_inclusive() {
        let limits = Limits { idle_ms: Some(30_000), age_ms: Some(60_000) };
        for (idle, age_ms, exceeded) in [
            ("0", 0, false),
            ("30", 60_000, false),
            ("30.5", 0, true),
            ("31", 0, true),
            ("0", 60_001, true),
            ("1e3", 0, true),
        ] {
            assert_eq!(limits.exceeded_by(&session(Some(idle)), &token(age_ms), NOW_MS), exceeded, "{idle} {age_ms}");
        }
    }

    #[test]
    fn max_idle_forbids_the_whole_seconds_that_the_limit_forbids() {
        for idle_ms in [1_000, 1_001, 1_999, 2_000, 90_500, 1_800_000, 31_536_000_000] {
            let limits = Limits { idle_ms: Some(idle_ms), age_ms: None };
            let max_idle_s = limits.max_idle_s().unwrap();
            for idle_s in max_idle_s - 1..max_idle_s + 3 {
                let exceeded = limits.idle_exceeded(&session(Some(&idle_s.to_string())));
                assert_eq!(idle_s > max_idle_s, exceeded, "{idle_s} s of {idle_ms} ms");
            }
        }
        assert_eq!(Limits::default().max_idle_s(), None);
    }

    #[test]
    fn a_token_from_the_future_exceeds_its_maximum_age_later_by_as_much_as_it_is_ahead() {
        let limits = Limits { idle_ms: None, age_ms: Some(60_000) };
        let ahead_ms = 23 * 3_600_000;
        let token = Token::parse(token_made_at(NOW_MS + ahead_ms).as_bytes(), &|| NOW_MS).unwrap();
        let exceeded_after = |ms| limits.exceeded_by(&session(None), &token, NOW_MS + ms);
        assert!(!exceeded_after(0));
        assert!(!exceeded_after(ahead_ms + 60_000));
        assert!(exceeded_after(ahead_ms + 60_001));
    }

    #[test]
    fn without_limits_nothing_is_exceeded() {
        let none = Limits::default();
        assert!(!none.exceeded_by(&session(Some("1e9")), &token(1_000_000_000), NOW_MS));
    }

    #[test]
    fn a_session_without_the_value_of_a_limit_exceeds_it() {
        let timeless = Token::parse(&[b'a'; 64], &|| NOW_MS).unwrap();
        assert!(Limits { idle_ms: Some(1), age_ms: None }.exceeded_by(&session(None), &token(0), NOW_MS));
        assert!(Limits { idle_ms: None, age_ms: Some(1) }.exceeded_by(&session(None), &timeless, NOW_MS));
        assert!(!Limits { idle_ms: None, age_ms: Some(1) }.exceeded_by(&session(None), &token(0), NOW_MS));
    }
}
