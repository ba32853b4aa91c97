//! The authorization service for Envoy's ext_authz over HTTP. Its decisions and responses are those of the filter on a
//! `required` route, so that the benchmark compares equal work.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::serve;

const COOKIE_NAME: &str = "session-cookie";
const TIMEOUT: Duration = Duration::from_millis(500);
const MAX_ANSWER_BYTES: usize = 256 * 1024;
const TRACE_HEADERS: [&str; 9] = [
    "x-request-id",
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
];
const UNSAFE_IN_HEADERS: &AsciiSet = &CONTROLS.add(b'%');

#[derive(Clone)]
struct Service {
    client: Client<HttpConnector, Empty<Bytes>>,
    sessions: SocketAddr,
    app: String,
}

#[derive(Deserialize)]
struct Session {
    id: String,
    #[serde(rename = "ttl")]
    _ttl: f64,
    #[serde(default)]
    d: Map<String, Value>,
}

enum Lookup {
    Active(Session),
    NoSession,
    Unavailable,
    InvalidAnswer,
}

pub async fn serve(listen: SocketAddr, sessions: SocketAddr, app: String) -> Result<(), String> {
    let listener = serve::listen(listen).await?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let service = Service { client: Client::builder(TokioExecutor::new()).build(connector), sessions, app };
    let router = Router::new().fallback(check).with_state(service);
    axum::serve(listener, router).await.map_err(|e| format!("cannot continue to serve: {e}"))
}

async fn check(State(service): State<Service>, headers: HeaderMap) -> Response {
    let Some(token) = token(&headers) else { return service.session_required() };
    match service.lookup(token, &headers).await {
        Lookup::Active(session) => {
            let user = utf8_percent_encode(&session.id, UNSAFE_IN_HEADERS).to_string();
            let data = ascii_json(&Value::Object(session.d).to_string());
            [("x-session-user", user), ("x-session-data", data)].into_response()
        }
        Lookup::NoSession => service.session_required(),
        Lookup::Unavailable => {
            let mut response = unavailable();
            response.headers_mut().insert(RETRY_AFTER, axum::http::HeaderValue::from_static("1"));
            response
        }
        Lookup::InvalidAnswer => unavailable(),
    }
}

impl Service {
    /// Looks the token up over a pooled connection. The client opens a new one if the server has closed it.
    async fn lookup(&self, token: &str, headers: &HeaderMap) -> Lookup {
        let mut request = Request::get(format!("http://{}/{}/get/{token}", self.sessions, self.app));
        for name in TRACE_HEADERS {
            if let Some(value) = headers.get(name) {
                request = request.header(name, value);
            }
        }
        let Ok(request) = request.body(Empty::new()) else { return Lookup::InvalidAnswer };
        let answer = async {
            let response = self.client.request(request).await.ok()?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.ok()?;
            Some((parts.status, body.to_bytes()))
        };
        match timeout(TIMEOUT, answer).await {
            Ok(Some((StatusCode::OK, body))) => read(&body),
            Ok(Some((status, _))) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Lookup::Unavailable
            }
            Ok(Some(_)) => Lookup::InvalidAnswer,
            Ok(None) | Err(_) => Lookup::Unavailable,
        }
    }

    fn session_required(&self) -> Response {
        let headers = [
            (CONTENT_TYPE, "application/json".to_owned()),
            (CACHE_CONTROL, "no-store".to_owned()),
            (WWW_AUTHENTICATE, format!("Session realm=\"{}\"", self.app)),
        ];
        let body = r#"{"error":"session_required","message":"This needs a session. Log in first."}"#;
        (StatusCode::UNAUTHORIZED, headers, body).into_response()
    }
}

fn unavailable() -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    let body = r#"{"error":"sessions_unavailable","message":"Sessions cannot be checked at the moment."}"#;
    (StatusCode::SERVICE_UNAVAILABLE, headers, body).into_response()
}

fn read(body: &[u8]) -> Lookup {
    if body == b"{}" {
        return Lookup::NoSession;
    }
    match serde_json::from_slice::<Session>(body) {
        Ok(session) if !session.id.is_empty() && !session.d.values().any(|v| v.is_object() || v.is_array()) => {
            Lookup::Active(session)
        }
        _ => Lookup::InvalidAnswer,
    }
}

/// The token in the cookies; `None` if there are two different ones.
fn token(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let values = lines.flat_map(|line| line.split(';')).filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim() == COOKIE_NAME).then(|| value.trim().trim_matches('"'))
    });
    let mut tokens = values.filter(|value| is_token(value));
    let first = tokens.next()?;
    tokens.all(|other| other == first).then_some(first)
}

/// Whether it is 64 letters and digits whose last eight are the creation time in milliseconds in base 36, at most a
/// minute in the future.
fn is_token(value: &str) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + Duration::from_secs(60);
    value.len() == 64
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && value.get(56..).and_then(|created| u64::from_str_radix(created, 36).ok()).map(u128::from)
            <= Some(now.as_millis())
}

/// Escapes all but printable ASCII, so that the JSON fits a header.
fn ascii_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TOKEN: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaZ00000001";

    fn cookies(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (COOKIE, HeaderValue::from_str(line).expect("is a header value"))).collect()
    }

    #[test]
    fn the_token_is_found_among_other_cookies() {
        let headers = cookies(&["theme=dark", &format!("a=b; session-cookie=\"{TOKEN}\"; c=d")]);
        assert_eq!(token(&headers), Some(TOKEN));
    }

    #[test]
    fn two_different_tokens_are_no_token() {
        let other = TOKEN.replace('a', "b");
        assert_eq!(token(&cookies(&[&format!("session-cookie={TOKEN}; session-cookie={other}")])), None);
    }

    #[test]
    fn a_token_from_the_future_is_rejected() {
        let future = TOKEN.replace("00000001", "zzzzzzzz");
        assert_eq!(token(&cookies(&[&format!("session-cookie={future}")])), None);
    }

    #[test]
    fn json_is_escaped_to_ascii() {
        assert_eq!(ascii_json("{\"a\":\"ü😀\"}"), "{\"a\":\"\\u00fc\\ud83d\\ude00\"}");
    }
}
