//! The user, from the headers of the filter: `x-session-user` is the id, `x-session-data` the data of the session.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

pub const ID_HEADER: &str = "x-session-user";
pub const DATA_HEADER: &str = "x-session-data";

/// A user with an active session, as the filter has verified.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    pub id: String,
    data: Map<String, Value>,
}

impl User {
    /// `None` if a header is missing or malformed.
    fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // The filter percent-encodes everything but visible ASCII, so that every id fits a header.
        let id = percent_decode_str(text(ID_HEADER)?).decode_utf8().ok()?.into_owned();
        let data = serde_json::from_str(text(DATA_HEADER)?).ok()?;
        Some(Self { id, data })
    }

    /// The name in the session, else the id.
    pub fn name(&self) -> &str {
        self.text("name").unwrap_or(&self.id)
    }

    pub fn role(&self) -> Option<&str> {
        self.text("role")
    }

    /// The time of the login, in seconds since 1970.
    pub fn auth_time(&self) -> Option<i64> {
        self.data.get("auth_time").and_then(Value::as_i64)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.data.get(key).and_then(Value::as_str)
    }
}

/// For routes whose rule is `optional`.
impl<S: Sync> OptionalFromRequestParts<S> for User {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(Self::from_headers(&parts.headers))
    }
}

/// For routes whose rule is `required`.
impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = MissingHeaders;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingHeaders> {
        Self::from_headers(&parts.headers).ok_or(MissingHeaders)
    }
}

/// A request without the headers that the filter adds on a `required` route.
#[derive(Debug)]
pub struct MissingHeaders;

impl IntoResponse for MissingHeaders {
    fn into_response(self) -> Response {
        let text = "This request came without x-session-user and x-session-data as the filter writes them. \
                    Ask Envoy instead, and see that the rule of this path says `session: required`.\n";
        (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str, data: &str) -> Option<User> {
        let mut headers = HeaderMap::new();
        headers.insert(ID_HEADER, id.parse().unwrap());
        headers.insert(DATA_HEADER, data.parse().unwrap());
        User::from_headers(&headers)
    }

    #[test]
    fn ids_are_percent_decoded_and_data_is_json() {
        let data = r#"{"name":"J\u00fcrgen \u2603","role":"member","auth_time":1700000000}"#;
        let user = user("j%C3%BCrgen%25", data).unwrap();
        assert_eq!((user.id.as_str(), user.name()), ("jürgen%", "Jürgen ☃"));
        assert_eq!((user.role(), user.auth_time()), (Some("member"), Some(1_700_000_000)));
    }

    #[test]
    fn without_a_name_in_the_session_the_id_is_the_name() {
        let user = user("u1", "{}").unwrap();
        assert_eq!((user.name(), user.role(), user.auth_time()), ("u1", None, None));
        assert_eq!(self::user("u1", r#"{"name":7,"role":true,"auth_time":"x"}"#).unwrap().name(), "u1");
    }

    #[test]
    fn missing_and_malformed_headers_are_no_user() {
        assert_eq!(User::from_headers(&HeaderMap::new()), None);
        for (id, data) in [("%ff", "{}"), ("u1", ""), ("u1", "[]"), ("u1", "{")] {
            assert_eq!(user(id, data), None, "{id} {data}");
        }
    }
}
