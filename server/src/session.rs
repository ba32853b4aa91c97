//! A session: the record in a store, and the view that a caller gets at a given second.

use serde::Serialize;
use serde_json::value::RawValue;

/// A use this many seconds after the last activity, or sooner, does not update it: bursts of requests cost one write.
pub const BURST_SECONDS: i64 = 1;

/// The record in a store.
#[derive(Debug, Clone)]
pub struct Record {
    pub id: String,
    pub reads: i64,
    pub writes: i64,
    /// Idle seconds after which the session expires.
    pub ttl: i64,
    /// Seconds since 1970.
    pub last_activity: i64,
    pub ip: String,
    /// The session does not slide: it expires `ttl` seconds after its creation, used or not. Only the library of the
    /// original creates such sessions.
    pub no_resave: bool,
    /// `d` as JSON text; `None` if it has no keys.
    pub data: Option<Box<RawValue>>,
}

/// The view of a caller. The order of the fields is part of the wire contract.
#[derive(Debug, Clone, Serialize)]
pub struct Session {
    pub id: String,
    pub r: i64,
    pub w: i64,
    pub ttl: i64,
    pub idle: i64,
    pub ip: String,
    #[serde(skip_serializing_if = "is_false")]
    pub no_resave: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub d: Option<Box<RawValue>>,
}

impl Record {
    /// The view at `now`, in seconds since 1970; `None` if the session has expired.
    pub fn at(self, now: i64) -> Option<Session> {
        let idle = self.idle(now);
        if idle > self.ttl {
            return None;
        }
        Some(Session {
            id: self.id,
            r: self.reads,
            w: self.writes,
            ttl: if self.no_resave { self.ttl.saturating_sub(idle) } else { self.ttl },
            idle,
            ip: self.ip,
            no_resave: self.no_resave,
            d: self.data,
        })
    }

    /// Seconds since the last activity.
    pub fn idle(&self, now: i64) -> i64 {
        now.saturating_sub(self.last_activity)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            id: "user123".to_owned(),
            reads: 1,
            writes: 1,
            ttl: 86400,
            last_activity: 1000,
            ip: "192.168.99.22".to_owned(),
            no_resave: false,
            data: Some(RawValue::from_string(r#"{"name":"Peter Smith","unread_msgs":12}"#.to_owned()).unwrap()),
        }
    }

    #[test]
    fn a_session_is_written_as_documented() {
        assert_eq!(
            serde_json::to_string(&record().at(1273)).unwrap(),
            r#"{"id":"user123","r":1,"w":1,"ttl":86400,"idle":273,"ip":"192.168.99.22","d":{"name":"Peter Smith","unread_msgs":12}}"#
        );
    }

    #[test]
    fn empty_data_is_absent() {
        let record = Record { data: None, ..record() };
        assert!(!serde_json::to_string(&record.at(1000)).unwrap().contains("\"d\""));
    }

    #[test]
    fn a_session_expires_when_it_was_idle_for_longer_than_its_ttl() {
        let record = Record { ttl: 10, ..record() };
        assert!(record.clone().at(1010).is_some());
        assert!(record.at(1011).is_none());
    }

    #[test]
    fn a_session_that_does_not_slide_shows_the_seconds_that_remain() {
        let record = Record { no_resave: true, ttl: 100, data: None, ..record() };
        assert_eq!(
            serde_json::to_string(&record.at(1030)).unwrap(),
            r#"{"id":"user123","r":1,"w":1,"ttl":70,"idle":30,"ip":"192.168.99.22","no_resave":true}"#
        );
    }
}
