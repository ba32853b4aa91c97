//! rest-sessions, as far as a login needs it: making a session, and ending one.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

use crate::token::Token;
use crate::users::User;

/// A user waits for it.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The original, on Node, closes a connection that was idle for 5 s; one that is dropped first is never reused in that
/// very moment.
const IDLE: Duration = Duration::from_secs(4);
/// Seconds that a session may be idle, as `limits.idle` of envoy.yaml has it.
const TTL: u32 = 30 * 60;

#[derive(Debug, Clone)]
pub struct Sessions {
    client: Client,
    url: Url,
    app: String,
}

/// None of these shows a token, and so no URL and no body either.
#[derive(Debug, Error)]
pub enum SessionsError {
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
    #[error("rest-sessions cannot be asked: {0}")]
    Unreachable(String),
    #[error("rest-sessions answered {0}, where 200 is expected; look at its log")]
    Status(StatusCode),
    #[error("rest-sessions answered something else than JSON with a `token` of 64 letters and digits")]
    Answer,
}

/// What the session holds from the start; the filter passes it on, and its rules may require it.
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
    /// `url` is http with a host, and what stands before `/{app}/…`.
    pub fn new(url: Url, app: String) -> Result<Self, SessionsError> {
        // Sessions go to rest-sessions and to nobody else, whatever proxies the environment names.
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .pool_idle_timeout(IDLE)
            .build()
            .map_err(|error| SessionsError::Client(causes(error)))?;
        Ok(Self { client, url, app })
    }

    /// A new session with a token that nobody has had before. `auth_time` is in unix seconds.
    pub async fn create(&self, user: &User, ip: IpAddr, auth_time: u64) -> Result<Token, SessionsError> {
        let mut url = self.endpoint("create", user.id);
        url.query_pairs_mut().append_pair("ip", &ip.to_string()).append_pair("ttl", &TTL.to_string());
        let data = Data { name: user.name, role: user.role, auth_time };
        let answer = send(self.client.put(url).json(&data)).await?;
        // What serde says of an answer may quote it.
        let created: Created = answer.json().await.map_err(|_| SessionsError::Answer)?;
        Token::parse(&created.token).ok_or(SessionsError::Answer)
    }

    /// Ends a session, if there is one.
    pub async fn kill(&self, token: &Token) -> Result<(), SessionsError> {
        send(self.client.delete(self.endpoint("kill", token.as_str()))).await.map(|_| ())
    }

    fn endpoint(&self, verb: &str, of: &str) -> Url {
        let mut url = self.url.clone();
        // Fails for URLs like `data:` alone, which the options refuse.
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

/// What went wrong and why, without the URL.
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
