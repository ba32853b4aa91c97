//! Annotation: request headers that pass a session to the upstream, encoded so that no value can inject a header.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use crate::http::bytes::Bytes;
use crate::http::change::HeaderChange;
use crate::http::percent;
use crate::session::data::Scalar;
use crate::session::session::Session;

/// A field of a session that a header can carry or a requirement can test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// `id`: the user's id.
    Id,
    /// `ip`: the client's address when the session was made.
    Ip,
    /// `ttl`: the time to live, in seconds.
    Ttl,
    /// `idle`: the seconds since the last use before this lookup.
    Idle,
    /// `r`: the number of reads.
    Reads,
    /// `w`: the number of writes.
    Writes,
    /// `age`: the seconds since the token was created.
    Age,
    /// `d`: all data, as JSON.
    Data,
    /// `d.KEY`: one value of the data. The key is all that follows `d.`, including dots.
    DataKey(String),
    /// `status`: `active`, or a [`Status`].
    Status,
}

impl Field {
    /// Parses the configuration's name of a field. `None`: it names no field.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "id" => Self::Id,
            "ip" => Self::Ip,
            "ttl" => Self::Ttl,
            "idle" => Self::Idle,
            "r" => Self::Reads,
            "w" => Self::Writes,
            "age" => Self::Age,
            "d" => Self::Data,
            "status" => Self::Status,
            _ => Self::DataKey(text.strip_prefix("d.").filter(|key| !key.is_empty())?.to_owned()),
        })
    }
}

impl fmt::Display for Field {
    /// The configuration's name of the field.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Id => "id",
            Self::Ip => "ip",
            Self::Ttl => "ttl",
            Self::Idle => "idle",
            Self::Reads => "r",
            Self::Writes => "w",
            Self::Age => "age",
            Self::Data => "d",
            Self::DataKey(key) => return write!(f, "d.{key}"),
            Self::Status => "status",
        })
    }
}

/// The value of [`Field::Status`] without a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// `none`: there is no session.
    None,
    /// `unavailable`: the lookup failed.
    Unavailable,
}

/// The value of [`Field::Status`] with a session.
const ACTIVE: &str = "active";

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The headers that a request is annotated with.
#[derive(Clone, Debug)]
pub struct Annotation {
    /// Header names in lower case, each with its field.
    pub headers: Vec<(Rc<str>, Field)>,
    /// The maximum size of all values together, in bytes.
    pub max_bytes: usize,
}

/// The maximum number of bytes that encoding makes of one.
const LONGEST_ENCODING: usize = 3;

/// The maximum size of a value that is not in the session's text: an age in seconds, or a status.
const LONGEST_OF_ITSELF: usize = 20;

/// The values exceed [`Annotation::max_bytes`].
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

impl Annotation {
    /// The headers of a request with a session. `age_s` is the token's age in seconds.
    ///
    /// They are added, which costs the host less than replacing them: these names are reserved, so the request has none.
    pub fn of_session<'a>(
        &'a self,
        session: &'a Session,
        age_s: &'a dyn Fn() -> Option<u64>,
    ) -> Result<impl Iterator<Item = HeaderChange> + 'a, TooLarge> {
        let most = session.text_bytes().saturating_mul(LONGEST_ENCODING).saturating_add(LONGEST_OF_ITSELF);
        if most.saturating_mul(self.headers.len()) > self.max_bytes {
            // Most values borrow from the session, so computing them twice costs less than a list.
            let mut left = self.max_bytes;
            for (_, field) in &self.headers {
                let length = value(field, session, age_s).map_or(0, |value| value.len());
                left = left.checked_sub(length).ok_or(TooLarge)?;
            }
        }
        Ok(self
            .headers
            .iter()
            .filter_map(move |(name, field)| Some(HeaderChange::Add(name.into(), value(field, session, age_s)?))))
    }

    /// The headers of a request without a session: those of [`Field::Status`].
    pub fn of_status(&self, status: Status) -> impl Iterator<Item = HeaderChange> {
        let of_status = self.headers.iter().filter(|(_, field)| *field == Field::Status);
        of_status.map(move |(name, _)| HeaderChange::Add(name.into(), status.as_str().into()))
    }
}

fn value(field: &Field, session: &Session, age_s: &dyn Fn() -> Option<u64>) -> Option<Bytes> {
    let text = |text: &str| match percent::encode_header(text) {
        Cow::Borrowed(text) => session.share(text),
        Cow::Owned(encoded) => encoded.into(),
    };
    Some(match field {
        Field::Id => text(session.id()),
        Field::Ip => text(session.ip()?),
        Field::Ttl => session.share(session.ttl()),
        Field::Idle => session.share(session.idle()?),
        Field::Reads => session.share(session.reads()?),
        Field::Writes => session.share(session.writes()?),
        Field::Age => age_s()?.to_string().into(),
        Field::Data => session.share(session.data_json()),
        Field::DataKey(key) => match session.data(key)? {
            Scalar::Text(value) => text(&value),
            Scalar::Number(number) => session.share(number),
            Scalar::Bool(flag) => if flag { "true" } else { "false" }.into(),
        },
        Field::Status => ACTIVE.into(),
    })
}

/// The user's id, percent-encoded to visible ASCII.
#[must_use]
pub fn encoded_id(session: &Session) -> String {
    percent::encode_header(session.id()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::session::Parts;

    fn session() -> Rc<Session> {
        let parts = Parts {
            id: "Zoë 100%\n".into(),
            ip: Some("::1".into()),
            ttl: "86400",
            idle: Some("1.50"),
            reads: Some("7"),
            writes: None,
            no_resave: false,
            data: vec![
                ("name".into(), Scalar::Text(" \"x\\\u{7f}\u{1F600}é\n".into())),
                ("n".into(), Scalar::Number("1.10")),
                ("a.b".into(), Scalar::Bool(false)),
                ("plain".into(), Scalar::Text("a b".into())),
            ],
        };
        parts.into()
    }

    fn annotated(fields: &[&str], max_bytes: usize) -> Result<Vec<HeaderChange>, TooLarge> {
        let headers = fields.iter().map(|field| (Rc::from(*field), Field::parse(field).unwrap())).collect();
        let annotation = Annotation { headers, max_bytes };
        annotation.of_session(&session(), &|| Some(42)).map(Iterator::collect)
    }

    fn value_of(field: &str) -> Option<Bytes> {
        annotated(&[field], 6144).unwrap().pop().map(|change| match change {
            HeaderChange::Add(name, value) if *name == *field.as_bytes() => value,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn every_field_has_its_encoding() {
        for (field, value) in [
            ("id", Some("Zo%C3%AB 100%25%0A")),
            ("ip", Some("::1")),
            ("ttl", Some("86400")),
            ("idle", Some("1.50")),
            ("r", Some("7")),
            ("w", None),
            ("age", Some("42")),
            ("status", Some("active")),
            ("d", Some(r#"{"name":" \"x\\\u007f\ud83d\ude00\u00e9\u000a","n":1.10,"a.b":false,"plain":"a b"}"#)),
            ("d.name", Some(r#"%20"x\%7F%F0%9F%98%80%C3%A9%0A"#)),
            ("d.n", Some("1.10")),
            ("d.a.b", Some("false")),
            ("d.none", None),
        ] {
            assert_eq!(value_of(field), value.map(Bytes::from), "{field}");
        }
    }

    #[test]
    fn values_that_need_no_encoding_are_shared_with_the_session() {
        for field in ["ip", "ttl", "idle", "r", "d", "d.n", "d.plain"] {
            let value = value_of(field);
            assert!(matches!(value, Some(Bytes::Shared(..))), "{field}: {value:?}");
        }
    }

    #[test]
    fn unknown_fields_are_refused() {
        for wrong in ["", "ID", "d.", "data", "token", "no_resave", "x.y"] {
            assert_eq!(Field::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn values_that_exceed_the_limit_together_are_refused() {
        assert_eq!(annotated(&["ttl", "r"], 6).unwrap().len(), 2);
        assert_eq!(annotated(&["ttl", "r"], 5), Err(TooLarge));
    }

    #[test]
    fn the_limit_counts_encoded_bytes() {
        let parts = Parts { id: "%".repeat(100).into(), ttl: "1", ..Parts::default() };
        let session: Rc<Session> = parts.into();
        let fits = |max_bytes| {
            let annotation = Annotation { headers: vec![(Rc::from("x-user"), Field::Id)], max_bytes };
            annotation.of_session(&session, &|| None).is_ok()
        };
        assert!(fits(300));
        assert!(!fits(299));
    }

    #[test]
    fn without_a_session_only_the_status_is_set() {
        let headers = vec![(Rc::from("x-user"), Field::Id), (Rc::from("x-status"), Field::Status)];
        let annotation = Annotation { headers, max_bytes: 6144 };
        for (status, expected) in [(Status::None, "none"), (Status::Unavailable, "unavailable")] {
            let changes: Vec<_> = annotation.of_status(status).collect();
            assert_eq!(changes, [HeaderChange::Add("x-status".into(), expected.into())]);
        }
    }
}
