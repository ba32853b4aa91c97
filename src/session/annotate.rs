//! What the upstream is told of a session, as header values that no byte can break out of.

use std::rc::Rc;

use super::session::{Scalar, Session};
use crate::http::percent;

/// A part of a session that a header may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    Id,
    Ip,
    Ttl,
    Idle,
    Reads,
    Writes,
    /// Seconds since the token was made.
    Age,
    /// All data, as JSON.
    Data,
    /// One value of the data. The key is all that follows `d.`, dots too.
    DataKey(String),
    /// What is known of the session at all.
    Status,
}

impl Field {
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

/// What a request is told of whether there is a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    None,
    Unavailable,
}

const ACTIVE: &str = "active";

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Which headers a request is annotated with.
#[derive(Clone, Debug)]
pub struct Annotation {
    /// Names in lower case.
    pub headers: Vec<(Rc<str>, Field)>,
    /// The most that all values together may have.
    pub max_bytes: usize,
}

/// A header to be set.
pub type Header = (Rc<str>, String);

/// The values do not fit into `max_bytes`.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

impl Annotation {
    /// The headers of a request with a session.
    pub fn of_session(&self, session: &Session, age_s: Option<u64>) -> Result<Vec<Header>, TooLarge> {
        let mut left = self.max_bytes;
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, field) in &self.headers {
            if let Some(value) = value(field, session, age_s) {
                left = left.checked_sub(value.len()).ok_or(TooLarge)?;
                headers.push((Rc::clone(name), value));
            }
        }
        Ok(headers)
    }

    /// The headers of a request without one.
    #[must_use]
    pub fn of_status(&self, status: Status) -> Vec<Header> {
        let asked = self.headers.iter().filter(|(_, field)| *field == Field::Status);
        asked.map(|(name, _)| (Rc::clone(name), status.as_str().to_owned())).collect()
    }
}

fn value(field: &Field, session: &Session, age_s: Option<u64>) -> Option<String> {
    let text = |text: &str| percent::encode_header(text).into_owned();
    match field {
        Field::Id => Some(encoded_id(session)),
        Field::Ip => session.ip().map(text),
        Field::Ttl => Some(session.ttl().to_owned()),
        Field::Idle => session.idle().map(ToOwned::to_owned),
        Field::Reads => session.reads().map(ToOwned::to_owned),
        Field::Writes => session.writes().map(ToOwned::to_owned),
        Field::Age => age_s.map(|age| age.to_string()),
        Field::Data => Some(session.data_json().to_owned()),
        Field::DataKey(key) => session.data(key).map(|value| match value {
            Scalar::Text(value) => text(&value),
            Scalar::Number(number) => number,
            Scalar::Bool(flag) => flag.to_string(),
        }),
        Field::Status => Some(ACTIVE.to_owned()),
    }
}

/// The user's id in visible ASCII.
#[must_use]
pub fn encoded_id(session: &Session) -> String {
    percent::encode_header(session.id()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::session::Parts;
    use super::*;

    fn session() -> Rc<Session> {
        let parts = Parts {
            id: "Zoë 100%\n".into(),
            ip: Some("::1".into()),
            ttl: "86400".into(),
            idle: Some("1.50".into()),
            reads: Some("7".into()),
            writes: None,
            no_resave: false,
            data: vec![
                ("name".into(), Scalar::Text(" \"x\\\u{7f}\u{1F600}é\n".into())),
                ("n".into(), Scalar::Number("1.10".into())),
                ("a.b".into(), Scalar::Bool(false)),
            ],
        };
        parts.into()
    }

    fn annotated(fields: &[&str], max_bytes: usize) -> Result<Vec<(String, String)>, TooLarge> {
        let headers = fields.iter().map(|field| (Rc::from(*field), Field::parse(field).unwrap())).collect();
        let headers = Annotation { headers, max_bytes }.of_session(&session(), Some(42))?;
        Ok(headers.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
    }

    fn value_of(field: &str) -> Option<String> {
        annotated(&[field], 6144).unwrap().pop().map(|(_, value)| value)
    }

    #[test]
    fn each_field_has_its_form() {
        for (field, value) in [
            ("id", Some("Zo%C3%AB 100%25%0A")),
            ("ip", Some("::1")),
            ("ttl", Some("86400")),
            ("idle", Some("1.50")),
            ("r", Some("7")),
            ("w", None),
            ("age", Some("42")),
            ("status", Some("active")),
            ("d", Some(r#"{"name":" \"x\\\u007f\ud83d\ude00\u00e9\u000a","n":1.10,"a.b":false}"#)),
            ("d.name", Some(r#"%20"x\%7F%F0%9F%98%80%C3%A9%0A"#)),
            ("d.n", Some("1.10")),
            ("d.a.b", Some("false")),
            ("d.none", None),
        ] {
            assert_eq!(value_of(field).as_deref(), value, "{field}");
        }
    }

    #[test]
    fn fields_that_do_not_exist_are_none() {
        for wrong in ["", "ID", "d.", "data", "token", "no_resave", "x.y"] {
            assert_eq!(Field::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn all_values_together_fit_or_none_is_passed_on() {
        assert_eq!(annotated(&["ttl", "r"], 6).unwrap().len(), 2);
        assert_eq!(annotated(&["ttl", "r"], 5), Err(TooLarge));
    }

    #[test]
    fn without_a_session_the_status_alone_is_told() {
        let headers = vec![(Rc::from("x-user"), Field::Id), (Rc::from("x-status"), Field::Status)];
        let annotation = Annotation { headers, max_bytes: 6144 };
        assert_eq!(annotation.of_status(Status::None), [(Rc::from("x-status"), "none".to_owned())]);
        assert_eq!(annotation.of_status(Status::Unavailable), [(Rc::from("x-status"), "unavailable".to_owned())]);
    }
}
