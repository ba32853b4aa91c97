//! The client of rest-sessions: creates and ends sessions.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

use crate::token::Token;
use crate::users::User;

/// Short, because a user waits for the response.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Shorter than the 5 s after which a rest-sessions on Node closes an idle connection: reusing one at that moment
/// fails.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Seconds that a session may be idle; the same as `limits.idle` in envoy.yaml.
const TTL_SECONDS: u32 = 30 * 60;

/// Clones share the connections.
#[derive(Debug, Clone)]
pub struct Sessions {
    client: Client,
    url: Url,
    app: String,
}

/// Why a call failed. No message contains a token, so none contains a URL or a body.
#[derive(Debug, Error)]
pub enum SessionsError {
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
    #[error("rest-sessions cannot be reached: {0}")]
    Unreachable(String),
    #[error("rest-sessions answered {0} instead of 200; see its log")]
    Status(StatusCode),
    #[error("the answer of rest-sessions is not JSON with a `token` of 64 letters and digits")]
    InvalidAnswer,
}

/// The data of a new session. The filter forwards it, and its rules may require it.
#[derive(Serialize)]
struct Data<'a> {
    name: &'a str,
    role: &'a str,
    auth_time: u64,
}

#[derive(Deserialize)]
struct Created {
    token: String,
}

impl Sessions {
    /// `url` is an http URL with a host; `/{app}/…` is appended to it. `authorization` is sent with every call.
    pub fn new(url: Url, app: String, authorization: Option<HeaderValue>) -> Result<Self, SessionsError> {
        let headers: HeaderMap = authorization.map(|value| (AUTHORIZATION, value)).into_iter().collect();
        // Tokens go to rest-sessions only: proxies of the environment and redirects are ignored.
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .default_headers(headers)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build()
            .map_err(|error| SessionsError::Client(causes(error)))?;
        Ok(Self { client, url, app })
    }

    /// Creates a session and returns its token, which is new. `auth_time` is in seconds since 1970.
    pub async fn create(&self, user: &User, ip: IpAddr, auth_time: u64) -> Result<Token, SessionsError> {
        let mut url = self.endpoint("create", user.id);
        url.query_pairs_mut().append_pair("ip", &ip.to_string()).append_pair("ttl", &TTL_SECONDS.to_string());
        let data = Data { name: user.name, role: user.role, auth_time };
        let answer = send(self.client.put(url).json(&data)).await?;
        // The message of serde may quote the body.
        let created: Created = answer.json().await.map_err(|_| SessionsError::InvalidAnswer)?;
        Token::parse(&created.token).ok_or(SessionsError::InvalidAnswer)
    }

    /// Ends a session, if there is one.
    pub async fn kill(&self, token: &Token) -> Result<(), SessionsError> {
        send(self.client.delete(self.endpoint("kill", token.as_str()))).await.map(|_| ())
    }

    fn endpoint(&self, verb: &str, of: &str) -> Url {
        let mut url = self.url.clone();
        // Fails only for URLs such as `data:`, which the options refuse.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend([&self.app, verb, of]);
        }
        url
    }
}

async fn send(request: RequestBuilder) -> Result<Response, SessionsError> {
    let answer = request.send().await.map_err(|error| SessionsError::Unreachable(causes(error)))?;
    match answer.status() {
        StatusCode::OK => Ok(answer),
        other => Err(SessionsError::Status(other)),
    }
}

/// The error with its sources, without the URL.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
