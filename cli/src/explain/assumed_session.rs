//! The assumed states of sessions in rest-sessions (`--session`), and the responses that follow from them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rest_sessions_core::rest_sessions::body;
use rest_sessions_core::rest_sessions::request::CallRequest;
use rest_sessions_core::rest_sessions::response::{Body, CalloutResponse};
use rest_sessions_core::session::lookup::{BadResponse, Failure, Lookup};
use serde_json::value::RawValue;

/// The assumed state of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssumedSession {
    /// The session exists; as JSON.
    Active(String),
    /// There is no such session.
    None,
    /// rest-sessions does not respond.
    Unavailable,
}

impl AssumedSession {
    /// Parses `none`, `unavailable`, or a session as JSON with at least `id`. Defaults of the other keys: `ttl` 7200,
    /// `idle` 0, `r` and `w` 1, `ip` the client's.
    ///
    /// # Errors
    ///
    /// The mistake, without the argument, which may contain a token.
    pub fn parse(text: &str, client: IpAddr) -> Result<Self, String> {
        match text {
            "none" => return Ok(Self::None),
            "unavailable" => return Ok(Self::Unavailable),
            _ => {}
        }
        let expected = "expected none, unavailable, or a session such as '{\"id\":\"u1\",\"d\":{\"role\":\"admin\"}}'";
        let given: BTreeMap<String, &RawValue> =
            serde_json::from_str(text).map_err(|_| format!("--session is not a JSON object; {expected}"))?;
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

    /// The response to a lookup or a `kill`.
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
        CalloutResponse::Complete { status: 200, from_service: true, max_idle_s: None, body: Body::Read(body.to_vec()) }
    }
}

/// The assumed states of the sessions of a request's tokens, in the order of the tokens.
#[derive(Clone, Copy, Debug)]
pub struct AssumedSessions<'a>(pub &'a [AssumedSession]);

impl<'a> AssumedSessions<'a> {
    /// The state for the token at this position. A token that none was given for has no session, unless the last one given
    /// says that rest-sessions is unavailable.
    #[must_use]
    pub fn of(self, position: usize) -> &'a AssumedSession {
        match (self.0.get(position), self.0.last()) {
            (Some(own), _) => own,
            (None, Some(AssumedSession::Unavailable)) => &AssumedSession::Unavailable,
            (None, _) => &AssumedSession::None,
        }
    }

    /// The states of this many tokens as one word, for the output.
    #[must_use]
    pub fn status(self, tokens: usize) -> &'static str {
        let has = |is: fn(&AssumedSession) -> bool| (0..tokens).any(|position| is(self.of(position)));
        if has(|state| *state == AssumedSession::Unavailable) {
            "unavailable"
        } else if has(|state| matches!(state, AssumedSession::Active(_))) {
            "active"
        } else {
            "none"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<AssumedSession, String> {
        AssumedSession::parse(text, IpAddr::from([192, 0, 2, 1]))
    }

    #[test]
    fn missing_keys_get_defaults() {
        assert_eq!(
            parse(r#"{"id":"u1","d":{"n":1.10}} "#),
            Ok(AssumedSession::Active(
                r#"{"id":"u1","d":{"n":1.10},"ttl":7200,"idle":0,"r":1,"w":1,"ip":"192.0.2.1"}"#.into()
            ))
        );
        let whole = r#"{"id":"u1","ttl":1,"idle":2,"r":3,"w":4,"ip":"::1"}"#;
        assert_eq!(parse(whole), Ok(AssumedSession::Active(whole.into())));
        assert_eq!((parse("none"), parse("unavailable")), (Ok(AssumedSession::None), Ok(AssumedSession::Unavailable)));
    }

    #[test]
    fn a_token_that_no_session_was_given_for_has_none_unless_rest_sessions_is_unavailable() {
        let active = AssumedSession::Active("{}".into());
        for (given, of_second, status) in [
            (vec![active.clone()], AssumedSession::None, "active"),
            (vec![AssumedSession::None], AssumedSession::None, "none"),
            (vec![AssumedSession::Unavailable], AssumedSession::Unavailable, "unavailable"),
            (vec![AssumedSession::None, active.clone()], active.clone(), "active"),
            (vec![active.clone(), AssumedSession::Unavailable], AssumedSession::Unavailable, "unavailable"),
        ] {
            let assumed = AssumedSessions(&given);
            assert_eq!((assumed.of(1), assumed.status(2)), (&of_second, status), "{given:?}");
        }
    }

    #[test]
    fn an_invalid_session_is_refused_with_the_reason() {
        for (text, why) in [
            ("absent", "not a JSON object"),
            ("[]", "not a JSON object"),
            ("{}", "`id` is missing"),
            (r#"{"id":""}"#, "`id` is not a non-empty string"),
            (r#"{"id":"a","ttl":"1"}"#, "`ttl` is not a number"),
            (r#"{"id":"a","d":{"x":[]}}"#, "a value in `d`"),
            (r#"{"id":"a","id":"b"}"#, "repeated keys"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
