//! A session: what is kept of it, and what a caller sees of it at a given second.

use serde::Serialize;

use crate::data::Data;

/// Below this, a use does not count as a new activity; spares a write for requests that come in bursts.
pub const BURST_SECONDS: i64 = 1;

/// What a store keeps.
#[derive(Debug, Clone)]
pub struct Record {
    pub id: String,
    pub reads: i64,
    pub writes: i64,
    pub ttl: i64,
    pub last_activity: i64,
    pub ip: String,
    /// Does not slide: its `ttl` runs out however often it is used. Only the original's library makes such ones.
    pub no_resave: bool,
    pub data: Data,
}

/// What a caller sees. The order of the fields is part of the contract.
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
    #[serde(skip_serializing_if = "Data::is_empty")]
    pub d: Data,
}

impl Record {
    /// `None` once the session is over.
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

    pub fn idle(&self, now: i64) -> i64 {
        now.saturating_sub(self.last_activity)
    }
}

// serde hands the field over by reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
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
            data: Data::from_stored(r#"{"name":"Peter Smith","unread_msgs":12}"#).unwrap(),
        }
    }

    #[test]
    fn a_session_looks_as_documented() {
        assert_eq!(
            serde_json::to_string(&record().at(1273)).unwrap(),
            r#"{"id":"user123","r":1,"w":1,"ttl":86400,"idle":273,"ip":"192.168.99.22","d":{"name":"Peter Smith","unread_msgs":12}}"#
        );
    }

    #[test]
    fn empty_data_is_absent() {
        let record = Record { data: Data::default(), ..record() };
        assert!(!serde_json::to_string(&record.at(1000)).unwrap().contains("\"d\""));
    }

    #[test]
    fn a_session_is_over_once_it_was_idle_for_longer_than_its_ttl() {
        let record = Record { ttl: 10, ..record() };
        assert!(record.clone().at(1010).is_some());
        assert!(record.at(1011).is_none());
    }

    #[test]
    fn a_session_that_does_not_slide_shows_the_seconds_that_remain() {
        let record = Record { no_resave: true, ttl: 100, data: Data::default(), ..record() };
        assert_eq!(
            serde_json::to_string(&record.at(1030)).unwrap(),
            r#"{"id":"user123","r":1,"w":1,"ttl":70,"idle":30,"ip":"192.168.99.22","no_resave":true}"#
        );
    }
}
