//! The routes: a login page, and what follows when it is sent.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Form, Router};
use serde::Deserialize;

use crate::client_address::client_address;
use crate::pages::{self, Problem};
use crate::return_to::{self, Origin};
use crate::session_cookie;
use crate::sessions::Sessions;
use crate::users::authenticate;

/// A name, a password, and an address that may be as long as Envoy lets one be.
const MOST_BYTES: usize = 64 * 1024;

/// What the routes work with.
#[derive(Debug, Clone)]
pub struct Login {
    pub sessions: Sessions,
    pub return_to: Vec<Origin>,
}

pub fn router(login: Login) -> Router {
    let origins: Vec<String> = login.return_to.iter().map(Origin::serialized).collect();
    let routes = Router::new()
        .route("/login", get(show_form).post(log_in))
        .route("/login/style.css", get(demo_web::STYLE))
        .route("/login/icon.svg", get(demo_web::ICON))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(login);
    demo_web::secured(routes, &origins)
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    next: String,
}

async fn show_form(State(login): State<Login>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    // A query that cannot be read names no address, and a login without one is as good.
    let next = asked.map(|Query(asked)| asked.next).unwrap_or_default();
    pages::form(&return_to::checked(&next, &login.return_to), "", None)
}

#[derive(Deserialize)]
struct Filled {
    user: String,
    password: String,
    #[serde(default)]
    next: String,
}

async fn log_in(
    State(login): State<Login>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    filled: Result<Form<Filled>, FormRejection>,
) -> Response {
    let filled = match filled {
        Ok(Form(filled)) => filled,
        Err(rejection) => return pages::not_understood(rejection.status()),
    };
    let next = return_to::checked(&filled.next, &login.return_to);
    let Some(user) = authenticate(&filled.user, &filled.password) else {
        return pages::form(&next, &filled.user, Some(Problem::Refused));
    };
    let ip = client_address(&headers, peer.ip());
    // Always a new token: one that was there before may be known to somebody else.
    let created = login.sessions.create(user, ip, unix_seconds()).await;
    let cookie = match created {
        Ok(token) => session_cookie::set(&token),
        Err(problem) => {
            tracing::warn!(user = user.id, %problem, "no session was made");
            return unavailable(&next, user.id);
        }
    };
    let (Some(cookie), Ok(location)) = (cookie, HeaderValue::try_from(next)) else {
        // A checked address and a well-formed token are ASCII.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    end_old_sessions(&login.sessions, &headers).await;
    tracing::info!(user = user.id, "logged in");
    let no_store = HeaderValue::from_static("no-store");
    let answer = [(header::LOCATION, location), (header::SET_COOKIE, cookie), (header::CACHE_CONTROL, no_store)];
    (StatusCode::SEE_OTHER, answer).into_response()
}

/// The browser forgets their tokens; whoever else has one should not go on with it. Only now, since who could not log
/// in keeps what he has. The new session is good even if an old one cannot be ended. Unlike a logout at the filter, this
/// is seen by Envoys once what they have in their caches is `cache.ttl` old.
async fn end_old_sessions(sessions: &Sessions, headers: &HeaderMap) {
    for token in session_cookie::tokens(headers) {
        if let Err(problem) = sessions.kill(&token).await {
            tracing::warn!(%problem, "an earlier session was not ended; it ends when it has been idle for too long");
        }
    }
}

fn unavailable(next: &str, user: &str) -> Response {
    let mut page = pages::form(next, user, Some(Problem::Unavailable));
    page.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    page
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
