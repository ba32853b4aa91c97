//! What rest-sessions is taken to answer.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rest_sessions_core::rest_sessions::body;
use rest_sessions_core::rest_sessions::request::CallRequest;
use rest_sessions_core::rest_sessions::response::{Body, CalloutResponse};
use rest_sessions_core::session::lookup::{BadResponse, Failure, Lookup};
use serde_json::value::RawValue;

/// What rest-sessions is taken to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assumed {
    /// This session, as JSON.
    Active(String),
    None,
    /// rest-sessions is away.
    Unavailable,
}

impl Assumed {
    /// Reads `none`, `unavailable`, or a session in JSON. What a session leaves out but `id` is as rest-sessions makes
    /// it: `ttl` 7200, `idle` 0, `r` and `w` 1, `ip` the client's.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str, client: IpAddr) -> Result<Self, String> {
        match text {
            "none" => return Ok(Self::None),
            "unavailable" => return Ok(Self::Unavailable),
            _ => {}
        }
        let expected = "expected none, unavailable, or a session such as '{\"id\":\"u1\",\"d\":{\"role\":\"admin\"}}'";
        let given: BTreeMap<String, &RawValue> =
            serde_json::from_str(text).map_err(|_| format!("--session is no object in JSON; {expected}"))?;
        let mut session = text.trim_end().strip_suffix('}').unwrap_or_default().to_owned();
        let mut separator = if given.is_empty() { "" } else { "," };
        for (key, value) in [
            ("ttl", "7200".to_owned()),
            ("idle", "0".to_owned()),
            ("r", "1".to_owned()),
            ("w", "1".to_owned()),
            ("ip", format!("\"{client}\"")),
        ] {
            if !given.contains_key(key) {
                session.push_str(&format!("{separator}\"{key}\":{value}"));
                separator = ",";
            }
        }
        session.push('}');
        match body::lookup(session.as_bytes()) {
            Lookup::Failed(Failure::Bad(BadResponse::Shape(what))) => Err(format!("--session: {what}; {expected}")),
            _ => Ok(Self::Active(session)),
        }
    }

    /// In a word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Active(_) => "active",
            Self::None => "none",
            Self::Unavailable => "unavailable",
        }
    }

    /// The response to a lookup, or to a kill.
    #[must_use]
    pub fn response(&self, request: &CallRequest) -> CalloutResponse {
        let is_kill = request.method() == "DELETE";
        let body: &[u8] = match self {
            Self::Active(_) if is_kill => br#"{"kill":1}"#,
            Self::None if is_kill => br#"{"kill":0}"#,
            Self::Active(session) => session.as_bytes(),
            Self::None => b"{}",
            Self::Unavailable => return CalloutResponse::Reset,
        };
        CalloutResponse::Complete { status: 200, from_service: true, body: Body::Read(body.to_vec()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Assumed, String> {
        Assumed::parse(text, IpAddr::from([192, 0, 2, 1]))
    }

    #[test]
    fn what_a_session_leaves_out_is_filled_in() {
        assert_eq!(
            parse(r#"{"id":"u1","d":{"n":1.10}} "#),
            Ok(Assumed::Active(
                r#"{"id":"u1","d":{"n":1.10},"ttl":7200,"idle":0,"r":1,"w":1,"ip":"192.0.2.1"}"#.into()
            ))
        );
        let whole = r#"{"id":"u1","ttl":1,"idle":2,"r":3,"w":4,"ip":"::1"}"#;
        assert_eq!(parse(whole), Ok(Assumed::Active(whole.into())));
        assert_eq!((parse("none"), parse("unavailable")), (Ok(Assumed::None), Ok(Assumed::Unavailable)));
    }

    #[test]
    fn what_is_no_session_is_refused_with_what_is_wrong() {
        for (text, why) in [
            ("nobody", "no object in JSON"),
            ("[]", "no object in JSON"),
            ("{}", "`id` is missing"),
            (r#"{"id":""}"#, "`id` is not a non-empty string"),
            (r#"{"id":"a","ttl":"1"}"#, "`ttl` is not a number"),
            (r#"{"id":"a","d":{"x":[]}}"#, "a value in `d`"),
            (r#"{"id":"a","id":"b"}"#, "repeated keys"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
