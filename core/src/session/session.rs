//! An active session, laid out so that a cache can hold many and its parts become header values without a copy.

use std::borrow::Cow;
use std::rc::Rc;

use crate::http::bytes::Bytes;
use crate::session::data::{self, Member, Scalar};
use crate::session::{heap, json};

/// The fields of a session in the response of rest-sessions. Numbers keep their JSON text, so that no digit is lost.
/// [`Rc<Session>`] is made from them.
#[derive(Debug, Default)]
pub struct Parts<'a> {
    /// The user's id.
    pub id: Cow<'a, str>,
    /// The client's address when the session was made. `None`: rest-sessions did not send it.
    pub ip: Option<Cow<'a, str>>,
    /// The time to live, in seconds.
    pub ttl: &'a str,
    /// The seconds since the last use before this lookup, as JSON. `None`: rest-sessions did not send it.
    pub idle: Option<&'a str>,
    /// The number of reads, as JSON. `None`: rest-sessions did not send it.
    pub reads: Option<&'a str>,
    /// The number of writes, as JSON. `None`: rest-sessions did not send it.
    pub writes: Option<&'a str>,
    /// The session expires at a fixed time: use does not extend it.
    pub no_resave: bool,
    /// The session's data, in the order of the response. Keys are unique.
    pub data: Vec<(Cow<'a, str>, Scalar<'a>)>,
}

/// An active session. All text is in one allocation: the fields in the order of the offsets below, then the data.
#[derive(Debug, PartialEq, Eq)]
pub struct Session {
    text: Rc<str>,
    members: Box<[Member]>,
    id_end: u32,
    ip_end: u32,
    ttl_end: u32,
    /// A number is never empty: an end equal to the previous one means that the field is absent.
    idle_end: u32,
    reads_end: u32,
    writes_end: u32,
    has_ip: bool,
    slides: bool,
}

impl From<Parts<'_>> for Rc<Session> {
    fn from(parts: Parts<'_>) -> Self {
        let mut text = String::new();
        let mut add = |part: &str| {
            text.push_str(part);
            data::narrow(text.len())
        };
        let id_end = add(&parts.id);
        let ip_end = add(parts.ip.as_deref().unwrap_or_default());
        let ttl_end = add(parts.ttl);
        let [idle_end, reads_end, writes_end] =
            [parts.idle, parts.reads, parts.writes].map(|number| add(number.unwrap_or_default()));
        let members = data::write(&parts.data, &mut text);
        Rc::new(Session {
            text: text.into(),
            members,
            id_end,
            ip_end,
            ttl_end,
            idle_end,
            reads_end,
            writes_end,
            has_ip: parts.ip.is_some(),
            slides: !parts.no_resave,
        })
    }
}

/// The milliseconds of a JSON number of seconds, saturating at zero and `u64::MAX`.
fn millis(seconds: &str) -> Option<u64> {
    let seconds = json::number(seconds)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates, at zero too")]
    let millis = (seconds * 1_000.0) as u64;
    Some(millis)
}

impl Session {
    fn part(&self, start: u32, end: u32) -> &str {
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }

    fn number(&self, start: u32, end: u32) -> Option<&str> {
        Some(self.part(start, end)).filter(|text| !text.is_empty())
    }

    /// The user's id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.part(0, self.id_end)
    }

    /// The client's address when the session was made. `None`: rest-sessions did not send it.
    #[must_use]
    pub fn ip(&self) -> Option<&str> {
        self.has_ip.then(|| self.part(self.id_end, self.ip_end))
    }

    /// The time to live in seconds, as JSON.
    #[must_use]
    pub fn ttl(&self) -> &str {
        self.part(self.ip_end, self.ttl_end)
    }

    /// The seconds since the last use before this lookup, as JSON. `None`: rest-sessions did not send it.
    #[must_use]
    pub fn idle(&self) -> Option<&str> {
        self.number(self.ttl_end, self.idle_end)
    }

    /// The number of reads, as JSON. `None`: rest-sessions did not send it.
    #[must_use]
    pub fn reads(&self) -> Option<&str> {
        self.number(self.idle_end, self.reads_end)
    }

    /// The number of writes, as JSON. `None`: rest-sessions did not send it.
    #[must_use]
    pub fn writes(&self) -> Option<&str> {
        self.number(self.reads_end, self.writes_end)
    }

    /// All data, as compact JSON in printable ASCII.
    #[must_use]
    pub fn data_json(&self) -> &str {
        self.text.get(self.writes_end as usize..).unwrap_or_default()
    }

    /// The value of a key of the data. `None`: the data has no such key.
    #[must_use]
    pub fn data(&self, key: &str) -> Option<Scalar<'_>> {
        data::find(self.data_json(), &self.members, key)
    }

    /// Makes bytes of a slice that another method returned. They share the session's text.
    #[must_use]
    pub fn share(&self, part: &str) -> Bytes {
        Bytes::part(&self.text, part)
    }

    /// Whether the session has sliding expiration: each use restarts its time to live.
    #[must_use]
    pub fn slides(&self) -> bool {
        self.slides
    }

    /// The time to live without further use, in milliseconds; zero if it is not a number.
    #[must_use]
    pub fn ttl_ms(&self) -> u64 {
        millis(self.ttl()).unwrap_or(0)
    }

    /// The time since the last use before this lookup, in milliseconds. `None`: rest-sessions did not send it.
    #[must_use]
    pub fn idle_ms(&self) -> Option<u64> {
        millis(self.idle()?)
    }

    /// The size of all its text, in bytes.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// The memory that it takes, in bytes, overhead of its allocations included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let members = heap::of_box(size_of_val::<[_]>(&self.members));
        heap::of_rc(size_of::<Self>()).saturating_add(heap::of_rc(self.text.len())).saturating_add(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest_sessions::body;
    use crate::session::lookup::Lookup;

    fn session(ttl: &str) -> Rc<Session> {
        Parts { id: "u".into(), ttl, ..Parts::default() }.into()
    }

    #[test]
    fn a_session_returns_the_fields_that_it_was_made_from() {
        let session: Rc<Session> = Parts {
            id: "Zoë".into(),
            ip: Some("::1".into()),
            ttl: "7200",
            idle: Some("1.50"),
            reads: None,
            writes: Some("7"),
            no_resave: true,
            data: vec![("a\u{e9}".into(), Scalar::Bool(true)), ("n".into(), Scalar::Number("1.10"))],
        }
        .into();
        assert_eq!((session.id(), session.ip(), session.ttl()), ("Zoë", Some("::1"), "7200"));
        assert_eq!((session.idle(), session.reads(), session.writes()), (Some("1.50"), None, Some("7")));
        assert_eq!(session.data_json(), r#"{"a\u00e9":true,"n":1.10}"#);
        assert_eq!(session.data("aé"), Some(Scalar::Bool(true)));
        assert_eq!(session.data("n"), Some(Scalar::Number("1.10")));
        assert_eq!(session.data("b"), None);
        assert!(!session.slides());
    }

    #[test]
    fn absent_fields_are_absent() {
        let session = session("1");
        assert_eq!((session.ip(), session.idle(), session.reads(), session.writes()), (None, None, None, None));
        assert_eq!(session.data_json(), "{}");
        assert!(session.slides());
    }

    #[test]
    fn an_empty_address_is_not_absent() {
        let session: Rc<Session> = Parts { id: "u".into(), ip: Some("".into()), ttl: "1", ..Parts::default() }.into();
        assert_eq!(session.ip(), Some(""));
    }

    #[test]
    fn slices_are_shared_and_not_copied() {
        let session = session("7200");
        for part in [session.id(), session.ttl(), session.data_json()] {
            let shared = session.share(part);
            assert!(matches!(shared, Bytes::Shared(..)), "{part}");
            assert_eq!(&*shared, part.as_bytes());
        }
    }

    #[test]
    fn a_ttl_is_read_from_any_number() {
        for (ttl, millis) in [
            ("7200", 7_200_000),
            ("1.5", 1_500),
            ("1e3", 1_000_000),
            ("0", 0),
            ("-0.0", 0),
            ("-3", 0),
            ("0.0001", 0),
            ("1e300", u64::MAX),
            ("1e999", 0),
            ("123456789012345678901234567890", u64::MAX),
        ] {
            assert_eq!(session(ttl).ttl_ms(), millis, "{ttl}");
        }
    }

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn two_hundred_bytes_of_response_take_three_hundred_of_memory() {
        let sent =
            r#"{"id":"user123","r":12,"w":3,"ttl":86400,"idle":273,"ip":"192.168.99.22","d":{"name":"Peter Smithson","#
                .to_owned()
                + r#""cart":"6f3b9a51-7c2e","theme":"dark","plan":"business","admin":false,"visits":12345678901234567}}"#;
        assert_eq!(sent.len(), 200);
        let Lookup::Active(session) = body::lookup(sent.as_bytes()) else { panic!("{sent} is a session") };
        // Where pointers have 32 bits, as in the module, the struct has 44 bytes, and each of the four counts 4 fewer.
        assert_eq!(size_of::<Session>(), 64);
        assert!(session.bytes() - (64 - 44) - 4 * 4 <= 300, "{}", session.bytes());
    }

    #[test]
    fn each_allocation_counts() {
        let without = session("1").bytes();
        let data = vec![("k".into(), Scalar::Bool(true))];
        let with: Rc<Session> = Parts { id: "u".into(), ttl: "1", data, ..Parts::default() }.into();
        assert_eq!(with.bytes() - without, "\"k\":true".len() + heap::of_box(size_of::<Member>()));
    }
}
